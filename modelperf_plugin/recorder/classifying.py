"""What an error that ends a call says."""

from __future__ import annotations

from typing import Final, Literal

from modelperf_plugin.errors import InvalidValueError
from modelperf_plugin.values import ErrorKind, Failure, failure_of

FailureKind = ErrorKind | Literal["timeout"]
"""Why a try failed: an error kind, or that it ran out of time."""

RAISED_AT_ONCE: Final = frozenset({"caller_error", "cancelled"})
"""The error kinds after which no other model is tried: it would get the same wrong request, or nobody waits for it."""


def classify(error: BaseException | int) -> FailureKind:
    """Return why a call failed, by its exception or an HTTP status; never raises.

    As :func:`modelperf_plugin.failure_of`, whose rule it applies, except that whatever is no ``Exception``, such as
    ``CancelledError`` or ``SystemExit``, is ``cancelled``, an invalid argument of ours is a ``caller_error``, and a
    group of exceptions is as its first one.

    >>> classify(429), classify(TimeoutError()), classify(KeyboardInterrupt()), classify(ValueError())
    ('rate_limit', 'timeout', 'cancelled', 'other')
    """
    return failure(error).error_kind or "timeout"


def failure(error: BaseException | int) -> Failure:
    """Return why a call failed, as fields of an outcome; without an error kind, it ran out of time."""
    while isinstance(error, BaseExceptionGroup):  # of a task group, around the error of one of its tasks
        error = error.exceptions[0]
    if isinstance(error, InvalidValueError):
        return Failure("caller_error")
    if isinstance(error, BaseException) and not isinstance(error, Exception):
        return Failure("cancelled")
    return failure_of(error)


def failure_by(kind: FailureKind | None) -> Failure:
    """Return a failure of a kind that is known."""
    return Failure(None, timeout=True) if kind == "timeout" else Failure(kind)
