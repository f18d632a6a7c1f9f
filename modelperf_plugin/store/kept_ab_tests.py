"""Keeping A/B tests by SQL: the same in every dialect but for the statements, and for what locks a test."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, Protocol, TypeVar

from modelperf_plugin.errors import StoreError
from modelperf_plugin.store.ab_rows import drawn_of, outcome_of, stakes_of, tests_of
from modelperf_plugin.store.ab_tests import MAX_DRAWN, DrawnDecisions, Stake, StoredContest, StoredTest
from modelperf_plugin.store.queries import load_queries
from modelperf_plugin.store.rows import usable
from modelperf_plugin.values import Outcome

_T = TypeVar("_T")


class Cursor(Protocol):
    """What a statement has done."""

    @property
    def rowcount(self) -> int:
        """How many rows it has changed."""

    def fetchone(self) -> Any:
        """Return its first row; None without any."""


class Transaction(Protocol):
    """What executes statements in a transaction: a connection of either driver."""

    def execute(self, statement: str, parameters: Any = (), /) -> Cursor:
        """Execute a statement; a mapping binds its parameters by name."""


class Keeping(Protocol):
    """What reads and writes."""

    location: str
    """Where the store is, for messages."""

    def fetch(self, statement: str, *parameters: Any) -> list[Any]:
        """Return the readable rows of a query; a single mapping among ``parameters`` binds them by name."""

    def write(self, action: Callable[[Any], _T]) -> _T:
        """Return what ``action`` returns, called in a transaction."""


class KeptABTests:
    """Keeps the states of A/B tests in a database; see :class:`~modelperf_plugin.store.roles.ABTests`."""

    def __init__(self, connection: Keeping, dialect: str) -> None:
        self._connection = connection
        self._sql = load_queries(dialect, "ab_tests.sql")

    def _rows(self, transaction: Any, statement: str, parameters: tuple[Any, ...]) -> list[Any]:
        """Return the readable rows of a query within a transaction."""
        raise NotImplementedError

    def _lock(self, transaction: Any, test_id: int | None) -> None:
        """Keep others from changing a test or, without a number, from beginning one, until the transaction ends."""
        raise NotImplementedError

    def all(self, task_type: str | None = None, *, ended: bool = False) -> list[StoredTest]:
        return tests_of(self._connection.fetch(self._sql["ab_tests"], task_type, task_type, ended))

    def begin(self, test: StoredTest, *, named: bool = True) -> StoredTest:
        def write(transaction: Transaction) -> StoredTest:
            self._lock(transaction, None)
            terms = asdict(test)
            transaction.execute(self._sql["adopt_ab_test"], terms)
            for contest in test.contests:
                conflict = {**terms, "model_id": contest.challenger}
                transaction.execute(self._sql["end_ab_test_of_challenger"], conflict)
            has_begun = transaction.execute(self._sql["begin_ab_test"], terms).rowcount > 0
            (test_id,) = transaction.execute(self._sql["ab_test_id"], (test.task_type, test.fingerprint)).fetchone()
            self._lock(transaction, test_id)
            terms["test_id"] = test_id
            if has_begun or named:
                self._set_contests(transaction, test_id, test.contests)
            transaction.execute(self._sql["reopen_ab_test"], terms)
            transaction.execute(self._sql["set_ab_terms"], terms)
            found = self._find(transaction, test_id)
            if found is None:
                where = self._connection.location
                raise StoreError(f"the A/B test of {test.task_type} in {where} is not readable: run `modelperf doctor`")
            return found

        return self._connection.write(write)

    def advance(
        self,
        test_id: int,
        unit: int | None,
        step: Callable[[StoredTest], Sequence[StoredContest]],
        stakes: Callable[[], tuple[str, int, Mapping[str, Stake]] | None] = lambda: None,
    ) -> StoredTest | None:
        def write(transaction: Transaction) -> StoredTest | None:
            self._lock(transaction, test_id)
            test = self._find(transaction, test_id)
            if test is None:
                return None
            contests = list(step(test))
            for position, (contest, known) in enumerate(zip(contests, test.contests, strict=True)):
                if contest == known:
                    continue
                if unit is not None and not self._is_new_unit(transaction, test_id, contest.challenger, unit):
                    contests[position] = known
                    continue
                row = (json.dumps(contest.state), *contest[2:5], test_id, contest.challenger)
                transaction.execute(self._sql["set_ab_challenger"], row)
            self._keep(transaction, test, contests, stakes())
            return replace(test, contests=tuple(contests))

        return self._connection.write(write)

    def revise(
        self,
        decision_id: str | None,
        outcome_id: str | None,
        step: Callable[[StoredTest, Mapping[str, Stake], Outcome], tuple[Sequence[StoredContest], Mapping[str, Stake]]],
    ) -> StoredTest | None:
        def write(transaction: Transaction) -> StoredTest | None:
            bet = transaction.execute(self._sql["ab_bet"], (decision_id, outcome_id)).fetchone()
            if bet is None:
                return None
            self._lock(transaction, bet[1])
            bet = transaction.execute(self._sql["ab_bet"], (decision_id, outcome_id)).fetchone()
            test = None if bet is None else self._find(transaction, bet[1])
            if test is None:
                return None
            new, stakes = step(test, stakes_of(bet[2]), outcome_of(*bet[3:]))
            for contest, known in zip(new, test.contests, strict=True):
                if contest != known:
                    row = (json.dumps(contest.state), test.test_id, contest.challenger)
                    transaction.execute(self._sql["set_ab_state"], row)
            transaction.execute(self._sql["set_ab_bet"], (json.dumps(stakes), bet[0]))
            return replace(test, contests=tuple(new))

        if not self._connection.fetch(self._sql["ab_bet"], decision_id, outcome_id):
            return None
        return self._connection.write(write)

    def drawn(self, test_id: int, now_ms: int) -> list[DrawnDecisions]:
        ((first_ms, mean_ms, longest_ms),) = self._connection.fetch(self._sql["ab_delays"], test_id)
        if longest_ms is None:
            return []  # no outcome, of either side
        half_ms = max(now_ms - first_ms, 0) // 2
        recent_ms, old_ms = min(round(3 * mean_ms), half_ms), min(2 * max(longest_ms, 0), half_ms)
        moments_ms = {"until_ms": now_ms - recent_ms, "old_ms": now_ms - old_ms}
        terms = {"test_id": test_id, "most": MAX_DRAWN, **moments_ms}
        return usable(drawn_of, self._connection.fetch(self._sql["ab_drawn"], terms))

    def end(self, task_type: str, ended_ms: int) -> int:
        def write(transaction: Transaction) -> int:
            ended = transaction.execute(self._sql["end_ab_tests"], (ended_ms, task_type)).rowcount
            transaction.execute(self._sql["delete_ab_bets"], (task_type,))
            return ended

        return self._connection.write(write)

    def _find(self, transaction: Transaction, test_id: int) -> StoredTest | None:
        """Return a test that has not ended."""
        return next(iter(tests_of(self._rows(transaction, self._sql["ab_test"], (test_id,)))), None)

    def _set_contests(self, transaction: Transaction, test_id: int, contests: Sequence[StoredContest]) -> None:
        """Add the challengers that are new, set the shares of all, and withdraw the others."""
        for contest in contests:
            row = {**contest._asdict(), "test_id": test_id, "model_id": contest.challenger}
            row["state"] = json.dumps(contest.state)
            if transaction.execute(self._sql["add_ab_challenger"], row).rowcount > 0:
                transaction.execute(self._sql["add_counted_ab_units"], row)
            else:
                transaction.execute(self._sql["set_ab_share"], row)
        row = {"test_id": test_id, "challengers": json.dumps([contest.challenger for contest in contests])}
        transaction.execute(self._sql["withdraw_ab_challengers"], row)
        transaction.execute(self._sql["delete_unused_ab_challengers"], row)

    def _is_new_unit(self, transaction: Transaction, test_id: int, challenger: str, unit: int) -> bool:
        return transaction.execute(self._sql["add_ab_unit"], (unit, test_id, challenger)).rowcount > 0

    def _keep(
        self,
        transaction: Transaction,
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
            transaction.execute(self._sql["add_ab_bet"], row)
