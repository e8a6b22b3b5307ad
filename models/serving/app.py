"""The routes, under the names of text-embeddings-inference (huggingface/text-embeddings-inference, docs/openapi.json).

    POST /predict     {"inputs": "a text"} -> [{"label", "score"}, ...]        POST /embed      -> [[0.1, ...]]
    POST /rerank      {"query", "texts"} -> [{"index", "score"}, ...]          POST /tokenize   -> [[{"id", "text", ...}]]
    POST /answer      every kind of model: the records that the commands print with --json
    GET  /info /health /ready /metrics /stats /drift /docs /openapi.json /     POST /admin/reload

Several models: a field "model" in the body, as OpenAI's clients send it, or the address /models/NAME/embed, for clients that know
nothing but a base address. Every answer names its model and version in headers.
Read before: server.py. Read next: openai_routes.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

import minitorch

from ..bert.use import floats
from ..errors import quoted
from . import drift, openai_routes, openapi
from .folders import Served
from .keys import Keys
from .problems import Problem
from .server import Server

OPEN = ("/", "/health", "/ready", "/docs", "/openapi.json")  # without a key: nothing of a model is in them
Handler = Callable[[Request, Server], Awaitable[Response]]


def make_app(server: Server, keys: Keys, cors: str = "", reload_every: float = 0.0) -> Starlette:
    """The ASGI application."""

    @contextlib.asynccontextmanager
    async def life(app: Starlette) -> AsyncIterator[None]:
        server.batcher.start()
        tasks = [asyncio.ensure_future(server.watch(reload_every))] if reload_every else []
        with contextlib.suppress(NotImplementedError, RuntimeError, AttributeError):  # Windows; not in the main thread
            asyncio.get_running_loop().add_signal_handler(
                signal.SIGHUP, lambda: tasks.append(asyncio.ensure_future(hang_up(server)))
            )
        yield
        for task in tasks:
            task.cancel()
        server.batcher.close()

    table = [
        ("POST", "/predict", predict),
        ("POST", "/embed", embed),
        ("POST", "/rerank", rerank),
        ("POST", "/tokenize", tokenize),
    ]
    table += [("POST", "/answer", answer), ("POST", "/admin/reload", reload), ("POST", "/", by_kind)]
    table += [("GET", "/info", info), ("GET", "/health", health), ("GET", "/ready", ready), ("GET", "/metrics", metrics)]
    table += [("GET", "/stats", stats), ("GET", "/drift", drifted), *openai_routes.TABLE]
    table += [("GET", "/", page), ("GET", "/docs", docs), ("GET", "/openapi.json", described)]
    routes = [Route(path, bound(handler, server), methods=[method]) for method, path, handler in table]
    middleware = [Middleware(Gate, server=server, keys=keys, paths={path for _, path, _ in table})]
    if cors:
        headers = ["authorization", "content-type", "x-api-key"]
        middleware.insert(
            0, Middleware(CORSMiddleware, allow_origins=cors.split(","), allow_methods=["GET", "POST"], allow_headers=headers)
        )
    handlers: Any = {Problem: refuse, HTTPException: refuse_path, ClientDisconnect: nobody, Exception: broken}
    return Starlette(routes=routes, middleware=middleware, exception_handlers=handlers, lifespan=life)


def bound(handler: Handler, server: Server) -> Callable[[Request], Awaitable[Response]]:
    """The handler as Starlette calls it."""

    async def call(request: Request) -> Response:
        return await handler(request, server)

    return call


async def hang_up(server: Server) -> None:
    """SIGHUP: load all models again."""
    for name in server.models:
        try:
            await server.reload([name])
        except Problem as problem:
            print(f"minitorch serve: {problem}", file=sys.stderr, flush=True)


class Gate:
    """Before the routes: the key, /models/NAME in front of a path, and a count of every response."""

    def __init__(self, app: Any, server: Server, keys: Keys, paths: set[str]) -> None:
        self.app, self.server, self.keys, self.paths = app, server, keys, paths

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.monotonic(), 0
        if scope["path"].startswith("/models/"):
            _, _, name, *rest = scope["path"].split("/")
            scope = {**scope, "path": "/" + "/".join(rest), "model": name}

        async def counted(message: Any) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        path = scope["path"] if scope["path"] in self.paths else "other"
        try:
            request = Request(scope)
            if path in OPEN or self.keys.allow(request.headers):
                await self.app(scope, receive, counted)
            else:
                text = "this server asks for a key: send it as the header Authorization: Bearer KEY"
                await refuse(request, Problem(401, text, code="invalid_api_key"))(scope, receive, counted)
        finally:
            self.server.metrics.requests.labels(path, str(status or 500)).inc()
            self.server.metrics.request_seconds.labels(path).observe(time.monotonic() - started)


# ------------------------------------------------------------------------------------------------------ answering


async def asked_of(request: Request, server: Server, able: Callable[[Served], bool], what: str) -> tuple[dict[str, Any], Served]:
    """The body, and the model that it is for."""
    body = await server.body(request)
    return body, server.find(request.scope.get("model") or body.get("model"), able, what)


def reply(served: Served, content: Any) -> JSONResponse:
    """JSON that says which model and version gave it."""
    return JSONResponse(content, headers={"x-model": served.name, "x-model-version": served.version})


def inputs_of(body: dict[str, Any], name: str = "inputs") -> Any:
    """The field with the texts."""
    if name not in body:
        raise Problem(422, f'the field "{name}" is missing: {{"{name}": "a text"}}')
    return body[name]


def flag(body: dict[str, Any], name: str, usual: bool) -> bool:
    """A field that is true or false."""
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise Problem(422, f'"{name}" is true or false, not {quoted(value, 40)}')
    return usual if value is None else value


async def predict(request: Request, server: Server) -> Response:
    """Of each text the labels with their scores, the best first; where answers are no labels, their records."""
    body, served = await asked_of(request, server, lambda s: s.kind not in ("embedding", "gpt"), "predict labels")
    texts, alone = server.texts(inputs_of(body), served.answers)
    if flag(body, "raw_scores", False):
        raise Problem(422, "raw_scores are not offered: scores are probabilities, or numbers as they were learnt")
    _, records = await server.ask(request, served, texts, parameters(body), flag(body, "truncate", True))
    scores = [scored(record) for record in records]
    return reply(served, scores[0] if alone else scores)


def scored(record: Any) -> Any:
    """text-embeddings-inference's form of an answer that consists of labels; others as they are."""
    p = record.get("probabilities") if isinstance(record, dict) else None
    if isinstance(p, list):
        p = {str(i): x for i, x in enumerate(p)}
    if isinstance(p, dict):
        return sorted(({"label": label, "score": x} for label, x in p.items()), key=lambda item: -item["score"])
    if isinstance(record, dict) and isinstance(record.get("prediction"), float):
        return [{"label": "score", "score": record["prediction"]}]
    return record


def parameters(body: dict[str, Any]) -> dict[str, Any]:
    """Options of the answer, as Hugging Face's clients send them."""
    options = body.get("parameters") or {}
    if not isinstance(options, dict):
        raise Problem(422, f'"parameters" are an object of options, not {quoted(options, 40)}')
    return options


async def embed(request: Request, server: Server) -> Response:
    """Of each text a vector."""
    body, served = await asked_of(request, server, lambda s: s.embeds is not None, "embed texts")
    assert served.embeds is not None
    texts, _ = server.texts(inputs_of(body), served.embeds)
    options = {"normalize": flag(body, "normalize", True)}
    _, vectors = await server.ask(request, served, texts, options, flag(body, "truncate", True), embed=True)
    return reply(served, [floats(vector) for vector in vectors])


async def rerank(request: Request, server: Server) -> Response:
    """Texts by how well they fit a query: by a model that scores pairs, or by the cosine of their vectors."""
    body, served = await asked_of(request, server, ranks, "rank texts")
    query, texts = inputs_of(body, "query"), inputs_of(body, "texts")
    if not isinstance(query, str) or not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise Problem(422, '"query" is a text and "texts" is a list of texts')
    cut = flag(body, "truncate", True)
    if served.embeds is not None:
        both, _ = server.texts([query, *texts], served.embeds)
        _, vectors = await server.ask(request, served, both, {}, cut, embed=True)
        scores = [float(vectors[0] @ vector) for vector in vectors[1:]]
    else:
        pairs, _ = server.texts([[query, text] for text in texts], served.answers)
        _, records = await server.ask(request, served, pairs, {}, cut)
        raw = flag(body, "raw_scores", False)
        scores = [record["prediction"] if raw else float(1 / (1 + np.exp(-record["prediction"]))) for record in records]
    ranked = sorted(range(len(texts)), key=lambda i: -scores[i])
    with_text = flag(body, "return_text", False)
    return reply(served, [{"index": i, "score": scores[i], **({"text": texts[i]} if with_text else {})} for i in ranked])


def ranks(served: Served) -> bool:
    """Vectors have a cosine; a pair may have a number."""
    return served.embeds is not None or (served.answers.parts and getattr(served.answers, "task", None) is not None
                                         and getattr(served.answers.task, "targets", "") == "numbers")  # type: ignore[attr-defined]  # fmt: skip


async def tokenize(request: Request, server: Server) -> Response:
    """The pieces of each text, with the characters that they stand for."""
    body, served = await asked_of(request, server, lambda s: hasattr(s.answers.tokenizer, "backend"), "tokenize")
    texts, _ = server.texts(inputs_of(body), served.answers)
    special = flag(body, "add_special_tokens", True)
    backend = served.answers.tokenizer.backend
    encodings = await server.aside(backend.encode_batch, [t if isinstance(t, str) else tuple(t) for t in texts], False, special)
    return reply(served, [[token(e, i) for i in range(len(e.ids))] for e in encodings])


def token(encoding: Any, i: int) -> dict[str, Any]:
    """One piece, as text-embeddings-inference describes it."""
    special = bool(encoding.special_tokens_mask[i])
    start, stop = (None, None) if special else encoding.offsets[i]
    return {"id": encoding.ids[i], "text": encoding.tokens[i], "special": special, "start": start, "stop": stop}


async def answer(request: Request, server: Server) -> Response:
    """Of each text the record that the model's command prints with --json. "explain": also how the tokens attend."""
    body, served = await asked_of(request, server, lambda s: True, "answer")
    texts, _ = server.texts(inputs_of(body), served.answers, empty=served.kind == "gpt")
    started = time.monotonic()
    asked, records = await server.ask(request, served, texts, parameters(body), flag(body, "truncate", True))
    if served.kind == "embedding":
        records = [floats(vector) for vector in records]
    content = {"model": served.name, "version": served.version, "kind": served.kind, "answers": records}
    content["milliseconds"] = round(1000 * (time.monotonic() - started), 2)
    if flag(body, "explain", False) and hasattr(served.answers, "attention"):
        first = [next(f for f in asked.features if f.example == i) for i in range(len(texts))][:4]
        content["attention"] = [await server.aside(served.answers.attention, feature) for feature in first]
    return reply(served, content)


async def by_kind(request: Request, server: Server) -> Response:
    """POST /: what the only model does, as Hugging Face's clients ask."""
    only = next(iter(server.models.values()))
    return await (embed if len(server.models) == 1 and only.kind == "embedding" else predict)(request, server)


# -------------------------------------------------------------------------------------------------- about the server


async def info(request: Request, server: Server) -> Response:
    """The first model, or the one of the address, with text-embeddings-inference's fields; and a list of all."""
    name = request.scope.get("model")
    served = server.find(name, lambda s: True, "answer") if name else next(iter(server.models.values()))
    limits = {
        "max_concurrent_requests": server.batcher.longest,
        "max_batch_tokens": server.batcher.batch_tokens or served.answers.batch_tokens,
        "max_client_batch_size": server.limits.texts, "auto_truncate": True, "max_batch_requests": None,
        "tokenization_workers": 2, "version": minitorch.__version__, "sha": None, "docker_label": None,
    }  # fmt: skip
    return reply(served, {**facts(served), **limits, "models": [facts(each) for each in server.models.values()]})


def facts(served: Served) -> dict[str, Any]:
    """A model in text-embeddings-inference's words, and its name, kind and version."""
    ids = {str(i): label for i, label in enumerate(served.labels)}
    kind: dict[str, Any] = {"classifier": {"id2label": ids, "label2id": {label: int(i) for i, label in ids.items()}}}
    if not ids:
        kind = {served.kind: {"pooling": "mean"} if served.kind == "embedding" else {}}
    own = {"name": served.name, "kind": served.kind, "loaded": round(served.loaded, 3), "pair": served.answers.parts}
    own |= {"parameters": sum(p.numel() for p in served.answers.model.parameters()), "embeds": served.embeds is not None}
    return {
        "model_id": served.name, "model_sha": served.version, "model_dtype": "float32", "model_type": kind,
        "max_input_length": served.answers.longest, **own,
    }  # fmt: skip


async def health(request: Request, server: Server) -> Response:
    """Is the process alive, with all its workers?"""
    if not all(thread.is_alive() for thread in server.batcher.threads):
        raise Problem(503, "a worker has ended: start the server again")
    return Response(status_code=200)


async def ready(request: Request, server: Server) -> Response:
    """May requests come? Not while the queue is full."""
    if len(server.batcher.waiting) >= server.batcher.longest:
        raise Problem(503, "the queue is full", server.batcher.seconds())
    return await health(request, server)


async def metrics(request: Request, server: Server) -> Response:
    """For Prometheus."""
    content, kind = server.metrics.page(server.batcher)
    return Response(content, headers={"content-type": kind})


async def stats(request: Request, server: Server) -> Response:
    """Latency and load of the last minute, for the page."""
    now = time.time()
    seconds = sorted(s for when, s in list(server.latest) if when > now - 60)
    at = {f"p{q}": round(1000 * seconds[min(len(seconds) - 1, q * len(seconds) // 100)], 2) for q in (50, 99) if seconds}
    load = {"waiting": len(server.batcher.waiting), "busy": server.batcher.busy, "workers": len(server.batcher.threads)}
    return JSONResponse({"requests": len(seconds), "milliseconds": at, **load})


async def drifted(request: Request, server: Server) -> Response:
    """The latest answers of each model next to those that it was tested on."""
    found = {}
    for name, served in list(server.models.items()):
        lines = list(server.log.latest.get(name, ()))
        found[name] = await server.aside(drift.of_model, served, lines) if lines else None
    return JSONResponse(found)


async def reload(request: Request, server: Server) -> Response:
    """Load models again: all, or the one that the body names."""
    body = await server.body(request)
    name = request.scope.get("model") or body.get("model")
    names = [server.find(name, lambda s: True, "answer").name] if name else list(server.models)
    before = {n: server.models[n].version for n in names}
    loaded = await server.reload(names)
    if server.tell is not None:
        server.tell()
    return JSONResponse([{"model": s.name, "version": s.version, "before": before[s.name]} for s in loaded])


async def page(request: Request, server: Server) -> Response:
    """The page to try it out."""
    return HTMLResponse((Path(__file__).parent / "page.html").read_text(encoding="utf-8"))


async def docs(request: Request, server: Server) -> Response:
    """The routes as a page."""
    return HTMLResponse(openapi.as_page())


async def described(request: Request, server: Server) -> Response:
    """The routes as OpenAPI."""
    return JSONResponse(openapi.document())


# ------------------------------------------------------------------------------------------------------------ errors


def refuse(request: Request, problem: Any) -> Response:
    """The problem as JSON."""
    path = request.url.path
    status = 400 if path.startswith("/v1/") and problem.status in (422, 424) else problem.status  # as OpenAI answers
    return JSONResponse(problem.body(path), status, headers=problem.headers)


def refuse_path(request: Request, error: Any) -> Response:
    """No such route, or not with this method."""
    path = request.scope["path"]
    if error.status_code == 405:
        return refuse(request, Problem(405, f"{path} does not take {request.method}; see /docs"))
    return refuse(request, Problem(error.status_code, f"there is no {quoted(path, 60)} here; /docs lists the routes"))


def nobody(request: Request, error: Any) -> Response:
    """The client has gone while it sent its body: nobody hears this."""
    return Response(status_code=499)


def broken(request: Request, error: Any) -> Response:
    """A fault of the server; the log of the process has its traceback."""
    return refuse(request, Problem(500, f"{type(error).__name__} in the server; its error output says more"))
