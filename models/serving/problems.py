"""An answer that says no: a status of HTTP, the rule and the cure. As text-embeddings-inference and as OpenAI write it.

Read next: batching.py.
"""

from __future__ import annotations

from typing import Any

# The error_type that text-embeddings-inference gives with a status (its types.rs), and OpenAI's.
TYPES = {413: "validation", 422: "tokenizer", 424: "backend", 429: "overloaded", 503: "unhealthy"}
OPENAI = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error", 503: "server_error"}


class Problem(Exception):
    """The request cannot be answered. ``retry``: seconds after which it may be."""

    def __init__(self, status: int, text: str, retry: int | None = None, code: str | None = None) -> None:
        super().__init__(text)
        self.status, self.text, self.code = status, text, code
        self.headers = {} if retry is None else {"retry-after": str(retry)}
        if status == 401:
            self.headers["www-authenticate"] = "Bearer"

    def body(self, path: str) -> dict[str, Any]:
        """JSON for the clients of this path."""
        if path.startswith("/v1/"):
            kind = OPENAI.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")
            return {"error": {"message": self.text, "type": kind, "param": None, "code": self.code}}
        return {"error": self.text, "error_type": TYPES.get(self.status, "validation" if self.status < 500 else "backend")}
