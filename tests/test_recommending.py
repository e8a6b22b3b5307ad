"""Recommenders against dense formulas, the measures against scikit-learn and by hand, the command on files."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from models import cli
from models.recommending.clicks import read_clicks
from models.recommending.measuring import first_items, only, quality
from models.recommending.recommenders import Described, Factors, Joined, Neighbours, Popularity, standard, unclicked

from .finetune_cases import checkpoint


def drawn(seed, users=7, items=9, share=0.4):
    """A sparse table of 0 and 1."""
    return csr_array((np.random.default_rng(seed).random((users, items)) < share).astype(np.float32))


@given(st.integers(0, 2**32 - 1))
def test_neighbours_are_cosines_of_columns(seed):
    clicked = drawn(seed)
    r = clicked.toarray()
    length = np.maximum(np.sqrt(r.sum(0)), 1)
    similar = (r.T @ r) / length[:, None] / length
    np.fill_diagonal(similar, 0)
    u = np.array([4, 0])
    np.testing.assert_allclose(Neighbours().fit(clicked).scores(u), (r @ similar)[u], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(Popularity().fit(clicked).scores(u), np.tile(r.sum(0), (2, 1)))


@given(st.integers(0, 2**32 - 1), st.integers(1, 12))
def test_the_measures(seed, k):
    """NDCG is scikit-learn's where all scores differ and nothing was clicked twice."""
    from sklearn.metrics import ndcg_score

    rng = np.random.default_rng(seed)
    seen, wanted = drawn(seed, share=0.2), drawn(seed + 1, share=0.3)
    wanted = only((wanted - wanted.multiply(seen)).tocsr(), np.ones(9, bool))
    scores = rng.permutation(63).reshape(7, 9).astype(float)

    class Fixed:
        def scores(self, u):
            return scores[u]

    got = quality(Fixed(), seen, wanted, k)
    want, old = wanted.toarray(), seen.toarray()
    u = [i for i in range(7) if want[i].any() and old[i].any()]
    assert got["users"] == len(u)
    if u:
        ranked = np.where(old > 0, -100, scores)
        assert got["ndcg"] == pytest.approx(np.mean([ndcg_score([want[i]], [ranked[i]], k=k) for i in u]))
        hits = [want[i][np.argsort(-ranked[i])[:k]].sum() / min(k, want[i].sum()) for i in u]
        assert got["recall"] == pytest.approx(np.mean(hits))


def test_what_a_user_clicked_is_not_recommended():
    clicked = csr_array(np.array([[1, 0, 1, 0], [0, 0, 0, 0]], np.float32))
    assert first_items(Popularity().fit(clicked), clicked, np.array([0, 1]), 2).tolist() == [[1, 3], [0, 2]]


@given(st.integers(0, 2**32 - 1))
def test_drawn_items_are_unclicked(seed):
    clicked = drawn(seed, share=0.5)
    u, i = (np.asarray(a, np.int64) for a in clicked.nonzero())
    table = clicked.toarray()
    full = table.sum(1) == 9
    j = unclicked(u, 9, np.sort(u * 9 + i), np.random.default_rng(seed), tries=200)
    assert all(table[a, b] == 0 or full[a] for a, b in zip(u, j, strict=True))


def test_factors_learn_two_groups():
    """Each user clicked five of the six items of a group; the sixth stands above all items of the other group."""
    clicked = np.kron(np.eye(2), np.ones((20, 6))).astype(np.float32)
    missing = np.arange(40) % 6 + 6 * (np.arange(40) >= 20)
    clicked[np.arange(40), missing] = 0
    scores = Factors(size=4, epochs=150, lr=0.05).fit(csr_array(clicked)).scores(np.arange(40))
    others = np.where(np.arange(12)[None] // 6 == (np.arange(40) >= 20)[:, None], -np.inf, scores)
    assert (scores[np.arange(40), missing] > others.max(1)).mean() > 0.95
    again = Factors(size=4, epochs=150, lr=0.05).fit(csr_array(clicked)).scores(np.arange(40))
    np.testing.assert_array_equal(scores, again)


def test_descriptions_know_items_that_nobody_clicked():
    clicked = csr_array(np.array([[1, 0, 0, 0], [0, 0, 1, 0]], np.float32))
    vectors = np.array([[1, 0.1], [1, 0], [0, 1], [0.1, 1]])
    best = first_items(Described(vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).fit(clicked), clicked, np.arange(2), 1)
    assert best.tolist() == [[1], [3]]
    joined = Joined(Popularity(), Described(vectors), weight=1.0).fit(clicked)
    assert (joined.scores(np.arange(2))[:, [1, 3]] == 0).all()  # cold


def test_standard_scores():
    rows = standard(np.array([[1.0, 3, 100], [2, 2, 7]]), np.array([True, True, False]))
    np.testing.assert_allclose(rows[0], [-1, 1, 98])
    assert np.isfinite(rows).all()


def write(folder, n=300):
    """Users who like one of two kinds of items, and the items' descriptions."""
    rng = np.random.default_rng(0)
    kinds = ["good film", "bad story"]
    (folder / "items.tsv").write_text("item\tdescription\n" + "".join(f"i{k}\ta {kinds[k % 2]}\n" for k in range(20)))
    rows = [
        f"u{u}\ti{2 * rng.integers(0, 10) + u % 2}\t2024-01-{1 + i * 27 // n:02d}"
        for i in range(n)
        for u in [rng.integers(0, 30)]
    ]
    (folder / "clicks.tsv").write_text("user\titem\tdate\n" + "\n".join(rows) + "\n")
    return ["recommend", "--items", str(folder / "items.tsv"), "--clicks", str(folder / "clicks.tsv"), "--epochs", "5"]


def test_the_command(tmp_path, capsys):
    """Every user has as many items as asked for, none clicked before; both kinds of table say which is best."""
    argv = [*write(tmp_path), "--model", str(checkpoint(tmp_path / "bert")), "--output", str(tmp_path / "out"), "--top", "5"]
    assert cli.main(argv) == 0
    assert "descriptions" in capsys.readouterr().out
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert list(report["methods"])[:4] == ["popularity", "neighbours", "factors", "descriptions"]
    assert report["methods"]["descriptions"]["all"]["ndcg"] > report["methods"]["popularity"]["all"]["ndcg"]
    clicks = read_clicks(argv[2], argv[4])
    known = {(clicks.users[u], clicks.items[i]) for u, i in zip(clicks.user, clicks.item, strict=True)}
    lines = [json.loads(line) for line in (tmp_path / "out" / "recommendations.jsonl").read_text().splitlines()]
    assert len(lines) == len(clicks.users)
    assert all(len(line["items"]) == 5 for line in lines)
    assert not any((line["user"], item) in known for line in lines for item in line["items"])
    assert (tmp_path / "out" / "report.png").stat().st_size > 1000
    assert cli.main(argv) == 2
    assert "holds a run already" in capsys.readouterr().err


def test_clicks_are_in_the_order_of_time_and_counted_once(tmp_path):
    write(tmp_path)
    (tmp_path / "clicks.tsv").write_text("user,item,time\nb,i1,2024-05-02\na,i0,2024-05-01T10:00\nb,i1,2024-04-01\n")
    clicks = read_clicks(str(tmp_path / "items.tsv"), str(tmp_path / "clicks.tsv"))
    assert [(clicks.users[u], clicks.items[i]) for u, i in zip(clicks.user, clicks.item, strict=True)] == [
        ("b", "i1"),
        ("a", "i0"),
    ]


@pytest.mark.parametrize(
    ("items", "clicks", "options", "says"),
    [
        ("item\tdescription\na\tb\na\tc\n", None, [], "items.tsv:3: the item 'a' stands there twice"),
        ("item\tdescription\na\t\n", None, [], 'items.tsv:2: the text in "description" is empty'),
        (None, "user\titem\nu\tnone\n", [], "clicks.tsv:2: "),
        (None, "user\titem\nu\t\n", [], 'clicks.tsv:2: "item" is empty'),
        (None, "user\titem\ttime\nu\ti1\tsoon\n", [], "clicks.tsv:2: 'soon' is no time"),
        (None, "user\titem\nu\ti1\n", [], "nothing can be judged"),
        (None, None, ["--top", "0"], "--top must be from 1 to 1000"),
        (None, None, ["--items", "x.tsv", "--model", "x"], "x: no such folder"),
        (None, None, ["--resume"], "the same command starts again"),
    ],
)
def test_a_slip_is_one_line(tmp_path, capsys, items, clicks, options, says):
    argv = write(tmp_path)
    for name, text in (("items", items), ("clicks", clicks)):
        if text is not None:
            (tmp_path / f"{name}.tsv").write_text(text)
    assert cli.main([*argv, "--model", "none", "--output", str(tmp_path / "out"), *options]) == 2
    err = capsys.readouterr().err
    assert says in err
    assert sum("error" in line for line in err.splitlines()) == 1
    assert not (tmp_path / "out" / "report.json").exists()
