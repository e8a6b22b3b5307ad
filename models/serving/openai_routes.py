"""OpenAI's routes: /v1/embeddings, /v1/completions (also token by token, as server-sent events), /v1/models.

Fields and their defaults are those of https://github.com/openai/openai-python (src/openai/types/completion_create_params.py);
top_k, min_p and repetition_penalty are taken, too. What this server cannot do is refused, not ignored.
Read before: server.py, models/gpt/use.py.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from ..bert.use import floats
from ..errors import quoted
from .answerers import Asked
from .folders import Served
from .problems import Problem
from .server import Server

NOT_HERE = {"suffix": None, "logprobs": None, "logit_bias": None, "best_of": None, "presence_penalty": 0, "frequency_penalty": 0}
TAKEN = {  # OpenAI's field -> (Hugging Face's option, OpenAI's default)
    "max_tokens": ("max_new_tokens", 16), "temperature": ("temperature", 1.0), "top_p": ("top_p", 1.0),
    "n": ("num_return_sequences", 1), "stop": ("stop_strings", None), "seed": ("seed", None), "top_k": ("top_k", 0),
    "min_p": ("min_p", None), "repetition_penalty": ("repetition_penalty", 1.0),
}  # fmt: skip


def reply(served: Served, content: dict[str, Any]) -> JSONResponse:
    """JSON with the model and its version in headers."""
    return JSONResponse(content, headers=named(served))


def named(served: Served) -> dict[str, str]:
    """The headers of every answer."""
    return {"x-model": served.name, "x-model-version": served.version}


def model_of(served: Served) -> dict[str, Any]:
    """As OpenAI lists a model."""
    return {
        "id": served.name,
        "object": "model",
        "created": int(served.loaded),
        "owned_by": "minitorch",
        "version": served.version,
    }


async def models(request: Request, server: Server) -> Response:
    """All models."""
    return JSONResponse({"object": "list", "data": [model_of(served) for served in server.models.values()]})


async def model(request: Request, server: Server) -> Response:
    """One."""
    return JSONResponse(model_of(server.find(request.path_params["name"], lambda s: True, "answer")))


async def embeddings(request: Request, server: Server) -> Response:
    """Vectors of texts, as numbers or as base64 of float32."""
    body = await server.body(request)
    served = server.find(request.scope.get("model") or body.get("model"), lambda s: s.embeds is not None, "embed texts")
    assert served.embeds is not None
    form = body.get("encoding_format") or "float"
    if form not in ("float", "base64"):
        raise Problem(422, f'encoding_format is "float" or "base64", not {quoted(form, 40)}')
    inputs = body.get("input")
    if isinstance(inputs, list) and inputs and not isinstance(inputs[0], str):
        raise Problem(422, "input is a text or a list of texts; numbers of tokens are those of another tokenizer: send the text")
    texts, _ = server.texts(inputs, served.embeds)
    size = served.embeds.model.config.hidden_size
    if body.get("dimensions") not in (None, size):
        raise Problem(422, f"dimensions is {quoted(body['dimensions'], 40)}, and this model's vectors have {size}: leave it out")
    asked, vectors = await server.ask(request, served, texts, {}, embed=True)
    data = [{"object": "embedding", "index": i, "embedding": encoded(vector, form)} for i, vector in enumerate(vectors)]
    n = sum(asked.lengths)
    usage = {"prompt_tokens": n, "total_tokens": n}
    return reply(served, {"object": "list", "data": data, "model": served.name, "version": served.version, "usage": usage})


def encoded(vector: Any, form: str) -> Any:
    """The numbers, or their bytes as text."""
    if form == "base64":
        return base64.b64encode(vector.astype("<f4").tobytes()).decode()
    return floats(vector)


async def completions(request: Request, server: Server) -> Response:
    """What follows a prompt, or each of several."""
    body = await server.body(request)
    served = server.find(request.scope.get("model") or body.get("model"), lambda s: s.kind == "gpt", "complete texts")
    for name, neutral in NOT_HERE.items():
        if body.get(name) not in (None, neutral, {}) and not (name == "best_of" and body[name] == body.get("n", 1)):
            raise Problem(422, f"{name} is not offered by this server: leave it out")
    options = {option: usual if body.get(name) is None else body[name] for name, (option, usual) in TAKEN.items()}
    inputs = "" if body.get("prompt") is None else body["prompt"]
    if isinstance(inputs, list) and inputs and not isinstance(inputs[0], str):
        raise Problem(422, "prompt is a text or a list of texts; numbers of tokens are those of another tokenizer: send the text")
    texts, _ = server.texts(inputs, served.answers, empty=True)
    head = {"id": f"cmpl-{uuid.uuid4().hex}", "object": "text_completion", "created": int(time.time())}
    head |= {"model": served.name, "system_fingerprint": served.version}
    echo = [text if body.get("echo") else "" for text in texts]
    asked = await read(server, served, texts, options)
    if body.get("stream"):
        usage = bool((body.get("stream_options") or {}).get("include_usage"))
        stream = streamed(server, served, asked, head, echo, usage)
        return StreamingResponse(stream, media_type="text/event-stream", headers={**named(served), "cache-control": "no-cache"})
    records = await server.answer(request, served, served.answers, asked, time.monotonic())
    rows = [record if isinstance(record, list) else [record] for record in records]
    written = [(echo[i] + r["text"], r["end"]) for i, row in enumerate(rows) for r in row]
    choices = [choice(i, text, end) for i, (text, end) in enumerate(written)]
    return reply(served, {**head, "choices": choices, "usage": usage_of(asked, [len(r["tokens"]) for row in rows for r in row])})


async def read(server: Server, served: Served, texts: list[Any], options: dict[str, Any]) -> Asked:
    """The prompts; a fault of an option is told under the name that the client knows."""
    try:
        return await server.read(served.answers, texts, options)
    except Problem as problem:
        for name, (option, _) in TAKEN.items():
            problem.text = problem.text.replace(option, name)
        raise


def choice(index: int, text: str, end: str | None) -> dict[str, Any]:
    """One text, or a piece of it; ``end``: why it is complete."""
    reason = None if end is None else "length" if end == "length" else "stop"
    return {"index": index, "text": text, "logprobs": None, "finish_reason": reason}


def usage_of(asked: Asked, written: list[int]) -> dict[str, int]:
    """Tokens read and written."""
    n, m = sum(asked.lengths), sum(written)
    return {"prompt_tokens": n, "completion_tokens": m, "total_tokens": n + m}


def streamed(server: Server, served: Served, asked: Asked, head: dict[str, Any], echo: list[str], with_usage: bool) -> Any:
    """Each piece as it is written. A client that leaves ends the generator, and with it the writing."""
    started, k = time.monotonic(), asked.options.get("num_return_sequences", 1)
    pieces: asyncio.Queue[tuple[int, str] | None] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def hear(number: int, piece: str | None) -> None:
        if piece:
            server.batcher.call(loop, pieces.put_nowait, (number, piece))

    for i, feature in enumerate(asked.features):
        feature.hears = lambda j, piece, i=i: hear(i * k + j, piece)
    request = server.submit(served.answers, asked)
    request.future.add_done_callback(lambda _: pieces.put_nowait(None))

    async def events() -> AsyncIterator[str]:
        try:
            for number, text in enumerate(text for text in echo for _ in range(k)):
                if text:
                    yield event({**head, "choices": [choice(number, text, None)]})
            while (item := await asyncio.wait_for(pieces.get(), server.limits.seconds)) is not None:
                yield event({**head, "choices": [choice(*item, None)]})
            texts = [text for row in request.future.result() for text in row]
            server.done(served, asked, [{} for _ in asked.texts], time.monotonic() - started)
            for number, text in enumerate(texts):
                yield event({**head, "choices": [choice(number, "", text.end)]})
            if with_usage:
                yield event({**head, "choices": [], "usage": usage_of(asked, [len(text.tokens) for text in texts])})
            yield "data: [DONE]\n\n"
        except (TimeoutError, ValueError) as error:
            text = str(error) or f"nothing was written for {server.limits.seconds:g} s: the server is busy"
            yield event(Problem(503, text).body("/v1/completions"))
        finally:
            request.future.cancel()

    return events()


def event(content: dict[str, Any]) -> str:
    """A server-sent event."""
    return f"data: {json.dumps(content, ensure_ascii=False)}\n\n"


TABLE: list[Any] = [
    ("GET", "/v1/models", models),
    ("GET", "/v1/models/{name}", model),
    ("POST", "/v1/embeddings", embeddings),
    ("POST", "/v1/completions", completions),
]
