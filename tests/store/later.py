"""Outcomes of first and later tries for tests, and what they add up to."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Final

from hypothesis import strategies as st

from modelperf_plugin.store import Entry, Store
from modelperf_plugin.values import DAY_MS, ERROR_KINDS, LaterTries, Outcome, Tally, Tried
from tests.store.contract.examples import final

NOON_MS: Final = 1_767_268_800_000
TASK_TYPES: Final = ("build", "plan")
MODELS: Final = ("x", "y", "z")

Sets = dict[tuple[str, str], dict[Tried, LaterTries]]
"""Later tries by pair and by what had failed before."""

tried_sets = st.lists(st.sampled_from(MODELS), max_size=3).map(lambda models: tuple(sorted(models)))
entries = st.builds(
    Entry,
    st.sampled_from(TASK_TYPES),
    st.sampled_from(MODELS),
    st.builds(
        Outcome,
        success=st.booleans(),
        timeout=st.booleans(),
        tokens_used=st.integers(0, 1000),
        error_kind=st.none() | st.sampled_from(ERROR_KINDS),
        outcome_id=st.none() | st.sampled_from("abcdefgh"),
    ),
    st.integers(NOON_MS - 30 * DAY_MS, NOON_MS),
    tried_sets,
)
"""Outcomes of any kind, some of them later tries."""


def mixed(count: int, seed: int = 1) -> list[Entry]:
    """Return outcomes of the last 30 days, half of them later tries, the same for the same seed."""
    chance = random.Random(seed)
    found = []
    for number in range(count):
        kind = chance.choice(ERROR_KINDS) if chance.random() < 0.2 else None
        outcome = Outcome(
            success=chance.random() < 0.5, timeout=chance.random() < 0.2, tokens_used=number, error_kind=kind,
            outcome_id=f"id-{seed}-{number}" if number % 7 == 0 else None,
        )  # fmt: skip
        tried = tuple(sorted(chance.choices(MODELS, k=chance.choice((0, 0, 1, 2)))))
        ended_ms = NOON_MS - chance.randrange(30) * DAY_MS
        found.append(Entry(chance.choice(TASK_TYPES), chance.choice(MODELS), outcome, ended_ms, tried))
    return found


def by_hand(recorded: Iterable[Entry]) -> tuple[list[Tally], Sets]:
    """Return tallies and later tries of outcomes, counted without a store; of each id the last verdict."""
    tallies: dict[tuple[str, str], Tally] = {}
    sets: Sets = {}
    for each in final(recorded):
        key = (each.task_type, each.model_id)
        tallies[key] = tallies.get(key, Tally(*key)).plus(each.outcome, each.ended_ms, later=bool(each.tried))
        if each.tried and each.outcome.blame in {None, "model"}:
            tries = sets.setdefault(key, {})
            tries[each.tried] = tries.get(each.tried, LaterTries()).plus(each.outcome)
    return [tallies[key] for key in sorted(tallies)], sets


def counts(store: Store) -> tuple[list[Tally], Sets]:
    """Return the tallies and the later tries of a store."""
    sets = {
        (task_type, model_id): dict(tries)
        for task_type in {tally.task_type for tally in store.tallies.all()}
        for model_id, tries in store.tallies.later(task_type).items()
    }
    return store.tallies.all(), sets


def first_tries(tallies: Iterable[Tally]) -> dict[tuple[str, str], tuple[int, int]]:
    """Return the successes and quality failures of first tries by pair."""
    return {
        (each.task_type, each.model_id): (
            each.successes - each.later_successes,
            each.quality_failures - each.later_failures,
        )
        for each in tallies
    }


def unsound(store: Store) -> list[str]:
    """Return what a store finds wrong with itself."""
    return [f"{each.name}: {each.message}" for each in store.maintenance.check() if not each.ok]


def execute(path: Path, *statements: str) -> None:
    """Let another program execute statements."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)
