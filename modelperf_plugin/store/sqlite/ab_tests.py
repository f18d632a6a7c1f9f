"""A/B tests in an SQLite file."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import groupby
from typing import Any

from modelperf_plugin.errors import StoreError
from modelperf_plugin.json_text import parse_json
from modelperf_plugin.store.ab_tests import MAX_DRAWN, DrawnDecisions, Stake, StoredContest, StoredTest
from modelperf_plugin.store.queries import load_queries
from modelperf_plugin.store.rows import moments, numbers, usable
from modelperf_plugin.store.sqlite.connection import SqliteConnection
from modelperf_plugin.store.sqlite.rows import fetch
from modelperf_plugin.values import ERROR_KINDS, WHOLE_SCORE, Outcome

_TEST = (
    "test_id", "task_type", "fingerprint", "incumbent", "share", "salt", "alpha", "min_samples", "max_samples",
    "promote", "started_ms", "ended_ms",
)  # fmt: skip


class SqliteABTests:
    """Stores the states of A/B tests; see :class:`~modelperf_plugin.store.roles.ABTests`."""

    def __init__(self, connection: SqliteConnection) -> None:
        self._connection = connection
        self._sql = load_queries("sqlite", "ab_tests.sql")

    def all(self, task_type: str | None = None, *, ended: bool = False) -> list[StoredTest]:
        return _tests(self._connection.fetch(self._sql["ab_tests"], task_type, task_type, int(ended)))

    def begin(self, test: StoredTest, *, named: bool = True) -> StoredTest:
        def write(connection: sqlite3.Connection) -> StoredTest:
            terms = asdict(test)
            connection.execute(self._sql["adopt_ab_test"], terms)
            for contest in test.contests:
                conflict = {**terms, "model_id": contest.challenger}
                connection.execute(self._sql["end_ab_test_of_challenger"], conflict)
            has_begun = connection.execute(self._sql["begin_ab_test"], terms).rowcount > 0
            (test_id,) = connection.execute(self._sql["ab_test_id"], (test.task_type, test.fingerprint)).fetchone()
            terms["test_id"] = test_id
            if has_begun or named:
                self._set_contests(connection, test_id, test.contests)
            connection.execute(self._sql["reopen_ab_test"], terms)
            connection.execute(self._sql["set_ab_terms"], terms)
            found = _find(connection, self._sql["ab_test"], test_id)
            if not found:
                where = self._connection.location
                raise StoreError(f"the A/B test of {test.task_type} in {where} is not readable: run `modelperf doctor`")
            return found[0]

        return self._connection.write(write)

    def _set_contests(self, connection: sqlite3.Connection, test_id: int, contests: Sequence[StoredContest]) -> None:
        """Add the challengers that are new, set the shares of all, and withdraw the others."""
        for contest in contests:
            row = {**contest._asdict(), "test_id": test_id, "model_id": contest.challenger}
            row["state"] = json.dumps(contest.state)
            if connection.execute(self._sql["add_ab_challenger"], row).rowcount > 0:
                connection.execute(self._sql["add_counted_ab_units"], row)
            else:
                connection.execute(self._sql["set_ab_share"], row)
        row = {"test_id": test_id, "challengers": json.dumps([contest.challenger for contest in contests])}
        connection.execute(self._sql["withdraw_ab_challengers"], row)
        connection.execute(self._sql["delete_unused_ab_challengers"], row)

    def advance(
        self,
        test_id: int,
        unit: int | None,
        step: Callable[[StoredTest], Sequence[StoredContest]],
        stakes: Callable[[], tuple[str, int, Mapping[str, Stake]] | None] = lambda: None,
    ) -> StoredTest | None:
        def write(connection: sqlite3.Connection) -> StoredTest | None:
            found = _find(connection, self._sql["ab_test"], test_id)
            if not found:
                return None
            (test,) = found
            contests = list(step(test))
            for position, (contest, known) in enumerate(zip(contests, test.contests, strict=True)):
                if contest == known:
                    continue
                if unit is not None and not self._is_new_unit(connection, test_id, contest.challenger, unit):
                    contests[position] = known
                    continue
                row = (json.dumps(contest.state), *contest[2:5], test_id, contest.challenger)
                connection.execute(self._sql["set_ab_challenger"], row)
            self._keep(connection, test, contests, stakes())
            return replace(test, contests=tuple(contests))

        return self._connection.write(write)

    def _is_new_unit(self, connection: sqlite3.Connection, test_id: int, challenger: str, unit: int) -> bool:
        return connection.execute(self._sql["add_ab_unit"], (unit, test_id, challenger)).rowcount > 0

    def drawn(self, test_id: int, now_ms: int) -> list[DrawnDecisions]:
        ((first_ms, mean_ms, longest_ms),) = self._connection.fetch(self._sql["ab_delays"], test_id)
        if longest_ms is None:
            return []  # no outcome, of either side
        half_ms = max(now_ms - first_ms, 0) // 2
        recent_ms, old_ms = min(round(3 * mean_ms), half_ms), min(2 * max(longest_ms, 0), half_ms)
        moments_ms = {"until_ms": now_ms - recent_ms, "old_ms": now_ms - old_ms}
        terms = {"test_id": test_id, "most": MAX_DRAWN, **moments_ms}
        return usable(_drawn, self._connection.fetch(self._sql["ab_drawn"], terms))

    def _keep(
        self,
        connection: sqlite3.Connection,
        test: StoredTest,
        contests: Sequence[StoredContest],
        stakes: tuple[str, int, Mapping[str, Stake]] | None,
    ) -> None:
        """Keep what was staked on an outcome by the contests that have counted it."""
        changed = {new.challenger for new, old in zip(contests, test.contests, strict=True) if new != old}
        if stakes is not None and changed:
            decision_id, ended_ms, by_challenger = stakes
            kept = {challenger: stake for challenger, stake in by_challenger.items() if challenger in changed}
            row = (decision_id, test.test_id, ended_ms, json.dumps(kept), decision_id)
            connection.execute(self._sql["add_ab_bet"], row)

    def revise(
        self,
        decision_id: str | None,
        outcome_id: str | None,
        step: Callable[[StoredTest, Mapping[str, Stake], Outcome], tuple[Sequence[StoredContest], Mapping[str, Stake]]],
    ) -> StoredTest | None:
        def write(connection: sqlite3.Connection) -> StoredTest | None:
            bet = connection.execute(self._sql["ab_bet"], (decision_id, outcome_id)).fetchone()
            found = [] if bet is None else _find(connection, self._sql["ab_test"], bet[1])
            if not found:
                return None
            (test,) = found
            staked = {name: _stake(*each) for name, each in parse_json(bet[2]).items()}
            new, stakes = step(test, staked, _outcome(*bet[3:]))
            for contest, known in zip(new, test.contests, strict=True):
                if contest != known:
                    connection.execute(
                        self._sql["set_ab_state"], (json.dumps(contest.state), test.test_id, contest.challenger)
                    )
            connection.execute(self._sql["set_ab_bet"], (json.dumps(stakes), bet[0]))
            return replace(test, contests=tuple(new))

        if not self._connection.fetch(self._sql["ab_bet"], decision_id, outcome_id):
            return None
        return self._connection.write(write)

    def end(self, task_type: str, ended_ms: int) -> int:
        def write(connection: sqlite3.Connection) -> int:
            connection.execute(self._sql["delete_ab_bets"], (task_type,))
            return connection.execute(self._sql["end_ab_tests"], (ended_ms, task_type)).rowcount

        return self._connection.write(write)


def _stake(grade: float | None, side: str, share_b: float, proves: bool, before: Sequence[float]) -> Stake:
    return Stake(grade, side, share_b, proves, tuple(before))


def _outcome(success: int, timeout: int, error_kind: str | None, score: int | None) -> Outcome:
    return Outcome(
        success=bool(success),
        timeout=bool(timeout),
        error_kind=error_kind if error_kind in {None, *ERROR_KINDS} else "other",
        score=None if score is None else score / WHOLE_SCORE,
    )


def _find(connection: sqlite3.Connection, sql: str, test_id: int) -> list[StoredTest]:
    return _tests(fetch(connection, sql, (test_id,)))


def _tests(rows: Sequence[Any]) -> list[StoredTest]:
    tests = groupby(rows, key=lambda row: row[: len(_TEST)])
    return usable(_test, ((head, [row[len(_TEST) :] for row in group]) for head, group in tests))


def _test(found: tuple[Sequence[Any], Sequence[Any]]) -> StoredTest:
    """Return the test with these columns and challengers; raise ValueError if one of them is missing."""
    head, challengers = found
    if len(challengers) != challengers[0][-1]:
        raise ValueError("a challenger is not readable")
    contests = tuple(StoredContest(row[0], numbers(row[1]), *row[2:-1]) for row in challengers)
    test = StoredTest(**{**dict(zip(_TEST, head, strict=True)), "promote": bool(head[9])}, contests=contests)
    if not (0 < test.alpha < 1 and 0 <= test.share <= 1 and test.min_samples >= 0 and (test.max_samples or 0) >= 0):
        raise ValueError("the terms are not those of a test")
    moments(test.started_ms, test.ended_ms, *(moment for contest in contests for moment in contest[3:5]))
    return test


def _drawn(row: Sequence[Any]) -> DrawnDecisions:
    model_id, shares, decisions, reported, is_old = row
    probabilities = {name: float(share) for name, share in parse_json(shares).items()}
    return DrawnDecisions(model_id, probabilities, decisions, reported, bool(is_old))
