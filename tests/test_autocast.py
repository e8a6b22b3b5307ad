"""autocast: the dtype of every op's result is PyTorch's, on both kinds of device; gradients and training.

frozen/autocast.json has PyTorch's answers (frozen/make_autocast.py): for "cuda" those of its dispatcher, which needs no GPU.
Ours for "cuda" come from its lists applied to NumPy arrays.
"""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minitorch
from minitorch import nn, optim
from minitorch.ops import _autocast

pytest.importorskip("ml_dtypes")
bfloat16 = minitorch.bfloat16

# x is float32 (4, 4), h the same in half precision, u a vector of x's dtype, i class numbers
EXPRESSIONS = """
x@x; x.double()@x.double(); mm(x,x); bmm(b,b); mv(x,u); dot(u,u); vdot(u,u); inner(x,x); outer(u,u); addmm(x,x,x); addmv(u,x,u)
baddbmm(b,b,b); tensordot(x,x,1); tensordot(h,h,1); einsum("ij,jk->ik",x,x); F.linear(x,x); F.linear(h,x); F.linear(x,x,u)
F.scaled_dot_product_attention(b,b,b); exp(h); exp(x); expm1(h); log(h); log10(h); log1p(h); log2(h); reciprocal(h); rsqrt(h)
tan(h); cosh(h); sinh(h); sqrt(h); sin(h); tanh(h); sigmoid(h); erf(h); abs(h); neg(h); relu(h); sum(h); sum(x); mean(h); prod(h)
std(h); var(h); amax(h); cumsum(h,0); cumprod(h,0); softmax(h,0); log_softmax(h,0); logsumexp(h,0); h**2; h**h; 2**h; square(h)
1/h; h/h; h+x; h+h; h*2.5; h-1; norm(h); linalg.vector_norm(h); trace(h); cat([h,x]); cat([h,h]); stack([h,x]); addcmul(h,h,x)
addcdiv(h,h,h); scatter_add(x,0,i.reshape(1,4),h); softmax(h,0,dtype=h.dtype); sum(h,dtype=h.dtype); F.layer_norm(h,(4,))
F.layer_norm(h,(4,),u,u); F.rms_norm(h,(4,)); F.gelu(h); F.silu(h); F.mish(h); F.softplus(h); F.dropout(h,.5); F.mse_loss(h,h)
F.l1_loss(h,h); F.smooth_l1_loss(h,h); F.huber_loss(h,h); F.kl_div(h,h,reduction="sum"); F.cross_entropy(h,i); F.nll_loss(h,i)
F.cross_entropy(h,i,reduction="none"); F.binary_cross_entropy_with_logits(h,h); F.binary_cross_entropy(h*.1,h*.1)
F.cosine_similarity(h,h); F.cosine_embedding_loss(h,h,u); F.normalize(h); F.embedding(i,x); F.pairwise_distance(h,h)
where(h>0,h,x); h.masked_fill(h>0,0.); lerp(x,x,.5); maximum(x,h); F.logsigmoid(h); F.glu(h); h.narrow(0,0,1); h.sum(0).mean()
"""
CASES = [text.strip() for line in EXPRESSIONS.splitlines() for text in line.split(";") if text.strip()]
FROZEN = Path(__file__).parent / "frozen" / "autocast.json"


def outcomes(library: Any, x: Any, half: Any, i: Any, b: Any, u: Any) -> dict[str, str]:
    """The dtype's name of every expression, or "error"."""
    names = {**vars(library), "F": library.nn.functional, "x": x, "h": x.to(half), "i": i, "b": b, "u": u}
    found = {}
    for text in CASES:
        try:
            found[text] = str(eval(text, names).dtype).replace("torch.", "")
        except (RuntimeError, NotImplementedError):
            found[text] = "error"
    return found


@pytest.mark.parametrize("half", ["bfloat16", "float16"])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_results_have_pytorchs_dtypes(device: str, half: str, monkeypatch: Any) -> None:
    """Every expression, inside of a block."""
    monkeypatch.setitem(_autocast.KIND, "cpu", _autocast.KIND[device])
    x, i = minitorch.ones(4, 4), minitorch.zeros(4, dtype=minitorch.int64)
    with minitorch.autocast("cpu", dtype=getattr(minitorch, half)):
        ours = outcomes(minitorch, x, getattr(minitorch, half), i, minitorch.ones(1, 4, 4), minitorch.ones(4))
    theirs = json.loads(FROZEN.read_text())["results"][f"{device} {half}"]
    assert {text: (ours[text], theirs[text]) for text in CASES if ours[text] != theirs[text]} == {}


def test_nested_blocks_and_decorator() -> None:
    """Inner blocks win, enabled=False switches off, what was on before comes back; a decorated function has its own block."""
    x = minitorch.ones(2, 2)
    with minitorch.autocast("cpu", dtype=bfloat16):
        assert (x @ x).dtype == bfloat16
        with minitorch.autocast("cpu", dtype=minitorch.float16):
            assert (x @ x).dtype == minitorch.float16
            assert minitorch.get_autocast_dtype("cpu") == minitorch.float16
        with minitorch.autocast("cpu", enabled=False):
            assert (x @ x).dtype == minitorch.float32
            assert not minitorch.is_autocast_enabled("cpu")
        assert (x @ x).dtype == bfloat16
    assert (x @ x).dtype == minitorch.float32

    @minitorch.autocast("cpu", dtype=bfloat16)
    def product(x: Any) -> Any:
        return x @ x

    assert product(x).dtype == bfloat16
    assert product.__name__ == "product"


def test_a_block_belongs_to_its_thread() -> None:
    """As grad mode does."""
    x, seen = minitorch.ones(2, 2), []
    with minitorch.autocast("cpu", dtype=bfloat16):
        thread = threading.Thread(target=lambda: seen.append((x @ x).dtype))
        thread.start()
        thread.join()
    assert seen == [minitorch.float32]


def test_weights_are_cast_once_and_their_gradients_arrive_in_float32() -> None:
    """Two uses share one copy, whatever grad mode was before; inputs that need no gradient are cast at each use."""
    w = minitorch.randn(3, 3, requires_grad=True)
    x = minitorch.randn(2, 3)
    with minitorch.autocast("cpu", dtype=bfloat16):
        with minitorch.no_grad():
            x @ w
        y = x @ w @ w
        casts = {node for node in _nodes(y) if node.name == "cast" and w.node in node.parents}
    assert len(casts) == 1
    y.sum().backward()
    assert w.grad.dtype == minitorch.float32
    ours = w.grad.numpy()
    w.grad = None
    (x @ w @ w).sum().backward()
    np.testing.assert_allclose(ours, w.grad.numpy(), rtol=0.05, atol=0.05)
    with minitorch.autocast("cpu", dtype=bfloat16, cache_enabled=False):
        y = x @ w @ w
        assert len([node for node in _nodes(y) if node.name == "cast" and w.node in node.parents]) == 2


def _nodes(y: Any) -> set[Any]:
    found, stack = set(), [y.node]
    while stack:
        node = stack.pop()
        if node is not None and node not in found:
            found.add(node)
            stack.extend(node.parents)
    return found


def test_a_weight_changed_between_two_blocks_is_cast_anew() -> None:
    """The copies live as long as the outermost block."""
    w = minitorch.ones(2, 2, requires_grad=True)
    for value in (1.0, 2.0):
        with minitorch.no_grad():
            w.fill_(value)
        with minitorch.autocast("cpu", dtype=bfloat16):
            assert (minitorch.eye(2) @ w)[0, 0].item() == value


def test_the_way_back_is_not_cast_again() -> None:
    """A gradient of a gradient inside of a block has the dtypes of the way there."""
    x = minitorch.tensor([0.5, 2.0], requires_grad=True)
    with minitorch.autocast("cpu", dtype=bfloat16):
        y = (x * x * x).sum()
        (g,) = minitorch.autograd.grad(y, x, create_graph=True)
        assert g.dtype == minitorch.float32
        (h,) = minitorch.autograd.grad(g.sum(), x)
    np.testing.assert_allclose(h.numpy(), 6 * x.detach().numpy(), rtol=1e-6)


def test_what_cannot_be_cast_to_is_left_alone_with_a_warning() -> None:
    """As in PyTorch: float64 is no half precision; "cuda" without a GPU; an unknown kind of device is an error."""
    x = minitorch.ones(2, 2)
    with pytest.warns(UserWarning, match="float16 or bfloat16"), minitorch.autocast("cpu", dtype=minitorch.float64):
        assert (x @ x).dtype == minitorch.float32
    if not minitorch.cuda_is_available():
        with pytest.warns(UserWarning, match="no working GPU"):
            minitorch.autocast("cuda")
    with pytest.raises(RuntimeError, match='"cpu" or "cuda"'):
        minitorch.autocast("tpu")


def test_bfloat16_without_ml_dtypes_says_what_to_install(monkeypatch: Any) -> None:
    """The one thing that bfloat16 needs."""
    monkeypatch.setitem(__import__("sys").modules, "ml_dtypes", None)
    with pytest.raises(RuntimeError, match="pip install ml_dtypes"):
        _ = minitorch.bfloat16


@pytest.mark.parametrize("half", ["bfloat16", "float16"])
def test_training_reaches_the_same_loss(half: str) -> None:
    """A small network on a task that takes all of it: the curve of float32, within the noise of half precision."""
    rng = np.random.default_rng(0)
    x = minitorch.tensor(rng.standard_normal((64, 8)).astype(np.float32))
    target = minitorch.tensor((rng.standard_normal((64, 8)) @ rng.standard_normal((8, 4)) * 0 + x.numpy()[:, :4] ** 2).argmax(1))

    def train(dtype: Any) -> list[float]:
        minitorch.manual_seed(0)
        model = nn.Sequential(nn.Linear(8, 32), nn.GELU(), nn.LayerNorm(32), nn.Linear(32, 4))
        optimizer = optim.AdamW(model.parameters(), lr=0.01)
        scaler = minitorch.amp.GradScaler("cpu", enabled=dtype == minitorch.float16)
        losses = []
        for _ in range(60):
            with minitorch.autocast("cpu", dtype=dtype, enabled=dtype is not None):
                loss = nn.functional.cross_entropy(model(x), target)
            optimizer.zero_grad()
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            losses.append(loss.item())
        return losses

    exact, found = train(None), train(getattr(minitorch, half))
    assert exact[-1] < 0.5 * exact[0]
    np.testing.assert_allclose(found, exact, rtol=0.1, atol=0.01)
    assert found != exact


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_recurrent_layers_run_in_half_precision(kind: str) -> None:
    """Outputs and states in bfloat16, near those in float32; float32 gradients. An LSTM's are PyTorch's within its rounding."""
    minitorch.manual_seed(0)
    layer, x = getattr(nn, kind)(5, 4, 2, bidirectional=True), minitorch.randn(6, 3, 5, requires_grad=True)
    wide, _ = layer(x)
    with minitorch.autocast("cpu"):
        y, states = layer(x)
    assert {s.dtype for s in (y, *(states if kind == "LSTM" else (states,)))} == {bfloat16}
    y.sum().backward()
    assert x.grad.dtype == layer.weight_hh_l1.grad.dtype == minitorch.float32
    np.testing.assert_allclose(y.detach().float().numpy(), wide.detach().numpy(), atol=0.02)
    if kind == "LSTM":
        torch = pytest.importorskip("torch")
        theirs = torch.nn.LSTM(5, 4, 2, bidirectional=True)
        theirs.load_state_dict({name: torch.tensor(value.numpy()) for name, value in layer.state_dict().items()})
        with torch.autocast("cpu", dtype=torch.bfloat16):
            expected, _ = theirs(torch.tensor(x.detach().numpy()))
        assert expected.dtype == torch.bfloat16
        np.testing.assert_allclose(y.detach().float().numpy(), expected.detach().float().numpy(), atol=0.02)
