"""What waits to be moved into the database: outcomes of this process, what its stand-in kept, and what others left."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeVar

from modelperf_plugin.errors import StoreBusyError, StoreError, StoreFailedError
from modelperf_plugin.log import logger
from modelperf_plugin.store.entries import Entry, Recorded, Verdict
from modelperf_plugin.store.fallback.interim import Notes
from modelperf_plugin.store.fallback.own_spool import Spool
from modelperf_plugin.store.fallback.spool import Place, ingest_left, places
from modelperf_plugin.store.main_store import MainStore
from modelperf_plugin.store.tally_cache import NO_COUNTS
from modelperf_plugin.values import LaterTries, Tally, Tried, combine
from modelperf_plugin.values.backoff import Backoff
from modelperf_plugin.values.locks import attempt

_MAX_RETURNED: Final = 1000
"""Maximum number of task types whose sums are kept."""

_T = TypeVar("_T")


class Backlog:
    """Moves what waits, in steps of a few milliseconds. Any thread may call any method.

    Outcomes of this process wait while others keep the database busy for too long, and after it failed. Later ones
    queue up behind them, without waiting, so that they are stored in order.
    """

    def __init__(self, path: str, spool: Spool) -> None:
        """Use ``spool``, which is empty and lies beside ``path``."""
        self.waits = False
        """Whether there is anything to move."""
        self.own_wait = False
        """Whether outcomes of this process are waiting."""
        self._path = path
        self._spool = spool
        self._lock = threading.RLock()  # a signal handler may record, too
        self._moving = threading.Lock()
        self._notes: deque[Notes] = deque()
        self._left: deque[tuple[Place, Path]] = deque()
        self._backoff = Backoff()
        self._tallies: dict[str, Mapping[str, Tally]] = {}
        self._later: dict[str, Mapping[str, Mapping[Tried, LaterTries]]] = {}
        """What was returned last, by task type."""

    def add(self, store: MainStore, entries: Sequence[Entry], reason: str) -> list[Recorded]:
        """Spool outcomes; return what each of them changes, as far as is known now."""
        with self._lock:
            recorded = self._compare(store, entries)
            new = [entry for entry, each in zip(entries, recorded, strict=True) if each]
            if not new:
                return recorded
            if not self.own_wait:
                where = self._spool.begin(reason)
                logger.info("%s: outcomes wait in %s", reason, where)
            revised = [each is Recorded.REVISED for each in recorded if each]
            self._spool.append(new, revised)
            self.own_wait = self.waits = True
            return recorded

    def add_doubtful(self, entries: Sequence[Entry], receipt: str) -> list[Recorded]:
        """Spool outcomes of which nobody knows whether they are stored, as a batch of which the database knows."""
        with self._lock:
            self._spool.append(entries, batch_id=receipt)
            self.own_wait = self.waits = True
            return [Recorded.NEW] * len(entries)

    @property
    def is_only_in_memory(self) -> bool:
        """Whether nothing of this process waits but what ends with it."""
        return self._spool.is_empty and bool(self._notes)

    def find_batches_of_others(self) -> None:
        """Have the batches moved that processes have left which have ended, or use the database again."""
        self._left.extend((place, path) for place in places(self._path) for path in place.batches())
        self._update()

    def take_over(self, notes: Notes) -> None:
        """Have moved what a stand-in kept; its outcomes are in the spool."""
        self._notes.append(notes)
        self._update()

    def hand_over(self) -> None:
        """Leave the spool to a stand-in."""
        with self._lock:
            self._left.clear()
            self.waits = self.own_wait = False
            self._forget_returned()

    def move_next(self, store: MainStore) -> list[Entry] | None:
        """Take one step of moving what waits into ``store``; return the outcomes of this process that were moved.

        None if nothing can be moved now: others are writing, or another thread is moving.

        Raises:
            StoreFailedError: ``store`` fails.
        """
        moved: list[Entry] = []
        taken: list[bool] = []
        if self._backoff.due:
            attempt(self._moving, lambda: taken.append(self._try_step(store, moved)))
        if not any(taken):
            return None
        self._update()
        return moved

    def add_to(self, store: MainStore, task_type: str) -> Mapping[str, Tally]:
        """Return the tallies of ``store`` for a task type, with the outcomes of this process that wait.

        Which batches wait is looked up first, and which of them were moved is read together with the tallies: each
        outcome counts once, whatever is being moved meanwhile.
        """
        batches = self._spool.counts()
        tallies, moved = store.tallies.with_batches(task_type, [batch_id for batch_id, _ in batches])
        for batch_id, counts in batches:
            for model_id, tally in counts.get(task_type, NO_COUNTS).tallies.items() if batch_id not in moved else ():
                tallies[model_id] = combine(tallies[model_id], tally) if model_id in tallies else tally
        return _kept(self._tallies, task_type, tallies)

    def add_to_later(self, store: MainStore, task_type: str) -> Mapping[str, Mapping[Tried, LaterTries]]:
        """Return the later tries of ``store`` for a task type, with those of this process that wait, likewise."""
        batches = self._spool.counts()
        later, moved = store.tallies.later_with_batches(task_type, [batch_id for batch_id, _ in batches])
        for batch_id, counts in batches:
            for model_id, sets in counts.get(task_type, NO_COUNTS).later.items() if batch_id not in moved else ():
                known = later.setdefault(model_id, {})
                for tried, tries in sets.items():
                    known[tried] = tries.combined(known.get(tried, LaterTries()))
        return _kept(self._later, task_type, later)

    def renew(self) -> None:
        """Start over in a forked process: what waits is the parent's."""
        self._lock = threading.RLock()
        self._moving = threading.Lock()
        self._notes.clear()
        self.hand_over()

    def _try_step(self, store: MainStore, moved: list[Entry]) -> bool:
        """Take one step, and add the outcomes of this process to ``moved``; return whether it could be taken."""
        try:
            moved += self._step(store)
        except StoreBusyError:
            return False
        except StoreFailedError:
            raise
        except StoreError as error:
            self._backoff.failed()
            logger.warning("what waits cannot be moved into %s yet: %s", store.location, error)
            return False
        self._backoff.succeeded()
        return True

    def _step(self, store: MainStore) -> list[Entry]:
        if not self._spool.is_empty:
            return self._spool.ingest_next(store)
        if self._notes:
            if self._notes[0].replay(store):
                self._notes.popleft()
        elif self._left:
            ingest_left(store, *self._left[0])
            self._left.popleft()
        return []

    def verdicts_of(self, outcome_ids: Iterable[str]) -> dict[str, Verdict]:
        """Return the newest verdicts that wait under these ids."""
        verdicts = {outcome_id: self._spool.verdict_of(outcome_id) for outcome_id in outcome_ids}
        return {outcome_id: verdict for outcome_id, verdict in verdicts.items() if verdict is not None}

    def _update(self) -> None:
        with self._lock:
            self.own_wait = not self._spool.is_empty
            if not self.own_wait:
                self._forget_returned()
            self.waits = self.own_wait or bool(self._left) or bool(self._notes)

    def _forget_returned(self) -> None:
        self._tallies.clear()
        self._later.clear()

    def _compare(self, store: MainStore, entries: Sequence[Entry]) -> list[Recorded]:
        """Return what outcomes change, by the verdicts that wait or are in the database under their ids."""
        ids = {entry.outcome.outcome_id for entry in entries if entry.outcome.outcome_id is not None}
        known_ids, stored = self._stored(store, ids)
        verdicts: dict[str, Verdict] = {}
        recorded = []
        for entry in entries:
            outcome_id = entry.outcome.outcome_id
            if outcome_id is None:
                recorded.append(Recorded.NEW)
                continue
            verdict = verdicts.get(outcome_id) or self._spool.verdict_of(outcome_id)
            verdict = verdict or stored.get(outcome_id)
            if verdict is None:  # unknown, or its event is gone
                recorded.append(Recorded.NOTHING if outcome_id in known_ids else Recorded.NEW)
                verdicts[outcome_id] = Verdict.of(entry)
            else:
                revised = verdict.revised_by(entry)
                recorded.append(Recorded.NOTHING if revised is None else Recorded.REVISED)
                verdicts[outcome_id] = revised or verdict
        return recorded

    def _stored(self, store: MainStore, ids: set[str]) -> tuple[set[str], dict[str, Verdict | None]]:
        """Return which ids are in the database, and the verdicts of those that do not wait, as far as it tells.

        When an outcome is moved that is taken for a new one and is not, it counts once all the same.
        """
        try:
            known_ids = store.outcomes.known_ids(ids) if ids else set[str]()
            others = (outcome_id for outcome_id in ids if self._spool.verdict_of(outcome_id) is None)
            return known_ids, {outcome_id: store.outcomes.verdict_of(outcome_id) for outcome_id in others}
        except StoreError:
            return set(), {}


def _kept(returned: dict[str, _T], task_type: str, counts: _T) -> _T:
    """Return ``counts``: the same object as the last time if nothing has changed."""
    before = returned.get(task_type)
    if before == counts:
        return before
    if len(returned) >= _MAX_RETURNED:
        returned.clear()
    returned[task_type] = counts
    return counts
