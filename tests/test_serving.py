"""minitorch serve: every kind of folder answers over HTTP as its command does, whatever it is batched with."""

import concurrent.futures
import json
import signal

import numpy as np
import pytest

from models import bert, finetuning, gpt, prompting, seq2seq
from models.serving import folders
from tests import serving_cases as cases

for package in ("starlette", "uvicorn", "prometheus_client"):
    pytest.importorskip(package)

ALPHABET = " ".join("abcdefghijklmnopqrstuvwxyz")  # nothing twice: equal spans would be a tie
LONG = " ".join(["the film was very good and we saw it"] * 30)
TEXTS = {
    "classify": ["a good film", "bad", LONG, "the plot of a story we saw, and it was ugly"],
    "tag": ["anna went to new rome .", "we saw carla", LONG],
    "qa": [["who went ?", "it was anna went to rome ."], ["where ?", ALPHABET + " bert went to paris ."]],
    "choice": [["it was", "good film", "bad plot"], ["it was", "a", "good", "the end of story"]],
    "relation": ["the <e1>anna</e1> good <e2>bert</e2> .", "a film <e2>carla</e2> bad and <e1>bert</e1> the end ."],
    "numbers": [["good film", "bad plot"], ["a", "the story of the end we saw"]],
    "cloze": ["a film to see", "the end of a very ugly story"],
    "mask": ["a [MASK] film", "[MASK] was very [MASK] and the story had an end"],
    "gpt": ["The function", "A class of "],
    "seq2seq": ["abc", "fedcba", "ij"],
}
TEXTS["int8"] = TEXTS["lora"] = TEXTS["prefix"] = TEXTS["classify"]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return cases.folders(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module")
def server(models):
    options = [option for name, folder in models.items() for option in ("--model", f"{name}={folder}")]
    with cases.Server(*options, "--batch-tokens", "512", "--max-body", "0.5", "--max-tokens", "8192") as server:
        yield server
    assert server.process.returncode == 0
    assert server.err == ""


def expected(kind, folder, texts):
    """What the command answers."""
    if kind == "mask":
        tokenizer, model = bert.load(folder)
        return [[list(map(list, row)) for row in bert.fill_mask(model, tokenizer, text)] for text in texts]
    if kind == "gpt":
        tokenizer, model = gpt.load(folder)
        options = {"max_new_tokens": 6, "do_sample": True, "temperature": 0.8, "seed": 3}
        return [{k: v for k, v in vars(t).items() if v is not None} for t in gpt.write(model, tokenizer, texts, **options)]
    if kind == "seq2seq":
        return seq2seq.load(folder)(texts)
    if kind == "cloze":
        return prompting.load(folder)(texts)
    return finetuning.load(folder)([tuple(text) if isinstance(text, list) else text for text in texts])


def close(a, b):
    """Equal but for the last digits of numbers: batches sum in another order."""
    if isinstance(a, float) or isinstance(b, float):
        return a == pytest.approx(b, abs=2e-4)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(close(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(close, a, b))
    return a == b


@pytest.mark.parametrize("kind", TEXTS)
def test_answers_are_the_commands(kind, server, models):
    """Alone, together, and in a crowd of other requests."""
    texts, options = TEXTS[kind], {"parameters": {"max_new_tokens": 6, "seed": 3}} if kind == "gpt" else {}
    wanted = expected(kind, models[kind], texts)
    if kind == "qa":
        for i, record in enumerate(wanted):
            record["id"] = str(i + 1)
    status, answer = server.post("/answer", {"model": kind, "inputs": texts, **options})
    assert (status, answer["model"], answer["kind"] in (kind, "classify")) == (200, kind, True)
    assert close(answer["answers"], wanted)
    chosen = np.random.default_rng(0).integers(len(texts), size=24).tolist()

    def one(i):
        return server.post("/answer", {"model": kind, "inputs": [texts[i]], **options})[1]["answers"][0]

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for i, found in zip(chosen, pool.map(one, chosen), strict=True):
            assert close({**found, "id": 0} if kind == "qa" else found, {**wanted[i], "id": 0} if kind == "qa" else wanted[i])


def test_vectors_are_embeds(server, models):
    """Also of OpenAI's route, as numbers and as bytes; unnormalised they point the same way."""
    tokenizer, model = bert.load(models["mask"], bert.BertModel, add_pooling_layer=False)
    texts = ["a film", LONG, "good"]
    wanted = bert.embed(model, tokenizer, texts)
    status, vectors = server.post("/models/mask/embed", {"inputs": texts})
    assert status == 200
    np.testing.assert_allclose(vectors, wanted, atol=1e-6)
    _, plain = server.post("/embed", {"inputs": texts, "normalize": False, "model": "mask"})
    lengths = np.linalg.norm(plain, axis=1, keepdims=True)
    assert not np.allclose(lengths, 1)
    np.testing.assert_allclose(plain / lengths, wanted, atol=1e-6)
    _, answer = server.post("/v1/embeddings", {"input": texts, "model": "mask"})
    np.testing.assert_allclose([item["embedding"] for item in answer["data"]], wanted, atol=1e-6)
    assert answer["usage"]["prompt_tokens"] == 4 + 64 + 3


def test_the_shapes_of_text_embeddings_inference(server):
    """One text gives one list of labels, a batch one each; a list is a pair for a model of pairs."""
    _, one = server.post("/predict", {"inputs": "a good film", "model": "classify"})
    assert [sorted(item) for item in one] == [["label", "score"]] * 2
    assert one[0]["score"] >= one[1]["score"]
    _, several = server.post("/predict", {"inputs": [["a good film"], ["bad"]], "model": "classify"})
    assert several[0] == one
    _, pair = server.post("/predict", {"inputs": ["good film", "bad plot"], "model": "numbers"})
    assert [item["label"] for item in pair] == ["score"]
    _, ranked = server.post("/models/numbers/rerank", {"query": "good", "texts": ["film", "bad plot"], "return_text": True})
    assert sorted(item["index"] for item in ranked) == [0, 1]
    assert ranked[0]["score"] >= ranked[1]["score"]
    _, cosines = server.post("/models/mask/rerank", {"query": "good film", "texts": ["bad plot", "good film"]})
    assert (cosines[0]["index"], round(cosines[0]["score"], 5)) == (1, 1)
    _, tokens = server.post("/tokenize", {"inputs": "a film", "model": "classify"})
    assert [t["text"] for t in tokens[0]] == ["[CLS]", "a", "film", "[SEP]"]
    assert (tokens[0][2]["start"], tokens[0][2]["stop"], tokens[0][0]["special"]) == (2, 6, True)
    _, text = server.get("/info")
    info = json.loads(text)
    assert info["model_type"]["classifier"]["id2label"] == {"0": "neg", "1": "pos"}
    assert {model["name"] for model in info["models"]} == set(TEXTS)


def test_every_answer_names_its_model_and_version(server):
    status, headers, _ = server.request(
        "POST", "/predict", b'{"inputs": "good", "model": "lora"}', {"content-type": "application/json"}
    )
    assert (status, headers["x-model"], len(headers["x-model-version"])) == (200, "lora", 12)


def test_adapters_on_one_base_share_its_weights(models):
    """In memory the base is there once; the answers stay what they were."""
    served = [folders.load(name, models[name]) for name in ("lora", "prefix", "mask")]
    before = [s.answers.rows(s.answers.read(["a good [MASK] film"], {}).features) for s in served]
    base = sum(p.nbytes for p in served[2].answers.model.parameters() if p.nbytes >= 1 << 12)
    assert folders.share(served) >= 2 * base * 0.5
    assert folders.share(served) == 0
    after = [s.answers.rows(s.answers.read(["a good [MASK] film"], {}).features) for s in served]
    for a, b in zip(before[:2], after[:2], strict=True):
        np.testing.assert_array_equal(a, b)
    assert before[2] == after[2]


def test_attention_of_a_text(server):
    """Of each layer a table whose rows sum to 1."""
    for model in ("classify", "prefix", "mask"):
        _, answer = server.post("/answer", {"model": model, "inputs": ["a good [MASK] film"], "explain": True})
        looks = answer["attention"][0]
        assert looks["tokens"][:2] == ["[CLS]", "a"]
        assert np.shape(looks["layers"]) == (2, len(looks["tokens"]), len(looks["tokens"]))
        if model != "prefix":  # whose trained keys get a share, too
            np.testing.assert_allclose(np.sum(looks["layers"], -1), 1, atol=1e-2)


@pytest.mark.parametrize(
    ("path", "body", "status", "text"),
    [
        ("/predict", {"model": "classify"}, 422, 'the field "inputs" is missing'),
        ("/predict", {"model": "classify", "inputs": ""}, 422, "input 1 is empty"),
        ("/predict", {"model": "classify", "inputs": ["good", " "]}, 422, "input 2 is empty"),
        ("/predict", {"model": "classify", "inputs": []}, 422, "a text or a list of texts"),
        ("/predict", {"model": "classify", "inputs": 7}, 422, "a text or a list of texts"),
        ("/predict", {"model": "classify", "inputs": [7]}, 422, "input 1 is a text"),
        ("/predict", {"model": "classify", "inputs": [["a", "b"]]}, 422, "takes one text"),
        ("/predict", {"model": "numbers", "inputs": "a film"}, 422, "two texts"),
        ("/predict", {"model": "classify", "inputs": "\ud800"}, 422, "surrogate"),
        ("/predict", {"model": "classify", "inputs": "\u200b"}, 422, "the text is empty"),
        ("/predict", {"model": "classify", "inputs": LONG, "truncate": False}, 413, "has 272 tokens, and the model reads 32"),
        ("/predict", {"model": "classify", "inputs": ["a"] * 257}, 413, "257 texts, and a request may have 256"),
        ("/predict", {"model": "tag", "inputs": "a " * 10000}, 413, "and may have 8,192"),
        ("/predict", {"model": "clasify", "inputs": "a"}, 404, "there is no model 'clasify'; there are classify, tag"),
        ("/predict", {"inputs": "a"}, 422, "models that predict labels; name one"),
        ("/predict", {"model": "gpt", "inputs": "a"}, 424, "does not predict labels"),
        ("/embed", {"model": "qa", "inputs": "a"}, 424, "does not embed texts"),
        ("/rerank", {"model": "mask", "query": "a"}, 422, '"texts" is missing'),
        ("/answer", {"model": "mask", "inputs": "no mask"}, 422, "write [MASK] where a word is to be guessed"),
        ("/answer", {"model": "mask", "inputs": "[MASK] " * 80}, 422, "has 82 tokens, and the model reads 64"),
        ("/answer", {"model": "classify", "inputs": "a", "parameters": {"top_k": 2}}, 422, "has no option 'top_k'"),
        ("/answer", {"model": "gpt", "inputs": "a", "parameters": {"temperature": -1}}, 422, "temperature is a number from 0"),
        ("/answer", {"model": "gpt", "inputs": "a", "parameters": {"max_new_tokens": 10**6}}, 413, "may have 8,192"),
        ("/answer", {"model": "qa", "inputs": {"question": "who ?", "text": "a"}}, 422, "known are question, context"),
        ("/nothing", {}, 404, "there is no '/nothing' here; /docs lists the routes"),
        ("/info", {}, 405, "/info does not take POST"),
        ("/predict", b"{", 400, "the body is not JSON"),
        ("/predict", b"\xff\xfe", 400, "the body is not UTF-8"),
        ("/predict", b"[1]", 400, "the body is a JSON object"),
        ("/predict", b"[" * 100_000, 400, "nested too deep"),
        ("/predict", b'{"inputs": NaN}', 400, "is no number of JSON"),
        ("/predict", b"x" * (10 << 20), 413, "the body has more than 524,288 bytes"),
    ],
)
def test_a_request_that_cannot_be_answered_says_why(path, body, status, text, server):
    found, answer = server.post(path, body)
    assert (found, text in answer["error"]) == (status, True), answer
    assert answer["error_type"]


def test_the_body_is_json_by_its_header(server):
    """Or a foreign web page could ask without the browser's asking first."""
    status, _, answer = server.request("POST", "/predict", b'{"inputs": "a"}', {"content-type": "text/plain"})
    assert (status, b"application/json" in answer) == (415, True)


def test_about_the_server(server):
    assert server.post("/predict", {"inputs": "a good film", "model": "classify"})[0] == 200
    assert server.post("/predict", {"inputs": "", "model": "classify"})[0] == 422
    for path, text in [("/health", ""), ("/ready", ""), ("/docs", "POST /rerank"), ("/", "minitorch serve"), ("/stats", "p99")]:
        status, page = server.get(path)
        assert (status, text in page) == (200, True)
    _, metrics = server.get("/metrics")
    assert 'minitorch_texts_total{model="classify"}' in metrics
    assert 'minitorch_requests_total{route="/predict",status="422"}' in metrics
    document = json.loads(server.get("/openapi.json")[1])
    for path, methods in document["paths"].items():
        method = next(iter(methods)).upper()
        assert server.request(method, path, b"x")[0] != 404, path


def test_sigterm_answers_what_was_accepted(models):
    """Requests on their way get their answers, and the status is 0."""
    with (
        cases.Server("--model", f"c={models['classify']}", "--workers", "1", "--batch-tokens", "64", "--queue", "4096") as server,
        concurrent.futures.ThreadPoolExecutor(4) as pool,
    ):
        waiting = [pool.submit(server.post, "/predict", {"inputs": [LONG] * 256}) for _ in range(4)]

        def queued():  # texts, without those of a request that is half computed: readers or worker, either may be faster
            done = sum(each.done() for each in waiting)
            return 256 * done + json.loads(server.get("/stats")[1])["waiting"]

        while queued() < 600:
            assert not all(each.done() for each in waiting)
        server.process.send_signal(signal.SIGTERM)
        found = [each.result() for each in waiting]
    assert server.process.returncode == 0
    assert [(status, len(answer)) for status, answer in found] == [(200, 256)] * 4
