"""Saving and loading: exact round trips, files of others, files that are broken, and writes that are interrupted."""

import json
import os
import pickle
import struct
import subprocess
import sys
from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import minitorch
from minitorch.serialization import read_metadata

safetensors = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed: pip install safetensors")


def equal(a, b):
    """Are two objects the same in type, nesting and value, to the bit?"""
    if isinstance(a, minitorch.Tensor):
        a, b = a.detach().cpu().numpy(), b.numpy()
        return (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return len(a) == len(b) and all(equal(k, m) and equal(x, y) for (k, x), (m, y) in zip(a.items(), b.items(), strict=True))
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b or (a != a and b != b)


def header_and(payload, **header):
    """A file in the format's own words."""
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + payload


@pytest.fixture
def path(tmp_path):
    return tmp_path / "x.safetensors"


# ------------------------------------------------------------------------------------------------------ round trips


def test_nested_objects_come_back_as_they_were(path, device):
    x = minitorch.randn(3, 4, device=device, requires_grad=True)
    obj = {
        "model": OrderedDict({"a.b": x.detach()}),
        "kinds": [x.to(dtype).detach() for dtype in (minitorch.float16, minitorch.float64, minitorch.int32, minitorch.uint8)],
        "odd": (x.T.detach(), x[::2, 1:].detach(), minitorch.tensor(3.5), minitorch.zeros(0, 3)),
        "mask": minitorch.tensor([True, False]),
        "state": {0: {"step": 3, "betas": (0.9, 0.999)}, (1, None): "x", 2.5: {}, True: []},
        "numbers": [1, -(10**40), 2.5, 1e-310, -0.0, float("inf"), float("nan"), 0.1 + 0.2, True, False, None],
        "text": 'ü "quoted" \n \ud800',
        "": {"": x.detach()},
        "tensor": {"tensor": "no tensor", "dict": {"tuple": [1]}},
    }
    minitorch.save(obj, path)
    loaded = minitorch.load(path)
    obj["model"] = dict(obj["model"])
    assert equal(obj, loaded)
    assert not loaded["model"]["a.b"].requires_grad
    assert minitorch.load(path, map_location=device)["model"]["a.b"].device == x.device
    loaded["model"]["a.b"].fill_(1)  # what was loaded can be changed
    assert os.listdir(path.parent) == [path.name]


leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.builds(
        lambda shape, dtype: minitorch.zeros(shape, dtype=dtype),
        st.lists(st.integers(0, 3), max_size=3),
        st.sampled_from(["f4", "i8"]),
    )
)
keys = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3) | st.tuples(st.integers())
objects = st.recursive(
    leaves,
    lambda x: st.lists(x, max_size=3) | st.lists(x, max_size=3).map(tuple) | st.dictionaries(keys, x, max_size=3),
    max_leaves=8,
)


@given(objects)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_any_object_comes_back(path, obj):
    minitorch.save(obj, path)
    assert equal(obj, minitorch.load(path))


def test_names_in_the_file(path):
    ones = minitorch.ones
    minitorch.save({"a.b": ones(1), "a": {"b": ones(2)}, "list": [ones(3), {"x": ones(4)}]}, path)
    stored = {name: x.size for name, x in safetensors.load_file(path).items()}
    assert stored == {"a.b": 1, "a.b#2": 2, "list.0": 3, "list.1.x": 4}
    loaded = minitorch.load(path)
    assert [loaded["a.b"].numel(), loaded["a"]["b"].numel()] == [1, 2]


def test_a_tensor_met_twice_is_stored_once_and_is_one_again(path):
    x = minitorch.randn(5, requires_grad=True)
    minitorch.save({"embedding.weight": x.detach(), "other": x[:5].clone().detach(), "decoder.weight": x.detach()}, path)
    assert list(safetensors.load_file(path)) == ["embedding.weight", "other"]
    loaded = minitorch.load(path)
    assert list(loaded) == ["embedding.weight", "other", "decoder.weight"]
    assert loaded["decoder.weight"] is loaded["embedding.weight"] is not loaded["other"]


def test_metadata(path):
    minitorch.save({"a": minitorch.ones(1)}, path, metadata={"author": "ü"})
    assert read_metadata(path) == {"format": "pt", "author": "ü"}
    for bad in ({"a": 1}, {1: "a"}, {"minitorch": "x"}):
        with pytest.raises(TypeError, match="metadata must map strings to strings"):
            minitorch.save({}, path, metadata=bad)


def test_a_model_and_its_optimizer(path):
    model = minitorch.nn.Sequential(minitorch.nn.Linear(3, 4), minitorch.nn.LayerNorm(4), minitorch.nn.Linear(4, 1))
    optimizer = minitorch.optim.AdamW(model.parameters())
    model(minitorch.randn(5, 3)).sum().backward()
    optimizer.step()
    minitorch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "rng": minitorch.get_rng_state()}, path)
    run = minitorch.load(path)
    model.load_state_dict(run["model"])
    optimizer.load_state_dict(run["optimizer"])
    assert equal(run["model"], dict(model.state_dict()))
    assert equal(run["optimizer"], optimizer.state_dict())
    minitorch.set_rng_state(run["rng"])


# -------------------------------------------------------------------------------------------------- files of others


def test_a_flat_file_loads_as_a_flat_dict(path):
    safetensors.save_file({"b": np.ones((2, 3), dtype="float32"), "a": np.arange(3)}, path, metadata={"format": "pt"})
    loaded = minitorch.load(path)
    assert loaded["b"].tolist() == [[1, 1, 1], [1, 1, 1]]
    assert loaded["a"].tolist() == [0, 1, 2]


def test_what_was_saved_in_bfloat16_is_bfloat16_again(path, device):
    """And a file that lies between float32 and the rest: 2 bytes an element."""
    pytest.importorskip("ml_dtypes")
    wide = minitorch.tensor([1.5, -2.0, 3e38, float("nan"), -float("inf")], device=device)
    for x in (wide.bfloat16(), wide.bfloat16()[0], wide.bfloat16()[:0]):
        minitorch.save({"w": x, "other": wide}, path)
        loaded = minitorch.load(path, map_location=device)
        assert (loaded["w"].dtype, loaded["w"].shape) == (minitorch.bfloat16, x.shape)
        np.testing.assert_array_equal(loaded["w"].float().cpu().numpy(), x.float().cpu().numpy())
        assert equal(wide, loaded["other"].cpu())


def test_the_formats_own_word_is_a_name_like_any_other(path):
    """A safetensors file has one entry that is no tensor."""
    obj = {"__metadata__": minitorch.tensor([1.0, 2.0]), "w": {"__metadata__": minitorch.tensor(3)}}
    minitorch.save(obj, path)
    assert equal(obj, minitorch.load(path))
    minitorch.save([obj, minitorch.zeros(1)], path, metadata={"a": "b"})
    assert equal(obj, minitorch.load(path)[0])


def test_bfloat16_is_widened_to_float32(path):
    values = np.array([1.0, -2.5, 3.0e38, 0.0], dtype="float32")
    short = (values.view("uint32") >> 16).astype("<u2")
    path.write_bytes(header_and(short.tobytes(), w={"dtype": "BF16", "shape": [2, 2], "data_offsets": [0, 8]}))
    loaded = minitorch.load(path)["w"]
    assert loaded.dtype == minitorch.float32
    np.testing.assert_array_equal(loaded.numpy().reshape(-1), (short.astype("uint32") << 16).view("float32"))


def test_torch_reads_our_files_and_we_read_torchs(path):
    torch = pytest.importorskip("torch", reason="PyTorch, the oracle, is not installed")
    from safetensors import torch as theirs

    state = {"w": minitorch.randn(3, 2), "h": minitorch.randn(2).half(), "n": minitorch.tensor(3)}
    minitorch.save(state, path)
    for name, x in theirs.load_file(path).items():
        np.testing.assert_array_equal(x.numpy(), state[name].numpy())
    x = torch.randn(4, 3)
    theirs.save_file({"x": x, "b": x.bfloat16(), "t": x.T.contiguous(), "z": torch.tensor(True)}, path)
    loaded = minitorch.load(path)
    np.testing.assert_array_equal(loaded["x"].numpy(), x.numpy())
    np.testing.assert_array_equal(loaded["b"].numpy(), x.bfloat16().float().numpy())
    assert loaded["z"].item() is True


# ----------------------------------------------------------------------------------------------------- broken files

ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
GOOD = header_and(bytes(8), a=ENTRY)
BROKEN = {
    "cut": (GOOD[:-3], r"is truncated: its header announces \d+ bytes, the file has \d+; copy it again"),
    "cut in the header": (GOOD[:30], r"is truncated: its header alone has 61 bytes, the file 30; copy it again"),
    "empty": (b"", r"is empty \(0 bytes\)"),
    "text": (b"step,loss\n1,0.5\n", r"is not a safetensors file: it begins with b'step,los'"),
    "short text": (b"hi", r"is not a safetensors file: it begins with b'hi'"),
    "pickle": (pickle.dumps({"a": [1]}), "is a pickle or a zip archive"),
    "zip": (
        b"PK\x03\x04" + bytes(50),
        "minitorch never reads pickles, which can run any program. Convert it on a machine that has PyTorch",
    ),
    "no JSON": (struct.pack("<Q", 20) + b"{" + b"#" * 40, "has a damaged header"),
    "no offsets": (header_and(b"", a={"dtype": "F32"}), "has a damaged header"),
    "gap": (header_and(bytes(12), a={**ENTRY, "data_offsets": [4, 12]}), "has a damaged header"),
    "wrong size": (header_and(bytes(8), a={**ENTRY, "shape": [3]}), "has a damaged header"),
    "deep": (struct.pack("<Q", 500_000) + b'{"a":' * 100_000, "has a damaged header"),
    "no dtype of ours": (
        header_and(bytes(2), a={"dtype": "F8_E4M3", "shape": [2], "data_offsets": [0, 2]}),
        "tensor 'a' is stored as F8_E4M3, which NumPy does not have",
    ),
    "no tree": (
        header_and(bytes(8), a=ENTRY, __metadata__={"minitorch": "{}"}),
        "the description of its nesting is damaged",
    ),
    "lost tensor": (
        header_and(bytes(8), a=ENTRY, __metadata__={"minitorch": '{"version":1,"tree":{"tensor":"b"}}'}),
        "the description of its nesting is damaged",
    ),
    "the future": (
        header_and(bytes(8), a=ENTRY, __metadata__={"minitorch": '{"version":9,"tree":1}'}),
        "has minitorch's format 9, this one reads 1: update minitorch",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_and_foreign_files(kind, path):
    content, text = BROKEN[kind]
    path.write_bytes(content)
    with pytest.raises(ValueError, match=text) as caught:
        minitorch.load(path)
    assert f"{path}" in str(caught.value)


def test_a_header_as_long_as_a_pickle_begins_is_read(path):
    for length in (0x80, 0x4B50):  # the first byte is a pickle's, or the first two are "PK"
        text = json.dumps({"a": ENTRY}).encode()
        path.write_bytes(struct.pack("<Q", length) + text + b" " * (length - len(text)) + bytes(8))
        assert minitorch.load(path)["a"].tolist() == [0, 0]


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no file .*nothing"):
        minitorch.load(tmp_path / "nothing")
    with pytest.raises(IsADirectoryError, match="is a folder; give the name of the file in it"):
        minitorch.load(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"the folder .*nowhere does not exist; create it first"):
        minitorch.save({}, tmp_path / "nowhere" / "x")
    with pytest.raises(IsADirectoryError, match=r"is a folder; give the name"):
        minitorch.save({}, tmp_path)


def test_what_cannot_be_saved(path):
    x = minitorch.ones(1)
    cases = [
        ({"a": [{1, 2}]}, "save: a.0 is a set; only tensors, numbers, strings, None, and dicts, lists and tuples of them"),
        (np.ones(2), "save: the object is a ndarray; .*; make it a tensor"),
        ({"a": {x: 1}}, "save: a has a Tensor as a key; use strings or numbers"),
        ({"f": print}, "save: f is a builtin_function_or_method"),
    ]
    for obj, text in cases:
        with pytest.raises(TypeError, match=text):
            minitorch.save(obj, path)
    assert not path.exists()


def test_safetensors_missing(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    for call in (lambda: minitorch.save({}, path), lambda: minitorch.load(path)):
        with pytest.raises(ImportError, match="need the safetensors library: pip install safetensors"):
            call()


# ------------------------------------------------------------------------------------------------ interrupted writes


@pytest.mark.parametrize("existing", [True, False])
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError("no space left on device"), MemoryError])
@pytest.mark.parametrize("place", ["minitorch.serialization._write", "os.fsync", "os.replace"])
def test_an_interrupted_save_leaves_the_old_file(path, monkeypatch, existing, error, place):
    if existing:
        minitorch.save({"a": minitorch.ones(3)}, path)

    def fails(*arguments, **named):
        if place == "minitorch.serialization._write":
            arguments[0].write(b"half a file")
        raise error

    monkeypatch.setattr(place, fails)
    with pytest.raises(OSError if isinstance(error, OSError) else error) as caught:
        minitorch.save({"a": minitorch.zeros(3)}, path)
    monkeypatch.undo()
    if isinstance(error, OSError):
        ending = "the old file there is untouched" if existing else "nothing was left there"
        assert str(caught.value) == f"could not write {path} (no space left on device); {ending}"
    assert os.listdir(path.parent) == [path.name] * existing
    if existing:
        assert minitorch.load(path)["a"].tolist() == [1, 1, 1]


@pytest.mark.skipif(os.name != "posix", reason="limits the size of files as POSIX systems can")
def test_a_full_disk_leaves_the_old_file(path):
    program = f"""
import minitorch, resource, signal
minitorch.save({{"a": minitorch.ones(3)}}, {str(path)!r})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # writing beyond the limit is an error, as on a full disk
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    minitorch.save({{"a": minitorch.ones(300_000)}}, {str(path)!r})
except OSError as error:
    print(error)
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.startswith(f"could not write {path} (")
    assert result.stdout.endswith("the old file there is untouched\n")
    assert os.listdir(path.parent) == [path.name]
    assert minitorch.load(path)["a"].tolist() == [1, 1, 1]


@pytest.mark.skipif(not hasattr(os, "symlink") or os.name != "posix", reason="needs symbolic links")
def test_a_link_stays_a_link(path, tmp_path):
    path.symlink_to(tmp_path / "real.safetensors")
    minitorch.save([1], path)
    assert path.is_symlink()
    assert minitorch.load(tmp_path / "real.safetensors") == [1]


def test_equal_saves_are_equal_files(path):
    state = {"b": minitorch.ones(3), "a": {"x": minitorch.zeros(2, dtype=minitorch.float16), "n": 3}}
    minitorch.save(state, path)
    first = path.read_bytes()
    program = f"""
import minitorch
a = {{"x": minitorch.zeros(2, dtype=minitorch.float16), "n": 3}}
minitorch.save({{"b": minitorch.ones(3), "a": a}}, {str(path)!r})
"""
    for _ in range(3):
        subprocess.run([sys.executable, "-c", program], check=True)
        assert path.read_bytes() == first
