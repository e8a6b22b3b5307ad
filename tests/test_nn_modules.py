"""Modules: what a Module registers, saves, loads, moves and prints; layers, losses and initialisers against PyTorch."""

from __future__ import annotations

import copy
import inspect
import math

import numpy as np
import pytest

import minitorch
from minitorch import nn
from minitorch.nn import init
from minitorch.nn.losses import Loss

from .module_cases import LAYERS, assert_same, frozen, run_minitorch, run_torch


class Net(nn.Module):
    """Two layers, a buffer that is saved and one that is not."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.second = nn.Linear(4, 2, bias=False)
        self.register_buffer("scale", minitorch.ones(2))
        self.register_buffer("steps", minitorch.zeros((), dtype=minitorch.int64))
        self.register_buffer("scratch", minitorch.zeros(5), persistent=False)

    def forward(self, x):
        return self.second(self.first(x).tanh()) * self.scale


NAMES = ["first.weight", "first.bias", "second.weight"]

# ------------------------------------------------------------------------------------------ values and gradients


@pytest.mark.parametrize("name", LAYERS)
def test_layers_and_losses_equal_torch(name, device):
    pytest.importorskip("torch", reason="PyTorch is not installed; test_layers_and_losses_equal_frozen_numbers stands in")
    assert_same(run_minitorch(LAYERS[name], device), run_torch(LAYERS[name]))


@pytest.mark.parametrize("name", LAYERS)
def test_layers_and_losses_equal_frozen_numbers(name, device):
    ours = run_minitorch(LAYERS[name], device)
    assert_same(ours, frozen(name, ours), tolerance=1e-7)


def test_class_weights_are_buffers_that_move_and_are_saved(device):
    loss = nn.CrossEntropyLoss(minitorch.tensor([1.0, 2.0, 4.0]), label_smoothing=0.1).to(device).double()
    assert list(loss.state_dict()) == ["weight"]
    assert loss.weight.dtype == minitorch.float64
    x = minitorch.zeros(2, 3, dtype=minitorch.float64, device=device)
    assert loss(x, minitorch.tensor([0, 2], device=device)).item() == pytest.approx(math.log(3) * (0.9 + 0.1 * 7 / 3 * 2 / 5))
    assert list(nn.BCEWithLogitsLoss(pos_weight=minitorch.ones(1)).state_dict()) == ["pos_weight"]
    assert list(nn.CrossEntropyLoss().state_dict()) == []


REDUCING = [name for name in nn.functional.__all__ if "reduction" in inspect.signature(getattr(nn.functional, name)).parameters]
LOSSES = [name for name, kind in vars(nn).items() if isinstance(kind, type) and issubclass(kind, Loss)]


def test_there_are_losses():
    assert len(REDUCING) == 10
    assert len(LOSSES) == 10


@pytest.mark.parametrize("old", ["size_average", "reduce"])
@pytest.mark.parametrize("name", REDUCING)
def test_deprecated_switches_of_functions_are_refused(name, old):
    with pytest.raises(TypeError, match=rf"^{name}: {old} is deprecated in PyTorch and refused here; say reduction='mean'"):
        getattr(nn.functional, name)(minitorch.ones(2), minitorch.ones(2), **{old: False})


@pytest.mark.parametrize("name", LOSSES)
def test_deprecated_switches_of_modules_are_refused(name):
    with pytest.raises(TypeError, match=rf"^{name}: size_average is deprecated in PyTorch and refused here; say reduction="):
        getattr(nn, name)(size_average=False)
    with pytest.raises(TypeError, match="positional"):  # by place they are refused too, and not taken for something else
        getattr(nn, name)(None, None, None, "sum", None, None)


def test_dropout_follows_the_mode(device):
    x = minitorch.ones(200, 50, device=device)
    layer = nn.Dropout(0.25)
    y = layer(x).cpu().numpy()
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.75)}
    assert abs((y == 0).mean() - 0.25) < 0.02
    assert layer.eval()(x) is x
    with pytest.raises(ValueError, match="between 0 and 1"):
        nn.Dropout(1.5)


def test_padding_row_starts_at_zero_and_stays(device):
    layer = nn.Embedding(4, 3, padding_idx=-1, device=device)
    assert layer.padding_idx == 3
    layer(minitorch.tensor([0, 3, 3], device=device)).sum().backward()
    assert layer.weight.detach().cpu().numpy()[3].tolist() == [0, 0, 0]
    assert layer.weight.grad.cpu().numpy().tolist() == [[1] * 3, [0] * 3, [0] * 3, [0] * 3]
    with pytest.raises(AssertionError, match="padding_idx 4 is not a row of a table of 4"):
        nn.Embedding(4, 3, padding_idx=4)
    table = minitorch.arange(6.0).reshape(3, 2)
    frozen_layer = nn.Embedding.from_pretrained(table)
    assert not frozen_layer.weight.requires_grad
    assert frozen_layer(minitorch.tensor([2])).tolist() == [[4.0, 5.0]]


def test_a_short_training_run_learns(device):
    minitorch.manual_seed(3)
    x = minitorch.rand(64, 2, device=device) * 2 - 1
    target = x[:, :1] * x[:, 1:]
    net = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 1)).to(device)
    loss_function = nn.MSELoss()
    losses = []
    for _ in range(300):
        net.zero_grad()
        loss = loss_function(net(x), target)
        loss.backward()
        losses.append(loss.item())
        with minitorch.no_grad():
            for p in net.parameters():
                p -= p.grad * 0.3
    assert losses[-1] < losses[0] / 10


# ------------------------------------------------------------------------------------------------ registration


def test_assignment_registers():
    net = Net()
    assert [name for name, _ in net.named_parameters()] == NAMES
    assert [name for name, _ in net.named_buffers()] == ["scale", "steps", "scratch"]
    assert [name for name, _ in net.named_modules()] == ["", "first", "second"]
    assert [name for name, _ in net.named_children()] == ["first", "second"]
    assert [name for name, _ in net.named_parameters("net", recurse=True)] == [f"net.{name}" for name in NAMES]
    assert list(net.parameters(recurse=False)) == []
    assert net.second.bias is None
    assert net.get_parameter("first.bias") is net.first.bias
    assert net.get_submodule("first") is net.first
    assert net.get_submodule("") is net
    assert net.get_buffer("scale") is net.scale
    assert {"first", "scale", "forward"} <= set(dir(net))


def test_names_change_their_kind():
    net = Net()
    net.first = None
    assert [name for name, _ in net.named_parameters()] == ["second.weight"]
    net.first = nn.Identity()  # keeps its place
    assert [name for name, _ in net.named_children()] == ["first", "second"]
    net.first = nn.Parameter(minitorch.ones(1))
    assert [name for name, _ in net.named_parameters()] == ["first", "second.weight"]
    net.plain = 3
    net.plain = nn.ReLU()
    assert isinstance(net.plain, nn.ReLU)
    del net.plain, net.first, net.scale
    assert not hasattr(net, "plain")
    assert not hasattr(net, "first")
    assert [name for name, _ in net.named_buffers()] == ["steps", "scratch"]
    net.scratch = minitorch.ones(1)
    assert "scratch" not in net.state_dict()


def test_shared_parameters_come_once_and_are_saved_under_both_names():
    net = nn.Sequential(nn.Embedding(5, 3), nn.Linear(3, 5, bias=False))
    net[1].weight = net[0].weight
    assert [name for name, _ in net.named_parameters()] == ["0.weight"]
    assert len(list(net.named_parameters(remove_duplicate=False))) == 2
    assert list(net.state_dict()) == ["0.weight", "1.weight"]
    twin = copy.deepcopy(net)
    assert twin[0].weight is twin[1].weight
    assert twin[0].weight is not net[0].weight
    net.double().load_state_dict(twin.state_dict())
    assert net[0].weight is net[1].weight
    net(minitorch.tensor([1])).sum().backward()
    assert net[0].weight.grad is not None
    assert repr(net).startswith("Sequential(")
    assert "# 15 parameters" in repr(net)


def test_members_are_plain_attributes_that_only_the_module_registers() -> None:
    """Python finds them without a function of ours; a subclass may ask __getattr__ for them; the tables by kind are read-only."""
    layer = nn.Linear(3, 2)
    assert vars(layer)["weight"] is layer.weight is layer._parameters["weight"] is layer.__getattr__("weight")
    with pytest.raises(TypeError, match="does not support item assignment"):
        layer._parameters["weight"] = None  # type: ignore[index]
    twin = copy.deepcopy(layer)
    twin.weight = nn.Parameter(minitorch.zeros(2, 3))
    assert list(twin.state_dict()) == list(layer.state_dict()) == ["weight", "bias"]
    assert "weight" in dir(layer)
    assert layer.weight is not twin.weight


def test_registration_errors():
    class Late(nn.Module):
        def __init__(self):
            self.layer = nn.Linear(1, 1)

    with pytest.raises(AttributeError, match=r"'layer' before Module.__init__\(\) call: Late.__init__ must begin with super"):
        Late()
    net = Net()
    with pytest.raises(TypeError, match="cannot assign a Tensor as parameter 'weight' of Linear: Parameter or None expected"):
        net.first.weight = minitorch.ones(4, 3)
    with pytest.raises(TypeError, match="cannot assign a int as buffer 'scale' of Net: Tensor or None expected"):
        net.scale = 3
    with pytest.raises(TypeError, match="cannot assign a function as module 'first' of Net: Module or None expected"):
        net.first = lambda x: x
    with pytest.raises(KeyError, match="attribute 'forward' already exists in Net"):
        net.register_buffer("forward", None)
    with pytest.raises(KeyError, match="must not be empty or contain a dot"):
        net.add_module("a.b", nn.ReLU())
    with pytest.raises(TypeError, match="must be a Parameter or None, got Tensor"):
        net.register_parameter("w", minitorch.ones(1))
    with pytest.raises(TypeError, match="must be a Module or None, got int"):
        net.add_module("w", 3)
    with pytest.raises(AttributeError, match="'Net' object has no attribute 'third'"):
        _ = net.third
    with pytest.raises(AttributeError, match=r"Net has no child 'third' .of 'third.weight'.; its children: first, second"):
        net.get_submodule("third.weight")
    with pytest.raises(NotImplementedError, match=r"Module must define forward\(\)"):
        nn.Module()(1)
    with pytest.raises(TypeError, match=r"Parameter\(minitorch.tensor\(data\)\)"):
        nn.Parameter([1.0])
    with pytest.raises(RuntimeError, match="floating"):
        nn.Parameter(minitorch.tensor([1]))


def test_parameter():
    x = minitorch.ones(2, requires_grad=True)
    p = nn.Parameter(x * 2)
    assert p.is_leaf
    assert p.requires_grad
    assert repr(p) == "Parameter containing:\ntensor([2., 2.], requires_grad=True)"
    assert not nn.Parameter(minitorch.tensor([1]), requires_grad=False).requires_grad
    assert isinstance(copy.deepcopy(p), nn.Parameter)


# ---------------------------------------------------------------------------------------------------- state_dict


def test_state_dict_is_flat_ordered_and_shares_memory():
    net = Net()
    state = net.state_dict()
    assert list(state) == ["scale", "steps", *NAMES]
    assert not any(value.requires_grad for value in state.values())
    with minitorch.no_grad():
        net.first.bias.fill_(7.0)
    assert state["first.bias"].tolist() == [7.0] * 4
    assert net.state_dict(keep_vars=True)["first.bias"] is net.first.bias
    assert next(iter(net.state_dict(prefix="net."))) == "net.scale"


def test_load_state_dict_in_place_converting(device):
    net, source = Net().to(device), Net().double()
    weight = net.first.weight
    result = net.load_state_dict(source.state_dict())
    assert result.missing_keys == []
    assert result.unexpected_keys == []
    assert net.first.weight is weight
    assert weight.dtype == minitorch.float32
    assert weight.requires_grad
    np.testing.assert_allclose(weight.detach().cpu().numpy(), source.first.weight.detach().numpy(), rtol=1e-6)
    net.load_state_dict({name: value.numpy() for name, value in source.state_dict().items()})  # arrays will do


def test_load_state_dict_assign():
    net, source = Net(), Net().double()
    net.first.weight.requires_grad_(False)
    net.load_state_dict(source.state_dict(), assign=True)
    assert net.first.weight.dtype == minitorch.float64
    assert isinstance(net.first.weight, nn.Parameter)
    assert not net.first.weight.requires_grad
    assert net.first.bias.requires_grad


def test_strict_loading_names_everything_that_is_wrong_and_changes_nothing():
    net = Net()
    before = copy.deepcopy(net.state_dict())
    state = {name: value + 1 for name, value in net.state_dict().items()}
    del state["first.bias"], state["scale"]
    state["first.weight"] = minitorch.zeros(3, 4)
    state["second.weight"] = minitorch.zeros(2, 5)
    state |= {"first.gamma": minitorch.zeros(1), "head.weight": minitorch.zeros(1)}
    with pytest.raises(RuntimeError) as error:
        net.load_state_dict(state)
    assert str(error.value) == (
        "Error(s) in loading state_dict for Net:\n"
        '    Missing key(s), which the module has and the state dict lacks: "scale", "first.bias".\n'
        '    Unexpected key(s), which the state dict has and the module lacks: "first.gamma", "head.weight".\n'
        "    size mismatch for first.weight: (3, 4) in the state dict, (4, 3) in the module.\n"
        "    size mismatch for second.weight: (2, 5) in the state dict, (2, 4) in the module.\n"
        "    strict=False skips missing and unexpected keys and returns their names."
    )
    assert all((before[name] == value).all() for name, value in net.state_dict().items())
    with pytest.raises(RuntimeError, match="size mismatch"):  # shapes must agree in any case
        net.load_state_dict(state, strict=False)
    del state["first.weight"], state["second.weight"]
    result = net.load_state_dict(state, strict=False)
    assert result.missing_keys == ["scale", "first.weight", "first.bias", "second.weight"]
    assert result.unexpected_keys == ["first.gamma", "head.weight"]
    assert net.steps.item() == 1
    with pytest.raises(TypeError, match="expected a dict of names and tensors, got list"):
        net.load_state_dict([])
    with pytest.raises(RuntimeError, match="scale must be a Tensor or an array"):
        net.load_state_dict({"scale": "1"}, strict=False)


@pytest.mark.parametrize("name", ["Sequential", "LayerNorm", "RMSNorm", "Embedding padded", "Linear 3-d without bias"])
def test_state_dicts_pass_both_ways_with_torch(name):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    ours, theirs = LAYERS[name].build(nn), LAYERS[name].build(torch.nn)
    ours.load_state_dict(theirs.state_dict())
    theirs.load_state_dict({key: torch.from_numpy(value.numpy()) for key, value in ours.state_dict().items()})


# ------------------------------------------------------------------------------------------ changing the whole tree


def test_train_eval_apply_zero_grad_requires_grad():
    net = Net()
    assert net.eval() is net
    assert not net.first.training
    net.train()
    assert net.first.training
    with pytest.raises(ValueError, match="must be True or False"):
        net.train("yes")
    order = []
    net.apply(lambda module: order.append(type(module).__name__))
    assert order == ["Linear", "Linear", "Net"]
    net(minitorch.ones(1, 3)).sum().backward()
    net.zero_grad(set_to_none=False)
    assert net.first.bias.grad.tolist() == [0.0] * 4
    net.zero_grad()
    assert net.first.bias.grad is None
    net.requires_grad_(False)
    assert not net(minitorch.ones(1, 3)).requires_grad


def test_to_keeps_the_parameters_and_takes_the_gradients_along(device):
    net = Net()
    net(minitorch.ones(1, 3)).sum().backward()
    parameters = list(net.parameters())
    assert net.to(device, minitorch.float64) is net
    assert all(p is q for p, q in zip(parameters, net.parameters(), strict=True))
    for p in parameters:
        assert p.dtype == p.grad.dtype == minitorch.float64
        assert p.device == p.grad.device
        assert p.device.startswith(device)
        assert p.requires_grad
    assert net.steps.dtype == minitorch.int64  # integers stay what they are
    assert net.scale.dtype == minitorch.float64
    net.zero_grad()
    net(minitorch.ones(1, 3, dtype=minitorch.float64, device=device)).sum().backward()
    assert parameters[0].grad.dtype == minitorch.float64
    assert net.half().first.weight.dtype == minitorch.float16
    assert net.float().cpu().first.weight.device == "cpu"
    with pytest.raises(TypeError, match="only accepts floating point dtypes, got int64"):
        net.to(minitorch.int64)
    with pytest.raises(RuntimeError, match='unknown device "gpu"'):
        net.to("gpu")


def test_deepcopy_is_independent():
    net = Net()
    net(minitorch.ones(1, 3)).sum().backward()
    seen = []
    handle = net.register_forward_hook(lambda module, args, output: seen.append(module))
    twin = copy.deepcopy(net)
    handle.remove()
    twin(minitorch.ones(1, 3))
    assert seen == [twin]
    assert list(twin.state_dict()) == list(net.state_dict())
    assert twin.first.weight.grad is not net.first.weight.grad
    with minitorch.no_grad():
        twin.first.weight.zero_()
    assert (net.first.weight.detach().numpy() != 0).all()
    assert "scratch" not in twin.state_dict()


def test_forward_hooks():
    layer = nn.Linear(2, 2)
    calls = []
    handles = [
        layer.register_forward_pre_hook(lambda module, args: calls.append("before") or (args[0] * 0,)),
        layer.register_forward_pre_hook(lambda module, args: calls.append("first of all"), prepend=True),
        layer.register_forward_hook(lambda module, args, output: calls.append("after") or output + 1),
        layer.register_forward_hook(lambda module, args, kwargs, output: calls.append(kwargs), with_kwargs=True),
    ]
    y = layer(minitorch.ones(1, 2))
    assert calls == ["first of all", "before", "after", {}]
    np.testing.assert_allclose(y.detach().numpy()[0], layer.bias.detach().numpy() + 1)
    for handle in handles:
        handle.remove()
        handle.remove()  # a second time does no harm
    layer(minitorch.ones(1, 2))
    assert len(calls) == 4
    layer.register_forward_pre_hook(lambda module, args, kwargs: (args, {"input": kwargs["input"] * 0}), with_kwargs=True)
    np.testing.assert_allclose(layer(input=minitorch.ones(1, 2)).detach().numpy()[0], layer.bias.detach().numpy())


# ------------------------------------------------------------------------------------------------------ printing


def test_repr_shows_the_tree_and_the_counts():
    net = nn.Sequential(nn.Linear(1000, 10), nn.ReLU(), nn.Linear(10, 2))
    assert repr(net).splitlines() == [
        "Sequential(                                                  # 10,032 parameters",
        "  (0): Linear(in_features=1000, out_features=10, bias=True)  # 10,010",
        "  (1): ReLU()",
        "  (2): Linear(in_features=10, out_features=2, bias=True)     #     22",
        ")",
    ]
    assert repr(nn.ReLU()) == "ReLU()"
    assert repr(nn.Linear(3, 2)) == "Linear(in_features=3, out_features=2, bias=True)  # 8 parameters"


def test_repr_folds_equal_layers_and_says_what_is_frozen():
    net = nn.ModuleList([nn.Linear(2, 2) for _ in range(3)] + [nn.Linear(2, 1)])
    net[3].requires_grad_(False)
    assert repr(net).splitlines() == [
        "ModuleList(                                                    # 21 parameters, 18 trainable",
        "  (0-2): 3 × Linear(in_features=2, out_features=2, bias=True)  #  6 each",
        "  (3): Linear(in_features=2, out_features=1, bias=True)        #  3",
        ")",
    ]


# ---------------------------------------------------------------------------------------------------- containers


def test_sequential():
    a, b, c = nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)
    net = nn.Sequential(a, b)
    assert net.append(c) is net
    assert len(net) == 3
    assert list(net) == [a, b, c]
    assert net[-1] is c
    assert list(net[1:]) == [b, c]
    assert [name for name, _ in nn.Sequential({"in": a, "out": c}).named_children()] == ["in", "out"]
    net[1] = nn.Tanh()
    assert isinstance(net[1], nn.Tanh)
    del net[0]
    assert [name for name, _ in net.named_children()] == ["0", "1"]
    net.insert(0, a)
    assert net.pop(0) is a
    assert list(nn.Sequential(a) + nn.Sequential(b)) == [a, b]
    with pytest.raises(IndexError, match="index 5 is out of range: Sequential holds 2 modules"):
        _ = net[5]
    with pytest.raises(TypeError, match="must be a Module or None, got function"):
        nn.Sequential(lambda x: x)
    x = minitorch.ones(2)
    assert nn.Sequential()(x) is x


def test_module_list_and_dict():
    layers = nn.ModuleList(nn.Linear(2, 2) for _ in range(3))
    layers += [nn.ReLU()]
    layers.extend([nn.Tanh()])
    assert len(layers) == 5
    assert isinstance(layers[1:3], nn.ModuleList)
    del layers[1:3]
    assert [name for name, _ in layers.named_children()] == ["0", "1", "2"]
    assert len(layers + layers) == 6
    table = nn.ModuleDict({"a": nn.Linear(1, 1)})
    table["b"] = nn.ReLU()
    table.update([("c", nn.Tanh())])
    assert list(table) == list(table.keys()) == ["a", "b", "c"]
    assert "b" in table
    assert isinstance(table.pop("b"), nn.ReLU)
    del table["c"]
    assert [name for name, _ in table.items()] == ["a"]
    assert list(table.state_dict()) == ["a.weight", "a.bias"]
    table.clear()
    assert len(table) == 0


def test_parameter_list():
    values = nn.ParameterList([minitorch.ones(2), nn.Parameter(minitorch.zeros(3))])
    values.append(minitorch.ones(()))
    values[0] = minitorch.zeros(4)
    assert [name for name, _ in values.named_parameters()] == ["0", "1", "2"]
    assert values[-1].shape == ()
    assert [p.shape for p in values] == [(4,), (3,), ()]
    with pytest.raises(IndexError, match="index 3 is out of range"):
        _ = values[3]


# ------------------------------------------------------------------------------------------------- initialisers


@pytest.mark.parametrize(
    ("fill", "low", "high", "std"),
    [
        (lambda w: init.uniform_(w, -1, 3), -1, 3, 4 / math.sqrt(12)),
        (lambda w: init.normal_(w, 0.0, 0.5), -9, 9, 0.5),
        (lambda w: init.trunc_normal_(w, std=0.5, a=-1, b=1), -1, 1, 0.5 * 0.8796),
        (lambda w: init.trunc_normal_(w, a=-0.1, b=0.1), -0.1, 0.1, 0.2 / math.sqrt(12)),
        (lambda w: init.xavier_uniform_(w, 2.0), -2 * math.sqrt(6 / 300), 2 * math.sqrt(6 / 300), 2 * math.sqrt(2 / 300)),
        (lambda w: init.xavier_normal_(w), -9, 9, math.sqrt(2 / 300)),
        (lambda w: init.kaiming_uniform_(w, nonlinearity="relu"), -math.sqrt(6 / 200), math.sqrt(6 / 200), 0.1),
        (lambda w: init.kaiming_normal_(w, mode="fan_out", nonlinearity="linear"), -9, 9, 0.1),
    ],
)
def test_random_initialisers_have_the_spread_they_promise(fill, low, high, std, device):
    w = nn.Parameter(minitorch.empty(100, 200, device=device))
    assert fill(w) is w
    assert w.is_leaf
    values = w.detach().cpu().numpy()
    assert low <= values.min()
    assert values.max() <= high
    assert values.std() == pytest.approx(std, rel=0.03)


def test_trunc_normal_in_the_tail():
    values = init.trunc_normal_(minitorch.empty(5000), a=3.0, b=1000.0).numpy()
    assert values.min() >= 3
    assert values.mean() == pytest.approx(3.2831, abs=0.02)  # φ(3) / (1 - Φ(3))
    with pytest.raises(ValueError, match="must not be empty"):
        init.trunc_normal_(minitorch.empty(1), a=1.0, b=0.0)


def test_constant_initialisers_and_orthogonal(device):
    w = minitorch.empty(2, 3, device=device)
    assert init.eye_(w).tolist() == [[1, 0, 0], [0, 1, 0]]
    assert init.constant_(w, 4.0).tolist() == [[4.0] * 3] * 2
    assert init.ones_(w).sum().item() == 6
    assert init.zeros_(w).sum().item() == 0
    for shape in [(5, 8), (8, 5), (4, 2, 3)]:
        q = init.orthogonal_(minitorch.empty(shape, dtype=minitorch.float64, device=device), gain=2.0).cpu().numpy()
        q = q.reshape(shape[0], -1) / 2
        gram = q @ q.T if q.shape[0] <= q.shape[1] else q.T @ q
        np.testing.assert_allclose(gram, np.eye(len(gram)), atol=1e-6)


def test_init_errors_and_gains():
    assert init.calculate_gain("tanh") == pytest.approx(5 / 3)
    assert init.calculate_gain("relu") == pytest.approx(math.sqrt(2))
    assert init.calculate_gain("leaky_relu", 2) == pytest.approx(math.sqrt(2 / 5))
    assert init.calculate_gain("leaky_relu") == pytest.approx(math.sqrt(2 / 1.0001))
    assert init.calculate_gain("conv2d") == 1
    with pytest.raises(ValueError, match="unsupported nonlinearity 'gelu'"):
        init.calculate_gain("gelu")
    with pytest.raises(ValueError, match="at least 2 dimensions"):
        init.xavier_uniform_(minitorch.empty(3))
    with pytest.raises(ValueError, match="fan_in"):
        init.kaiming_normal_(minitorch.empty(3, 3), mode="fan")
    with pytest.raises(ValueError, match="2 dimensions"):
        init.eye_(minitorch.empty(3))
    with pytest.warns(UserWarning, match="zero-element"):
        init.kaiming_uniform_(minitorch.empty(0, 3))


def test_initialisers_draw_from_a_generator():
    one, two = (init.normal_(minitorch.empty(3), generator=minitorch.Generator(seed=5)) for _ in range(2))
    assert one.tolist() == two.tolist()


def test_layers_start_as_in_torch():
    linear = nn.Linear(400, 300)
    for values in (linear.weight.detach().numpy(), linear.bias.detach().numpy()):
        assert np.abs(values).max() <= 1 / 20
        assert values.std() == pytest.approx(1 / 20 / math.sqrt(3), rel=0.1)
    assert nn.Embedding(300, 100).weight.detach().numpy().std() == pytest.approx(1, rel=0.02)
    norm = nn.LayerNorm(3)
    assert norm.weight.tolist() == [1, 1, 1]
    assert norm.bias.tolist() == [0, 0, 0]
    attention = nn.MultiheadAttention(100, 4)
    assert attention.in_proj_weight.detach().numpy().std() == pytest.approx(math.sqrt(2 / 400), rel=0.02)
    assert not attention.in_proj_bias.detach().numpy().any()
    assert not attention.out_proj.bias.detach().numpy().any()
    assert nn.Linear(0, 2).weight.shape == (2, 0)
    assert nn.Linear(2, 2, dtype=minitorch.float64).bias.dtype == minitorch.float64


# ------------------------------------------------------------------------------------------------------ clipping


def with_gradients(device, *gradients):
    parameters = [nn.Parameter(minitorch.zeros(len(g), device=device)) for g in gradients]
    for p, g in zip(parameters, gradients, strict=True):
        p.grad = minitorch.tensor(g, device=device)
    return parameters


@pytest.mark.parametrize(("norm_type", "norm"), [(2.0, 13.0), (1, 19.0), (float("inf"), 12.0), (3, (27 + 64 + 1728) ** (1 / 3))])
def test_clip_grad_norm_scales_all_by_one_factor(norm_type, norm, device):
    parameters = [*with_gradients(device, [3.0, 0.0], [-4.0], [12.0]), nn.Parameter(minitorch.zeros(1))]
    total = nn.utils.clip_grad_norm_(iter(parameters), 1.3, norm_type)
    assert total.item() == pytest.approx(norm)
    clipped = [p.grad.tolist() for p in parameters[:3]]
    assert [x for row in clipped for x in row] == pytest.approx([x * 1.3 / norm for x in (3, 0, -4, 12)], rel=1e-5)
    nn.utils.clip_grad_norm_(parameters, 100.0, norm_type)  # small enough already
    assert [p.grad.tolist() for p in parameters[:3]] == clipped


def test_clip_grad_norm_of_nothing_of_bad_values_and_of_half(device):
    assert nn.utils.clip_grad_norm_([], 1.0).item() == 0
    assert nn.utils.clip_grad_norm_(nn.Parameter(minitorch.zeros(1)), 1.0).item() == 0
    parameters = with_gradients(device, [1.0], [float("inf")])
    with pytest.raises(RuntimeError, match=r"total norm of order 2.0 is inf, so they cannot be clipped"):
        nn.utils.clip_grad_norm_(parameters, 1.0, error_if_nonfinite=True)
    assert parameters[0].grad.item() == 1
    nn.utils.clip_grad_norm_(parameters, 1.0)
    assert parameters[0].grad.item() == 0
    half = nn.Parameter(minitorch.zeros(4, dtype=minitorch.float16, device=device))
    half.grad = minitorch.full((4,), 30000.0, dtype=minitorch.float16, device=device)
    assert nn.utils.clip_grad_norm_(half, 2.0).item() == pytest.approx(60000)
    assert half.grad.dtype == minitorch.float16
    assert half.grad.tolist() == pytest.approx([1.0] * 4, rel=1e-3)


def test_clip_grad_value(device):
    (p,) = with_gradients(device, [-3.0, 0.5, 2.0])
    nn.utils.clip_grad_value_(p, 1.0)
    assert p.grad.tolist() == [-1.0, 0.5, 1.0]


def test_skip_init_draws_nothing():
    minitorch.manual_seed(5)
    before = str(minitorch.get_rng_state())
    layer = nn.utils.skip_init(nn.Linear, 3, 4, bias=False)
    assert (layer.weight.shape, layer.weight.requires_grad, layer.bias) == ((4, 3), True, None)
    with pytest.raises(TypeError):
        nn.utils.skip_init(nn.Linear)
    nn.utils.skip_init(nn.Embedding, 5, 2, padding_idx=1)
    assert str(minitorch.get_rng_state()) == before
    drawn = nn.Linear(3, 4, bias=False).weight
    minitorch.manual_seed(5)
    assert drawn.tolist() == nn.Linear(3, 4, bias=False).weight.tolist()  # and after it as ever


def test_parameters_as_one_vector():
    net = Net()
    vector = nn.utils.parameters_to_vector(net.parameters())
    assert vector.shape == (3 * 4 + 4 + 8,)
    vector.sum().backward()
    assert net.first.weight.grad.tolist() == [[1.0] * 3] * 4
    nn.utils.vector_to_parameters(minitorch.arange(24.0), net.parameters())
    assert net.first.bias.tolist() == [12.0, 13.0, 14.0, 15.0]
