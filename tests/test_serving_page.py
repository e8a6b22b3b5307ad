"""The page of minitorch serve in a real browser."""

import pytest

from tests import serving_cases as cases
from tests.test_serving import TEXTS

for package in ("starlette", "uvicorn", "prometheus_client"):
    pytest.importorskip(package)
KEY = "a-key-of-24-characters-0"


@pytest.fixture(scope="module")
def server(browser, tmp_path_factory):
    found = cases.folders(tmp_path_factory.mktemp("page"))
    options = [option for name, folder in found.items() for option in ("--model", f"{name}={folder}")]
    with cases.Server(*options, MINITORCH_API_KEYS=KEY) as server:
        yield server


@pytest.fixture
def page(browser, server):
    """The page, open, with the key; nothing is asked of any other address, and no script fails."""
    opened, outside, errors = browser.new_page(), [], []
    here = f"http://127.0.0.1:{server.port}/"
    opened.on("request", lambda request: None if request.url.startswith((here, "data:")) else outside.append(request.url))
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.goto(here)
    opened.fill("#key", KEY)
    opened.dispatch_event("#key", "change")
    opened.wait_for_selector("#model option", state="attached")
    yield opened
    opened.close()
    assert (outside, errors) == ([], [])


def ask(page, model, text):
    """The answer that is shown."""
    page.select_option("#model", model)
    page.fill("#text", text)
    page.click("#ask")
    page.wait_for_function("!document.getElementById('ask').disabled")
    assert page.inner_text("#error") == ""
    return page.inner_text("#answer")


def test_every_kind_of_model_shows_its_answer(page):
    assert ask(page, "classify", "a good film") in ("pos", "neg")
    assert page.locator("#bars .bar").count() == 2
    assert "version" in page.inner_text("#about")
    assert page.locator("#attention span").count() == 5  # [CLS] a good film [SEP]
    page.locator("#attention span").nth(2).click()
    assert page.locator("#attention span.from").inner_text() == "good"
    assert "anna" in ask(page, "tag", TEXTS["tag"][0])
    answer = ask(page, "qa", "\n".join(TEXTS["qa"][0]))
    assert answer == TEXTS["qa"][0][1] or answer == "(no answer)"
    assert page.locator("#answer mark").inner_text() in TEXTS["qa"][0][1]
    assert ask(page, "choice", "\n".join(TEXTS["choice"][0])) in TEXTS["choice"][0][1:]
    assert len(ask(page, "mask", TEXTS["mask"][1]).split(", ")) == 2
    assert ask(page, "numbers", "good film\nbad plot").replace(".", "").lstrip("-").isdigit()
    assert ask(page, "relation", TEXTS["relation"][0]).partition("(")[0] in ("Love", "Hate", "Other")
    assert ask(page, "gpt", "The function").startswith("The function")
    assert page.is_hidden("#looks")
    ask(page, "seq2seq", "abc")


def test_live_numbers(page):
    ask(page, "classify", "a film")
    page.wait_for_function("document.getElementById('load').textContent.includes('workers compute')")


def test_a_text_is_never_a_program(page):
    """Markup in a text stays text."""
    evil = "<img src=x onerror=\"document.title='taken'\"> [MASK]"
    ask(page, "mask", evil)
    assert page.title() == "minitorch serve"
    assert page.locator("#result img").count() == 0


def test_errors_are_shown_and_the_key_is_asked_for(browser, server):
    opened = browser.new_page()
    opened.goto(f"http://127.0.0.1:{server.port}/")
    opened.wait_for_function("document.getElementById('error').textContent.includes('asks for a key')")
    opened.fill("#key", KEY)
    opened.dispatch_event("#key", "change")
    opened.wait_for_selector("#model option", state="attached")
    opened.select_option("#model", "mask")
    opened.fill("#text", "no gap")
    opened.click("#ask")
    opened.wait_for_function("document.getElementById('error').textContent.includes('write [MASK]')")
    opened.close()
