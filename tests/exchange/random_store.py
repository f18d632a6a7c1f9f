"""Does everything to a store that hosts and operators do, at random."""

from __future__ import annotations

import random
from itertools import count
from typing import Final

from modelperf_plugin.store import Attached, Entry, Merged, Step, Store, Sums
from modelperf_plugin.store.ab_tests import Stake, StoredContest, StoredTest
from modelperf_plugin.store.decision_records import DecisionOutcome, DecisionRecord, Joining
from modelperf_plugin.store.entries import CountedProblem
from modelperf_plugin.store.watches import WatchState
from modelperf_plugin.values import Outcome, Tally
from modelperf_plugin.values.outcome import ErrorKind

NOON_MS: Final = 1_767_268_800_000
RECORD: Final = '{"ranking_strategy":"posterior","reason":"it is best","candidates":[],"excluded":[]}'
_TASK_TYPES: Final = ("plan", "write")
_MODELS: Final = ("a", "b", "x", "y")
_KINDS: Final[tuple[ErrorKind | None, ...]] = (None, "rate_limit", "cancelled", "other", "unavailable", "refused")
_DAY_MS: Final = 86_400_000


class Actor:
    """Acts on one store after the other; its ids are its own."""

    def __init__(self, seed: int, name: str = "") -> None:
        self._random = random.Random(seed)
        self._name = name
        self._numbers = count(1)
        self._outcome_ids: list[tuple[str, str, str]] = []
        self._decisions: list[tuple[str, str, str]] = []

    def act(self, store: Store, times: int) -> None:
        """Do something so many times."""
        actions = [self.record] * 8 + [self.decide] * 6 + [self.join] * 4 + [self.revise] * 3 + [self.report] * 2
        actions += [self.change, self.demote, self.watch, self.import_sums, self.merge, self.attach, self.problem]
        actions += [self.test, self.test, self.back, self.estimate, self.wait, self.batch]
        for _ in range(times):
            self._random.choice(actions)(store)

    def know(self, other: Actor) -> None:
        """Know some outcomes and decisions of another one."""
        self._outcome_ids += other._outcome_ids[:10]
        self._decisions += other._decisions[:5]

    def record(self, store: Store) -> None:
        """Record an outcome, with an id or not."""
        task_type, model_id = self._pair()
        outcome_id = self._id("outcome") if self._random.random() < 0.5 else None
        if outcome_id is not None:
            self._outcome_ids.append((outcome_id, task_type, model_id))
        tried = tuple(sorted(self._random.sample(_MODELS, self._random.randint(0, 2))))
        store.outcomes.record(Entry(task_type, model_id, self._outcome(outcome_id), self._moment(), tried))

    def batch(self, store: Store) -> None:
        """Record outcomes at once."""
        store.outcomes.record_many(
            [Entry(*self._pair(), self._outcome(None), self._moment()) for _ in range(self._random.randint(1, 5))]
        )

    def revise(self, store: Store) -> None:
        """Replace a verdict."""
        if self._outcome_ids:
            outcome_id, task_type, model_id = self._random.choice(self._outcome_ids)
            store.outcomes.record(Entry(task_type, model_id, self._outcome(outcome_id), self._moment()))

    def decide(self, store: Store) -> None:
        """Make a decision, and record its outcome with it or not."""
        task_type, model_id = self._pair()
        decision_id = f"{self._random.getrandbits(80):020x}"
        record = DecisionRecord(
            decision_id, self._moment(), task_type, model_id, 0.5, self._random.random() < 0.3, 0.125, "apply", "p",
            RECORD,
        )  # fmt: skip
        self._decisions.append((decision_id, task_type, model_id))
        if self._random.random() < 0.5:
            store.decisions.write([record], [])
            return
        moment = self._moment()
        entry = Entry(task_type, model_id, self._outcome(None), moment)
        joined = DecisionOutcome(decision_id, model_id, entry.outcome, moment)
        store.outcomes.record(entry, Joining(record, joined))

    def join(self, store: Store) -> None:
        """Record a further outcome of a decision."""
        if self._decisions:
            decision_id, task_type, _ = self._random.choice(self._decisions)
            model_id, moment = self._random.choice(_MODELS), self._moment()
            outcome_id = self._id("try") if self._random.random() < 0.5 else None
            entry = Entry(task_type, model_id, self._outcome(outcome_id), moment)
            if outcome_id is not None:
                self._outcome_ids.append((outcome_id, task_type, model_id))
            joined = DecisionOutcome(decision_id, model_id, entry.outcome, moment, outcome_id)
            store.outcomes.record(entry, Joining(None, joined))

    def report(self, store: Store) -> None:
        """Give a decision a verdict, whether it is known or not."""
        known = [each[0] for each in self._decisions]
        decision_id = self._random.choice([*known, f"{next(self._numbers):020x}"])
        store.decisions.report(decision_id, Outcome(success=self._random.random() < 0.5), self._moment())

    def wait(self, store: Store) -> None:
        """Record an outcome whose decision is not known."""
        outcome = DecisionOutcome(self._id("unknown"), "x", self._outcome(None), self._moment())
        store.decisions.write([], [outcome])

    def change(self, store: Store) -> None:
        """Note that a model has changed."""
        last = store.events.last_id()
        if last > 2:
            store.changes.add(
                self._random.choice(_MODELS), "down", (last - 2, last - self._random.randint(0, 1)), (NOON_MS, NOON_MS),
                20.0, {"plan": 0.5},
            )  # fmt: skip

    def demote(self, store: Store) -> None:
        """Demote a model, or reinstate it."""
        pair = self._pair()
        if not store.demotions.add(*pair, self._moment(), 0.5, 30.0, "it fails"):
            store.demotions.end(*pair, self._moment(), "operator")

    def watch(self, store: Store) -> None:
        """Save a watch."""
        state = WatchState("change", "", self._random.choice(_MODELS), (1.0, float(next(self._numbers)), 3.0, 4.0))
        store.watch_states.save(store.events.last_id(), [state])

    def back(self, store: Store) -> None:
        """Declare a model available."""
        store.events.mark_back(self._random.choice(_MODELS), store.events.last_id())

    def import_sums(self, store: Store) -> None:
        """Import a file again and again."""
        number = next(self._numbers)
        source, digest = self._random.choice(["old.json", "more.json"]), f"{self._name}{number}"
        store.imports.add_sums(Step("json", source, digest, 1, 0, 0, NOON_MS), [Sums(*self._pair(), 7, number, 1, 9)])

    def merge(self, store: Store) -> None:
        """Merge a source, or remove it."""
        if not store.merged.remove("theirs"):
            source = Merged(0, "theirs", "0123", f"{next(self._numbers)}", 10.0, NOON_MS, 0, 0)
            store.merged.add(source, [Tally(*self._pair(), 5, next(self._numbers))])

    def attach(self, store: Store) -> None:
        """Attach a database, or detach it."""
        if not store.attachments.remove("none.db"):
            store.attachments.add(Attached("none.db", "outcomes", {}, self._moment()))

    def problem(self, store: Store) -> None:
        """Note a failure."""
        moment = self._moment()
        store.problems.add(CountedProblem("on_task_complete", self._random.choice("ab"), 2, moment, moment))

    def estimate(self, store: Store) -> None:
        """Mark costs as estimated."""
        store.spending.mark_estimated(self._random.choice(_MODELS), 20_000 + next(self._numbers))

    def test(self, store: Store) -> None:
        """Begin an A/B test, let it advance, or end it."""
        if not store.ab_tests.all("plan"):
            test = StoredTest(
                task_type="plan", fingerprint="f", incumbent="a", share=0.3, salt="s", alpha=0.05, min_samples=0,
                max_samples=10, promote=False, started_ms=self._moment(),
                contests=(StoredContest("x", ()), StoredContest("y", ())),
            )  # fmt: skip
            store.ab_tests.begin(test)
        elif self._random.random() < 0.2:
            store.ab_tests.end("plan", self._moment())
        else:
            state, newest = (float(next(self._numbers)), *[0.0] * 8), store.decisions.newest(limit=1)
            store.ab_tests.advance(
                store.ab_tests.all("plan")[0].test_id,
                next(self._numbers),
                lambda test: [contest._replace(state=state) for contest in test.contests],
                lambda: (newest[0].decision_id, NOON_MS, {"x": Stake(1.0, "A", 0.5, True, ())}) if newest else None,
            )

    def _outcome(self, outcome_id: str | None) -> Outcome:
        success = self._random.random() < 0.6
        return Outcome(
            success=success, timeout=not success and self._random.random() < 0.3,
            tokens_used=self._random.choice([0, 5, 700]), cost_usd=self._random.choice([0.0, 0.25]),
            error_kind=None if success else self._random.choice(_KINDS), outcome_id=outcome_id,
            score=self._random.choice([None, 0.75]) if success else None,
            duration_seconds=self._random.choice([None, 0.5, 60.0]),
            served_model=self._random.choice([None, "a-2026"]),
        )  # fmt: skip

    def _pair(self) -> tuple[str, str]:
        return self._random.choice(_TASK_TYPES), self._random.choice(_MODELS)

    def _moment(self) -> int:
        return NOON_MS - self._random.randint(0, 90) * _DAY_MS + next(self._numbers)

    def _id(self, kind: str) -> str:
        return f"{kind}-{self._name}{next(self._numbers)}"
