"""A provider of language models on this machine: OpenAI's protocol, and every way to fail, on demand."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, NamedTuple, Self

LONGEST_HANG: Final = 30.0
"""Seconds after which a request that hangs is answered after all, so that no test waits for ever."""


class Refusal(NamedTuple):
    """An answer that is an error: its status, the provider's code and type, and headers."""

    status: int
    code: str | None
    type: str
    headers: dict[str, str] = {}  # noqa: RUF012 - read only


REFUSALS: Final = {
    "rate_limit": Refusal(429, "rate_limit_exceeded", "requests", {"retry-after": "7"}),
    "quota": Refusal(429, "insufficient_quota", "insufficient_quota"),
    "unauthorized": Refusal(401, "invalid_api_key", "invalid_request_error"),
    "forbidden": Refusal(403, None, "permission_error"),
    "not_found": Refusal(404, "model_not_found", "invalid_request_error"),
    "gone": Refusal(410, None, "invalid_request_error"),
    "server_error": Refusal(500, None, "server_error"),
    "unavailable": Refusal(503, None, "server_error"),
    "overloaded": Refusal(529, None, "overloaded_error"),
    "bad_request": Refusal(400, "invalid_value", "invalid_request_error"),
    "unprocessable": Refusal(422, None, "invalid_request_error"),
    "too_long": Refusal(400, "context_length_exceeded", "invalid_request_error"),
    "filtered": Refusal(400, "content_filter", "invalid_request_error"),
}
"""What the server says instead of an answer."""

BEHAVIOURS: Final = frozenset({*REFUSALS, "good", "empty", "filter", "hang", "reset", "cut", "break", "event"})
"""What a model can do. ``filter``: an empty answer whose finish_reason says so. ``hang``: no answer. ``reset``: the
connection is reset without one. Of a stream: ``cut`` ends it early as if it were complete, ``break`` resets the
connection, and ``event`` sends an error in the middle; otherwise these are a ``server_error``."""


class Provider:
    """A server of models, each of which does what :attr:`behaviours` says, or answers well. A context manager."""

    def __init__(self, **behaviours: str) -> None:
        """Start at a free port."""
        self.behaviours = behaviours
        """What each model does, of :data:`BEHAVIOURS`; can be changed at any time."""
        self.answers: dict[str, str] = {}
        """What each model says; by default its own name."""
        self.requests: list[dict[str, Any]] = []
        """The body of every request, in order."""
        self.is_closing = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.provider = self
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        """What clients call ``base_url``."""
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        """Return this provider."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, and end all requests that hang."""
        self.is_closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def asked(self) -> list[str]:
        """Return the models that were asked, in order."""
        return [request["model"] for request in self.requests]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # more than a few at once
    provider: Provider

    def handle_error(self, *_: object) -> None:
        """Say nothing about clients that have left."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        provider = self.server.provider
        provider.requests.append(body)
        model = body["model"]
        behaviour = provider.behaviours.get(model, "good")
        assert behaviour in BEHAVIOURS, behaviour
        if behaviour == "hang":
            provider.is_closing.wait(LONGEST_HANG)
        if behaviour == "reset":
            self._reset()
        elif behaviour in REFUSALS:
            self._refuse(REFUSALS[behaviour])
        elif body.get("stream"):
            self._stream(body, behaviour)
        elif behaviour in {"cut", "break", "event"}:
            self._refuse(REFUSALS["server_error"])
        else:
            self._answer(body, behaviour)

    def do_GET(self) -> None:
        self._send(200, {"object": "list", "data": []})

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _text(self, model: str, behaviour: str) -> str:
        return "" if behaviour in {"empty", "filter"} else self.server.provider.answers.get(model, model)

    def _answer(self, body: dict[str, Any], behaviour: str) -> None:
        model = body["model"]
        message = {"role": "assistant", "content": self._text(model, behaviour)}
        choice = {"index": 0, "message": message, "finish_reason": _reason(behaviour)}
        self._send(200, {**_head(model, "chat.completion"), "choices": [choice], "usage": USAGE})

    def _stream(self, body: dict[str, Any], behaviour: str) -> None:
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for chunk in _chunks(body["model"], self._text(body["model"], behaviour), behaviour, _wants_usage(body)):
            self.wfile.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
            self.wfile.flush()
        if behaviour == "break":
            self._reset()
        elif behaviour not in {"cut", "event"}:
            self.wfile.write(b"data: [DONE]\n\n")

    def _refuse(self, refusal: Refusal) -> None:
        error = {"message": f"it says {refusal.code or refusal.type}", "type": refusal.type, "code": refusal.code}
        self._send(refusal.status, {"error": {**error, "param": None}}, refusal.headers)

    def _send(self, status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {
            "Content-Type": "application/json",
            "Content-Length": str(len(text)),
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)

    def _reset(self) -> None:
        """Close the connection as a machine that breaks down does."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()


USAGE: Final = {"prompt_tokens": 11, "completion_tokens": 6, "total_tokens": 17}
"""What every answer has used."""


def _head(model: str, kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "object": kind, "created": 1_800_000_000, "model": model}


def _reason(behaviour: str) -> str:
    return "content_filter" if behaviour == "filter" else "stop"


def _wants_usage(body: dict[str, Any]) -> bool:
    return bool((body.get("stream_options") or {}).get("include_usage"))


def _chunks(model: str, text: str, behaviour: str, wants_usage: bool) -> Iterator[dict[str, Any]]:
    head = _head(model, "chat.completion.chunk")

    def chunk(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        return {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}

    yield chunk({"role": "assistant", "content": ""})
    middle = len(text) // 2
    yield chunk({"content": text[:middle]})
    if behaviour == "event":
        yield {"error": {"message": "it broke down", "type": "server_error", "code": None, "param": None}}
    if behaviour in {"cut", "break", "event"}:
        return
    yield chunk({"content": text[middle:]})
    yield chunk({}, _reason(behaviour))
    if wants_usage:
        yield {**head, "choices": [], "usage": USAGE}
