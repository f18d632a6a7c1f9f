"""What an exception of a client library, or an HTTP status, says about a failed call."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, Literal, NamedTuple

from modelperf_plugin.values.outcome import ErrorKind

_Kind = ErrorKind | Literal["timeout"]

_MAX_CAUSES: Final = 20
_LONGEST_WAIT: Final = 1e9
"""In seconds: a longer one is a mistake."""

_STATUSES: Final[Mapping[int, _Kind]] = {
    401: "unavailable", 402: "unavailable", 403: "unavailable", 404: "unavailable", 410: "unavailable",
    408: "timeout", 429: "rate_limit", 499: "cancelled",
}  # fmt: skip
"""Others from 400 are the caller's errors, and those from 500 the server's."""

_CODES: Final[Mapping[str, _Kind]] = {
    # openai, Azure
    "insufficientquota": "unavailable", "billinghardlimitreached": "unavailable", "billingnotactive": "unavailable",
    "modelnotfound": "unavailable", "invalidapikey": "unavailable", "accountdeactivated": "unavailable",
    "deploymentnotfound": "unavailable", "ratelimitexceeded": "rate_limit", "servererror": "server_error",
    "contextlengthexceeded": "context_overflow", "contentfilter": "refused", "contentpolicyviolation": "refused",
    "responsibleaipolicyviolation": "refused",
    # anthropic
    "authenticationerror": "unavailable", "permissionerror": "unavailable", "notfounderror": "unavailable",
    "billingerror": "unavailable", "ratelimiterror": "rate_limit", "overloadederror": "server_error",
    "timeouterror": "timeout",
    # google
    "unauthenticated": "unavailable", "permissiondenied": "unavailable", "notfound": "unavailable",
    "resourceexhausted": "rate_limit", "unavailable": "server_error", "internal": "server_error",
    "deadlineexceeded": "timeout", "cancelled": "cancelled",
    # bedrock
    "throttlingexception": "rate_limit", "toomanyrequestsexception": "rate_limit",
    "accessdeniedexception": "unavailable", "resourcenotfoundexception": "unavailable",
    "modelnotreadyexception": "server_error", "serviceunavailableexception": "server_error",
    "internalserverexception": "server_error", "modeltimeoutexception": "timeout",
}  # fmt: skip
"""What a provider calls an error; without case and separators."""

_NAMES: Final[tuple[tuple[_Kind, tuple[str, ...]], ...]] = (
    ("cancelled", ("graphbubbleup",)),  # langgraph's interrupts
    ("server_error", ("gatewaytimeout",)),
    ("timeout", ("timeout", "timedout", "deadlineexceeded")),
    ("context_overflow", ("contextwindow", "contextlength", "contextoverflow")),
    ("refused", ("contentfilter", "contentpolicy", "refusal", "safety")),
    ("rate_limit", ("ratelimit", "toomanyrequests", "throttl", "resourceexhausted")),
    ("unavailable", (
        "quota", "billing", "paymentrequired", "authentication", "unauthorized", "unauthenticated", "permissiondenied",
        "forbidden", "accessdenied", "notfound",
    )),
    ("server_error", ("internalserver", "serviceunavailable", "overloaded", "badgateway")),
    ("caller_error", ("badrequest", "unprocessable", "invalidrequest", "requestrejected")),
    ("network", (
        "connectionerror", "connecterror", "connectorerror", "networkerror", "readerror", "writeerror", "protocolerror",
        "disconnected", "gaierror", "sslerror", "badstatusline", "badhttpmessage", "incompleteread", "chunkedencoding",
        "payloaderror",
    )),
)  # fmt: skip
"""Parts of the names of classes; the first one that matches counts."""
_BUILT_IN: Final[tuple[tuple[type[BaseException], _Kind], ...]] = (
    (TimeoutError, "timeout"),
    (ConnectionError, "network"),
)
_ENDINGS: Final = (asyncio.CancelledError, GeneratorExit, KeyboardInterrupt)


class Failure(NamedTuple):
    """What a failed call says, as fields of an :class:`Outcome`."""

    error_kind: ErrorKind | None
    """None if it ran out of time."""
    timeout: bool = False
    retry_after_seconds: float | None = None


def error_kind_of(error: BaseException | int) -> ErrorKind | None:
    """Return the error kind of an exception or of an HTTP status; None for a timeout.

    >>> error_kind_of(404), error_kind_of(429), error_kind_of(ConnectionResetError()), error_kind_of(TimeoutError())
    ('unavailable', 'rate_limit', 'network', None)
    """
    return failure_of(error).error_kind


def failure_of(error: BaseException | int) -> Failure:
    """Return what an exception of a client library, or an HTTP status, says about a failed call; never raises.

    No library is imported: the provider's code, the names of the classes, or the status of an exception tell the kind.
    The exception that it was raised ``from``, or that is its ``reason``, is read first. One that was only being handled
    (``__context__``) is not read, because it may be the error of another model.

    >>> failure_of(503)
    Failure(error_kind='server_error', timeout=False, retry_after_seconds=None)
    """
    if isinstance(error, int):
        return _failure(_of_status(error))
    if isinstance(error, _ENDINGS):
        return _failure("cancelled")
    causes = [each for each in _causes(error) if not isinstance(each, _ENDINGS)]  # asyncio.timeout raises from one
    found = (ask(each) for ask in (_of_codes, _of_classes, _of_statuses, _of_streams) for each in causes)
    kind: _Kind = next(filter(None, found), "other")
    return _failure(kind, next((wait for each in causes if (wait := _retry_after(each)) is not None), None))


def _failure(kind: _Kind, retry_after: float | None = None) -> Failure:
    return Failure(None, timeout=True) if kind == "timeout" else Failure(kind, retry_after_seconds=retry_after)


def _causes(error: BaseException) -> list[BaseException]:
    """Return an exception and what it was raised from, the root first."""
    causes: list[BaseException] = []
    cause: Any = error
    while isinstance(cause, BaseException) and len(causes) < _MAX_CAUSES and not any(cause is each for each in causes):
        causes.append(cause)
        raised_from = _get(cause, "__cause__")
        cause = _get(cause, "reason") if raised_from is None else raised_from  # urllib keeps it there
    return causes[::-1]


def _of_status(status: int) -> _Kind:
    default: _Kind = "server_error" if 500 <= status <= 599 else "caller_error" if 400 <= status <= 499 else "other"
    return _STATUSES.get(status, default)


def _of_statuses(error: BaseException) -> _Kind | None:
    response = _get(error, "response")
    places = [(error, name) for name in ("status_code", "status", "code", "http_status")]
    places += [(response, name) for name in ("status_code", "status")]
    for place, name in places:
        status = _get(place, name)
        if isinstance(status, int) and 400 <= status <= 599:
            return _of_status(status)
    return None


def _of_codes(error: BaseException) -> _Kind | None:
    for code in _codes(error):
        if isinstance(code, str) and (kind := _CODES.get(_plain(code))) is not None:
            return kind
    return None


def _codes(error: BaseException) -> Iterator[Any]:
    body, response = _get(error, "body"), _get(error, "response")
    inner = body.get("error") if isinstance(body, Mapping) else None
    bedrock = response.get("Error") if isinstance(response, Mapping) else None
    for place, name in ((bedrock, "Code"), *((each, "code") for each in (inner, body))):
        if isinstance(place, Mapping):
            yield place.get(name)
    yield _get(error, "code")
    for place in (inner, body):
        if isinstance(place, Mapping):
            yield place.get("type")
    for name in ("type", "status"):
        yield _get(error, name)


def _of_classes(error: BaseException) -> _Kind | None:
    for each in type(error).__mro__:
        name = _plain(each.__name__)
        if each.__module__ == "builtins":
            found = next((kind for known, kind in _BUILT_IN if issubclass(each, known)), None)
        else:
            found = next((kind for kind, parts in _NAMES if any(part in name for part in parts)), None)
        if found is not None:
            return found
    return None


def _of_streams(error: BaseException) -> _Kind | None:
    """Return the kind of an error that came as an event of a stream: it has neither code nor status."""
    return "server_error" if any(each.__name__ == "APIError" for each in type(error).__mro__) else None


def _retry_after(error: BaseException) -> float | None:
    """Return how many seconds the provider asked to wait."""
    response, wait = _get(error, "response"), _get(error, "retry_after")
    for headers in (_get(response, "headers"), _get(error, "headers"), _get(error, "litellm_response_headers")):
        for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0), ("Retry-After", 1.0)):
            value = None
            with suppress(Exception):
                value = headers.get(name)
            if value is not None and (seconds := _seconds(value)) is not None:
                return _bounded(seconds / unit)
    return _bounded(float(wait)) if isinstance(wait, int | float) and not isinstance(wait, bool) else None


def _seconds(value: Any) -> float | None:
    """Return the seconds in a header: a number, or the time from now to a date."""
    with suppress(Exception):
        return float(value)
    with suppress(Exception):
        return (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
    return None


def _bounded(seconds: float) -> float | None:
    return max(0.0, seconds) if seconds < _LONGEST_WAIT else None


def _plain(name: str) -> str:
    return name.replace("_", "").replace("-", "").replace(" ", "").lower()


def _get(place: Any, name: str) -> Any:
    with suppress(Exception):  # attributes of foreign objects may do anything
        return getattr(place, name, None)
    return None
