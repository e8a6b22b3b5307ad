"""The pages of lessons/browser in a real browser: the graph that is stepped through, and the network that learns."""

from __future__ import annotations

import functools
import re

import pytest

import minitorch
from lessons.browser import building

pytestmark = pytest.mark.slow
PAGE = building.HERE / "graph.html"


@pytest.fixture
def page(browser):
    """The page of the graph, opened as a file; nothing else is asked for, and no script fails."""
    opened, asked, errors = browser.new_page(), [], []
    opened.on("request", lambda request: asked.append(request.url))
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.goto(PAGE.as_uri())
    yield opened
    opened.close()
    assert errors == []
    assert [url for url in asked if not url.startswith(PAGE.parent.as_uri())] == []


def type_in(page, text):
    page.fill("#expression", text)
    assert page.inner_text("#slip") == ""


def numbers_on(page, kind):
    """The numbers of the picture: "gradient" of the boxes, "label" of the edges."""
    return [text.replace("−", "-") for text in page.locator(f"#picture .{kind}").all_text_contents()]


def as_written(x):
    return f"{float(f'{x:.4g}'):g}"


def test_the_backward_pass_step_by_step(page):
    """One neuron, the numbers of lesson 1; what stands there at the end is minitorch's."""
    type_in(page, "tanh(w * x + b)")
    assert numbers_on(page, "gradient") == []
    assert sorted(numbers_on(page, "label")) == ["slope 0.5", "slope 0.6347", "slope 1", "slope 1", "slope 2"]
    page.click("#step")
    assert numbers_on(page, "gradient") == ["grad 1"]
    page.click("#step")
    assert page.locator("#picture .now .symbol").text_content() == "▶ tanh"
    assert "1 × 0.6347= 0.6347" in numbers_on(page, "label")
    page.click("#all")
    w, x, b = (minitorch.tensor(v, dtype=minitorch.float64, requires_grad=True) for v in (0.5, 2.0, -0.3))
    minitorch.tanh(w * x + b).backward()
    told = ", ".join(f"d result/d {name} = {as_written(v.grad.item())}" for name, v in (("w", w), ("x", x), ("b", b)))
    assert page.locator("#log li").last.inner_text() == f"Done: {told}."
    assert page.is_disabled("#step")
    page.click("#back")
    page.click("#again")
    assert numbers_on(page, "gradient") == []


def test_contributions_add_up(page):
    """A number used twice: first a part, then the whole."""
    type_in(page, "b = a + a\nc = b * a")
    page.fill("#variables input", "3")
    page.click("#step")
    page.click("#step")
    assert "grad so far 6" in numbers_on(page, "gradient")
    page.click("#step")
    assert "grad 12" in numbers_on(page, "gradient")
    assert "which has 9 already: together 12" in page.locator("#log").inner_text()
    page.fill("#variables input", "")
    assert "a needs a number" in page.inner_text("#slip")
    page.fill("#variables input", "-1")
    assert page.inner_text("#slip") == ""
    assert "grad -4" in numbers_on(page, "gradient")  # the pass stays where it is


def test_what_is_typed_is_text(page):
    """A slip is explained, the picture goes pale; markup stays text."""
    page.fill("#expression", "<img src=x onerror=\"document.title='taken'\">")
    assert "means nothing here" in page.inner_text("#slip")
    assert "stale" in page.get_attribute("#picture", "class")
    assert page.is_disabled("#step")
    type_in(page, "log(0 - 1) * x")
    assert "no finite number" in page.inner_text("#log")
    type_in(page, "größe * 2")
    assert "größe" in page.locator("#picture").text_content()
    assert page.title() == "A backward pass, step by step"
    assert page.locator("img").count() == 0


@pytest.mark.parametrize(
    "text",
    [
        "tanh(w * x + b)",
        "a + a",
        "a * b + a / b - a ** b",
        "h = x + tanh(w * x)\ng = h * h + exp(h)\ng / (h + x) + x",
        "5",
        "x",
    ],
)
def test_no_box_and_no_label_hides_another(page, text):
    """Boxes apart from each other, labels apart from each other and from the boxes, and all inside the picture."""
    type_in(page, text)
    page.click("#all")
    assert page.locator("#picture .box").count() > 0
    places = "s => [...document.querySelectorAll(s)].map(e => e.getBBox()).map(b => [b.x, b.y, b.width, b.height])"
    boxes, labels = page.evaluate(places, "#picture .box"), page.evaluate(places, "#picture .label")

    def apart(p, q):
        return p[0] + p[2] <= q[0] + 1 or q[0] + q[2] <= p[0] + 1 or p[1] + p[3] <= q[1] + 1 or q[1] + q[3] <= p[1] + 1

    marks = boxes + labels
    assert [(p, q) for i, p in enumerate(marks) for q in marks[:i] if not apart(p, q)] == []
    width, height = page.evaluate("[shown.plan.width, shown.plan.height]")
    assert all(p[0] >= 0 and p[1] >= 0 and p[0] + p[2] <= width and p[1] + p[3] <= height for p in marks)


def test_the_network_learns_what_minitorch_learns(page):
    """The same points and start: twenty steps of the page are twenty steps of minitorch."""
    points, start = page.evaluate("[training.points, training.values]")
    page.select_option("#rate", "0.05")
    for _ in range(20):
        page.click("#once")
    got, costs = page.evaluate("[training.values, training.costs]")
    data = minitorch.tensor(points, dtype=minitorch.float64)
    parameters = minitorch.tensor(start, dtype=minitorch.float64)
    for expected in costs[:-1]:
        parameters = parameters.detach().requires_grad_()
        table = parameters[:-1].reshape(-1, 4)
        hidden = minitorch.tanh(data[:, :2] @ table[:, :2].T + table[:, 2])  # (80, 8)
        cost = ((hidden @ table[:, 3] + parameters[-1] - data[:, 2]) ** 2).mean()
        assert cost.item() == pytest.approx(expected, rel=1e-9)
        cost.backward()
        parameters = parameters - 0.05 * parameters.grad
    assert parameters.tolist() == pytest.approx(got, rel=1e-8, abs=1e-10)


def test_the_network_learns_before_ones_eyes(page):
    report = functools.partial(page.inner_text, "#report")
    first = report()
    assert re.match(r"Step 0: cost \d", first)
    assert page.inner_text("#train") == "Train"
    page.click("#train")
    page.wait_for_function("training.right === 80", timeout=60_000)
    page.click("#train")
    assert page.inner_text("#train") == "Train"
    page.select_option("#neurons", "16")
    assert page.evaluate("training.values.length") == 65
    page.fill("#seed", "7")
    page.dispatch_event("#seed", "change")
    other = report()
    page.click("#restart")
    assert report() == other  # the seed decides
    page.select_option("#rate", "3")
    page.click("#train")
    page.wait_for_function("!training.running", timeout=60_000)
    assert "learning rate is too large" in report()
