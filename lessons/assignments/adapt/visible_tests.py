"""The visible tests of assignment 9. Each runs with your module m; below it stands what should come out.

They are here to be read: `minitorch course check` runs the original ones, whatever is written here.
"""

import numpy as np

from models.course.testing import SHARED, close, exact, others, single, task, true_slopes, twice
from models.course.tiny_adapt import fine_tuned, in_int8, just_so, taught


@task("9.1", points=1)
def lora_by_hand(m):
    """W passes x on and adds it up; the change, with s = 6/2, adds three times the sum of x to the first output."""
    x, W, b = np.array([[1.0, 2.0]]), np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), np.array([10.0, 20.0, 30.0])
    A, B = np.array([[1.0, 1.0], [0.0, 0.0]]), np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    y, _ = m.lora_linear(x, W, b, A, B, 6)
    return {"x Wᵀ + b + (α/r) x Aᵀ Bᵀ": y}


@lora_by_hand.expects
def _():
    slips = {
        "a change that is not scaled": np.array([[11.0 + 3.0, 22.0, 33.0]]),
        "α without the division by r": np.array([[11.0 + 18.0, 22.0, 33.0]]),
        "a scale on b, too": np.array([[1 + 3 * 10 + 9.0, 2 + 3 * 20.0, 3 + 3 * 30.0]]),
        "a scale on all of y": 3 * np.array([[11.0 + 3.0, 22.0, 33.0]]),
        "a scale on W's part in place of the change's": np.array([[3 * 1 + 10.0 + 3.0, 3 * 2 + 20.0, 3 * 3 + 30.0]]),
    }
    return {"x Wᵀ + b + (α/r) x Aᵀ Bᵀ": close(np.array([[11.0 + 9.0, 22.0, 33.0]]), slips=slips)}


def layer(seed, *front, inputs=3, outputs=4, r=2):
    """x, W, b, A, B, and g for y."""
    rng = np.random.default_rng(seed)
    shapes = ((*front, inputs), (outputs, inputs), (outputs,), (r, inputs), (outputs, r), (*front, outputs))
    return [rng.normal(size=shape) for shape in shapes]


@task("9.1", points=3)
def gradients_of_lora(m):
    """Against measured slopes, with r = 2 and α = 5."""
    *inputs, g = layer(0, 5)
    y, pullback = twice(m.lora_linear, *inputs, 5)
    dx, dA, dB = pullback(g)
    return {"y": y, "dx: g W + s (g B) A": dx, "dA: s (g B)ᵀ x": dA, "dB: s gᵀ(x Aᵀ)": dB}


def true_lora(x, W, b, A, B, alpha=5):
    return np.einsum("...i,oi->...o", x, W + alpha / A.shape[0] * np.einsum("or,ri->oi", B, A)) + b


@gradients_of_lora.expects
def _():
    *inputs, g = layer(0, 5)
    _, W, _, A, B = inputs
    other = true_slopes(true_lora, others(*inputs), g)
    dx, _, _, dA, dB = true_slopes(true_lora, inputs, g)
    no_scale, mean = "forgetting the scale on the way back", "a mean over the rows of x in place of a sum"
    slips = {no_scale: g @ W + g @ B @ A, "a scale on all of dx": 2.5 * g @ (W + B @ A), SHARED: other[0]}
    slips |= {"forgetting the change's part of dx": g @ W, "forgetting W's part of dx": 2.5 * g @ B @ A}
    right = {"y": true_lora(*inputs), "dx: g W + s (g B) A": close(dx, 1e-5, 1e-7, slips=slips)}
    for label, slope, wrong in (("dA: s (g B)ᵀ x", dA, other[3]), ("dB: s gᵀ(x Aᵀ)", dB, other[4])):
        slips = {
            no_scale: slope / 2.5,
            "the scale twice": slope * 2.5,
            "α without the division by r": slope * 2,
            mean: slope / 5,
            SHARED: wrong,
        }
        right[label] = close(slope, 1e-5, 1e-7, slips=slips)
    return right


@task("9.1", points=1)
def lora_in_float32(m):
    """float32 stays float32, forwards and backwards; a batch of sentences (2, 5, 3) works as well."""
    *inputs, g = (a.astype(np.float32) for a in layer(2, 2, 5))
    y, pullback = m.lora_linear(*inputs, 5)
    return dict(zip(("y", "dx", "dA", "dB"), (y, *pullback(g))))


@lora_in_float32.expects
def _():
    *inputs, g = (a.astype(np.float32).astype(np.float64) for a in layer(2, 2, 5))
    dx, _, _, dA, dB = (single(s, 1e-4, 1e-5) for s in true_slopes(true_lora, inputs, g))
    return {"y": single(true_lora(*inputs)), "dx": dx, "dA": dA, "dB": dB}


@task("9.2", points=1)
def merging_by_hand(m):
    """W + (α/r) B A, as a new array of float32; W itself stays."""
    W, A, B = (np.array(a, np.float32) for a in ([[1, 2], [3, 4]], [[1, 10]], [[1], [2]]))
    merged = m.merge(W, A, B, 3)
    return {"merged": merged, "W afterwards": W, "it shares memory with W": bool(np.shares_memory(merged, W))}


@merging_by_hand.expects
def _():
    slips = {"a change that is not scaled": np.array([[2.0, 12.0], [5.0, 24.0]])}
    slips |= {"W - (α/r) B A": np.array([[-2.0, -28.0], [-3.0, -56.0]]), "B A alone": np.array([[3.0, 30.0], [6.0, 60.0]])}
    slips |= {"W + (B A)ᵀ": np.array([[4.0, 8.0], [33.0, 64.0]])}
    return {
        "merged": single(np.array([[4.0, 32.0], [9.0, 64.0]]), slips=slips),
        "W afterwards": exact([[1.0, 2.0], [3.0, 4.0]]),
        "it shares memory with W": False,
    }


@task("9.2", points=1)
def two_adapters(m):
    """Merge one, merge another, take out the first: the second is left."""
    _, W, _, A, B, _ = layer(3)
    _, _, _, A2, B2, _ = layer(4, r=1)
    both = m.merge(m.merge(W, A, B, 3), A2, B2, 5)
    return {"the second alone": m.unmerge(both, A, B, 3), "both": both}


@two_adapters.expects
def _():
    _, W, _, A, B, _ = layer(3)
    _, _, _, A2, B2, _ = layer(4, r=1)
    second = W + 5 * np.einsum("or,ri->oi", B2, A2)
    slips = {"a copy of the first W": W, "undoing the last merge, whatever it was": W + 1.5 * np.einsum("or,ri->oi", B, A)}
    return {"the second alone": close(second, slips=slips), "both": second + 1.5 * np.einsum("or,ri->oi", B, A)}


@task("9.2", points=2)
def bert_is_fine_tuned_with_your_lora(m):
    """A small BERT learns with your LoRA in six layers, and answers with your merged weights: all as with the library's own."""
    m.merge(np.ones((1, 1)), np.ones((1, 1)), np.ones((1, 1)), 1)
    return fine_tuned(m)


@bert_is_fine_tuned_with_your_lora.expects
def _():
    return just_so(fine_tuned())


@task("9.3", points=2)
def rows_in_eight_bits(m):
    """The scales are 0.01 and 1: 0.306 becomes 30.6 steps, so 31, and -3.7 becomes -4."""
    q, scale = m.quantize_rows(np.array([[1.27, -0.5, 0.306], [-3.7, -127.0, 0.4]], np.float32))
    return {"q": q, "scale: max|w| / 127": scale}


@rows_in_eight_bits.expects
def _():
    slips = {
        "cutting off in place of rounding": [[127, -50, 30], [-3, -127, 0]],
        "rounding down": [[127, -50, 30], [-4, -127, 0]],
        "max|w| / 128": [[-128, -50, 31], [-4, -128, 0]],
        "one scale for all rows": [[1, 0, 0], [-4, -127, 0]],
        "a scale for each column": [[44, 0, 97], [-127, -127, 127]],
    }
    q = close([[127, -50, 31], [-4, -127, 0]], dtype=np.int8, slips=slips)
    of_scale = {"max|w| / 128": [1.27 / 128, 127 / 128], "max|w| / 255": [1.27 / 255, 127 / 255], "127 / max|w|": [100.0, 1.0]}
    of_scale |= {"(max - min) / 255": [1.77 / 255, 127.4 / 255], "the largest w in place of the largest |w|": [0.01, 0.4 / 127]}
    return {"q": q, "scale: max|w| / 127": single([0.01, 1.0], slips=of_scale | {"one scale for all rows": [1.0, 1.0]})}


@task("9.3", points=1)
def and_back(m):
    """Each row times its own scale, also where the matrix is square."""
    return {"scale ∘ q": m.dequantize_rows(np.array([[127, 0], [1, -2]], np.int8), np.array([2.0, 0.5], np.float32))}


@and_back.expects
def _():
    slips = {"a scale for each column": [[254.0, 0.0], [2.0, -1.0]], "dividing by the scale": [[63.5, 0.0], [2.0, -4.0]]}
    return {"scale ∘ q": single([[254.0, 0.0], [0.5, -1.0]], slips=slips)}


@task("9.3", points=1)
def a_row_of_zeros(m):
    """It stays zero, and the other row does not notice."""
    q, scale = m.quantize_rows(np.array([[0.0, 0.0], [2.0, -2.0]], np.float32))
    return {"q": q, "the scales are above 0": bool((scale > 0).all()), "and back": m.dequantize_rows(q, scale)}


@a_row_of_zeros.expects
def _():
    return {"q": [[0, 0], [127, -127]], "the scales are above 0": True, "and back": single([[0.0, 0.0], [2.0, -2.0]])}


@task("9.4", points=1)
def a_product_in_int8_would_wrap_around(m):
    """100 · 2 - 2 = 198 is more than 127; and a sum of 1,100 products of 127 · 127, and 1, is odd and above 2²⁴."""
    a, b = np.array([[100, 2], [127, 1]], np.int8), np.array([[2, -1], [127, 1]], np.int8)
    long = np.array([[127] * 1100 + [1]], np.int8)
    return {"a bᵀ": m.int8_product(a, b), "the last three digits of a long sum": m.int8_product(long, long)[0, 0] % 1000}


@a_product_in_int8_would_wrap_around.expects
def _():
    wrapped = np.array([[198, 12702], [253, 16130]]).astype(np.int8)
    slips = {"a product in int8, widened too late,": wrapped.astype(np.int32)}
    right = 127 * 127 * 1100 + 1
    of_long = {"a sum in float32": (right - 1) % 1000, "a sum in int16": ((right + 2**15) % 2**16 - 2**15) % 1000}
    return {
        "a bᵀ": close([[198, 12702], [253, 16130]], 0, 0, np.int32, slips=slips),
        "the last three digits of a long sum": close(right % 1000, 0, 0, slips=of_long),
    }


@task("9.4", points=2)
def a_layer_in_eight_bits(m):
    """Both scales come after the product, that of a token by rows and that of W by columns; the bias at the end."""
    x = np.array([[1.27, -0.5], [0.3, 127.0]], np.float32)
    q, scale, b = np.array([[1, 2], [3, -127]], np.int8), np.array([10.0, 100.0], np.float32), np.array([0.5, 0.0], np.float32)
    return {"y": m.int8_linear(x, q, scale, b), "without b": m.int8_linear(x, q, scale, None)}


@a_layer_in_eight_bits.expects
def _():
    x, W = np.array([[1.27, -0.5], [0.0, 127.0]]), np.array([[10.0, 20.0], [300.0, -12700.0]])  # 0.3 of 127 rounds to 0
    y = x @ W.T
    counts = np.array([[127, -50], [0, 127]]) @ np.array([[1, 2], [3, -127]]).T
    exact_x = np.array([[1.27, -0.5], [0.3, 127.0]]) @ W.T
    slips = {
        "an x that is not rounded": exact_x,
        "the scales of x by columns": counts * np.array([0.01, 1.0]) * np.array([10.0, 100.0]),
        "the scales of W by rows": counts * np.array([[0.01], [1.0]]) * np.array([[10.0], [100.0]]),
        "forgetting the scales of x": counts * np.array([10.0, 100.0]),
        "forgetting the scales of W": counts * np.array([[0.01], [1.0]]),
        "one scale for all of x": np.array([[1.0, -1.0], [0.0, 127.0]]) @ W.T,
    }
    return {"y": single(y + np.array([0.5, 0.0])), "without b": single(y, slips=slips)}


@task("9.4", points=2)
def bert_answers_in_int8(m):
    """Every layer of a small BERT computes with your quantize_rows and int8_linear: the logits are those of the library."""
    m.int8_linear(np.ones((1, 1), np.float32), np.ones((1, 1), np.int8), np.ones(1, np.float32), None)
    m.int8_product(np.ones((1, 1), np.int8), np.ones((1, 1), np.int8))
    return in_int8(m)


@bert_answers_in_int8.expects
def _():
    return just_so(in_int8())


@task("9.5", points=2)
def soft_and_hard(m):
    """Student (0, ln 4), teacher (ln 4, 0), T = 2: softened, they say (1/3, 2/3) and (2/3, 1/3)."""
    student, teacher, labels = np.log([[1.0, 4.0]]), np.log([[4.0, 1.0]]), np.array([1])
    soft, _ = m.distillation_loss(student, teacher, labels, 2, 1.0)
    hard, _ = m.distillation_loss(student, teacher, labels, 2, 0.0)
    some, _ = m.distillation_loss(student, teacher, labels, 2, 0.25)
    same, _ = m.distillation_loss(teacher, teacher, labels, 2, 1.0)
    return {"soft: T² KL": soft, "hard: -log p[label]": hard, "a quarter soft": some, "a student that knows all": same}


def true_kl(p, q):
    return sum(a * np.log(a / b) for a, b in zip(p, q, strict=True))


@soft_and_hard.expects
def _():
    soft, hard = 4 * (2 / 3 * np.log(2) - 1 / 3 * np.log(2)), np.log(5 / 4)
    entropy = np.log(3) - 2 / 3 * np.log(2)
    of_soft = {
        "forgetting T²": soft / 4,
        "T in place of T², or a mean over N · C in place of N,": soft / 2,
        "forgetting the temperature": 4 * (4 / 5 - 1 / 5) * np.log(4),
        "a temperature on the student alone": 4 * true_kl([4 / 5, 1 / 5], [1 / 3, 2 / 3]),
        "a temperature on the teacher alone": 4 * true_kl([2 / 3, 1 / 3], [1 / 5, 4 / 5]),
        "a cross entropy in place of KL": soft + 4 * entropy,
    }
    of_hard = {"a temperature in the hard term, too,": np.log(3 / 2), "T² in front of the hard term, too,": 4 * hard}
    return {
        "soft: T² KL": close(soft, slips=of_soft),
        "hard: -log p[label]": close(hard, slips=of_hard),
        "a quarter soft": close(0.25 * soft + 0.75 * hard, slips={"the shares exchanged": 0.75 * soft + 0.25 * hard}),
        "a student that knows all": close(0.0, atol=1e-9),
    }


def lesson(seed, N=4, C=3):
    """Logits of student and teacher, and labels."""
    rng = np.random.default_rng(seed)
    return 2 * rng.normal(size=(N, C)), 2 * rng.normal(size=(N, C)), rng.integers(0, C, N)


@task("9.5", points=3)
def gradient_of_distillation(m):
    """Against measured slopes, with T = 3 and share = 0.6, and g = 2."""
    student, teacher, labels = lesson(5)
    loss, pullback = twice(m.distillation_loss, student, teacher, labels, 3, 0.6)
    return {"loss": loss, "dstudent": pullback(2.0)}


def true_distillation(student, teacher, labels, T, share):
    def p(z):
        return np.exp(z) / np.exp(z).sum(1, keepdims=True)

    kl = (p(teacher / T) * np.log(p(teacher / T) / p(student / T))).sum(1)
    hard = -np.log(p(student))[range(len(labels)), labels]
    return (share * T**2 * kl + (1 - share) * hard).mean()


@gradient_of_distillation.expects
def _():
    student, teacher, labels = lesson(5)

    def slope_of(share, student, teacher, labels):
        return true_slopes(lambda z: true_distillation(z, teacher, labels, 3, share), [student], 2.0)[0]

    slope, soft, hard = (slope_of(share, student, teacher, labels) for share in (0.6, 1, 0))
    slips = {
        "forgetting g": slope / 2,
        "forgetting the mean over N": 4 * slope,
        "T² where one T is left": 0.6 * 3 * soft + 0.4 * hard,
        "no T at all in the soft part": 0.6 / 3 * soft + 0.4 * hard,
        "p_teacher - p_student": -0.6 * soft + 0.4 * hard,
        "forgetting the hard part": 0.6 * soft,
        "forgetting the soft part": 0.4 * hard,
        "forgetting the shares": soft + hard,
        SHARED: slope_of(0.9, *others(student, teacher, labels)),
    }
    return {"loss": true_distillation(student, teacher, labels, 3, 0.6), "dstudent": close(slope, 1e-5, 1e-7, slips=slips)}


@task("9.5", points=2)
def bert_is_taught_by_a_larger_one(m):
    """A BERT of one layer learns from one of two layers with your loss: losses and gradients as with the library's own."""
    m.distillation_loss(np.zeros((1, 2)), np.zeros((1, 2)), np.array([0]), 1, 0.5)
    return taught(m)


@bert_is_taught_by_a_larger_one.expects
def _():
    return just_so(taught())
