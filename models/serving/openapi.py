"""The routes as an OpenAPI document, and as a page that needs no network. Read before: app.py."""

from __future__ import annotations

import html
import json
from typing import Any

import minitorch

MODEL = {"model": "which model, where there are several"}
CUT = {"truncate": "false: refuse a text that is too long, where else its end is left out"}
KEYS = {"type": "http", "scheme": "bearer"}
ERRORS = {
    400: "no JSON, or no UTF-8", 401: "no key, or a wrong one", 404: "no such model", 408: "the body came too slowly",
    413: "too large: body, number of texts, tokens", 415: "not application/json", 422: "a field that cannot be used",
    424: "this model does not do that", 429: "the queue is full: Retry-After says when to come again", 503: "no answer in time",
}  # fmt: skip
TEXTS = "a text or a list of texts"
# path: (method, what it does, {field of the body: what it is}, an example of the body, an example of the answer)
ROUTES: dict[str, tuple[str, str, dict[str, str], Any, Any]] = {
    "/predict": (
        "post", "Labels with scores, the best first; tags, spans and texts as their records",
        {"inputs": "a text, a pair, or a list of them", "parameters": "options of models that write", **CUT, **MODEL},
        {"inputs": "a fine film"}, [{"label": "pos", "score": 0.98}, {"label": "neg", "score": 0.02}],
    ),
    "/answer": (
        "post", "The records that the model's command prints with --json, for every kind of model",
        {"inputs": TEXTS, "parameters": "options: top_k of a masked LM; max_new_tokens, temperature, ... of models that write",
         "explain": "true: how the tokens attend to each other, too", **CUT, **MODEL},
        {"inputs": ["a fine film"]}, {"model": "reviews", "version": "0123456789ab", "answers": [{"prediction": "pos"}]},
    ),
    "/embed": (
        "post", "A vector of each text", {"inputs": TEXTS, "normalize": "true: of length 1", **CUT, **MODEL},
        {"inputs": "a text"}, [[0.1, -0.2]],
    ),
    "/rerank": (
        "post", "Texts by how well they fit a query",
        {"query": "a text", "texts": "a list of texts", "raw_scores": "true: no sigmoid", "return_text": "true: texts, too",
         **CUT, **MODEL},
        {"query": "q", "texts": ["a", "b"]}, [{"index": 1, "score": 0.9}, {"index": 0, "score": 0.1}],
    ),
    "/tokenize": (
        "post", "The pieces of each text", {"inputs": TEXTS, "add_special_tokens": "true", **MODEL},
        {"inputs": "a text"}, [[{"id": 7, "text": "a", "special": False, "start": 0, "stop": 1}]],
    ),
    "/v1/embeddings": (
        "post", "OpenAI's embeddings", {"input": TEXTS, "encoding_format": "float or base64", **MODEL},
        {"model": "minilm", "input": "a text"}, {"object": "list", "data": [{"index": 0, "embedding": [0.1]}]},
    ),
    "/v1/completions": (
        "post", "OpenAI's completions, of a GPT",
        {"prompt": TEXTS, "max_tokens": "16", "temperature": "1", "top_p": "1", "n": "1", "stop": TEXTS, "seed": "a whole number",
         "stream": "true: piece by piece", **MODEL},
        {"model": "gpt", "prompt": "Once", "stream": True}, {"choices": [{"index": 0, "text": " upon"}]},
    ),
    "/v1/models": ("get", "The models as OpenAI lists them", {}, None, {"object": "list", "data": [{"id": "reviews"}]}),
    "/info": ("get", "The models and the limits", {}, None, {"model_id": "reviews", "models": []}),
    "/health": ("get", "200 if the process is alive", {}, None, None),
    "/ready": ("get", "200 if requests may come", {}, None, None),
    "/metrics": ("get", "Numbers for Prometheus", {}, None, "minitorch_requests_total 1.0"),
    "/stats": ("get", "Latency and load of the last minute", {}, None, {"requests": 3, "milliseconds": {"p50": 8.0, "p99": 12}}),
    "/drift": ("get", "The latest answers next to those of the test", {}, None, {"reviews": None}),
    "/admin/reload": (
        "post", "Load models again from their folders", dict(MODEL), {}, [{"model": "reviews", "version": "0123456789ab"}],
    ),
}  # fmt: skip
STYLE = """body { font: 15px/1.5 sans-serif; max-width: 50em; margin: 2em auto; padding: 0 1em }
pre { background: #f4f4f4; padding: .5em; overflow: auto }"""


def document() -> dict[str, Any]:
    """OpenAPI 3.1."""
    paths: dict[str, Any] = {}
    for path, (method, text, fields, body, answer) in ROUTES.items():
        operation: dict[str, Any] = {"summary": text, "operationId": path.strip("/").replace("/", "_"), "responses": {}}
        example = {"content": {"application/json": {"example": answer}}} if answer is not None else {}
        operation["responses"]["200"] = {"description": "the answer", **example}
        if method == "post":
            properties = {name: {"description": meaning} for name, meaning in fields.items()}
            schema = {"type": "object", "properties": properties}
            operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema, "example": body}}}
            operation["responses"] |= {str(status): {"description": meaning} for status, meaning in ERRORS.items()}
        paths[path] = {method: operation}
    about = {"title": "minitorch serve", "version": minitorch.__version__}
    return {"openapi": "3.1.0", "info": about, "paths": paths, "components": {"securitySchemes": {"key": KEYS}}}


def as_page() -> str:
    """The same for people."""
    parts = []
    for path, (method, text, fields, body, answer) in ROUTES.items():
        rows = "".join(f"<tr><td><code>{name}</code><td>{html.escape(meaning)}" for name, meaning in fields.items())
        parts.append(f"<h2><code>{method.upper()} {path}</code></h2><p>{html.escape(text)}<table>{rows}</table>")
        if body is not None:
            parts.append(f"<pre>curl -H 'Content-Type: application/json' -d '{html.escape(json.dumps(body))}' HOST{path}</pre>")
        if answer is not None:
            parts.append(f"<pre>{html.escape(json.dumps(answer))}</pre>")
    errors = "".join(f"<tr><td>{status}<td>{html.escape(meaning)}" for status, meaning in ERRORS.items())
    head = f"<!doctype html><html lang=en><meta charset=utf-8><title>minitorch serve: routes</title><style>{STYLE}</style>"
    more = "<p>As <a href=openapi.json>OpenAPI</a>; <a href=.>try it out</a>. With keys: <code>Authorization: Bearer KEY</code>."
    return f"{head}<h1>Routes</h1>{more}{''.join(parts)}<h2>Errors</h2><table>{errors}</table></html>"
