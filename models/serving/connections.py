"""Connections whose clients send nothing, or a request's head letter by letter, are closed. uvicorn would wait for ever.

The body has a limit of its own (server.py), and so has a connection that is kept between two requests (uvicorn).
Read before: serve_command.py.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

LATE = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


def patient(seconds: float) -> type[asyncio.Protocol]:
    """uvicorn's protocol, with so many seconds for a request's head: from when the connection opens, or the head begins."""

    class Patient(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
        clock: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self.clock = self.loop.call_later(seconds, self.give_up)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.between() and self.clock is None:
                self.clock = self.loop.call_later(seconds, self.give_up)
            elif not self.between():
                self.stop()

        def connection_lost(self, exc: Exception | None) -> None:
            self.stop()
            super().connection_lost(exc)

        def between(self) -> bool:
            """Is no request being read or answered?"""
            return self.cycle is None or bool(self.cycle.response_complete)

        def stop(self) -> None:
            if self.clock is not None:
                self.clock.cancel()
                self.clock = None

        def give_up(self) -> None:
            self.clock = None
            if self.between() and not self.transport.is_closing():
                self.transport.write(LATE)
                self.transport.close()

    return Patient
