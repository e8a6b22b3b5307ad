"""Drawings: what is in them, that they are well formed, and one picture to the last letter."""

import gc
import itertools
import os
import re
import weakref
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import minitorch as mt
from minitorch import files
from minitorch.tools import drawing
from minitorch.tools.drawing import draw_graph

GOLDEN = Path(__file__).parent / "golden"


def leaf(*shape, dtype=np.float32):
    return mt.tensor(np.full(shape, 0.5, dtype=dtype), requires_grad=True)


def small():
    x, y = leaf(3), leaf(2, 3, dtype=np.float64)
    return x, y, x.astype(mt.float64) * y + x.sin()


def texts(d):
    return [box.lines() for box in d.boxes]


@pytest.mark.parametrize("ending", ["svg", "dot", "mmd"])
def test_golden(ending, tmp_path):
    """To write the files anew after a wanted change: GOLDEN=1 pytest tests/test_drawing.py, then look at them."""
    x, y, z = small()
    d = draw_graph(z, names={"x": x, "y": y})
    z.backward(mt.ones(2, 3, dtype=mt.float64))
    d.save(tmp_path / f"graph.{ending}")
    found = (tmp_path / f"graph.{ending}").read_text(encoding="utf-8")
    if os.environ.get("GOLDEN"):
        GOLDEN.mkdir(exist_ok=True)
        (GOLDEN / f"graph.{ending}").write_text(found, encoding="utf-8")
    assert found == (GOLDEN / f"graph.{ending}").read_text(encoding="utf-8")


def test_boxes_say_what_they_are():
    x, _, z = small()
    d = draw_graph(z, {"weight": x})
    assert texts(d) == [
        ["weight", "(3,) float32"], ["leaf", "(2, 3) float64"], ["cast", "(3,) float64"], ["mul", "(2, 3) float64"],
        ["sin", "(3,) float32"], ["cast", "(3,) float64"], ["add", "(2, 3) float64"],
    ]  # fmt: skip
    assert [box.kind for box in d.boxes] == ["leaf", "leaf", "op", "op", "op", "op", "root"]
    assert "derivative is cos x" in d.boxes[4].about


def test_gradients_appear_after_backward():
    x = leaf(4)
    h = x * 2
    h.retain_grad()
    loss = (h * h).sum()
    d = draw_graph(loss, {"x": x, "h": h})
    assert "‖grad‖" not in d.svg
    loss.backward()
    assert texts(d)[:2] == [["x", "(4,) float32", "‖grad‖ = 8"], ["h = mul", "(4,) float32", "‖grad‖ = 4"]]
    assert d.svg.count("‖grad‖") == 2
    x.grad = None
    assert d.svg.count("‖grad‖") == 1


def test_a_graph_that_is_walked_but_retained():
    x = leaf(4)
    loss = (x * x).sum()
    loss.backward(retain_graph=True)
    assert "‖grad‖ = 2" in draw_graph(loss).svg


def test_after_backward_the_graph_is_drawn_with_its_gradients():
    x, w = leaf(4), leaf(4)
    h = x * w
    h.retain_grad()
    loss = (h.reshape(2, 2) * mt.ones(2, 2)).sum()
    before = draw_graph(loss, {"x": x, "w": w, "h": h})
    loss.backward()
    after = draw_graph(loss, {"x": x, "w": w, "h": h})
    assert texts(after) == [lines for lines in texts(before) if lines[0] != "data"]
    assert texts(after)[:3] == [[name, "(4,) float32", f"‖grad‖ = {size}"] for name, size in (("x", 1), ("w", 1), ("h = mul", 2))]
    assert [box.kind for box in after.boxes][-1] == "root"
    assert all(box.parents for box in after.boxes if box.kind != "leaf")
    ElementTree.fromstring(after.svg)


def test_a_graph_freed_two_walks_ago_says_what_to_do():
    loss, other = (leaf(4) * 2).sum(), (leaf(4) * 2).sum()
    loss.backward()
    other.backward()
    assert len(draw_graph(other).boxes) == 3
    with pytest.raises(RuntimeError, match=r"backward\(\) has walked this graph .* draw before the next backward\(\)") as raised:
        draw_graph(loss)
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None


def test_nothing_to_draw():
    with pytest.raises(RuntimeError, match=r"there is no graph: no input .* has requires_grad=True"):
        draw_graph(mt.ones(3))
    with pytest.raises(TypeError, match="names must be a module or a dict of tensors, not list"):
        draw_graph(leaf(1), names=["x"])


def test_names_of_a_module():
    class Model:
        def __init__(self):
            self.w = leaf(3)

        def named_parameters(self):
            return [("layer.weight", self.w)]

        def named_buffers(self):
            return []

    model = Model()
    assert texts(draw_graph((model.w * 2).sum(), model))[0][0] == "layer.weight"


def test_data_several_outputs_and_several_roots():
    x, w = mt.ones(2, 4), leaf(2, 4)
    a, b = (x * w).split(2, dim=1)
    d = draw_graph([a, b], {"batch": x})
    titles = [box.title for box in d.boxes]
    assert sorted(titles) == ["batch", "leaf", "mul", "output 0", "output 1", "split"]
    assert [box.kind for box in d.boxes if box.title.startswith("output")] == ["root", "root"]
    assert [box.kind for box in d.boxes if box.title == "batch"] == ["data"]
    assert draw_graph(w).boxes[0].title == "leaf"
    ElementTree.fromstring(draw_graph(w).svg)


def test_text_is_escaped():
    name = '<b>"R&D"\\</b> \u00e9 #'
    w = leaf(3)
    d = draw_graph((w * 2).sum(), {name: w})
    root = ElementTree.fromstring(d.svg)
    assert name in [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert '\\"R&D\\"\\\\' in d.to_dot()
    assert re.search(r'n0\["[^"<>&]*<br/>[^"<>&]*"\]', d.to_mermaid())


def test_a_drawing_keeps_no_graph_alive():
    w = leaf(3)
    h = w * 2
    loss = h.sum()
    seen = weakref.ref(loss.node)
    d = draw_graph(loss, {"h": h, "loss": loss})
    del h, loss
    gc.collect()
    assert seen() is None
    assert len(d.boxes) == 3
    assert d._repr_svg_() == d.svg


def test_saving_replaces_at_once_and_leaves_nothing_behind(tmp_path, monkeypatch):
    d = draw_graph(leaf(3) * 2)
    with pytest.raises(ValueError, match=r"saved as \.svg, \.dot, \.gv, \.mmd, not as 'graph.png'"):
        d.save(tmp_path / "graph.png")
    (tmp_path / "graph.svg").write_text("old")

    def fail(*arguments):
        raise OSError("no")

    with monkeypatch.context() as patched:
        patched.setattr(files.os, "replace", fail)
        with pytest.raises(OSError, match="could not write"):
            d.save(tmp_path / "graph.svg")
    assert [path.name for path in tmp_path.iterdir()] == ["graph.svg"]
    assert (tmp_path / "graph.svg").read_text() == "old"
    d.save(str(tmp_path / "graph.svg"))
    assert (tmp_path / "graph.svg").read_text(encoding="utf-8") == d.svg


def places(d):
    layers = drawing._layers(d.boxes)
    drawing._order(layers)
    drawing._position(layers)
    return layers


def test_layout_nothing_overlaps_and_everything_flows_down():
    x = leaf(2, 2)
    v = x
    for _ in range(6):
        v = v + (v @ leaf(2, 2)).tanh() @ leaf(2, 2) * v
    layers = places(draw_graph(v))
    for layer in layers:
        for a, b in itertools.pairwise(layer):
            assert b.x - a.x >= (a.width + b.width) / 2
        for place in layer:
            assert all(below.y > place.y for below in place.below)
            assert place.x - place.width / 2 >= 0
    assert layers[-1][0].box.kind == "root"


def test_layout_uncrosses_lines():
    a, b, c, d = (leaf(1) for _ in range(4))
    left, right = a * d, b * c  # in the order of creation the lines from a, b, c, d cross
    assert drawing._crossings(places(draw_graph(left * right))) == 0


def test_lines_from_one_box_share_their_way():
    """Else 300 uses of x in 300 layers would be 45,000 places."""
    x = leaf(1)
    y = x
    for _ in range(300):
        y = y + x
    assert sum(map(len, places(draw_graph(y)))) == 301 + 299


def test_a_deep_graph():
    x = leaf(1)
    y = x
    for _ in range(5000):
        y = y + x
    d = draw_graph(y.sin())
    assert len(d.boxes) == 5002
    assert d.to_dot().count("->") == 10001
