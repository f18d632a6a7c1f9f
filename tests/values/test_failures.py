"""An exception of a client library, or an HTTP status, says why a call failed."""

from __future__ import annotations

import asyncio
import http.client
import socket
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.message import Message
from email.utils import format_datetime
from typing import Any

import pytest

import modelperf_plugin as mp
from modelperf_plugin.values import ERROR_KINDS


class APIError(Exception):
    """The base of a client library's errors, with attributes as they have them."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__("the message is not read")
        vars(self).update(attributes)


class RateLimitError(APIError):
    """As in openai, anthropic, litellm."""


class BadRequestError(APIError):
    """As in openai."""


class ContextWindowExceededError(BadRequestError):
    """As in litellm."""


class APIConnectionError(APIError):
    """As in openai."""


class APITimeoutError(APIConnectionError):
    """As in openai."""


class BadHttpMessage(Exception):  # noqa: N818 - it is named so
    """As in aiohttp: what arrived is not a whole answer."""

    code = 400


class ClientPayloadError(Exception):
    """As in aiohttp."""


class ChunkedEncodingError(OSError):
    """As in requests."""


class GraphBubbleUp(Exception):  # noqa: N818 - it is named so
    """As in langgraph."""


class GraphInterrupt(GraphBubbleUp):
    """As in langgraph: a graph waits for a person."""


class Answer:
    """A response."""

    def __init__(self, status_code: int, **headers: str) -> None:
        self.status_code = status_code
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, "unavailable"), (402, "unavailable"), (403, "unavailable"), (404, "unavailable"), (410, "unavailable"),
        (429, "rate_limit"), (500, "server_error"), (503, "server_error"), (504, "server_error"), (529, "server_error"),
        (400, "caller_error"), (413, "caller_error"), (422, "caller_error"), (499, "cancelled"), (302, "other"),
    ],
)  # fmt: skip
def test_a_status_has_a_kind(status: int, kind: str) -> None:
    """The same for the number and for an exception that has it, wherever libraries put it."""
    assert mp.error_kind_of(status) == kind
    if status >= 400:
        for error in (
            Exception(),
            APIError(status_code=status),
            APIError(status=status),
            APIError(code=status),
            APIError(response=Answer(status)),
            urllib.error.HTTPError("http://example.com", status, "", Message(), None),
        ):
            assert mp.error_kind_of(error) == ("other" if type(error) is Exception else kind)


@pytest.mark.parametrize("error", [408, TimeoutError(), APITimeoutError(), APIError(code="DEADLINE_EXCEEDED")])
def test_a_time_limit_is_no_error_kind(error: Any) -> None:
    """It is ``timeout=True``, so that the result can be made an outcome."""
    failure = mp.failure_of(error)
    assert failure == mp.Failure(None, timeout=True)
    assert mp.Outcome(success=False, **failure._asdict()).timeout


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RateLimitError(status_code=429, code="insufficient_quota"), "unavailable"),
        (RateLimitError(status_code=429, body={"error": {"code": "insufficient_quota"}}), "unavailable"),
        (BadRequestError(type="invalid_request_error", code="context_length_exceeded"), "context_overflow"),
        (BadRequestError(status_code=400, body={"code": "content_filter"}), "refused"),
        (APIError(status_code=404, type="invalid_request_error", code="model_not_found"), "unavailable"),
        (APIError(status_code=400, type="invalid_request_error"), "caller_error"),
        (APIError(status_code=529, body={"type": "error", "error": {"type": "overloaded_error"}}), "server_error"),
        (APIError(code=503, status="UNAVAILABLE"), "server_error"),
        (APIError(response={"Error": {"Code": "ThrottlingException"}}), "rate_limit"),
        (ContextWindowExceededError(status_code=400), "context_overflow"),
        (APIConnectionError(), "network"),
        (ConnectionResetError(), "network"),
        (socket.gaierror(), "network"),
        (APIError(), "server_error"),
        (asyncio.CancelledError(), "cancelled"),
        (GeneratorExit(), "cancelled"),
        (GraphInterrupt(), "cancelled"),
        (FileNotFoundError(), "other"),
        (ValueError(), "other"),
    ],
)  # fmt: skip
def test_the_providers_code_counts_before_names_and_status(error: BaseException, kind: str) -> None:
    """Then the names of the classes, the nearest first, then the status; an error event in a stream has neither."""
    assert mp.error_kind_of(error) == kind
    assert kind in ERROR_KINDS


def raised_from(error: Exception, cause: BaseException | None, context: BaseException | None = None) -> Exception:
    """Return an error with what it was raised from, and what was handled meanwhile."""
    error.__cause__, error.__context__ = cause, context
    return error


def test_the_root_of_the_causes_tells() -> None:
    """Frameworks wrap; what was only handled meanwhile may be the error of another model."""
    limited = RateLimitError(status_code=429)
    assert mp.error_kind_of(raised_from(ValueError(), limited)) == "rate_limit"
    assert mp.error_kind_of(raised_from(ConnectionError(), APITimeoutError())) is None
    assert mp.error_kind_of(raised_from(RuntimeError(), None, limited)) == "other"
    assert mp.failure_of(raised_from(TimeoutError(), asyncio.CancelledError())).timeout
    circle = ValueError()
    assert mp.error_kind_of(raised_from(circle, raised_from(KeyError(), circle))) == "other"


def unfinished_answers() -> Iterator[Exception]:
    """Yield what clients raise when a connection breaks off within an answer."""
    yield raised_from(ClientPayloadError(), BadHttpMessage())
    yield ChunkedEncodingError()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")

        thread = threading.Thread(target=answer)
        thread.start()
        open_url = urllib.request.build_opener(urllib.request.ProxyHandler({})).open
        address = f"http://127.0.0.1:{server.getsockname()[1]}/"
        with pytest.raises(http.client.IncompleteRead) as raised, open_url(address, timeout=30) as response:
            response.read()
        yield raised.value
        thread.join()
    with pytest.raises(urllib.error.URLError) as refused:
        open_url(address, timeout=30)
    yield refused.value


def test_a_connection_that_breaks_is_an_outage() -> None:
    """Before and within an answer: neither the model nor the request is to blame for it."""
    assert [mp.error_kind_of(error) for error in unfinished_answers()] == ["network"] * 4
    assert mp.error_kind_of(ssl.SSLCertVerificationError()) == "network"
    assert mp.failure_of(urllib.error.URLError(TimeoutError())).timeout
    assert mp.error_kind_of(UnicodeDecodeError("utf-8", b"", 0, 1, "its reason is a text")) == "other"


def test_the_providers_wait_is_read() -> None:
    """From the headers of the response, in seconds, milliseconds or as a date; nonsense is left out."""
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    for headers, low, high in (
        ({"retry_after": "17"}, 17, 17),
        ({"retry_after_ms": "1500", "retry_after": "2"}, 1.5, 1.5),
        ({"Retry_After": soon}, 60, 90),
        ({"retry_after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0, 0),
    ):
        wait = mp.failure_of(RateLimitError(response=Answer(429, **headers))).retry_after_seconds
        assert wait is not None
        assert low <= wait <= high
    for nonsense in ("", "soon", "nan", "inf", "1e300"):
        assert mp.failure_of(RateLimitError(response=Answer(429, retry_after=nonsense))).retry_after_seconds is None
    assert mp.failure_of(RateLimitError(retry_after=3)).retry_after_seconds == 3
    assert mp.failure_of(RateLimitError(litellm_response_headers={"retry-after": "4"})).retry_after_seconds == 4


def test_odd_exceptions_do_no_harm() -> None:
    """Whatever their attributes are or do, there is an answer that is a valid outcome."""

    class OddError(Exception):
        body = property(lambda _: 1 / 0)
        response = property(lambda _: [{"Error": 3}])
        code = property(lambda _: {"a": 1})
        status = True
        headers = 5
        retry_after = float("nan")

    class HostileError(Exception):
        __cause__ = property(lambda _: 1 / 0)

    things: list[Any] = [HostileError(), None, "429", 4.5, Exception, []]
    assert [mp.failure_of(thing) for thing in things] == [mp.Failure("other")] * len(things)
    failure = mp.failure_of(OddError())
    assert failure == mp.Failure("other")
    assert mp.Outcome(success=False, **failure._asdict()).error_kind == "other"
