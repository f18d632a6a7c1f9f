"""The states of the watches over models and pairs: in memory those in use, in the store all that were saved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Final

from modelperf_plugin.errors import InvalidValueError, StoreError
from modelperf_plugin.policy.sequential import ChangeWatch, FallWatch, Probation
from modelperf_plugin.store import Change, WatchState
from modelperf_plugin.store.roles import WatchStates
from modelperf_plugin.store.watches import WatchKey

MAX_PAIRS: Final = 1_000
"""After saving, the states of more pairs than this leave memory, to be read again when their next outcome comes."""

_Pair = tuple[str, str]


class Watches:
    """Holds the states, and notes which have changed since they were saved.

    States of models are read at the start, those of a pair when its first outcome comes. The position that is read with
    them says which outcomes they contain: another process may have saved them, and none counts twice.
    """

    def __init__(self, states: WatchStates, edit: int) -> None:
        """Hold the states in a store that was edited so often."""
        self._store = states
        self._edit, self._is_edited = edit, False
        self.changes: dict[str, ChangeWatch] = {}
        self.falls: dict[_Pair, FallWatch] = {}
        self.probations: dict[_Pair, Probation] = {}
        self._contained: dict[_Pair, int] = {}
        self._touched: set[WatchKey] = set()
        self._resumes = True

    @property
    def unsaved(self) -> int:
        """How many states have changed since they were saved."""
        return len(self._touched)

    def restore(self) -> tuple[int | None, list[tuple[str, tuple[float, ...]]]]:
        """Start with the saved states of models; return the position and the rows of the fit."""
        self._touched.clear()
        position, states = self._store.load_models()
        rows = []
        for kind, task_type, model_id, numbers in states:
            if kind == "change":
                with suppress(InvalidValueError):  # written by another version: that watch starts over
                    self.changes[model_id] = ChangeWatch.from_list(numbers)
            elif kind == "pool" and not task_type:
                rows.append((model_id, numbers))
        return position, rows

    def start_over(self) -> None:
        """Use nothing that was saved: it belongs to outcomes that are not in the store."""
        self.changes.clear()
        self._resumes = False

    def note_edit(self, edit: int) -> None:
        """Note the number of the last edit of the store: after a new one, what is in memory does not hold."""
        self._is_edited |= edit != self._edit
        self._edit = edit

    def discard_if_edited(self) -> bool:
        """Forget all states that are in memory if the store was edited; return whether it was."""
        is_edited, self._is_edited = self._is_edited, False
        for states in (self.changes, self.falls, self.probations, self._contained, self._touched) if is_edited else ():
            states.clear()
        return is_edited

    def contained(self, pair: _Pair, turn: int, *, is_demoted: bool) -> int:
        """Return the last outcome that the states of a pair may contain, after reading them if need be.

        A state holds if the pair was neither demoted nor reinstated since: that was at the outcome ``turn`` last.
        """
        known = self._contained.get(pair)
        if known is not None or not self._resumes:
            return known or 0
        position, states = self._store.load_pair(*pair)
        for state in states:
            if turn < (position or 0) and (state.kind == "probation") == is_demoted:
                with suppress(InvalidValueError):  # written by another version: that watch starts over
                    if state.kind == "fall":
                        self.falls[pair] = FallWatch.from_list(state.state)
                    else:
                        self.probations[pair] = Probation.from_list(state.state)
        self._contained[pair] = position or 0
        return self._contained[pair]

    def set_change(self, model_id: str, watch: ChangeWatch) -> None:
        """Replace the state of the watch over a model."""
        self.changes[model_id] = watch
        self._touched.add(("change", "", model_id))

    def set_fall(self, pair: _Pair, watch: FallWatch) -> None:
        """Replace the state of the watch over a pair."""
        self.falls[pair] = watch
        self._touched.add(("fall", *pair))

    def set_probation(self, pair: _Pair, probation: Probation) -> None:
        """Replace the counts of a demoted pair."""
        self.probations[pair] = probation
        self._touched.add(("probation", *pair))

    def drop_change(self, model_id: str) -> None:
        """Start the watch over a model over."""
        self.changes.pop(model_id, None)
        self._touched.add(("change", "", model_id))

    def after(self, changes: Iterable[Change]) -> dict[str, int]:
        """Start the watches over that began before a change; return at which outcome each model has changed last."""
        changed: dict[str, int] = {}
        for change in changes:
            noticed = max(change.noticed_event_id, changed.get(change.model_id, 0))
            changed[change.model_id] = noticed
            watch = self.changes.get(change.model_id)
            if watch is not None and start_of(watch) < noticed:
                self.drop_change(change.model_id)
        return changed

    def drop_void(self, position: int, changed: Mapping[str, int], turns: Mapping[_Pair, int]) -> None:
        """Drop states that were saved at ``position``, before a change, a demotion or a reinstatement."""
        for model_id, watch in self.changes.copy().items():
            if start_of(watch) < changed.get(model_id, 0):
                self.drop_change(model_id)
        for pair, turn in turns.items():
            if turn >= position:
                self.drop_pair(pair)

    def drop_pair(self, pair: _Pair) -> None:
        """Start the watches over a pair over."""
        self.falls.pop(pair, None)
        self.probations.pop(pair, None)
        self._touched.update((("fall", *pair), ("probation", *pair)))

    def save(self, position: int, fit: Iterable[tuple[str, Iterable[float]]]) -> None:
        """Save what has changed, and rows of the fit, as of ``position``."""
        touched, self._touched = self._touched, set()
        states = {key: self._state(key) for key in touched}
        saved = [WatchState(*key, state) for key, state in states.items() if state is not None]
        saved += [WatchState("pool", "", model_id, tuple(numbers)) for model_id, numbers in fit]
        try:
            self._store.save(position, saved, [key for key, state in states.items() if state is None])
        except StoreError:
            self._touched |= touched
            raise
        if len(self._contained) > MAX_PAIRS:
            self.falls.clear()
            self.probations.clear()
            self._contained.clear()

    def _state(self, key: WatchKey) -> tuple[float, ...] | None:
        kind, task_type, model_id = key
        pair = (task_type, model_id)
        watch: ChangeWatch | FallWatch | Probation | None
        if kind == "change":
            watch = self.changes.get(model_id)
        elif kind == "fall":
            watch = self.falls.get(pair)
        else:
            watch = self.probations.get(pair)
        return None if watch is None else tuple(watch.as_list())


def watch_from(event_id: int) -> ChangeWatch:
    """Return a watch over a model that begins after an outcome."""
    return ChangeWatch(up_since=event_id, down_since=event_id)


def start_of(watch: ChangeWatch) -> int:
    """Return the outcome before the first one that counts in ``watch``."""
    return min(watch.up_since, watch.down_since)
