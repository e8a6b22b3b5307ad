"""API keys: read from a file or the environment, compared in constant time, sent as "Authorization: Bearer KEY" or X-API-Key.

A key on the command line could be read by everybody on the machine (ps). Read next: app.py.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Mapping

from ..errors import BadInput, short
from ..reading import read_text

VARIABLE = "MINITORCH_API_KEYS"
LEAST = 16  # characters


class Keys:
    """The keys that may ask; none: everybody may."""

    def __init__(self, path: str = "", environment: Mapping[str, str] = os.environ) -> None:
        """path: a file with one key a line; # begins a comment. The variable has keys with commas between them."""
        lines = read_text(path).splitlines() if path else environment.get(VARIABLE, "").split(",")
        keys = [key for line in lines if (key := line.partition("#")[0].strip())]
        where = path or VARIABLE
        if path and not keys:
            raise BadInput(f"{path}: holds no key: write one on a line, such as `openssl rand -hex 24` prints")
        for key in keys:
            if len(key) < LEAST or not key.isascii() or any(c.isspace() for c in key):
                start = short(key[:4])
                raise BadInput(
                    f"{where}: the key {start}... must have {LEAST} characters or more, and no spaces, so that nobody guesses it"
                )
        self.digests = [digest(key) for key in keys]

    def __bool__(self) -> bool:
        return bool(self.digests)

    def allow(self, headers: Mapping[str, str]) -> bool:
        """Does the request bring a key? All are compared, each in the same time, whatever was sent."""
        kind, _, key = headers.get("authorization", "").partition(" ")
        given = digest(key.strip() if kind.lower() == "bearer" else headers.get("x-api-key", ""))
        found = [hmac.compare_digest(given, known) for known in self.digests]
        return not found or any(found)


def digest(key: str) -> bytes:
    """Of equal length for every key."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
