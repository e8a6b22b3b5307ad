"""What all routes share: which model is meant, what a request may be, waiting for the answer, loading models again.

Read before: batching.py, folders.py. Read next: app.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import math
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from ..errors import BadInput, count, listing, quoted, short
from ..reading import parse_json
from .answerers import Answerer, Asked, Prompt
from .batching import Batcher
from .folders import Served, load, share, stamp
from .log import Log
from .metrics import Metrics
from .problems import Problem

DRAINED = 64 << 20  # of a body that is too large: what is read and thrown away, so that the client hears why
SHORT = 1000  # characters, which a tokenizer reads in 0.2 ms
FORMS = (("question", "context"), ("text", "text_pair"), ("text", "choices"))  # of an input that is an object


@dataclass
class Limits:
    """What one request may ask for."""

    body: int = 2 << 20  # bytes
    texts: int = 256
    tokens: int = 1 << 16
    seconds: float = 30.0  # for the body to come, and for the answer


class Server:
    """The models, the queue, and the rules."""

    def __init__(
        self, models: dict[str, Served], batcher: Batcher, limits: Limits, metrics: Metrics, log: Log, device: str = "cpu"
    ):
        self.models, self.batcher, self.limits, self.metrics, self.log = models, batcher, limits, metrics, log
        self.device = device
        self.readers = ThreadPoolExecutor(2, "reader")  # texts to ids, so that a long one does not hold up the others
        self.loading = asyncio.Lock()
        self.tell: Callable[[], None] | None = None  # other processes of a reload
        self.latest: deque[tuple[float, float]] = deque(maxlen=1000)  # (when, seconds) of answers
        for served in models.values():
            metrics.model(served)

    # -------------------------------------------------------------------------------------------- reading a request

    async def body(self, request: Request) -> dict[str, Any]:
        """The JSON object of a request."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":  # so that a foreign page in a browser cannot ask without CORS
            raise Problem(415, "the body is JSON: send it with the header Content-Type: application/json")
        try:
            async with asyncio.timeout(self.limits.seconds):
                data = await self.bytes(request)
        except TimeoutError:
            raise Problem(408, f"the body did not come within {self.limits.seconds:g} s") from None
        try:
            body = parse_json(data.decode("utf-8-sig"))
        except UnicodeDecodeError as error:
            raise Problem(400, f"the body is not UTF-8 ({error.reason} at byte {error.start})") from None
        except ValueError as error:
            raise Problem(400, f"the body is not JSON: {error}") from None
        if not isinstance(body, dict):
            raise Problem(400, f'the body is a JSON object, as {{"inputs": "a text"}}, not {quoted(body, 40)}')
        return body

    async def bytes(self, request: Request) -> bytes:
        """The body, if it is not too large."""
        most, parts, size = self.limits.body, [], 0
        announced = request.headers.get("content-length", "0")
        too_large = int(announced) > most if announced.isdigit() else False
        if not (too_large and "expect" in request.headers):
            async for part in request.stream():
                size += len(part)
                too_large = too_large or size > most
                if not too_large:
                    parts.append(part)
                elif size > DRAINED:
                    break
        if too_large:
            raise Problem(413, f"the body has more than {most:,} bytes: send fewer texts at a time (--max-body raises the limit)")
        return b"".join(parts)

    def find(self, name: Any, able: Callable[[Served], bool], what: str) -> Served:
        """The model of this name, or the only one that is able to do what is asked for."""
        able_ones = [served for served in self.models.values() if able(served)]
        if name in (None, ""):
            if len(able_ones) == 1:
                return able_ones[0]
            if not able_ones:
                raise Problem(424, f"none of the models that are served here can {what}")
            names = listing(s.name for s in able_ones)
            raise Problem(422, f'there are {len(able_ones)} models that {what}; name one as "model": {names}')
        served = self.models.get(name) if isinstance(name, str) else None
        if served is None:
            raise Problem(404, f"there is no model {quoted(name, 60)}; there are {listing(self.models)}", code="model_not_found")
        if not able(served):
            raise Problem(424, f"{served.name} is a model of the kind {served.kind}, which does not {what}")
        return served

    def texts(self, inputs: Any, answerer: Answerer, empty: bool = False) -> tuple[list[Any], bool]:
        """The inputs as a list, and whether there was one alone. ``empty``: may a text be?

        A list is a batch, or, for a model that reads pairs, a pair; [[...], [...]] is a batch for all.
        """
        if isinstance(inputs, dict) or (answerer.parts and is_texts(inputs)):
            inputs, alone = [inputs], True
        else:
            inputs, alone = ([inputs], True) if isinstance(inputs, str) else (inputs, False)
        if not isinstance(inputs, list) or not inputs:
            raise Problem(422, f"inputs are a text or a list of texts, not {quoted(inputs, 40)}")
        if len(inputs) > self.limits.texts:
            raise Problem(413, f"{count(len(inputs), 'text')}, and a request may have {self.limits.texts}: send several requests")
        texts = [from_object(item) if isinstance(item, dict) else item for item in inputs]
        for i, item in enumerate(texts, 1):
            if not isinstance(item, str) and not (is_texts(item) and item):
                raise Problem(422, f"input {i} is a text or a list of texts that belong together, not {quoted(item, 40)}")
            for text in [item] if isinstance(item, str) else item:
                if not text.strip() and not empty:
                    raise Problem(422, f"input {i} is empty: give a text of at least one letter")
                if any("\ud800" <= c <= "\udfff" for c in text):
                    raise Problem(422, f"input {i} holds half of a surrogate pair, which is no character")
        return texts, alone

    # ---------------------------------------------------------------------------------------- waiting for the answer

    async def read(self, answerer: Answerer, texts: list[Any], options: dict[str, Any], truncate: Any = None) -> Asked:
        """The rows of the texts. ``truncate`` False: a text that is too long is refused, where else its end is left out."""
        try:
            asked = await self.aside(answerer.read, texts, options, size=characters(texts))
            if truncate is False:
                for i, text in enumerate(texts, 1):
                    if (n := await self.aside(answerer.pieces, text)) > answerer.longest:
                        raise Problem(
                            413,
                            f"input {i} has {n} tokens, and the model reads {answerer.longest}: shorten it, or allow truncate",
                        )
        except (ValueError, TypeError) as error:
            raise Problem(422, short(error, 600)) from None
        if (n := sum(map(answerer.size, asked.features))) > self.limits.tokens:
            raise Problem(413, f"the request has {n:,} tokens, and may have {self.limits.tokens:,}: send fewer or shorter texts")
        return asked

    async def ask(
        self,
        request: Request,
        served: Served,
        texts: list[Any],
        options: dict[str, Any],
        truncate: Any = None,
        embed: bool = False,
    ) -> tuple[Asked, list[Any]]:
        """What was read, and one record per text."""
        started = time.monotonic()
        answerer = served.embeds if embed and served.embeds is not None else served.answers
        asked = await self.read(answerer, texts, options, truncate)
        return asked, await self.answer(request, served, answerer, asked, started)

    async def answer(self, request: Request, served: Served, answerer: Answerer, asked: Asked, started: float) -> list[Any]:
        """One record per text."""
        rows = await self.wait(request, self.submit(answerer, asked).future)
        records = await self.aside(answerer.answers, asked, rows, size=characters(asked.texts))
        self.done(served, asked, records, time.monotonic() - started)
        return records

    def submit(self, answerer: Answerer, asked: Asked) -> Any:
        """Into the queue; what is written stops when nobody waits for it any more."""
        request = self.batcher.submit(answerer, asked.features)
        for feature in asked.features:
            if isinstance(feature, Prompt):
                feature.wanted = lambda: not request.future.done()
        return request

    def done(self, served: Served, asked: Asked, records: list[Any], seconds: float) -> None:
        """Count and log."""
        self.latest.append((time.time(), seconds))
        self.metrics.answered(served, asked.lengths, seconds)
        self.log.write(served, asked, records, seconds)

    async def wait(self, request: Request, future: asyncio.Future[Any]) -> Any:
        """The future's result, unless the client leaves or the time is over; then nobody computes it any more."""
        gone = asyncio.ensure_future(disconnected(request))
        try:
            await asyncio.wait({future, gone}, timeout=self.limits.seconds, return_when=asyncio.FIRST_COMPLETED)
            if future.done():
                return future.result()
            if gone.done():
                raise Problem(499, "the client has gone")
            raise Problem(503, f"no answer within {self.limits.seconds:g} s: the server is busy", self.batcher.seconds())
        except ValueError as error:  # of the model, as weights that give NaN
            raise Problem(424, str(error)) from None
        finally:
            future.cancel()
            gone.cancel()

    async def aside(self, function: Callable[..., Any], *arguments: Any, size: float = math.inf) -> Any:
        """Call in a thread of the readers; at once what is so short that waking a thread takes longer."""
        if size <= SHORT:
            return function(*arguments)
        return await asyncio.get_running_loop().run_in_executor(self.readers, functools.partial(function, *arguments))

    # ------------------------------------------------------------------------------------------------ loading again

    async def reload(self, names: Sequence[str]) -> list[Served]:
        """Read these models' folders again. The old ones answer meanwhile, and go on if that fails."""
        async with self.loading:
            for name in names:
                old = self.models[name]
                try:
                    new = await asyncio.to_thread(load, name, old.folder, self.device, old.base)
                except BadInput as error:
                    raise Problem(409, f"{name} cannot be loaded, and version {old.version} goes on: {error}") from None
                self.models[name] = new  # what waits in the queue keeps the old one
                await asyncio.to_thread(share, list(self.models.values()))
                self.metrics.model(new, old)
        return [self.models[name] for name in names]

    async def watch(self, every: float) -> None:
        """Load a model again when its folder has changed, and then has not for one more look: it may still be being written."""
        seen = {name: served.stamp for name, served in self.models.items()}
        while True:
            await asyncio.sleep(every)
            for name, served in list(self.models.items()):
                with contextlib.suppress(OSError):
                    now = await asyncio.to_thread(stamp, served.folder)
                    if now and now == seen[name] != served.stamp and now != served.refused:
                        try:
                            (new,) = await self.reload([name])
                            print(f"{name}: version {new.version} instead of {served.version}", flush=True)
                        except Problem as problem:
                            served.refused = now
                            print(f"minitorch serve: {problem}", file=sys.stderr, flush=True)
                    seen[name] = now


def characters(texts: Sequence[Any]) -> int:
    """Of all texts together."""
    return sum(len(text) if isinstance(text, str) else sum(map(len, text)) for text in texts)


def is_texts(value: Any) -> bool:
    """A list of texts?"""
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def from_object(item: dict[str, Any]) -> list[str]:
    """{"question", "context"}, {"text", "text_pair"} or {"text", "choices"} as the list of its texts."""
    for first, second in FORMS:
        if item.keys() == {first, second}:
            rest = item[second]
            return [item[first], *rest] if isinstance(rest, list) else [item[first], rest]
    if item.keys() == {"text"}:
        return [item["text"]]
    raise Problem(422, f"an input has the fields {listing(item, 4)}; known are question, context; text, text_pair; text, choices")


async def disconnected(request: Request) -> None:
    """Return when the client has closed the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
