"""Text that appears as it is written: pieces that will not change any more.

A token is no piece of text: a character may be spread over several tokens, and what begins like a stop string may yet become one.
Read before: decoder.py. Read next: gpt/use.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence


class TextStream:
    """Tokens in, pieces of text out: ``write`` gets each as soon as it is sure. The text ends before a stop string."""

    def __init__(
        self, decode: Callable[[list[int]], str], stops: Sequence[str] = (), write: Callable[[str], None] | None = None
    ) -> None:
        self.decode, self.stops, self.write = decode, stops, write
        self.tokens: list[int] = []
        self.text = ""  # what was written
        self.stopped = False  # by a stop string

    def put(self, token: int) -> None:
        """One more token."""
        self.tokens.append(token)
        text = self.upto_stop()
        if not self.stopped:
            text = text.rstrip("\ufffd")  # bytes that are no character yet
            pending = (n for stop in self.stops for n in range(len(stop) - 1, 0, -1) if text.endswith(stop[:n]))
            text = text[: len(text) - max(pending, default=0)]
        self.show(text)

    def end(self) -> str:
        """The text is complete: what was held back comes, too."""
        self.show(self.upto_stop())
        return self.text

    def upto_stop(self) -> str:
        """All of the text, cut before the first stop string."""
        text = self.decode(self.tokens)
        found = [at for at in map(text.find, self.stops) if at >= 0]
        self.stopped = bool(found)
        return text[: min(found)] if found else text

    def show(self, text: str) -> None:
        """Write what is new."""
        new, self.text = text[len(self.text) :], max(text, self.text, key=len)
        if new and self.write is not None:
            self.write(new)
