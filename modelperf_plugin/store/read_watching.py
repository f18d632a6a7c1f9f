"""Reading what was found by watching, by SQL: the same in every dialect but for the statements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from modelperf_plugin.store.queries import load_queries
from modelperf_plugin.store.read_tallies import Reading
from modelperf_plugin.store.rows import moments, numbers, usable
from modelperf_plugin.store.watches import Change, Demotion, WatchState


class ReadChanges:
    """Reads changes; see :class:`~modelperf_plugin.store.roles.Changes`."""

    def __init__(self, connection: Reading, dialect: str) -> None:
        self._connection = connection
        self._sql = load_queries(dialect, "monitoring.sql")

    def all(self) -> list[Change]:
        return usable(_change, self._connection.fetch(self._sql["changes"]))


class ReadDemotions:
    """Reads demotions; see :class:`~modelperf_plugin.store.roles.Demotions`."""

    def __init__(self, connection: Reading, dialect: str) -> None:
        self._connection = connection
        self._sql = load_queries(dialect, "monitoring.sql")

    def all(self, *, in_force: bool = False) -> list[Demotion]:
        return usable(_demotion, self._connection.fetch(self._sql["demotions"], int(in_force)))


class ReadWatchStates:
    """Reads the states of watches; see :class:`~modelperf_plugin.store.roles.WatchStates`."""

    def __init__(self, connection: Reading, dialect: str) -> None:
        self._connection = connection
        self._sql = load_queries(dialect, "monitoring.sql")

    def claim(self, holder: str, seconds: float) -> bool:  # noqa: ARG002 - the protocol's
        return True

    def load(self) -> tuple[int | None, list[WatchState]]:
        return _states(self._connection.fetch(self._sql["watches"]))

    def load_models(self) -> tuple[int | None, list[WatchState]]:
        return _states(self._connection.fetch(self._sql["model_watches"]))

    def load_pair(self, task_type: str, model_id: str) -> tuple[int | None, list[WatchState]]:
        return _states(self._connection.fetch(self._sql["pair_watches"], task_type, model_id))


def _change(row: Any) -> Change:
    change = Change._make(row)
    moments(change.since_ms, change.noticed_ms)
    return change


def _demotion(row: Any) -> Demotion:
    demotion = Demotion._make(row)
    moments(demotion.since_ms, demotion.ended_ms)
    return demotion


def _states(rows: Sequence[Any]) -> tuple[int | None, list[WatchState]]:
    states = usable(_state, (row[1:] for row in rows if row[1] is not None))
    return (rows[0][0] if rows else None), states


def _state(row: Any) -> WatchState:
    kind, task_type, model_id, state = row
    return WatchState(kind, task_type, model_id, numbers(state))
