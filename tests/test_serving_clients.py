"""minitorch serve as other programs meet it: OpenAI's client, a browser, Prometheus, text-embeddings-inference's bodies."""

import base64
import http.client
import json

import numpy as np
import pytest

from models import bert, gpt
from tests import finetune_cases, gpt_cases
from tests import serving_cases as cases

for package in ("starlette", "uvicorn", "prometheus_client"):
    pytest.importorskip(package)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clients")
    return {"gpt": gpt_cases.checkpoint(folder / "gpt", eos_token_id=None), "bert": finetune_cases.checkpoint(folder / "bert")}


@pytest.fixture(scope="module")
def server(folders):
    with cases.Server(*(option for name, folder in folders.items() for option in ("--model", f"{name}={folder}"))) as server:
        yield server
    assert (server.process.returncode, server.err) == (0, "")


def written(folder, prompt, **options):
    tokenizer, model = gpt.load(folder)
    sampled = {"do_sample": True, "top_k": 0, "temperature": 1.0, "max_new_tokens": 12, **options}
    return [text.text for text in gpt.write(model, tokenizer, prompt, **sampled)]


def events(server, body):
    """The server-sent events of a completion."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request("POST", "/v1/completions", json.dumps({**body, "stream": True}), {"content-type": "application/json"})
    response = connection.getresponse()
    assert (response.status, response.headers["content-type"].split(";")[0]) == (200, "text/event-stream")
    lines = response.read().decode().split("\n\n")
    connection.close()
    assert lines[-2:] == ["data: [DONE]", ""]
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-2]]


def test_completions_are_what_generate_writes(server, folders):
    wanted = written(folders["gpt"], ["The ", "A class"], seed=5, num_return_sequences=2)
    body = {"model": "gpt", "prompt": ["The ", "A class"], "max_tokens": 12, "seed": 5, "n": 2}
    status, answer = server.post("/v1/completions", body)
    assert status == 200
    assert [choice["text"] for choice in answer["choices"]] == wanted
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2, 3]
    assert {choice["finish_reason"] for choice in answer["choices"]} == {"length"}
    assert answer["usage"] == {"prompt_tokens": 11, "completion_tokens": 48, "total_tokens": 59}
    pieces = events(server, {**body, "stream_options": {"include_usage": True}, "echo": True})
    texts, reasons = {}, {}
    for event in pieces[:-1]:
        (choice,) = event["choices"]
        texts[choice["index"]] = texts.get(choice["index"], "") + choice["text"]
        reasons[choice["index"]] = choice["finish_reason"]
    assert [texts[i] for i in range(4)] == [p + t for p, t in zip(["The "] * 2 + ["A class"] * 2, wanted, strict=True)]
    assert set(reasons.values()) == {"length"}
    assert len(pieces) > 20
    assert (pieces[-1]["choices"], pieces[-1]["usage"]) == ([], answer["usage"])


def test_temperature_0_is_greedy_and_stop_ends(server, folders):
    greedy = written(folders["gpt"], "The ", do_sample=False)[0]
    _, answer = server.post("/v1/completions", {"model": "gpt", "prompt": "The ", "max_tokens": 12, "temperature": 0})
    assert answer["choices"][0]["text"] == greedy
    stop = greedy[4:6]
    body = {"model": "gpt", "prompt": "The ", "max_tokens": 12, "temperature": 0, "stop": [stop]}
    _, answer = server.post("/v1/completions", body)
    assert (answer["choices"][0]["text"], answer["choices"][0]["finish_reason"]) == (greedy[: greedy.index(stop)], "stop")


def test_two_clients_with_one_prompt_get_two_texts(server):
    """Without a seed they are not twins, also in one batch."""
    body = {"model": "gpt", "prompt": ["The function "] * 6, "max_tokens": 30}
    _, answer = server.post("/v1/completions", body)
    assert len({choice["text"] for choice in answer["choices"]}) == 6


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({"model": "gpt", "prompt": "a", "logprobs": 3}, 400, "logprobs is not offered"),
        ({"model": "gpt", "prompt": [1, 2]}, 400, "send the text"),
        ({"model": "gpt", "prompt": "a", "temperature": "warm"}, 400, "temperature is a number"),
        ({"model": "gpt", "prompt": "a", "max_tokens": -1}, 400, "max_tokens is a whole number"),
        ({"model": "gpt", "prompt": "a", "stop": 7}, 400, "stop are a text or a list of texts, not 7"),
        ({"model": "other", "prompt": "a"}, 404, "there is no model 'other'; there are gpt, bert"),
        ({"model": "bert", "prompt": "a"}, 400, "does not complete texts"),
    ],
)
def test_openais_errors(body, status, text, server):
    found, answer = server.post("/v1/completions", body)
    assert (found, text in answer["error"]["message"]) == (status, True), answer
    assert answer["error"]["type"] == "invalid_request_error"


def test_the_openai_client(server, folders):
    openai = pytest.importorskip("openai")
    client = openai.OpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", api_key="none", max_retries=0)
    assert [model.id for model in client.models.list()] == ["gpt", "bert"]
    assert client.models.retrieve("gpt").owned_by == "minitorch"
    tokenizer, model = bert.load(folders["bert"], bert.BertModel, add_pooling_layer=False)
    wanted = bert.embed(model, tokenizer, ["a film", "the end"])
    for form in ("float", "base64", None):  # the client itself asks for base64 if it is not told
        more = {} if form is None else {"encoding_format": form}
        answer = client.embeddings.create(model="bert", input=["a film", "the end"], **more)
        first = answer.data[0].embedding
        first = np.frombuffer(base64.b64decode(first), "<f4") if isinstance(first, str) else first
        np.testing.assert_allclose(first, wanted[0], atol=1e-6)
    text = written(folders["gpt"], "The ", seed=2)[0]
    options = {"model": "gpt", "prompt": "The ", "max_tokens": 12, "seed": 2}
    answer = client.completions.create(**options)
    assert (answer.choices[0].text, answer.usage.completion_tokens) == (text, 12)
    pieces = list(client.completions.create(**options, stream=True))
    assert "".join(piece.choices[0].text for piece in pieces) == text
    assert pieces[-1].choices[0].finish_reason == "length"
    with pytest.raises(openai.NotFoundError, match="there is no model 'absent'"):
        client.embeddings.create(model="absent", input="a")
    with pytest.raises(openai.BadRequestError, match="does not embed"):
        client.embeddings.create(model="gpt", input="a")


def test_prometheus_reads_the_numbers(server):
    from prometheus_client.parser import text_string_to_metric_families

    server.post("/embed", {"inputs": ["a film", "the end"], "model": "bert"})
    families = {family.name: family for family in text_string_to_metric_families(server.get("/metrics")[1])}
    texts = {s.labels["model"]: s.value for s in families["minitorch_texts"].samples if s.name.endswith("_total")}
    assert texts["bert"] >= 2
    assert families["minitorch_batch_size"].type == "histogram"
    assert {s.labels["model"] for s in families["minitorch_model_loaded_seconds"].samples} == {"gpt", "bert"}
