"""The tracker of the migration guide: outcomes in, rankings out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple, Protocol, Self

from modelperf_plugin.engine.clock import Clock, read_clock
from modelperf_plugin.engine.outcome_ids import refuse_any_taken, refuse_taken
from modelperf_plugin.errors import InvalidValueError, within
from modelperf_plugin.policy.demotion import DemoteBySuccessRate
from modelperf_plugin.policy.exploration.ab_test import fewest_samples
from modelperf_plugin.store import Entry, Store
from modelperf_plugin.values import Outcome, Tally, check_id, to_milliseconds
from modelperf_plugin.values.names import NO_ALIASES, CanonicalIds


class Importer(Protocol):
    """Imports what an earlier tool recorded into a store."""

    def run(self) -> None:
        """Import what is due, or have a thread do it."""

    def close(self) -> None:
        """End the thread."""


IMPORT_SECONDS: Final = 3600

MAX_CHECKED_PAIRS: Final = 10_000


class ABCandidates(NamedTuple):
    """The two sides of a possible A/B test."""

    incumbent: str
    """The model named, or else the best-ranked one."""
    challenger: str
    """The one with the fewest outcomes among the others."""


class Tracker:
    """Records outcomes in a store and answers the migration guide's four questions from it.

    Its own rules are plain success rates; the policy of :class:`~modelperf_plugin.engine.core.ModelPerf` goes further
    and reads the same store. Any thread may call any method.
    """

    def __init__(
        self, store: Store, open_importer: Callable[[Store, Callable[[], int]], Importer], clock: Clock | None = None
    ) -> None:
        """Import what is due into ``store``, which :meth:`close` closes; ``clock`` returns an aware datetime.

        ``open_importer`` gets the store, and a function that returns the time in ms since the Unix epoch.
        """
        self.store = store
        self._clock = clock
        self._pairs: dict[tuple[str, str], tuple[str, str]] = {}
        """The pairs whose ids have been checked, each with the pair that its outcomes are recorded under."""
        self._canonical_ids: CanonicalIds = NO_ALIASES
        self._import_at = 0.0
        self._importer = open_importer(store, self._now_ms)
        self.take_over()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def rename(self, canonical_ids: CanonicalIds) -> None:
        """Record outcomes of aliases under the canonical id of their model from now on."""
        self._canonical_ids, self._pairs = canonical_ids, {}

    def record_outcome(self, task_type: str, model_id: str, outcome: Outcome | Mapping[str, Any]) -> bool:
        """Write one outcome in one transaction; return whether that changed the store.

        It does not if its ``outcome_id`` was recorded before with the same verdict; another verdict replaces the first.

        Raises:
            InvalidValueError: a value is invalid, or the ``outcome_id`` is that of an outcome of another model or task
                type; nothing was written.
            StoreError: it could not be written, not even in part.
        """
        outcomes, entry = self.store.outcomes, self.entry(task_type, model_id, outcome)
        recorded = outcomes.record(entry)
        refuse_taken(outcomes, entry, recorded)
        return bool(recorded)

    def record_many(self, outcomes: Iterable[tuple[str, str, Outcome | Mapping[str, Any]]]) -> int:
        """Write many outcomes, each with its task type and model id, in one transaction: all of them or none.

        Returns:
            How many changed the store. The others have an ``outcome_id`` that was recorded before, or occurs twice,
            with the same verdict.

        Raises:
            InvalidValueError: a value is invalid, or an ``outcome_id`` is that of an outcome of another model or task
                type; the message says which. Nothing was written.
            StoreError: none could be written.
        """
        entries = self.entries(outcomes)
        refuse_any_taken(self.store.outcomes, entries)
        return self.store.outcomes.record_many(entries)

    def entry(self, task_type: str, model_id: str, outcome: Outcome | Mapping[str, Any]) -> Entry:
        """Return an outcome as the store takes it: checked, with a time; raise InvalidValueError if it is invalid."""
        try:
            pair = self._pairs[task_type, model_id]
        except (KeyError, TypeError):  # not checked yet, or not a string
            pair = self._check_pair(task_type, model_id)
        if type(outcome) is not Outcome:
            outcome = _to_outcome(outcome)
        timestamp = outcome.timestamp
        return Entry(*pair, outcome, self._now_ms() if timestamp is None else to_milliseconds(timestamp))

    def entries(self, outcomes: Iterable[tuple[str, str, Outcome | Mapping[str, Any]]]) -> list[Entry]:
        """Return outcomes as the store takes them, like :meth:`entry`; those without a time get the same."""
        everything = list(outcomes)
        entries: list[Entry] = []
        pairs, now_ms = self._pairs, self._now_ms()
        item: Any = None
        try:
            for item in everything:
                task_type, model_id, outcome = item
                pair = pairs.get((task_type, model_id)) or self._check_pair(task_type, model_id)
                if type(outcome) is not Outcome:
                    outcome = _to_outcome(outcome)
                timestamp = outcome.timestamp
                ended_ms = now_ms if timestamp is None else to_milliseconds(timestamp)
                entries.append(Entry(*pair, outcome, ended_ms))
        except InvalidValueError as error:
            raise within(f"outcomes[{len(entries)}]", error) from None
        except (TypeError, ValueError):
            requirement = "a task type, a model id and an outcome"
            raise InvalidValueError(f"outcomes[{len(entries)}]", requirement, item) from None
        return entries

    def _check_pair(self, task_type: str, model_id: str) -> tuple[str, str]:
        given = (check_id("task_type", task_type), check_id("model_id", model_id))
        pairs, pair = self._pairs, (given[0], self._canonical_ids.get(given[1], given[1]))
        if len(pairs) >= MAX_CHECKED_PAIRS:
            pairs.clear()
        pairs[given] = pair
        return pair

    def get_ranked_models(self, task_type: str, min_samples: int = 3) -> list[Tally]:
        """Return the tallies of the models with at least ``min_samples`` outcomes, highest success rate first.

        Equal rates are sorted by more outcomes, then by name.
        """
        _check_min_samples(min_samples)
        tallies = self.store.tallies.of(check_id("task_type", task_type)).values()
        proven = [tally for tally in tallies if tally.samples >= min_samples]
        return sorted(proven, key=lambda tally: (-(tally.success_rate or 0.0), -tally.samples, tally.model_id))

    def should_demote(self, task_type: str, model_id: str, threshold: float = 0.5, min_samples: int = 3) -> bool:
        """Return whether the model's success rate is below ``threshold`` after at least ``min_samples`` outcomes."""
        if isinstance(threshold, bool) or not isinstance(threshold, (int, float)) or not 0 < threshold < 1:
            raise InvalidValueError("threshold", "a number between 0 and 1", threshold)
        _check_min_samples(min_samples)
        tally = self.store.tallies.of(check_id("task_type", task_type)).get(check_id("model_id", model_id))
        rule = DemoteBySuccessRate(threshold=threshold, min_samples=min_samples)
        return tally is not None and rule([tally]) != [None]

    def get_ab_test_candidates(
        self, task_type: str, incumbent: str | None = None, min_samples: int = 3
    ) -> ABCandidates | None:
        """Return the sides of a possible A/B test, or None while fewer than two models are known.

        The incumbent is the one named, or the first of :meth:`get_ranked_models`, or the one with the most
        outcomes; the challenger is the one with the fewest outcomes among the others.
        """
        evidence = self.store.tallies.of(check_id("task_type", task_type))
        if incumbent is None:
            ranked = self.get_ranked_models(task_type, min_samples)
            most = max(evidence.values(), key=lambda tally: tally.samples, default=None)
            first = ranked[0] if ranked else most
            incumbent = None if first is None else first.model_id
        challenger = fewest_samples(tally for tally in evidence.values() if tally.model_id != incumbent)
        if incumbent is None or challenger is None:
            return None
        return ABCandidates(check_id("incumbent", incumbent), challenger.model_id)

    def take_over(self) -> None:
        """Run the importer, unless it ran within the last hour.

        A new tracker calls this. A program that keeps a tracker open for long should call it from time to time.
        """
        if time.time() < self._import_at and self._clock is None:
            return
        self._import_at = time.time() + IMPORT_SECONDS
        self._importer.run()

    def close(self) -> None:
        """Close the store; an import that is not complete is resumed when it is opened again."""
        self._importer.close()
        self.store.close()

    def _now_ms(self) -> int:
        return time.time_ns() // 1_000_000 if self._clock is None else to_milliseconds(read_clock(self._clock))


def _check_min_samples(value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidValueError("min_samples", "a whole number of 1 or more", value)


def _to_outcome(value: Outcome | Mapping[str, Any]) -> Outcome:
    if isinstance(value, Outcome):
        return value
    if not isinstance(value, Mapping):
        raise InvalidValueError("outcome", "an Outcome or a mapping with the same keys", value)
    return Outcome.from_mapping(value)
