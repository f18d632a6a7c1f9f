"""Outcomes for the contract tests, and what they should add up to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from modelperf_plugin.store import Entry, Store
from modelperf_plugin.values import ERROR_KINDS, ErrorKind, Outcome, Tally

NEW_YEAR_MS = 1_767_225_600_000
OpenStore = Callable[[], Store]


def entry(
    model_id: str = "gpt-4o",
    *,
    task_type: str = "execute-task",
    success: bool = True,
    outcome_id: str | None = None,
    ended_ms: int = NEW_YEAR_MS,
    **details: Any,
) -> Entry:
    """Return an outcome on its way into a store."""
    return Entry(task_type, model_id, Outcome(success=success, outcome_id=outcome_id, **details), ended_ms)


def unsound(store: Store) -> list[str]:
    """Return what is wrong with ``store``, but for the lack of a database, and of what servers for tests do without."""
    findings = store.maintenance.check()
    return [each.name for each in findings if not each.ok and each.name not in {"degraded", "durability"}]


outcomes = st.builds(
    Outcome,
    success=st.booleans(),
    timeout=st.booleans(),
    tokens_used=st.integers(0, 2**53),
    cost_usd=st.floats(0, 1_000_000),
    duration_seconds=st.none() | st.floats(0, 1e6),
    error_kind=st.none() | st.sampled_from(ERROR_KINDS),
    outcome_id=st.none() | st.sampled_from(["a", "b", "c"]),
    score=st.none() | st.sampled_from([0.0, 0.25, 1 / 3, 1.0]),
    retry_after_seconds=st.none() | st.floats(0, 1e6),
)


entries = st.builds(
    Entry,
    st.sampled_from(["plan", "build"]),
    st.sampled_from(["x", "y", "z"]),
    outcomes,
    st.integers(-NEW_YEAR_MS, 2 * NEW_YEAR_MS),
    st.sampled_from([(), (), ("x",), ("x", "y")]),
)


def revised(old: Entry, new: Entry) -> Entry | None:
    """Return an outcome after another one was recorded under its id; None if that changes nothing."""
    was, now = old.outcome, new.outcome
    if (old.task_type, old.model_id) != (new.task_type, new.model_id):
        return None
    outcome = replace(
        now,
        tokens_used=now.tokens_used or was.tokens_used,
        cost_usd=now.cost_usd if now.cost_nano_usd else was.cost_usd,
        duration_seconds=was.duration_seconds,
    )
    same = (outcome.cost_nano_usd, replace(outcome, cost_usd=0.0)) == (was.cost_nano_usd, replace(was, cost_usd=0.0))
    return None if same else old._replace(outcome=outcome)


def final(recorded: Iterable[Entry]) -> list[Entry]:
    """Return outcomes with their final verdicts, each id once."""
    by_id: dict[str, Entry] = {}
    others = []
    for each in recorded:
        outcome_id = each.outcome.outcome_id
        if outcome_id is None:
            others.append(each)
        elif outcome_id in by_id:
            by_id[outcome_id] = revised(by_id[outcome_id], each) or by_id[outcome_id]
        else:
            by_id[outcome_id] = each
    return [*others, *by_id.values()]


def by_hand(recorded: list[Entry]) -> dict[tuple[str, str], Tally]:
    """Return the tallies of ``recorded``, counted without a store."""
    tallies: dict[tuple[str, str], Tally] = {}
    for each in final(recorded):
        key = (each.task_type, each.model_id)
        tally = tallies.get(key, Tally(*key))
        tallies[key] = tally.plus(each.outcome, each.ended_ms, later=bool(each.tried))
    return tallies


def record(
    store: Store, model_id: str, *, success: bool, task_type: str = "t", error_kind: ErrorKind | None = None
) -> None:
    """Record one outcome."""
    store.outcomes.record(Entry(task_type, model_id, Outcome(success=success, error_kind=error_kind), 1000))
