"""The hidden tests of assignment 9."""

import numpy as np

from models.course.testing import close, exact, single, task

CASES = (  # front axes of x, in, out, r, α, bias
    ((3,), 4, 5, 1, 1, True),
    ((), 3, 2, 2, 8, True),
    ((2, 3), 5, 2, 4, 6, False),
    ((2, 1, 2), 3, 3, 3, 0.5, True),
    ((1,), 1, 1, 1, 2, False),
    ((0,), 3, 4, 2, 3, True),
)


def cases():
    """x, W, b, A, B, α, g of each case."""
    rng = np.random.default_rng(10)
    for front, inputs, outputs, r, alpha, biased in CASES:
        x, g = rng.normal(size=(*front, inputs)), rng.normal(size=(*front, outputs))
        W, A, B = rng.normal(size=(outputs, inputs)), rng.normal(size=(r, inputs)), rng.normal(size=(outputs, r))
        label = f"x {x.shape}, r {r}, α {alpha}, {'with' if biased else 'without'} b"
        yield label, x, W, rng.normal(size=outputs) if biased else None, A, B, alpha, g


@task("9.1", points=3)
def lora_of_many_shapes(m):
    """No axes in front of the last, one, two and three; no rows; no bias; the pullback twice; nothing is changed."""
    found = {}
    for label, x, W, b, A, B, alpha, g in cases():
        y, pullback = m.lora_linear(x, W, b, A, B, alpha)
        held = np.array(y)
        pullback(g)
        dx, dA, dB = pullback(g)
        found |= {f"y, {label}": held, f"dx, {label}": dx, f"dA, {label}": dA, f"dB, {label}": dB}
        found |= {f"y afterwards, {label}": y}
        named = {"x": x, "W": W, "A": A, "B": B, "g": g} | ({} if b is None else {"b": b})
        found |= {f"{name} afterwards, {label}": array for name, array in named.items()}
    return found


def true_layer(x, W, b, A, B, alpha, g):
    """One row at a time."""
    s = alpha / A.shape[0]
    V = W + s * sum(np.outer(B[:, i], A[i]) for i in range(A.shape[0]))
    y, dx, dA, dB = np.zeros(g.shape), np.zeros(x.shape), np.zeros(A.shape), np.zeros(B.shape)
    for at in np.ndindex(x.shape[:-1]):
        y[at] = V @ x[at] + (0 if b is None else b)
        dx[at] = g[at] @ V
        change = s * np.outer(g[at], x[at])  # the gradient of B A
        dA += B.T @ change
        dB += change @ A.T
    return y, dx, dA, dB


@lora_of_many_shapes.expects
def _():
    found = {}
    for label, x, W, b, A, B, alpha, g in cases():
        y, dx, dA, dB = true_layer(x, W, b, A, B, alpha, g)
        found |= {f"y, {label}": y, f"dx, {label}": dx, f"dA, {label}": dA, f"dB, {label}": dB}
        found |= {f"y afterwards, {label}": y}
        named = {"x": x, "W": W, "A": A, "B": B, "g": g} | ({} if b is None else {"b": b})
        found |= {f"{name} afterwards, {label}": exact(array) for name, array in named.items()}
    return found


@task("9.1", points=1)
def two_layers_at_once(m):
    """Two layers of one shape, both called before either pullback; float32 with a whole number as α."""
    rng = np.random.default_rng(11)
    layers = [[a.astype(np.float32) for a in _layer(rng)] for _ in range(2)]
    called = [m.lora_linear(*arrays[:-1], 16) for arrays in layers]
    found = {}
    for i, ((y, pullback), arrays) in enumerate(zip(called, layers), 1):
        found |= {f"{n}, layer {i}": array for n, array in zip(("y", "dx", "dA", "dB"), (y, *pullback(arrays[-1])))}
    return found


def _layer(rng):
    return [rng.normal(size=shape) for shape in ((4, 6), (5, 6), (5,), (3, 6), (5, 3), (4, 5))]


@two_layers_at_once.expects
def _():
    rng = np.random.default_rng(11)
    found = {}
    for i in (1, 2):
        *inputs, g = (a.astype(np.float32).astype(np.float64) for a in _layer(rng))
        arrays = (single(a, 1e-4, 1e-4) for a in true_layer(*inputs, 16, g))
        found |= {f"{n}, layer {i}": array for n, array in zip(("y", "dx", "dA", "dB"), arrays)}
    return found


@task("9.2", points=2)
def merged_in_float32(m):
    """A thin and a wide weight, r up to 4; there and back; B = 0, of which no part may be W itself; nothing is changed."""
    rng = np.random.default_rng(12)
    found = {}
    for outputs, inputs, r, alpha in ((5, 3, 2, 3), (2, 7, 4, 16), (3, 3, 1, 0.5)):
        W, A, B = (rng.normal(size=s).astype(np.float32) for s in ((outputs, inputs), (r, inputs), (outputs, r)))
        label = f"({outputs}, {inputs}), r {r}"
        merged = m.merge(W, A, B, alpha)
        found |= {f"merged {label}": merged, f"and back {label}": m.unmerge(merged, A, B, alpha)}
        found |= {f"W {label}": W, f"A {label}": A, f"B {label}": B}
        found |= {f"merged, afterwards {label}": merged}
        again = m.merge(merged, 2 * A, B, alpha)
        found |= {f"the second of two adapters, {label}": m.unmerge(again, A, B, alpha)}
        none = m.merge(W, A, 0 * B, alpha)
        found |= {f"B = 0 {label}": none, f"B = 0 shares memory with W {label}": bool(np.shares_memory(none, W))}
        back = m.unmerge(W, A, 0 * B, alpha)
        found |= {f"unmerging B = 0 {label}": back, f"which shares memory with W {label}": bool(np.shares_memory(back, W))}
    return found


@merged_in_float32.expects
def _():
    rng = np.random.default_rng(12)
    found = {}
    for outputs, inputs, r, alpha in ((5, 3, 2, 3), (2, 7, 4, 16), (3, 3, 1, 0.5)):
        W, A, B = (rng.normal(size=s).astype(np.float32) for s in ((outputs, inputs), (r, inputs), (outputs, r)))
        label = f"({outputs}, {inputs}), r {r}"
        change = sum(np.outer(B[:, i], A[i]).astype(np.float64) for i in range(r)) * alpha / r
        found |= {f"merged {label}": single(W + change), f"and back {label}": single(W, 1e-4, 1e-5)}
        found |= {f"W {label}": exact(W), f"A {label}": exact(A), f"B {label}": exact(B)}
        found |= {f"merged, afterwards {label}": single(W + change)}
        found |= {f"the second of two adapters, {label}": single(W + 2 * change, 1e-4, 1e-4)}
        found |= {f"B = 0 {label}": exact(W), f"B = 0 shares memory with W {label}": False}
        found |= {f"unmerging B = 0 {label}": exact(W), f"which shares memory with W {label}": False}
    return found


def weights():
    """Matrices of several shapes and sizes, one with rows of very different size, one with a row of zeros."""
    rng = np.random.default_rng(13)
    rows = rng.normal(size=(6, 5)) * 10.0 ** np.arange(-3, 3)[:, None]
    square = rng.normal(size=(4, 4))
    square[2] = 0
    yield "rows of many sizes", rows.astype(np.float32)
    yield "square", square.astype(np.float32)
    yield "one number a row", np.array([[3.0], [-2.0], [0.0]], np.float32)
    yield "one row", rng.normal(size=(1, 300)).astype(np.float32)
    yield "no rows", np.zeros((0, 3), np.float32)
    yield "all negative", (-1 - rng.random((3, 4))).astype(np.float32)
    yield "float64", rng.normal(size=(2, 6))


@task("9.3", points=3)
def as_near_as_eight_bits_can_be(m):
    """No number is off by more than half a step of its row, and every row uses all of its range; nothing is changed."""
    found = {}
    for label, W in weights():
        q, scale = m.quantize_rows(W)
        back = m.dequantize_rows(q, scale)
        steps = np.abs(W - back) / np.asarray(scale)[:, None]
        found |= {f"steps off, {label}": float(steps.max(initial=0)), f"q is of int8, {label}": q.dtype == np.int8}
        found |= {f"largest |q|, {label}": np.abs(q.astype(np.int64)).max(1), f"scale, {label}": scale, f"back, {label}": back}
        found |= {f"W afterwards, {label}": W}
    return found


@as_near_as_eight_bits_can_be.expects
def _():
    found = {}
    for label, W in weights():
        largest = np.abs(W).astype(np.float64).max(1)
        scale, step = largest / 127, np.where(largest > 0, largest, 1)[:, None] / 127
        found |= {f"steps off, {label}": true_half, f"q is of int8, {label}": True}
        found |= {f"largest |q|, {label}": np.where(largest > 0, 127, 0), f"scale, {label}": true_scales(scale, W.dtype)}
        found |= {f"back, {label}": close(np.rint(W / step) * step, 1e-5, 1e-9, W.dtype), f"W afterwards, {label}": exact(W)}
    return found


def true_half(got):
    """Rounding to the nearest is off by half a step at most."""
    return None if got <= 0.5001 else f"off by {got:.3g} steps, where rounding to the nearest is off by 0.5 at most"


def true_scales(right, dtype):
    """The right scales, any above 0 for a row of zeros."""

    def complaint(got):
        if got.shape != right.shape or got.dtype != dtype:
            return f"yours are {got.shape} of {got.dtype}, they should be {right.shape} of {dtype}"
        if not (got > 0).all():
            return "all must be above 0"
        wrong = (np.abs(got - right) > 1e-5 * right) & (right > 0)
        return f"yours are {got}, they should be {right}" if wrong.any() else None

    return complaint


@task("9.3", points=1)
def back_from_int8(m):
    """Numbers of int8 times scales of any size; -127 times 2 does not wrap around; float32 stays float32."""
    q = np.array([[-127, 127, 3], [1, 0, -1]], np.int8)
    found = {"large": m.dequantize_rows(q, np.array([2.0, 1e6], np.float32))}
    return found | {"small": m.dequantize_rows(q, np.array([1e-6, 0.25])), "q afterwards": q}


@back_from_int8.expects
def _():
    q = np.array([[-127, 127, 3], [1, 0, -1]])
    small = close(q * np.array([[1e-6], [0.25]]), 1e-6, 1e-12, np.float64)
    return {"large": single(q * np.array([[2.0], [1e6]])), "small": small, "q afterwards": exact(q)}


def whole_numbers():
    """Pairs of int8 arrays: long sums, extreme ones, thin ones."""
    rng = np.random.default_rng(14)
    for n, inputs, outputs in ((3, 5, 4), (2, 5001, 2), (1, 1, 1), (1, 100_000, 1), (0, 3, 2)):
        a, b = (rng.integers(-127, 128, (rows, inputs)).astype(np.int8) for rows in (n, outputs))
        yield f"({n}, {inputs}) by ({outputs}, {inputs})", a, b
    most = np.full((1, 99_999), 127, np.int8)
    yield "all 127", most, most
    yield "all -127", -most, most


@task("9.4", points=3)
def products_of_any_length(m):
    """Sums far above 2²⁴, where float32 leaves out every second number; nothing is changed."""
    found = {}
    for label, a, b in whole_numbers():
        held = a.copy(), b.copy()
        found |= {f"a bᵀ, {label}": m.int8_product(a, b)}
        found |= {f"a and b are as before, {label}": bool((a == held[0]).all() and (b == held[1]).all())}
    return found


@products_of_any_length.expects
def _():
    found = {}
    for label, a, b in whole_numbers():
        right = np.zeros((len(a), len(b)), np.int64)
        for i, j in np.ndindex(right.shape):
            right[i, j] = sum(x * y for x, y in zip(a[i].tolist(), b[j].tolist()))
        found |= {f"a bᵀ, {label}": close(right, 0, 0, np.int32, "every digit counts, and the dtype is int32")}
        found |= {f"a and b are as before, {label}": True}
    return found


def rounded_layers():
    """x, q, scale, bias: several shapes, a row of zeros, tokens of very different size."""
    rng = np.random.default_rng(15)
    for front, inputs, outputs in (((4,), 3, 4), ((2, 3), 6, 2), ((), 5, 3), ((2, 1, 2), 700, 2)):
        x = rng.normal(size=(*front, inputs)) * 10.0 ** rng.integers(-2, 3, (*front, 1))
        if len(front) == 2:
            x[1, 1] = 0
        q, scale, b = rng.integers(-127, 128, (outputs, inputs)), rng.random(outputs) / 100, rng.normal(size=outputs)
        x, scale, b = (array.astype(np.float32) for array in (x, scale, b))
        yield f"x {x.shape}", x, q.astype(np.int8), scale, None if len(front) == 2 else b


@task("9.4", points=2)
def int8_layers_of_many_shapes(m):
    """Each token has a scale of its own, wherever it stands; float32 stays float32; nothing is changed."""
    found = {}
    for label, x, q, scale, b in rounded_layers():
        found |= {f"y, {label}": m.int8_linear(x, q, scale, b)}
        found |= {f"x afterwards, {label}": x, f"q, {label}": q, f"scale, {label}": scale}
        found |= {} if b is None else {f"b, {label}": b}
    return found


@int8_layers_of_many_shapes.expects
def _():
    found = {}
    for label, x, q, scale, b in rounded_layers():
        wide = x.astype(np.float64)
        step = np.abs(wide).max(-1, keepdims=True) / 127
        step[step == 0] = 1
        y = np.einsum("...i,oi->...o", np.rint(wide / step), q.astype(np.float64)) * step * scale
        y = y if b is None else y + b
        found |= {f"y, {label}": single(y, 1e-4, 1e-5 * np.abs(y).max())}
        found |= {f"x afterwards, {label}": exact(x), f"q, {label}": exact(q), f"scale, {label}": exact(scale)}
        found |= {} if b is None else {f"b, {label}": exact(b)}
    return found


LESSONS = ((4, 3, 1.0, 1.0), (5, 2, 4.0, 0.0), (1, 6, 0.5, 0.3), (3, 4, 2, 0.75), (2, 5, 10, 1.0))


def lessons():
    """Logits of student and teacher, labels, T, share and g."""
    rng = np.random.default_rng(16)
    for N, C, T, share in LESSONS:
        student, teacher = 3 * rng.normal(size=(N, C)), 3 * rng.normal(size=(N, C))
        yield f"({N}, {C}), T {T}, share {share}", student, teacher, rng.integers(0, C, N), T, share, float(rng.normal())


@task("9.5", points=3)
def losses_of_many_kinds(m):
    """Soft alone, hard alone, both; T below 1; one example; the pullback twice; nothing is changed."""
    found = {}
    for label, student, teacher, labels, T, share, g in lessons():
        loss, pullback = m.distillation_loss(student, teacher, labels, T, share)
        pullback(-g)
        found |= {f"loss, {label}": loss, f"dstudent, {label}": pullback(g), f"student, {label}": student}
        found |= {f"teacher, {label}": teacher, f"labels, {label}": labels}
    return found


def true_teaching(student, teacher, labels, T, share, g):
    """By the Jacobian of each row's softmax."""
    loss, slope = 0.0, np.zeros(student.shape)
    N = student.shape[0]
    for z, t, label, row in zip(student, teacher, labels, slope, strict=True):
        p, q, hard = (np.exp(v - v.max()) / np.exp(v - v.max()).sum() for v in (z / T, t / T, z))
        loss += share * T**2 * sum(b * (np.log(b) - np.log(a)) for a, b in zip(p, q, strict=True)) / N
        loss -= (1 - share) * np.log(hard[label]) / N
        row += share * T**2 / N * ((np.diag(p) - np.outer(p, p)) / T) @ (-q / p)
        row += (1 - share) / N * (np.diag(hard) - np.outer(hard, hard)) @ (-np.eye(len(z))[label] / hard)
    return loss, g * slope


@losses_of_many_kinds.expects
def _():
    found = {}
    for label, student, teacher, labels, T, share, g in lessons():
        loss, slope = true_teaching(student, teacher, labels, T, share, g)
        found |= {f"loss, {label}": loss, f"dstudent, {label}": close(slope, 1e-6, 1e-9), f"student, {label}": exact(student)}
        found |= {f"teacher, {label}": exact(teacher), f"labels, {label}": exact(labels)}
    return found


@task("9.5", points=2)
def a_teacher_that_is_sure(m):
    """Logits of hundreds and thousands, in float32: no nan, and a class of probability 0 adds nothing."""
    student = np.array([[0.0, 1000.0, 0.0], [300.0, -300.0, 0.0]], np.float32)
    teacher = np.array([[5000.0, 0.0, -5000.0], [-800.0, 0.0, 800.0]], np.float32)
    found = {}
    for share in (1.0, 0.5):
        loss, pullback = m.distillation_loss(student, teacher, np.array([0, 1]), 2, share)
        found |= {f"loss, share {share}": loss, f"dstudent, share {share}": pullback(1.0)}
    return found


@a_teacher_that_is_sure.expects
def _():
    soft = 4 * (500.0 + 150.0) / 2
    dsoft = np.array([[-1.0, 1, 0], [1, 0, -1]])
    dhard = np.array([[-1.0, 1, 0], [1, -1, 0]]) / 2
    return {
        "loss, share 1.0": close(soft, 1e-5),
        "dstudent, share 1.0": single(dsoft),
        "loss, share 0.5": close(0.5 * soft + 0.5 * (1000 + 600) / 2, 1e-5),
        "dstudent, share 0.5": single(0.5 * dsoft + 0.5 * dhard),
    }
