"""Text that appears as it is written: pieces that will not change any more.

A token is no piece of text: a character may be spread over several tokens, and what begins like a stop string may yet become one.
Read before: decoder.py. Read next: gpt/use.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

LONG = 64  # tokens that are decoded again and again


class TextStream:
    """Tokens in, pieces of text out: ``write`` gets each as soon as it is sure. The text ends before a stop string."""

    def __init__(
        self, decode: Callable[[list[int]], str], stops: Sequence[str] = (), write: Callable[[str], None] | None = None
    ) -> None:
        self.decode, self.stops, self.write = decode, stops, write
        self.text = ""  # what was written
        self.tail: list[int] = []  # the latest tokens; what stood before them is written and done with
        self.shown = 0  # characters of their text that are written
        self.stopped = False  # by a stop string

    def put(self, token: int) -> None:
        """One more token."""
        self.tail.append(token)
        text = sure = self.upto_stop()
        if not self.stopped:
            sure = text.rstrip("\ufffd")  # bytes that are no character yet
            lengths = ((stop, n) for stop in self.stops for n in range(min(len(stop) - 1, len(sure)), 0, -1))
            sure = sure[: len(sure) - max((n for stop, n in lengths if sure.endswith(stop[:n])), default=0)]
        self.show(sure)
        if sure == text and not self.stopped and len(self.tail) >= LONG:
            self.tail, self.shown = [], 0

    def end(self) -> str:
        """The text is complete: what was held back comes, too."""
        self.show(self.upto_stop())
        return self.text

    def upto_stop(self) -> str:
        """The text of the tail, cut before the first stop string."""
        text = self.decode(self.tail)
        found = [at for at in map(text.find, self.stops) if at >= 0]
        self.stopped = bool(found)
        return text[: min(found)] if found else text

    def show(self, text: str) -> None:
        """Write what is new."""
        new, self.shown = text[self.shown :], max(self.shown, len(text))
        self.text += new
        if new and self.write is not None:
            self.write(new)
