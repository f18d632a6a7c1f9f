"""The events of a streamed answer in OpenAI's Responses protocol, and what they say of the model."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from typing import Any, Final

from modelperf_plugin.recorder.classifying import FailureKind, classify
from modelperf_plugin.recorder.limits import limited

HARMLESS: Final = frozenset({"response.created", "response.in_progress"})
"""Types of events after which the framework itself repeats a request."""


async def limited_events(stream: Any, seconds: float | None) -> AsyncGenerator[Any, None]:
    """Yield the events of a stream, with a limit for each wait, and close it."""
    events = aiter(stream)
    try:
        while True:
            async with limited(seconds):
                event = await anext(events, None)
            if event is None:
                return
            yield event
    finally:
        if hasattr(stream, "aclose"):
            await stream.aclose()


def failure_in(event: Any) -> FailureKind | None:
    """Return why a model has failed, by an event of its stream; None if it has not."""
    if event.type == "response.completed":
        return "refused" if is_refusal(event.response.output) else None
    if event.type == "response.incomplete":
        is_filtered = getattr(event.response.incomplete_details, "reason", None) == "content_filter"
        return "refused" if is_filtered else "other"
    if event.type not in {"response.failed", "error", "response.error"}:
        return None
    said = event.response.error if event.type == "response.failed" else event
    error = _StreamError()
    error.code = getattr(said, "code", None)
    kind = classify(error)
    return "server_error" if kind == "other" else kind


class _StreamError(Exception):
    """Stands for an error that came as an event of a stream."""

    code: str | None


def is_refusal(output: Iterable[Any]) -> bool:
    """Return whether a model has declined to answer."""
    parts = (part for item in output for part in getattr(item, "content", None) or ())
    return any(getattr(part, "type", None) == "refusal" for part in parts)
