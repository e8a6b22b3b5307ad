"""Distillation: a small model learns from what a large one says, and from what goes on inside of it.

    soft         (1 - a) CE + a T² KL(softmax(z_t/T) ‖ softmax(z_s/T)), mean over examples: Hinton, Vinyals and Dean (2015),
                 https://arxiv.org/abs/1503.02531, section 2
    distilbert   5 T² KL + 2 CE + 1 (1 - cos) of the last hidden states: Sanh et al. (2019), https://arxiv.org/abs/1910.01108
    tinybert     first MSE of attention scores before softmax, of hidden states through W_h and of embeddings, student layer m
                 with teacher layer m L_t/L_s; then soft answers: Jiao et al. (2019), https://arxiv.org/abs/1909.10351, section 3
    minilm       first KL of the last layer's relations softmax(QQᵀ/√d), KKᵀ, VVᵀ in as many heads as both widths can be cut
                 into; then soft answers: Wang et al. (2020), https://arxiv.org/abs/2012.15828, section 3.2

The student starts from the teacher: weights of the same shape are copied, embeddings of another width are projected on their
principal axes. Read before: models/bert/model.py, finetuning/tasks.py. Read next: training.py.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import minitorch
import minitorch.nn.functional as F
from minitorch import Tensor, nn
from minitorch.parallel import Workers

from ..bert.config import PRESETS, BertConfig
from ..errors import BadInput
from ..finetuning.tasks import IGNORED, Feature
from ..reading import read_json
from ..training.loop import progress
from .heads import model_layers

# ----------------------------------------------------------------------------------------------------- the losses


def soft_targets(z_s: Tensor, z_t: Tensor, T: float) -> Tensor:
    """T² KL(softmax(z_t/T) ‖ softmax(z_s/T)) of logits (N, C), the mean over N. (A mean over N·C would be C times too small.)"""
    p = F.softmax(z_t / T, dim=-1)
    kl = (p * (F.log_softmax(z_t / T, dim=-1) - F.log_softmax(z_s / T, dim=-1))).sum(-1)
    return kl.mean() * T**2


def cosine(h_s: Tensor, h_t: Tensor, keep: Tensor) -> Tensor:
    """1 - cos of hidden states (B, S, H), the mean over the tokens that ``keep`` (B, S) has as 1."""
    return ((1 - (F.normalize(h_s, dim=-1) * F.normalize(h_t, dim=-1)).sum(-1)) * keep).sum() / keep.sum()


def squares(h_s: Tensor, h_t: Tensor, keep: Tensor) -> Tensor:
    """MSE of hidden states (B, S, H) over the tokens that ``keep`` (B, S) has as 1."""
    return (((h_s - h_t) ** 2).mean(-1) * keep).sum() / keep.sum()


def attention_scores(layer: Any, h: Tensor, keep: Tensor) -> Tensor:
    """QKᵀ/√d of a layer whose input is h, 0 at padding: (B, A, S, S)."""
    attention = layer.attention.self
    q, k = attention.split(attention.query(h)), attention.split(attention.key(h))
    return q @ k.mT * q.shape[-1] ** -0.5 * keep[:, None, None, :]


def relations(layer: Any, h: Tensor, keep: Tensor, heads: int) -> list[Tensor]:
    """log softmax of QQᵀ/√d, KKᵀ/√d and VVᵀ/√d in ``heads`` relation heads, padding left out: (B, heads, S, S) each."""
    B, S, _ = h.shape
    away = (1 - keep)[:, None, None, :] * -1e9
    found = []
    for part in (layer.attention.self.query, layer.attention.self.key, layer.attention.self.value):
        x = part(h).reshape(B, S, heads, -1).transpose(1, 2)  # (B, heads, S, d)
        found.append(F.log_softmax(x @ x.mT * x.shape[-1] ** -0.5 + away, dim=-1))
    return found


def divergence(log_s: Tensor, log_t: Tensor, keep: Tensor) -> Tensor:
    """KL of relations (B, heads, S, S): the mean over heads and tokens."""
    kl = (minitorch.exp(log_t) * (log_t - log_s)).sum(-1).mean(1)  # (B, S)
    return (kl * keep).sum() / keep.sum()


# ------------------------------------------------------------------------------------------------------- the task


class Taught:
    """A task whose loss in training is the teacher's; everything else is the task's own."""

    def __init__(self, task: Any, teacher: Any, s: Any) -> None:
        self.task, self.teacher, self.s = task, teacher, s
        self.answers: dict[tuple[int, ...], Any] = {}  # a text's ids -> the teacher's logits, computed once
        self.inside = lambda: False  # is this the part of training in which the inside is imitated?
        teacher.eval()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.task, name)

    @property
    def remembers(self) -> bool:
        """One row of logits for each example, and nothing else of the teacher: it is asked once."""
        return self.s.distil == "soft" and self.s.alpha > 0 and self.task.name in ("classify", "relation")

    def groups(self, features: Any) -> list[Any]:
        """Those without labels are in batches of their own."""
        own = self.task.groups(features) or [0] * len(features)
        return [(key, f.target is None) for key, f in zip(own, features, strict=True)]

    def weight(self, batch: dict[str, Tensor]) -> float:
        return self.task.weight(batch) if "labels" in batch or "start_positions" in batch else float(len(batch["input_ids"]))

    def batch(self, features: list[Feature], tokenizer: Any) -> dict[str, Tensor]:
        batch: dict[str, Tensor] = self.task.batch(features, tokenizer)
        if self.remembers and all(tuple(f.ids) in self.answers for f in features):
            batch["teacher"] = minitorch.tensor(np.stack([self.answers[tuple(f.ids)] for f in features]))
        return batch

    def remember(self, features: list[Feature], trainer: Any) -> None:
        """Ask the teacher about all features; ``trainer`` is a trainer of the teacher."""
        if self.remembers:
            new = [Feature(f.example, f.ids, f.types, None, f.extra) for f in features if tuple(f.ids) not in self.answers]
            with Workers(trainer.s.workers) as workers, progress(len(new), 0, "text") as bar:
                bar.set_description_str("asking the teacher")
                rows, _ = trainer.answer(new, workers, bar) if new else ([], 0.0)
            self.answers |= {tuple(f.ids): row for f, row in zip(new, rows, strict=True)}

    def loss(self, model: Any, batch: dict[str, Tensor]) -> tuple[Tensor, Any]:
        """The teacher's in training; the task's own where the student is judged."""
        answers = batch.pop("teacher", None)
        if not model.training or (self.s.distil == "soft" and not self.s.alpha):
            return self.task.loss(model, batch)  # type: ignore[no-any-return]
        states = self.s.distil != "soft"
        inputs = {name: value for name, value in batch.items() if not (states and name == "rows")}
        options = {"output_hidden_states": True} if states else {}
        labelled = "labels" in batch or "start_positions" in batch
        hard, output = self.task.loss(model, {**inputs, **options}) if labelled else (None, model(**inputs, **options))
        said = answers
        taught = None
        if said is None:
            with minitorch.no_grad():
                taught = self.teacher(**inputs, **options)
        if self.inside():
            return self.imitate(model, output, taught, batch), output
        soft = self.soft(output, said if said is not None else taught, batch)
        if self.s.distil == "distilbert":
            keep, B = keep_of(batch, output), output.hidden_states[-1]
            near = cosine(B, taught.hidden_states[-1], keep)
            return 5 * soft + near + (0 if hard is None else 2 * hard), output
        a = self.s.alpha if self.s.distil == "soft" else 1.0
        return a * soft if hard is None else a * soft + (1 - a) * hard, output

    def soft(self, student: Any, teacher: Any, batch: dict[str, Tensor]) -> Tensor:
        """How far the student's answers are from the teacher's (an output, or remembered logits)."""
        T = self.s.temperature if self.s.distil in ("soft", "distilbert") else 1.0
        if self.task.name == "qa":
            return sum(soft_targets(getattr(student, k), getattr(teacher, k), T) for k in ("start_logits", "end_logits")) / 2
        if self.task.name == "mlm":
            return soft_targets(student.masked_logits, teacher.masked_logits, T)
        z_s, z_t = student.logits, teacher if isinstance(teacher, Tensor) else teacher.logits
        z_t = z_t.reshape(*z_s.shape)
        if getattr(self.task, "targets", "") == "numbers":
            return F.mse_loss(z_s, (z_t - self.task.mean) / self.task.scale)
        if getattr(self.task, "targets", "") == "several":
            return F.binary_cross_entropy_with_logits(z_s / T, F.sigmoid(z_t / T)) * T**2
        if self.task.name == "tag" and "labels" in batch:
            at = minitorch.tensor((batch["labels"].cpu().numpy().reshape(-1) != IGNORED).nonzero()[0]).to(z_s.device)
            z_s, z_t = (minitorch.index_select(z.reshape(-1, z.shape[-1]), 0, at) for z in (z_s, z_t))
        return soft_targets(z_s, z_t, T)

    def imitate(self, model: Any, student: Any, teacher: Any, batch: dict[str, Tensor]) -> Tensor:
        """TinyBERT's or MiniLM's distance between the insides."""
        keep, h_s, h_t = keep_of(batch, student), student.hidden_states, teacher.hidden_states
        small, large = model_layers(model), model_layers(self.teacher)
        if self.s.distil == "minilm":
            n = relation_heads(model.config, self.teacher.config)
            pairs = zip(relations(small[-1], h_s[-2], keep, n), relations(large[-1], h_t[-2], keep, n), strict=True)
            return sum(divergence(a, b, keep) for a, b in pairs)  # type: ignore[return-value]
        fit = getattr(model, "fit_dense", lambda h: h)
        loss = squares(fit(h_s[0]), h_t[0], keep)
        for m, layer in enumerate(small, 1):
            g = partner(m, len(small), len(large))
            a, b = attention_scores(layer, h_s[m - 1], keep), attention_scores(large[g - 1], h_t[g - 1], keep)
            loss = loss + F.mse_loss(a, b) + squares(fit(h_s[m]), h_t[g], keep)
        return loss


def keep_of(batch: dict[str, Tensor], output: Any) -> Tensor:
    """1 at tokens, 0 at padding: (B, S)."""
    h, mask = output.hidden_states[0], batch.get("attention_mask")
    return minitorch.ones(*h.shape[:2], device=h.device) if mask is None else mask.reshape(*h.shape[:2]).astype(h.dtype)


def partner(m: int, student: int, teacher: int) -> int:
    """The teacher's layer, counted from 1, of the student's layer m: m L_t/L_s."""
    return max(1, m * teacher // student)


def relation_heads(student: BertConfig, teacher: BertConfig) -> int:
    """The most heads, up to the teacher's, into which both widths can be cut."""
    common = math.gcd(student.hidden_size, teacher.hidden_size)
    return max(n for n in range(1, teacher.num_attention_heads + 1) if common % n == 0)


# ---------------------------------------------------------------------------------------------------- the student


def student_config(size: str, teacher: BertConfig) -> BertConfig:
    """tiny, mini, ..., LAYERSxWIDTH, or a config.json, with the teacher's vocabulary, positions and labels."""
    layers, x, width = size.partition("x")
    if size in PRESETS or (x and layers.isdecimal() and width.isdecimal()):
        L, H = PRESETS[size] if size in PRESETS else (int(layers), int(width))
        A = max(1, H // 64) if size in PRESETS or H % teacher.num_attention_heads else teacher.num_attention_heads
        A = A if H % A == 0 else 1
        shape = {"num_hidden_layers": L, "hidden_size": H, "num_attention_heads": A, "intermediate_size": 4 * H}
    elif size.endswith(".json"):
        given = BertConfig.from_dict(read_json(size, "a configuration"))
        if given.vocab_size != teacher.vocab_size:
            said = f"{given.vocab_size:,} pieces, the teacher's {teacher.vocab_size:,}"
            raise BadInput(f"--student {size}: its vocabulary has {said}; a student reads with its teacher's")
        kept = ("num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size", "hidden_act")
        shape = {name: getattr(given, name) for name in kept}
    else:
        raise BadInput(f"--student must be {', '.join(PRESETS)}, LAYERSxWIDTH such as 2x128, or a config.json, not {size}")
    own = {k: v for k, v in teacher.to_dict().items() if k not in ("pruned_heads", "quantization_config")}
    try:
        return BertConfig.from_dict({**own, **shape})
    except ValueError as error:
        raise BadInput(f"--student {size}: {error}") from error


def check_student(student: Any, teacher: Any, distil: str) -> None:
    """Raise BadInput for a student that is larger than its teacher, or cannot imitate it in the way asked for."""
    n, m = student.num_parameters(), teacher.num_parameters()
    if n > m:
        raise BadInput(f"the student has {n:,} parameters and its teacher {m:,}: a student is smaller")
    H, H_t, A = student.config.hidden_size, teacher.config.hidden_size, student.config.num_attention_heads
    if distil == "distilbert" and H_t != H:
        raise BadInput(f"--distil distilbert compares hidden states, of {H} and {H_t} numbers: give --student LAYERSx{H_t}")
    pruned = {layer.attention.self.heads for layer in model_layers(teacher)}
    if distil == "tinybert" and pruned != {A}:
        raise BadInput(
            f"--distil tinybert compares attention head by head: the student has {A} heads, the teacher "
            f"{' or '.join(map(str, sorted(pruned)))}; give a width that these divide, or --distil minilm"
        )
    if distil == "minilm" and teacher.config.extra.get("pruned_heads"):
        raise BadInput("--distil minilm cuts the teacher's full width into heads; this teacher's heads are pruned")


def start_from(student: Any, teacher: Any) -> None:
    """The teacher's weights where shapes agree, layer m from layer m L_t/L_s; its embeddings on their principal axes."""
    own, theirs = student.state_dict(), teacher.state_dict()
    L, L_t = student.config.num_hidden_layers, teacher.config.num_hidden_layers
    E = theirs[table_name(theirs)].numpy()
    axes = np.linalg.eigh(E.astype(np.float64).T @ E)[1][:, ::-1][:, : student.config.hidden_size]  # (H_t, H)
    axes = np.eye(len(axes)) if axes.shape[0] == axes.shape[1] else axes
    for name, value in own.items():
        there = name
        if "encoder.layer." in name:
            head, _, rest = name.partition("encoder.layer.")
            number, _, tail = rest.partition(".")
            there = f"{head}encoder.layer.{partner(int(number) + 1, L, L_t) - 1}.{tail}"
        w = theirs.get(there)
        if w is None:
            continue
        if w.shape == value.shape:
            own[name] = w
        elif "_embeddings.weight" in name or name.endswith("decoder.weight"):
            own[name] = minitorch.tensor((w.numpy() @ axes).astype(np.float32))
    student.load_state_dict(own)
    student.tie_weights()


def table_name(state: dict[str, Tensor]) -> str:
    """The word embeddings' name."""
    return next(name for name in state if name.endswith("word_embeddings.weight"))


def fit_dense(student: Any, teacher: Any) -> None:
    """TinyBERT's W_h, where the widths differ: a layer that is trained with the student and not saved with it."""
    H, H_t = student.config.hidden_size, teacher.config.hidden_size
    if H_t != H:
        student.fit_dense = nn.Linear(H, H_t)
