"""What tests of the recorder share: models, errors of providers, and what was recorded."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Final, NamedTuple

import modelperf_plugin as mp
from modelperf_plugin.store import open_store

MODELS: Final = ("a", "b", "c")
IN_ORDER: Final[dict[str, Any]] = {"exploration": {"strategy": "never"}}


class ProviderError(Exception):
    """An exception as client libraries raise it."""

    def __init__(self, status: int, retry_after: float | None = None) -> None:
        super().__init__(f"status {status}")
        self.status_code = status
        self.retry_after = retry_after


class Recorded(NamedTuple):
    """One recorded try."""

    model: str
    verdict: str
    """``good``, ``failed``, ``timeout``, or an error kind."""
    tokens: int = 0
    cost_usd: float = 0.0
    score: float | None = None
    retry_after_ms: int | None = None


def recorded(source: mp.ModelPerf | Path) -> list[Recorded]:
    """Return the tries in the store, in the order in which they were recorded."""
    if isinstance(source, Path):
        store = open_store(source)
        try:
            return _recorded(source, store.events.after(0, 10_000))
        finally:
            store.close()
    return _recorded(Path(source.store.location), source.store.events.after(0, 10_000))


def _recorded(path: Path, events: list[Any]) -> list[Recorded]:
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT timeout, tokens_used, cost_usd FROM model_outcomes ORDER BY id").fetchall()
    assert len(rows) == len(events)
    return [
        Recorded(
            event.model_id,
            "good" if event.success else "timeout" if timeout else event.error_kind or "failed",
            tokens,
            cost,
            event.score,
            event.retry_after_ms,
        )
        for event, (timeout, tokens, cost) in zip(events, rows, strict=True)
    ]


def verdicts(source: mp.ModelPerf | Path) -> list[tuple[str, str]]:
    """Return the model and the verdict of each try."""
    return [each[:2] for each in recorded(source)]


def answering(**answers: Any) -> Callable[[str], Any]:
    """Return a call whose models return what is given for them or, if that is an exception, raise it."""

    def call(model: str) -> Any:
        answer = answers[model]
        if isinstance(answer, BaseException):
            raise answer
        return answer

    return call
