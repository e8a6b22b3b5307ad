"""Adversarial training: the papers' steps and projections, the clean gradient, resume, other tasks, mistakes."""

import numpy as np
import pytest

import minitorch
from minitorch import nn
from minitorch.parallel import Workers
from models import cli
from models.adversarial import METHODS, base, freelb, smart
from models.finetuning.run import Run
from tests import finetune_cases as cases

each_method = pytest.mark.parametrize("method", list(METHODS))
G = minitorch.tensor([[0.3, 0.4], [0.0, -0.2]])


def weights(job):
    """All of them, by name."""
    return {name: value.numpy().copy() for name, value in job.model.state_dict().items()}


def trained(folder, steps=6, **changes):
    """The weights after some steps with dropout."""
    folder.mkdir(exist_ok=True)
    job = cases.run("classify", folder, n=48, epochs=1, **{"dropout": 0.1, **changes})
    job.trainer.on_best = lambda: None
    job.trainer.on_state = lambda: None
    assert job.trainer.steps == steps
    job.trainer.train()
    return weights(job)


def gradients(job, workers=1):
    """The names and gradients of the first step, not clipped."""
    t = job.trainer
    named = {name: p for name, p in job.model.named_parameters() if p.requires_grad}
    job.model.train()
    with Workers(workers) as pool:
        losses = t.gradients(t.features[:8], list(named.values()), pool)
    return sum(loss.item() for loss in losses), {n: p.grad.numpy().copy() for n, p in named.items() if p.grad is not None}


def test_norms_and_projections_by_hand():
    """One example of two words has one norm; two examples have one each."""
    one, each = base.unit(G[None])[0], base.unit(G[:, None])[:, 0]
    assert one.numpy() == pytest.approx(np.array([[0.557086, 0.742781], [0, -0.371391]]), abs=1e-6)
    assert each.numpy() == pytest.approx(np.array([[0.6, 0.8], [0, -1]]), abs=1e-6)
    moved = minitorch.tensor([[0.6, 0.8], [0.0, 0.1]]) + 0.5 * each
    assert moved.numpy() == pytest.approx(np.array([[0.9, 1.2], [0, -0.4]]), abs=1e-6)
    back = base.project(moved[:, None], 1.0)[:, 0]
    assert back.numpy() == pytest.approx(np.array([[0.6, 0.8], [0, -0.4]]), abs=1e-6)
    assert not np.isnan(base.unit(minitorch.zeros(2, 1, 2)).numpy()).any()


@each_method
def test_radius_0_is_ordinary_training(tmp_path, method):
    """Bit for bit, with dropout and on two threads."""
    plain = trained(tmp_path / "plain", threads=2)
    attacked = trained(tmp_path / method, threads=2, adversarial=method, adversarial_radius=0.0)
    for name, value in plain.items():
        assert (attacked[name] == value).all(), name


@each_method
def test_a_radius_that_changes_nothing_leaves_the_clean_gradient(tmp_path, method):
    """δ = 1e-30 is lost in x + δ, so all passes are the clean one: their gradients must add up to its own."""
    loss, clean = gradients(cases.run("classify", tmp_path, dropout=0.1))
    other, same = gradients(cases.run("classify", tmp_path, dropout=0.1, adversarial=method, adversarial_radius=1e-30))
    assert other == pytest.approx(loss, rel=1e-6)
    for name, value in clean.items():
        if method == "freelb":  # three thirds need not add up to the last bit
            assert same[name] == pytest.approx(value, rel=1e-4, abs=1e-6), name
        else:
            assert (same[name] == value).all(), name


@each_method
def test_the_attack_does_what_it_is_for(tmp_path, method):
    """The loss that is learnt from is higher than the clean one, more so with a larger radius; δ leaves specials alone."""
    loss = gradients(cases.run("classify", tmp_path))[0]
    sizes = (0.5, 2.0)
    options = {"adversarial_rate": 2.0} if method != "fgm" else {}
    found = [gradients(cases.run("classify", tmp_path, adversarial=method, adversarial_radius=r, **options))[0] for r in sizes]
    assert loss < found[0] < found[1]


def test_special_tokens_and_padding_stay(tmp_path):
    """The mask of a padded batch."""
    job = cases.run("classify", tmp_path, adversarial="fgm")
    words, features = job.trainer.adversary.words, [job.trainer.features[0], max(job.trainer.features, key=lambda f: f.size)]
    batch = job.task.batch(features, job.tokenizer)
    game = base.Game(words, lambda: job.task.loss(job.model, batch))
    _, _, δ = game.at(base.nowhere)
    ids = batch["input_ids"].numpy()
    assert (game.mask.numpy()[..., 0] == (ids > 4)).all()  # [PAD], [UNK], [CLS], [SEP], [MASK] are the first
    assert δ.shape == (*ids.shape, 16)
    assert words.moved(None, (), δ) is None  # outside of a game nothing is moved


def test_a_unit_of_deviations_follows_the_size_of_the_embeddings(tmp_path):
    """A hundred times larger embeddings are moved a hundred times as far; a text of special tokens alone is not moved."""
    job = cases.run("classify", tmp_path, adversarial="fgm")
    assert (job.s.adversarial_radius, job.s.adversarial_unit) == (5.0, "deviation")
    x = minitorch.tensor(np.random.default_rng(0).normal(size=(3, 4, 6)).astype(np.float32))
    mask = minitorch.tensor(np.array([[1, 1, 1, 1], [1, 0, 0, 1], [0, 0, 0, 0]], np.float32))[..., None]
    σ = base.deviation(x, mask)
    rows = x.numpy()
    wanted = [np.sqrt((rows[0] ** 2).mean()), np.sqrt((rows[1, [0, 3]] ** 2).mean()), 0]
    assert σ.numpy()[:, 0, 0] == pytest.approx(wanted, rel=1e-6)
    assert base.deviation(100 * x, mask).numpy() == pytest.approx(100 * σ.numpy(), rel=1e-5)


@each_method
def test_micro_batches_and_threads(tmp_path, method):
    """One norm per example: a batch in four parts gives the same, and two threads the same bits as two parts."""
    options = {"adversarial": method, "adversarial_radius": 0.5}
    if method in ("fgm", "pgd"):  # the others start at random
        whole, parts = (gradients(cases.run("classify", tmp_path, accumulate=n, **options))[1] for n in (1, 4))
        for name, value in whole.items():
            assert parts[name] == pytest.approx(value, rel=1e-3, abs=1e-6), name
        whole, parts = (gradients(cases.run("classify", tmp_path, dropout=0.1, accumulate=n, **options))[1] for n in (1, 4))
        for name, value in whole.items():  # dropout included: an example's mask does not depend on who computes it
            assert parts[name] == pytest.approx(value, rel=1e-3, abs=1e-6), name
    one = gradients(cases.run("classify", tmp_path, dropout=0.1, accumulate=2, **options))[1]
    two = gradients(cases.run("classify", tmp_path, dropout=0.1, threads=2, **options), workers=2)[1]
    for name, value in one.items():
        assert (two[name] == value).all(), name


@pytest.mark.parametrize(("method", "options"), [("freelb", {"adapt": "lora"}), ("smart", {}), ("pgd", {"freeze": -1})])
def test_a_resumed_run_is_bit_equal(tmp_path, method, options):
    """Stopped in the second epoch."""
    where = {name: tmp_path / name for name in ("whole", "half")}
    for folder in where.values():
        folder.mkdir()
    options = {"adversarial": method, "adversarial_radius": 0.3, "dropout": 0.1, "save_every": 1, **options}
    whole = cases.run("classify", where["whole"], **options)
    whole.train()
    s = cases.settings("classify", where["half"], **options)
    cases.stop_at(Run(s, say=lambda text: None), 8)
    half = Run(s, say=lambda text: None)
    half.load_state()
    assert half.trainer.step == 8
    half.train()
    assert half.trainer.metrics == whole.trainer.metrics
    for name, value in weights(whole).items():
        assert (weights(half)[name] == value).all(), name


@pytest.mark.parametrize("method", ["fgm", "smart", *(pytest.param(m, marks=pytest.mark.slow) for m in ("pgd", "freelb"))])
@pytest.mark.parametrize("task", ["tag", "qa", "choice", "relation", "numbers", "several"])
def test_every_task_learns_under_attack(tmp_path, method, task):
    """One epoch; SMART's divergence has the shape of each task's logits."""
    options = {"adversarial": method, "adversarial_radius": 0.1, "epochs": 1}
    if task in ("numbers", "several"):
        rows = {"numbers": "a film\t1\nthe book\t2\n", "several": "a film\tx|y\nthe book\tx\na plot\ty\n"}[task]
        path = tmp_path / "rows.tsv"
        path.write_text("text\tlabel\n" + rows * 6)
        options |= {"train": str(path), "dev": str(path), "targets": task}
        task = "classify"
    job = cases.run(task, tmp_path, n=24, **options)
    job.train()
    assert np.isfinite(job.trainer.metrics[-1]["dev_loss"])


def test_half_precision_and_prompts(tmp_path):
    """bf16 on the CPU's imitation; virtual tokens in front of the text are not attacked."""
    for number, options in enumerate(({"precision": "bf16"}, {"adapt": "prompt"}, {"adapt": "adalora", "epochs": 3})):
        (tmp_path / f"{number}").mkdir()
        job = cases.run("classify", tmp_path / f"{number}", n=24, adversarial="freelb", **options)
        job.train()
        assert np.isfinite(job.trainer.metrics[-1]["dev_loss"])


def test_divergences_by_definition():
    """KL both ways, of classes, of several labels, and of numbers."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 5, 3))
    p, q = (np.exp(z) / np.exp(z).sum(-1, keepdims=True) for z in (a, b))
    both = ((p * np.log(p / q)).sum(-1) + (q * np.log(q / p)).sum(-1)).mean()
    a_, b_ = (minitorch.tensor(z.astype(np.float32)) for z in (a, b))
    assert smart.divergence(a_, b_, lambda z: minitorch.softmax(z, dim=-1)).item() == pytest.approx(both, rel=1e-4)
    s, t = 1 / (1 + np.exp(-a)), 1 / (1 + np.exp(-b))
    kl = [x * np.log(x / y) + (1 - x) * np.log((1 - x) / (1 - y)) for x, y in ((s, t), (t, s))]
    assert smart.divergence(a_, b_, minitorch.sigmoid).item() == pytest.approx((kl[0] + kl[1]).sum(-1).mean(), rel=1e-4)
    assert smart.divergence(a_[:, :1], b_[:, :1], lambda z: z).item() == pytest.approx(((a - b)[:, 0] ** 2).mean(), rel=1e-4)


@pytest.mark.parametrize("unit", ["1", "deviation"])
@each_method
def test_gradients_equal_pytorchs(tmp_path, method, unit, monkeypatch):
    """The same algorithm on Hugging Face's model, with embeddings as its input."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    options = {"adversarial": method, "adversarial_radius": 0.4, "adversarial_steps": 1 if method == "fgm" else 2}
    options["adversarial_unit"] = unit
    if method != "fgm":
        options["adversarial_rate"] = 0.3
    monkeypatch.setattr(freelb, "SIZE", 0.0)
    monkeypatch.setattr(minitorch, "randn_like", lambda x: minitorch.tensor(noise(x.shape)))
    monkeypatch.setattr(smart, "NOISE", 0.01)
    job = cases.run("classify", tmp_path, **options)
    loss, ours = gradients(job)
    config = transformers.BertConfig(**job.model.config.to_dict())
    model = transformers.BertForSequenceClassification(config)
    model.load_state_dict({n: torch.tensor(v.numpy()) for n, v in job.model.state_dict().items()}, strict=False)
    model.train()
    batch = {
        n: torch.tensor(v.numpy()) for n, v in job.task.batch(job.trainer.features[:8], job.tokenizer).items() if n != "rows"
    }
    theirs = attack_in_pytorch(torch, model, batch, method, 0.4, options["adversarial_steps"], 0.3, unit)
    assert loss == pytest.approx(theirs.item(), rel=1e-5)
    theirs.backward()
    for name, p in model.named_parameters():
        if p.grad is not None:
            assert ours[name] == pytest.approx(p.grad.numpy(), rel=2e-3, abs=2e-6), name


def attack_in_pytorch(torch, model, batch, method, radius, steps, rate, unit):
    """The loss to learn from, its δs detached."""
    ids = batch.pop("input_ids")
    mask = (ids > 4)[..., None].float()
    x = model.bert.embeddings.word_embeddings(ids)
    numbers = [row[keep[:, 0] > 0].flatten() for row, keep in zip(x.detach(), mask, strict=True)]
    σ = torch.stack([n.square().mean().sqrt() for n in numbers])[:, None, None] if unit == "deviation" else 1.0

    def norm(g):
        return g.flatten(1).norm(dim=1)[:, None, None]

    def at(δ):
        return model(inputs_embeds=x + σ * δ, **batch)

    def g_of(value, δ):
        (g,) = torch.autograd.grad(value, [δ], retain_graph=True)
        return g * mask

    def ball(δ):
        return δ * (radius / norm(δ).clamp(min=1e-8)).clamp(max=1)

    δ = torch.zeros_like(x, requires_grad=True)
    clean, total = at(δ), 0.0
    if method == "fgm":
        g = g_of(clean.loss, δ)
        return (clean.loss + at((radius * g / norm(g)).detach()).loss) / 2
    if method == "smart":
        δ = (0.01 * mask * torch.tensor(noise(x.shape))).detach().requires_grad_()
    for _ in range(steps):
        out = at(δ)
        total = total + out.loss / steps
        if method == "smart":
            g = g_of(kl(torch, clean.logits.detach(), out.logits), δ)
            δ = (δ + rate * g / g.abs().amax((1, 2), keepdim=True)).clamp(-radius, radius)
        else:
            g = g_of(out.loss, δ)
            δ = ball(δ + rate * g / norm(g))
        δ = δ.detach().requires_grad_()
    if method == "freelb":
        return total
    return (clean.loss + at(δ).loss) / 2 if method == "pgd" else clean.loss + kl(torch, clean.logits, at(δ).logits)


def noise(shape):
    """The same in both libraries. (The same number everywhere would be none: LayerNorm takes the mean out.)"""
    return np.sin(np.arange(np.prod(shape), dtype=np.float32)).reshape(shape)


def kl(torch, a, b):
    """Both ways, the mean over examples."""
    p, q = torch.log_softmax(a, -1), torch.log_softmax(b, -1)
    return ((p.exp() - q.exp()) * (p - q)).sum(-1).mean()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--adversarial", "fgsm"], "no such method; did you mean fgm?"),
        (
            ["--adversarial", "pgd", "--adversarial-radius", "-1"],
            "--adversarial-radius is a length, 0 (no attack) or more, not -1",
        ),
        (["--adversarial", "pgd", "--adversarial-radius", "nan"], "--adversarial-radius is a length"),
        (["--adversarial", "pgd", "--adversarial-steps", "0"], "--adversarial-steps must be at least 1, not 0"),
        (["--adversarial", "smart", "--adversarial-rate", "0"], "--adversarial-rate, the length of a step, must be above 0"),
        (["--adversarial", "fgm", "--adversarial-steps", "3"], "--adversarial pgd takes several"),
        (["--adversarial", "fgm", "--adversarial-unit", "2"], "--adversarial-unit must be one of 1, deviation, not '2'"),
        (["--adversarial-unit", "1"], "--adversarial-unit is a setting of --adversarial METHOD, which is not given"),
        (["--adversarial-steps", "3"], "--adversarial-steps is a setting of --adversarial METHOD, which is not given"),
        (["--adversarial", "pgd", "--precision", "fp16"], "take --precision bf16"),
    ],
)
def test_mistakes_are_one_line(tmp_path, capsys, options, says):
    """Status 2, and nothing is written."""
    s = cases.settings("classify", tmp_path)
    out = tmp_path / "new"
    status = cli.main(["finetune", "classify", "--train", s.train, "--model", s.model, "--output", str(out), *options])
    error = capsys.readouterr().err
    assert (status, error.count("\n")) == (2, 1)
    assert says in error
    assert not out.exists()


def test_a_state_keeps_the_settings(tmp_path, capsys):
    """Defaults are filled in once; resuming with another radius is refused."""
    s = cases.settings("classify", tmp_path, save_every=1, adversarial="pgd")
    job = Run(s, say=lambda text: None)
    assert (job.s.adversarial_radius, job.s.adversarial_steps, job.s.adversarial_rate) == (5.0, 3, 1.5)
    cases.stop_at(job, 3)
    assert cli.main(["finetune", "--resume", "--output", s.output, "--adversarial-radius", "2"]) == 2
    assert "that run has --adversarial-radius 5.0; --resume keeps it" in capsys.readouterr().err
    assert cli.main(["finetune", "--resume", "--output", s.output]) == 0


def test_the_layer_is_found_whatever_stands_around_it():
    """A model without word embeddings has none to attack."""
    with pytest.raises(StopIteration):
        base.Words(nn.Linear(2, 2), [0])
