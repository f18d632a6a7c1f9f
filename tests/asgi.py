"""Asking an ASGI application without a server, a socket or another package."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote


class Answer(NamedTuple):
    """What an application answered."""

    status: int
    """The status code."""
    headers: dict[str, str]
    """By names in lower case."""
    text: str
    """The body."""


def ask(
    app: Any, target: str, headers: Mapping[str, str] | None = None, *, method: str = "GET", root_path: str = "",
    client: str = "127.0.0.1",
) -> Answer:  # fmt: skip
    """Ask ``app`` for ``target``: a path with its query."""
    path, _, query = target.partition("?")
    given = {"host": "localhost", **(headers or {})}
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": unquote(path), "raw_path": path.encode(), "query_string": query.encode(), "root_path": root_path,
        "headers": [(name.lower().encode(), value.encode()) for name, value in given.items()],
        "client": (client, 1), "server": ("127.0.0.1", 80),
    }  # fmt: skip
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    start = next(message for message in sent if message["type"] == "http.response.start")
    body = b"".join(message.get("body", b"") for message in sent if message["type"] == "http.response.body")
    return Answer(
        start["status"], {name.decode(): value.decode() for name, value in start["headers"]}, body.decode("utf-8")
    )
