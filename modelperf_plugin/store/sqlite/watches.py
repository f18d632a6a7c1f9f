"""Watching models over time, in an SQLite store."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from math import log
from typing import Any

from modelperf_plugin.store.queries import load_queries
from modelperf_plugin.store.watches import Baseline, Change, Demotion, Direction, Event, Faded, WatchState

Read = Callable[..., list[Any]]
Write = Callable[[], AbstractContextManager[Callable[..., Any]]]


class SqliteMonitoring:
    """The part of a store that watches use; see :class:`~modelperf_plugin.store.roles.Monitoring` for the promises."""

    def __init__(self, read: Read, write: Write) -> None:
        """Take ``read(statement, *parameters)`` and ``write()``, a transaction that gives ``execute``."""
        self._read = read
        self._write = write
        self._sql = load_queries("sqlite", "monitoring.sql")

    def events_after(self, event_id: int, limit: int) -> list[Event]:
        """Return at most ``limit`` outcomes recorded after ``event_id``, in their order."""
        return [
            Event(row[0], row[1], row[2], bool(row[3]), bool(row[4]), row[5], bool(row[6]), bool(row[7]))
            for row in self._read(self._sql["events_after"], event_id, limit)
        ]

    def last_event_id(self) -> int:
        """Return the number of the newest outcome; 0 if there is none."""
        number: int = self._read(self._sql["last_event_id"])[0][0]
        return number

    def changes(self) -> list[Change]:
        """Return the changes of models, newest first."""
        return [Change._make(row) for row in self._read(self._sql["changes"])]

    def add_change(
        self,
        model_id: str,
        direction: Direction,
        events: tuple[int, int],
        moments_ms: tuple[int, int],
        evidence: float | None,
        rates: Mapping[str, float],
    ) -> bool:
        """Note a change and what is evidence no more, in one transaction; return False if it is noted already."""
        with self._write() as execute:
            change = {
                "model_id": model_id,
                "direction": direction,
                "since_event_id": events[0],
                "noticed_event_id": events[1],
                "since_ms": moments_ms[0],
                "noticed_ms": moments_ms[1],
                "evidence": evidence,
            }
            added = execute(self._sql["add_change"], change)
            if added.rowcount < 1:
                return False
            execute(self._sql["add_baselines"], {**change, "change_id": added.lastrowid})
            for task_type, rate in rates.items():
                execute(self._sql["set_baseline_rate"], (rate, task_type, model_id))
        return True

    def baselines(self) -> dict[tuple[str, str], Baseline]:
        """Return the counts from before the last change of each model, by task type and model."""
        return {(row[0], row[1]): Baseline._make(row[2:]) for row in self._read(self._sql["baselines"])}

    def faded(self, today: int, half_life_days: float) -> dict[tuple[str, str], Faded]:
        """Return what the dated outcomes of each pair weigh on the day ``today``, with this half-life."""
        rows = self._read(self._sql["faded"], {"today": today, "decay": log(2.0) / half_life_days})
        return {(row[0], row[1]): Faded(row[3:6], row[6:9], row[9]) for row in rows}

    def demotions(self, *, in_force: bool = False) -> list[Demotion]:
        """Return the demotions, newest first."""
        return [Demotion._make(row) for row in self._read(self._sql["demotions"], int(in_force))]

    def add_demotion(
        self, task_type: str, model_id: str, since_ms: int, threshold: float, evidence: float, reason: str
    ) -> bool:
        """Demote a model on a task type; return False if it is demoted already."""
        with self._write() as execute:
            row = (since_ms, threshold, evidence, reason, task_type, model_id)
            return bool(execute(self._sql["add_demotion"], row).rowcount > 0)

    def end_demotion(self, task_type: str, model_id: str, ended_ms: int, ended_by: str) -> bool:
        """Reinstate a model; return False if it was not demoted."""
        with self._write() as execute:
            row = (ended_ms, ended_by, task_type, model_id)
            return bool(execute(self._sql["end_demotion"], row).rowcount > 0)

    def watches(self) -> tuple[int | None, list[WatchState]]:
        """Return the last outcome that the watches have seen (None if none ever was), and their states then."""
        rows = self._read(self._sql["watches"])
        states = [
            WatchState(kind, task_type, model_id, tuple(json.loads(state)))
            for _, kind, task_type, model_id, state in rows
            if kind is not None
        ]
        return (rows[0][0] if rows else None), states

    def save_watches(self, event_id: int, states: Iterable[WatchState]) -> None:
        """Save all states after ``event_id``; those of a process that is further stay."""
        with self._write() as execute:
            if execute(self._sql["save_watch_position"], (event_id,)).rowcount < 1:
                return
            execute(self._sql["forget_watches"])
            for each in states:
                row = (each.kind, each.task_type, each.model_id, json.dumps(each.state))
                execute(self._sql["add_watch"], row)
