"""A/B tests, in an SQLite store."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from itertools import groupby
from typing import Any

from modelperf_plugin.store.ab_tests import StoredPair, StoredTest
from modelperf_plugin.store.queries import load_queries

Read = Callable[..., list[Any]]
Write = Callable[[], AbstractContextManager[Callable[..., Any]]]

_TEST = (
    "test_id", "task_type", "fingerprint", "incumbent", "share", "salt", "alpha", "min_samples", "max_samples",
    "promote", "started_ms", "ended_ms",
)  # fmt: skip


class SqliteABTests:
    """What A/B tests use of a store; see :class:`~modelperf_plugin.store.roles.ABTestStore` for the promises."""

    def __init__(self, read: Read, write: Write) -> None:
        """Take ``read(statement, *parameters)`` and ``write()``, a transaction that gives ``execute``."""
        self._read = read
        self._write = write
        self._sql = load_queries("sqlite", "abtests.sql")

    def tests(self, task_type: str | None = None, *, ended: bool = False) -> list[StoredTest]:
        """Return the tests, newest first; those that were ended only if asked for."""
        return _tests(self._read(self._sql["ab_tests"], task_type, task_type, int(ended)))

    def begin(self, test: StoredTest) -> StoredTest:
        """Begin ``test``, or go on with the one that has its task type and fingerprint, on the terms of ``test``."""
        with self._write() as execute:
            begun = execute(self._sql["begin_ab_test"], asdict(test))
            if begun.rowcount > 0:
                for position, pair in enumerate(test.pairs):
                    execute(self._sql["add_ab_challenger"], (begun.lastrowid, position, pair.challenger))
            (test_id,) = execute(self._sql["ab_test_id"], (test.task_type, test.fingerprint)).fetchone()
            terms = {**asdict(test), "test_id": test_id}
            execute(self._sql["reopen_ab_test"], terms)
            execute(self._sql["set_ab_terms"], terms)
            return self._one(execute, test_id)[0]

    def advance(
        self, test_id: int, unit: int | None, step: Callable[[StoredTest], Sequence[StoredPair]]
    ) -> StoredTest | None:
        """Replace the pairs of a test by what ``step`` makes of them, in one transaction; None if it was ended.

        Nothing changes if the outcome of this ``unit`` has been counted before.
        """
        with self._write() as execute:
            found = self._one(execute, test_id)
            if not found:
                return None
            (test,) = found
            if unit is not None and execute(self._sql["add_ab_unit"], (test_id, unit)).rowcount < 1:
                return test
            pairs = tuple(step(test))
            for pair, known in zip(pairs, test.pairs, strict=True):
                if pair != known:
                    row = (json.dumps(pair.state), *pair[2:], test_id, pair.challenger)
                    execute(self._sql["set_ab_challenger"], row)
            return replace(test, pairs=pairs)

    def end(self, task_type: str, ended_ms: int) -> int:
        """Put an end to the tests of a task type, so that they begin anew; return how many these were."""
        with self._write() as execute:
            return int(execute(self._sql["end_ab_tests"], (ended_ms, task_type)).rowcount)

    def _one(self, execute: Callable[..., Any], test_id: int) -> list[StoredTest]:
        return _tests(execute(self._sql["ab_test"], (test_id,)).fetchall())


def _tests(rows: Sequence[Any]) -> list[StoredTest]:
    found = []
    for head, group in groupby(rows, key=lambda row: row[: len(_TEST)]):
        pairs = tuple(
            StoredPair(row[0], tuple(json.loads(row[1])), *row[2:]) for row in (each[len(_TEST) :] for each in group)
        )
        found.append(StoredTest(**{**dict(zip(_TEST, head, strict=True)), "promote": bool(head[9])}, pairs=pairs))
    return found
