"""minitorch.device: PyTorch's class, which is a string here too, and works wherever a device's name does."""

import copy
import json

import pytest

import minitorch
from minitorch import nn
from minitorch.devices import canonical

SPELLINGS = {  # arguments: str, type, index, repr, as PyTorch has them
    ("cpu",): ("cpu", "cpu", None, "device(type='cpu')"),
    ("cpu", 0): ("cpu:0", "cpu", 0, "device(type='cpu', index=0)"),
    ("cuda",): ("cuda", "cuda", None, "device(type='cuda')"),
    ("cuda:1",): ("cuda:1", "cuda", 1, "device(type='cuda', index=1)"),
    ("cuda", 1): ("cuda:1", "cuda", 1, "device(type='cuda', index=1)"),
}
REFUSED = {
    ("gpu",): 'unknown device "gpu"',
    ("",): 'unknown device ""',
    ("cuda:x",): 'unknown device "cuda:x"',
    ("cuda:-1",): 'unknown device "cuda:-1"',
    ("cuda:",): 'unknown device "cuda:"',
    ("cuda", -1): "must not be negative",
    ("cuda:0", 1): "give one of them",
}


def described(d):
    return str(d), d.type, d.index, repr(d)


@pytest.mark.parametrize("arguments", SPELLINGS)
def test_what_a_device_says_of_itself(arguments):
    assert described(minitorch.device(*arguments)) == SPELLINGS[arguments]


@pytest.mark.parametrize("arguments", REFUSED)
def test_refused(arguments):
    with pytest.raises(RuntimeError, match=REFUSED[arguments]):
        minitorch.device(*arguments)


def test_the_table_is_torchs():
    torch = pytest.importorskip("torch", reason="PyTorch, the oracle, is not installed")
    for arguments, expected in SPELLINGS.items():
        assert described(torch.device(*arguments)) == expected
    for arguments in REFUSED:
        with pytest.raises(RuntimeError):
            torch.device(*arguments)


def test_equality_and_hash():
    assert minitorch.device("cuda:1") == minitorch.device("cuda", 1) == "cuda:1"
    assert minitorch.device("cuda") != minitorch.device("cuda:0")
    assert {minitorch.device("cuda", 1): 5}["cuda:1"] == 5
    assert minitorch.device(minitorch.device("cuda", 1)) == minitorch.device(type="cuda", index=1)
    assert copy.deepcopy(minitorch.device("cuda", 1)).index == 1
    assert json.dumps({"device": minitorch.device("cpu")}) == '{"device": "cpu"}'
    assert [canonical(minitorch.device(*a)) for a in SPELLINGS] == ["cpu", "cpu", "cuda:0", "cuda:1", "cuda:1"]


def test_a_tensor_says_where_it_is(device):
    x = minitorch.zeros(2, device=device)
    assert isinstance(x.device, minitorch.device)
    assert x.device.type == device
    assert x.device == ("cpu" if device == "cpu" else "cuda:0")
    assert f"{x.device}" == str(x.device)
    assert x.is_cuda is (x.device.type == "cuda")


def test_a_script_runs_on_what_there_is(tmp_path):
    place = minitorch.device("cuda" if minitorch.cuda.is_available() else "cpu")
    assert (minitorch.cuda.device_count() > 0) is (place.type == "cuda")
    model = nn.Linear(3, 2).to(place)
    x = minitorch.ones(4, 3, device=place)
    assert minitorch.zeros(1).to(place).device.type == minitorch.as_tensor([1.0], device=place).device.type == place.type
    assert model(x).device == x.device == next(model.parameters()).device
    assert minitorch.rand_like(x, device=place).to(device=place, dtype=minitorch.float64).device == x.device
    minitorch.save(model.state_dict(), tmp_path / "model.safetensors")
    loaded = minitorch.load(tmp_path / "model.safetensors", map_location=place, weights_only=True)
    assert loaded["weight"].device == x.device
