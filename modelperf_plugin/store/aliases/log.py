"""The decision log and A/B tests under canonical ids."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from modelperf_plugin.store.ab_tests import DrawnDecisions, Stake, StoredContest, StoredTest
from modelperf_plugin.store.aliases import values
from modelperf_plugin.store.aliases.role import Renamed
from modelperf_plugin.store.decision_records import DecisionOutcome, DecisionRecord
from modelperf_plugin.store.decisions import JoinedOutcome, LoggedDecision
from modelperf_plugin.values import Outcome


class RenamedDecisions(Renamed):
    """Implements :class:`~modelperf_plugin.store.roles.DecisionLog`."""

    def get(self, decision_id: str) -> LoggedDecision | None:
        """Return a stored decision with canonical ids, or None."""
        own: LoggedDecision | None = self._own.get(decision_id)
        return None if own is None else self._renamed([own])[0]

    def starting_with(self, prefix: str, limit: int = 10) -> list[LoggedDecision]:
        """Return decisions whose id starts with ``prefix``, by id."""
        return self._renamed(self._own.starting_with(prefix, limit))

    def follow_ups(self, decision_id: str) -> list[LoggedDecision]:
        """Return the decisions made for the same task after the failure of ``decision_id``, oldest first."""
        return self._renamed(self._own.follow_ups(decision_id))

    def newest(
        self, task_type: str | None = None, since_ms: int | None = None, limit: int = 100
    ) -> list[LoggedDecision]:
        """Return the newest decisions, newest first."""
        return self._renamed(self._own.newest(task_type, since_ms, limit))

    def after(self, number: int, limit: int) -> list[tuple[int, DecisionRecord, JoinedOutcome | None]]:
        """Return up to ``limit`` decisions stored after ``number``, in order, each with its own number."""
        own: list[tuple[int, DecisionRecord, JoinedOutcome | None]] = self._own.after(number, limit)
        ids = self._aliases.ids
        if not ids:
            return own
        return [
            (each, values.record(row, ids), None if outcome is None else values.named(outcome, ids))
            for each, row, outcome in own
        ]

    def further_outcomes(self, decision_ids: Sequence[str]) -> Mapping[str, Sequence[JoinedOutcome]]:
        """Return the outcomes of decisions besides the one that :meth:`after` returns, in the order of arrival."""
        own: Mapping[str, Sequence[JoinedOutcome]] = self._own.further_outcomes(decision_ids)
        ids = self._aliases.ids
        return {name: [values.named(each, ids) for each in rows] for name, rows in own.items()} if ids else own

    def _renamed(self, decisions: list[LoggedDecision]) -> list[LoggedDecision]:
        ids = self._aliases.ids
        return [values.decision(each, ids) for each in decisions] if ids else decisions


class RenamedUnmatched(Renamed):
    """Implements :class:`~modelperf_plugin.store.roles.UnmatchedOutcomes`."""

    def of(self, decision_id: str) -> list[DecisionOutcome]:
        """Return the outcomes that wait for ``decision_id``, in the order of arrival."""
        ids = self._aliases.ids
        return [values.named(each, ids) for each in self._own.of(decision_id)]


class RenamedABTests(Renamed):
    """Implements :class:`~modelperf_plugin.store.roles.ABTests`: stored sides keep their names in the store."""

    def all(self, task_type: str | None = None, *, ended: bool = False) -> list[StoredTest]:
        """Return the tests between canonical models, newest first; ended ones only on request."""
        own: list[StoredTest] = self._own.all(task_type, ended=ended)
        ids = self._aliases.ids
        return [values.test(each, ids) for each in own] if ids else own

    def begin(self, test: StoredTest, *, named: bool = True) -> StoredTest:
        """Begin ``test``, or continue the stored one under the names that it has there."""
        ids = self._aliases.ids
        if not ids:
            return self._own.begin(test, named=named)  # type: ignore[no-any-return]
        for stored in self._own.all(test.task_type):
            if test.fingerprint == stored.fingerprint or test.test_id == stored.test_id:
                test = values.stored_test(test, stored, ids)
                break
        return values.test(self._own.begin(test, named=named), ids)

    def drawn(self, test_id: int, now_ms: int) -> list[DrawnDecisions]:
        """Return the decisions of a test between canonical models."""
        own: list[DrawnDecisions] = self._own.drawn(test_id, now_ms)
        ids = self._aliases.ids
        return [values.drawn(each, ids) for each in own] if ids else own

    def advance(
        self,
        test_id: int,
        unit: int | None,
        step: Callable[[StoredTest], Sequence[StoredContest]],
        stakes: Callable[[], tuple[str, int, Mapping[str, Stake]] | None] = lambda: None,
    ) -> StoredTest | None:
        """Replace the contests of a test by what ``step`` returns for it."""
        ids = self._aliases.ids
        if not ids:
            return self._own.advance(test_id, unit, step, stakes)  # type: ignore[no-any-return]
        names: dict[str, str] = {}

        def stored_stakes() -> tuple[str, int, Mapping[str, Stake]] | None:
            staked = stakes()
            return staked and (*staked[:2], {names.get(name, name): stake for name, stake in staked[2].items()})

        def stored_step(stored: StoredTest) -> list[StoredContest]:
            shown = values.test(stored, ids)
            names.update(_own_names(stored, shown))
            known = zip(stored.contests, shown.contests, step(shown), strict=True)
            return [own if after == before else after._replace(challenger=own[0]) for own, before, after in known]

        advanced: StoredTest | None = self._own.advance(test_id, unit, stored_step, stored_stakes)
        return None if advanced is None else values.test(advanced, ids)

    def revise(
        self,
        decision_id: str | None,
        outcome_id: str | None,
        step: Callable[[StoredTest, Mapping[str, Stake], Outcome], tuple[Sequence[StoredContest], Mapping[str, Stake]]],
    ) -> StoredTest | None:
        """Replace the contests of a test and its stakes by what ``step`` returns for them."""
        ids = self._aliases.ids
        if not ids:
            return self._own.revise(decision_id, outcome_id, step)  # type: ignore[no-any-return]

        def stored_step(
            stored: StoredTest, stakes: Mapping[str, Stake], outcome: Outcome
        ) -> tuple[list[StoredContest], dict[str, Stake]]:
            shown = values.test(stored, ids)
            contests, kept = step(shown, {ids.get(name, name): stake for name, stake in stakes.items()}, outcome)
            names = _own_names(stored, shown)
            own = [each._replace(challenger=own[0]) for each, own in zip(contests, stored.contests, strict=True)]
            return own, {names.get(name, name): stake for name, stake in kept.items()}

        revised: StoredTest | None = self._own.revise(decision_id, outcome_id, stored_step)
        return None if revised is None else values.test(revised, ids)


def _own_names(stored: StoredTest, shown: StoredTest) -> dict[str, str]:
    """Return the stored names of the challengers of a test by their canonical ids."""
    return {after.challenger: before.challenger for before, after in zip(stored.contests, shown.contests, strict=True)}
