"""A module in another process behaves as if it were here: arrays with their layout and shared memory, lists, objects, errors."""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.course.proxy import Proxy
from models.course.remote import Gone, Link
from models.course.subject import Subject

MODULE = """
import numpy as np
kept = []
def same(x): return x
def add(x, n): x += n
def keep(x): kept.append(x)
def last(): return kept[-1]
def change(n): kept[-1][...] = n
def call(f, *arguments): return f(*arguments)
def fail(kind): raise kind
class Own(ValueError): pass
def fail_own(): raise Own("mine")
def rename(node): node.name, node.extra = "b", [1.0]
def append(items): items.append(items)
def shares(x, y): return bool(np.shares_memory(x, y))
def numbers(n): return (i * i for i in range(n))
class Value:
    def __init__(self, value): self.value = value
    def __add__(self, other): return Value(self.value + getattr(other, "value", other))
    __radd__ = __add__
    def __enter__(self): self.inside = True
    def __exit__(self, kind, error, traceback): return kind is KeyError or issubclass(kind or int, KeyError)
"""


class Node:
    """An object of a test."""

    def __init__(self, name, *parents):
        self.name, self.parents = name, parents


Node.__module__ = "visible_tests"  # as one of a test file


@pytest.fixture(scope="module")
def m():
    """MODULE behind a link; the far end is a thread here, which changes nothing for the protocol."""
    (a, b), (c, d) = os.pipe(), os.pipe()
    far = Subject(os.fdopen(a, "rb"), os.fdopen(d, "wb"), owner=False)
    near = Link(os.fdopen(c, "rb"), os.fdopen(b, "wb"), owner=True)

    def serve():
        try:
            while True:
                head, arguments = far.receive()
                far.answer(head["kind"], arguments)
        except Gone:
            pass

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield near.request("load", MODULE, "/nowhere/far.py")
    near.outgoing.close()
    thread.join(10)
    for file in (near.incoming, far.incoming, far.outgoing):
        file.close()


@st.composite
def arrays(draw):
    """Arrays of any layout: permuted, strided, reversed, broadcast, of all dtypes of numbers, empty, without axes."""
    shape = draw(st.lists(st.integers(0, 4), max_size=3))
    dtype = draw(st.sampled_from(["f4", "f8", "f2", "i8", "i1", "u2", "?", "c8"]))
    x = np.arange(np.prod(shape, dtype=int)).astype(dtype).reshape(shape)
    x = x.transpose(draw(st.permutations(range(x.ndim))))
    if draw(st.booleans()):
        x = x.copy(order="K")
    x = x[(..., *(slice(None, None, draw(st.sampled_from([1, 2, -1]))) for _ in shape))]
    return np.broadcast_to(x, (2, *x.shape)) if draw(st.booleans()) else x


@given(arrays())
@settings(max_examples=150, deadline=None)
def test_an_array_comes_back_as_itself(m, x):
    assert m.same(x) is x
    assert m.same((x, x.T))[1].base is not None or not x.size


@given(arrays(), st.integers(1, 5))
@settings(max_examples=100, deadline=None)
def test_what_is_written_there_is_seen_here_through_every_view(m, x, n):
    if x.dtype == bool or not x.flags.writeable or any(s == 0 for s, size in zip(x.strides, x.shape, strict=True) if size > 1):
        return
    view, right = x[..., :] if x.ndim else x, x + np.asarray(n).astype(x.dtype)
    m.add(x, np.asarray(n).astype(x.dtype))
    np.testing.assert_array_equal(view, right)


def test_memory_that_is_shared_stays_shared(m):
    x = np.arange(6.0)
    assert m.shares(x[:3], x[2:])
    assert not m.shares(x[:3], x.copy())
    m.keep(x)
    x[0] = 7.0
    assert m.last() is x
    m.change(5.0)
    assert x.tolist() == [5.0] * 6


def test_what_changes_later_is_seen_on_the_other_side(m):
    x = np.zeros(2)
    m.keep(x)
    x[:] = 3.0
    assert m.call(m.last).tolist() == [3.0, 3.0]
    m.change(4.0)
    assert x.tolist() == [4.0, 4.0]


@pytest.mark.parametrize(
    "value",
    [None, True, 3, -0.5, float("inf"), "text", (), (1, (2.0, "x")), slice(1, None, 2), np.float32(0.1), np.int8(3), 10**30],
)
def test_plain_values(m, value):
    got = m.same(value)
    assert type(got) is type(value)
    assert got == value


def test_dtypes_and_nan(m):
    assert m.same(np.float64) is np.float64
    assert m.same(float) is float
    assert m.same(np.dtype("f4")) == np.dtype("f4")
    assert np.isnan(m.same(float("nan")))


def test_objects_lists_and_dicts_keep_their_identity(m):
    a = Node("a")
    b = Node("x", a, a)
    m.rename(b)
    assert (b.name, b.extra, b.parents) == ("b", [1.0], (a, a))
    assert m.same([a, b])[1] is b
    found = m.same({b: 1, "k": {2, 3}})
    assert found[b] == 1
    items: list = []
    m.append(items)
    assert items[0] is items


def test_functions_go_both_ways(m):
    seen = []
    assert m.call(lambda x, y: seen.append(x) or x * y, 3.0, 4.0) == 12.0
    assert seen == [3.0]
    assert m.call(lambda f: f(np.ones(2)), m.same).tolist() == [1.0, 1.0]
    assert m.same(m.same) is m.same or isinstance(m.same(m.same), Proxy)


def test_objects_of_the_other_side_compute_there(m):
    p = m.Value(2.0)
    total = 1.0 + (p + 3.0) + p
    assert total.value == 8.0
    p.value = 5.0
    assert m.call(lambda: (p + 1.0).value) == 6.0
    assert list(m.numbers(4)) == [0, 1, 4, 9]
    with p:
        assert p.inside
        raise KeyError("held back")
    with pytest.raises(IndexError), p:
        raise IndexError("goes on")


def test_errors_keep_their_class_and_their_line(m):
    with pytest.raises(ValueError, match="mine") as found:
        m.fail_own()
    assert found.value.name == "Own"
    assert found.value.line == MODULE.splitlines().index('def fail_own(): raise Own("mine")') + 1
    with pytest.raises(AttributeError, match="nothing"):
        m.nothing()
    with pytest.raises(ZeroDivisionError):
        m.call(lambda: 1 / 0)


def test_nothing_here_can_be_named_from_there(m):
    """Not an attribute of a function that was handed over; and no address is taken for an array."""
    with pytest.raises(TypeError, match="only functions"):
        m._link.perform("get", [print, "__self__", ()])
    with pytest.raises(AttributeError):
        _ = m.Value(1.0).__array_interface__
