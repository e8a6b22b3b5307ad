"""Small labelled files and a small BERT for the tests of fine-tuning; and its 50 steps in PyTorch with Hugging Face's model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import minitorch
from models import bert
from models.finetuning.run import Run
from models.finetuning.tasks import Settings

FROZEN = Path(__file__).parent / "frozen" / "finetune.json"
GOOD = "good great fine lovely nice happy".split()  # noqa: SIM905
BAD = "bad awful poor ugly sad angry".split()  # noqa: SIM905
OTHER = "the a film book was and it very plot end of story we saw they had".split()  # noqa: SIM905
NAMES = "anna bert carla".split()  # noqa: SIM905
PLACES = "paris rome".split()  # noqa: SIM905
WORDS = [*GOOD, *BAD, *OTHER, *NAMES, *PLACES, "went", "to", "in", "new", "who", "where", "?", "."]


def checkpoint(folder, **changes):
    """A BERT with random weights and a vocabulary of whole words and letters."""
    letters = list("abcdefghijklmnopqrstuvwxyz")
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *letters, *("##" + c for c in letters)]
    tokens = list(dict.fromkeys(tokens))
    tokenizer = bert.Tokenizer({token: i for i, token in enumerate(tokens)})
    shape = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    shape |= {"vocab_size": len(tokens), "max_position_embeddings": 64, "initializer_range": 0.15}
    config = bert.BertConfig(**{**shape, **changes})
    minitorch.manual_seed(7)
    bert.BertForMaskedLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def sentence(rng, words, n):
    """n words with one of ``words`` among them."""
    row = list(rng.choice(OTHER, n))
    row[int(rng.integers(n))] = str(rng.choice(words))
    return [str(w) for w in row]


def classify_rows(n, seed=0):
    """(text, label)"""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    return [(" ".join(sentence(rng, (BAD, GOOD)[y], int(rng.integers(3, 12)))), ("neg", "pos")[y]) for y in labels]


def write_classify(path, n, seed=0, header="text\tlabel"):
    """A TSV."""
    Path(path).write_text("\n".join([header, *("\t".join(row) for row in classify_rows(n, seed))]) + "\n")
    return str(path)


def write_tag(path, n, seed=0):
    """CoNLL: persons, and places of one or two words."""
    rng = np.random.default_rng(seed)
    blocks = []
    for _ in range(n):
        place = [("new", "B-LOC"), ("rome", "I-LOC")] if rng.random() < 0.4 else [(str(rng.choice(PLACES)), "B-LOC")]
        words = [(str(w), "O") for w in rng.choice(OTHER, int(rng.integers(1, 6)))]
        words += [(str(rng.choice(NAMES)), "B-PER"), ("went", "O"), ("to", "O"), *place, (".", "O")]
        blocks.append("".join(f"{w}\t{t}\n" for w, t in words))
    Path(path).write_text("\n".join(blocks))
    return str(path)


def write_qa(path, n, seed=0, impossible=False):
    """SQuAD: who went where?"""
    rng = np.random.default_rng(seed)
    paragraphs = []
    for i in range(n):
        name, place = str(rng.choice(NAMES)), str(rng.choice(PLACES))
        context = " ".join([*map(str, rng.choice(OTHER, int(rng.integers(2, 25)))), name, "went to", place, "."])
        who = rng.random() < 0.5
        answer = name if who else place
        qa = {"id": f"q{seed}-{i}", "question": "who went ?" if who else "where ?"}
        if impossible and i % 3 == 0:
            qa |= {"is_impossible": True, "answers": []}
        else:
            qa["answers"] = [{"text": answer, "answer_start": context.index(f" {answer} ") + 1}]
        paragraphs.append({"context": context, "qas": [qa]})
    Path(path).write_text(json.dumps({"version": "1.1", "data": [{"title": "t", "paragraphs": paragraphs}]}, indent=1))
    return str(path)


def write_choice(path, n, seed=0):
    """JSONL: which is good?"""
    rng = np.random.default_rng(seed)
    lines = []
    for _ in range(n):
        right = int(rng.integers(3))
        choices = [" ".join(sentence(rng, GOOD if i == right else BAD, 3)) for i in range(3)]
        lines.append(json.dumps({"question": "it was", "choices": choices, "label": right}))
    Path(path).write_text("\n".join(lines) + "\n")
    return str(path)


def write_relation(path, n, seed=0):
    """SemEval-2010 Task 8's layout: who loves or hates whom; "very" says nothing."""
    rng = np.random.default_rng(seed)
    verbs = {"good": "Love", "bad": "Hate", "very": "Other"}
    lines = []
    for i in range(n):
        (a, b), verb = rng.choice(NAMES, 2, replace=False), str(rng.choice(list(verbs)))
        first, second = rng.permutation(["e1", "e2"])
        before, after = (" ".join(rng.choice(OTHER, int(rng.integers(1, 4)))) for _ in range(2))
        lines.append(f'{i + 1}\t"{before} <{first}>{a}</{first}> {verb} <{second}>{b}</{second}> {after}."')
        lines += [
            verbs[verb] + ("" if verb == "very" else f"({first},{second})"),
            f"Comment: {'nobody knows' if i % 3 else ''}",
            "",
        ]
    Path(path).write_text("\n".join(lines))
    return str(path)


WRITERS = {"classify": write_classify, "tag": write_tag, "qa": write_qa, "choice": write_choice}


def settings(task, folder, n=48, **changes):
    """Settings of a small run on files written for it."""
    folder = Path(folder)
    model = changes.pop("model", None) or checkpoint(folder / "start")
    suffix = {"classify": "tsv", "tag": "conll", "qa": "json", "choice": "jsonl", "relation": "txt"}[task]
    write = {**WRITERS, "relation": write_relation}[task]  # WRITERS are of the tasks that Hugging Face has a class for
    files = {part: write(folder / f"{part}.{suffix}", m, seed=i) for i, (part, m) in enumerate((("train", n), ("dev", 16)))}
    usual = {"length": 32, "stride": 8, "batch_size": 8, "epochs": 2, "lr": 2e-3, "dropout": 0.0, "threads": 1, "compare": "none"}
    return Settings(**{**usual, "task": task, "model": str(model), "output": str(folder / "out"), **files, **changes})


def run(task, folder, **changes):
    """A run, ready to train; silent."""
    return Run(settings(task, folder, **changes), say=lambda text: None)


def ours_50_steps(task, folder):
    """The losses of 50 steps of this engine, the weights it starts with and the batches it saw."""
    job = run(task, folder, n=100, epochs=4, lr=1e-3)
    start = {name: value.numpy().copy() for name, value in job.model.state_dict().items()}
    t = job.trainer
    batches, losses = [], []
    from minitorch.parallel import Workers

    with Workers(1) as workers:
        job.model.train()
        for step in range(50):
            epoch, position = divmod(step, t.batches.count)
            features = [t.features[i] for i in t.batches.epoch(epoch)[position]]
            batches.append({name: value.numpy() for name, value in job.task.batch(features, job.tokenizer).items()})
            losses.append(sum(part.item() for part in t.one_step(features, workers)))
            t.step += 1
    return job, start, batches, losses


def theirs_50_steps(job, start, batches):
    """The same in PyTorch with Hugging Face's model, its AdamW and its schedule."""
    import torch
    import transformers

    torch.set_num_threads(1)
    kind = type(job.model).__name__
    config = transformers.BertConfig(**job.model.config.to_dict())
    config._attn_implementation = "eager"
    model = getattr(transformers, kind)(config)
    missing, unexpected = model.load_state_dict({name: torch.tensor(value) for name, value in start.items()}, strict=False)
    assert not unexpected
    assert all("position_ids" in name for name in missing)
    named = dict(model.named_parameters())
    exempt = [name for name in named if name.endswith("bias") or "LayerNorm" in name]
    s = job.s
    groups = [
        {"params": [p for name, p in named.items() if name not in exempt], "weight_decay": s.weight_decay},
        {"params": [named[name] for name in exempt], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=s.lr)
    steps = job.trainer.steps
    schedule = transformers.get_linear_schedule_with_warmup(optimizer, int(s.warmup * steps), steps)
    model.train()
    losses = []
    for batch in batches:
        loss = model(**{name: torch.tensor(value) for name, value in batch.items()}).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), s.clip)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return losses


def stop_at(job, step):
    """Train until the state of a step is saved (save_every=1), and no further."""

    class Stop(Exception):
        """What ends a run in the middle."""

    save = job.save_state

    def save_and_stop():
        save()
        if job.trainer.step == step:
            raise Stop

    job.trainer.on_state = save_and_stop
    with pytest.raises(Stop):
        job.trainer.train()
