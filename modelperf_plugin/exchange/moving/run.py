"""Moving everything from one store to another: in short steps first, and once more in one, as of one moment."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from modelperf_plugin.errors import StoreError
from modelperf_plugin.exchange.moving import decisions, outcomes, rows, sums
from modelperf_plugin.exchange.moving.rows import Numbers
from modelperf_plugin.exchange.moving.state import State
from modelperf_plugin.store.moving.session import Archive, Session, Totals
from modelperf_plugin.store.moving.tables import ROWS, TALLY

_T = TypeVar("_T")

OnProgress = Callable[[str, int, int], None]
"""Called with what is being moved, how much of it is done, and how much there is."""

_MAX_ROUNDS: Final = 20
"""So often is what came meanwhile moved as well; the next run has the rest."""
_ALL: Final = 2**62


@dataclass(kw_only=True, slots=True)
class Report:
    """What a run has moved, and what there is now on both sides."""

    source: Totals
    target: Totals
    outcomes: int = 0
    decisions: int = 0
    verdicts: int = 0
    """New ones since the last run, and replaced ones."""
    has_more: bool = False
    """Whether there was something new in every round."""
    is_alone: bool = True
    """Whether the target's own hosts have recorded nothing."""
    differences: list[str] = field(default_factory=list)
    """What is not the same on both sides, or does not add up in the target."""


@dataclass(slots=True)
class _Moved:
    outcomes: int = 0
    decisions: int = 0
    verdicts: int = 0

    def add(self, other: _Moved) -> None:
        """Add what was moved in another step."""
        self.outcomes += other.outcomes
        self.decisions += other.decisions
        self.verdicts += other.verdicts

    @property
    def is_nothing(self) -> bool:
        return not (self.outcomes or self.decisions or self.verdicts)


class Move:
    """A move from one store to another; what was moved is never moved again."""

    def __init__(self, source: Archive, target: Archive, on_progress: OnProgress = lambda *_: None) -> None:
        self._source, self._target, self._on_progress = source, target, on_progress
        self._is_alone = True

    def run(self) -> Report:
        """Move what is new, until there is nothing new any more.

        Raises:
            StoreError: the target holds something else, or one of the stores cannot be used.
        """
        self._begin()
        moved = _Moved()
        for _ in range(_MAX_ROUNDS):
            step, source, target, differences = self._round()
            moved.add(step)
            if step.is_nothing or differences:
                break
        return Report(
            source=source, target=target, outcomes=moved.outcomes, decisions=moved.decisions, verdicts=moved.verdicts,
            has_more=not step.is_nothing, is_alone=self._is_alone, differences=differences,
        )  # fmt: skip

    def _begin(self) -> None:
        self._source.prepare()
        origin = self._source.read(lambda session: str(session.value("origin")))
        token = secrets.token_hex(8)

        def begin(target: Session) -> None:
            state = _known_state(target, origin, self._target.location)
            if state is None:
                target.run("create")
                target.run("create_rows")
                target.run("set_origin", origin=origin)
                state = State(origin=origin, token=token)
            self._is_alone = not state.is_complete or list(target.totals()) == state.totals
            state.token = token
            state.save(target)

        self._target.write(begin)
        found = self._source.read(State.load)
        if found is not None and found.token == token:
            raise StoreError(f"{self._target.location} is the store itself; name another one to move to")

    def _both(self, action: Callable[[Session, Session, State], _T]) -> _T:
        """Return what ``action`` returns, called with both stores as of one moment."""

        def act(source: Session, target: Session) -> _T:
            state = State.load(target)
            if state is None:
                raise StoreError(f"{self._target.location} was emptied meanwhile")
            answer = action(source, target, state)
            state.save(target)
            return answer

        return self._source.read(lambda source: self._target.write(lambda target: act(source, target)))

    def _round(self) -> tuple[_Moved, Totals, Totals, list[str]]:
        self._source.prepare()
        moved = self._move_most()
        self._source.prepare()
        step, here, there, differences = self._both(self._finish)
        moved.add(step)
        return moved, here, there, differences

    def _move_most(self) -> _Moved:
        """Move what is new in many short transactions, and leave the rest for the last step of the round."""
        moved = _Moved()
        state = self._both(lambda _source, _target, state: state)
        last_revision, last_event, last_decision = self._source.read(
            lambda source: tuple(source.value(f"last_{each}") for each in ("revision", "event", "decision"))
        )
        if last_event < state.event or (last_decision < state.decision and not last_decision):
            raise StoreError(
                f"{self._source.location} has fewer outcomes than were moved from it: it is another copy of that store"
            )
        for number in range(state.event // outcomes.RANGE, last_event // outcomes.RANGE):
            moved.outcomes += self._both(
                lambda source, target, state, number=number: outcomes.move_range(  # type: ignore[misc]
                    source, target, state, number, is_last=False
                )
            )
            self._on_progress("outcomes", (number + 1) * outcomes.RANGE, last_event)
        if state.is_complete:
            return moved
        while self._both(outcomes.move_keys) == outcomes.PAGE:
            pass
        while count := self._both(
            lambda source, target, state: outcomes.move_revisions(source, target, state, last_revision)
        ):
            moved.verdicts += count
        for number in range(state.decision // decisions.RANGE, last_decision // decisions.RANGE):
            moved.decisions += self._both(
                lambda source, target, state, number=number: decisions.move_range(  # type: ignore[misc]
                    source, target, state, number, Numbers(state, False), is_last=False
                )
            )
            self._on_progress("decisions", (number + 1) * decisions.RANGE, last_decision)
        return moved

    def _finish(self, source: Session, target: Session, state: State) -> tuple[_Moved, Totals, Totals, list[str]]:
        """Move everything that is left, so that the target has all that the source had at one moment."""
        moved = _Moved()
        self._on_progress("the rest", 0, 0)
        for number in outcomes.changed_ranges(source, target):
            moved.outcomes += outcomes.move_range(source, target, state, number, is_last=True)
        while count := outcomes.move_revisions(source, target, state, _ALL):
            moved.verdicts += count
        while state.keys_until < state.event or state.keys_until < 0:
            outcomes.move_keys(source, target, state)
        numbers = rows.sync(source, target, state)
        for number in decisions.changed_ranges(source, target):
            moved.decisions += decisions.move_range(source, target, state, number, numbers, is_last=True)
        decisions.sync_unmatched(source, target, state)
        rows.sync_stakes(source, target, numbers)
        sums.settle(source, target)
        here, there = source.totals(), target.totals()
        state.is_complete, state.settled, state.totals = True, state.event, list(there)
        return moved, here, there, self._differences(source, target, here, there)

    def _differences(self, source: Session, target: Session, here: Totals, there: Totals) -> list[str]:
        found = []
        if here.events + here.dropped + here.imported == here.outcomes and (
            there.events + there.dropped + there.imported != there.outcomes
        ):
            found.append("outcomes that are counted and those that are there")
        if self._is_alone:
            found += [f"the sums of {name}" for name in sums.differing(source, target)]
            found += ["the number of outcomes"] if here.outcomes != there.outcomes else []
        elif here.events + here.dropped > there.events + there.dropped:
            found.append("the number of outcomes")
        names: dict[str, Any] = there._asdict()
        less = [name for name, number in here._asdict().items() if name in _KEPT and names[name] < number]
        return found + [f"the number of {_KEPT[name]}" for name in less if self._is_alone]


_KEPT: Final = {
    "ids": "ids of outcomes", "replaced_verdicts": "replaced verdicts",
    "served_models": "served models", "decisions": "decisions", "joined": "decisions with an outcome",
    "further_tries": "further tries",
}  # fmt: skip
"""What the target has at least as much of: the source may have deleted some since."""


def preview(source: Archive, target: Archive | None) -> tuple[Totals, int, int]:
    """Return what there is in a store, and how many outcomes and decisions would be moved; without a target: all.

    Raises:
        StoreError: the target holds something else.
    """
    origin = source.read(lambda session: str(session.value("origin")))
    state = None if target is None else target.read(lambda session: _known_state(session, origin, target.location))
    since = State(origin=origin, token="") if state is None else state

    def count(session: Session) -> tuple[Totals, int, int]:
        new = session.run("count_new", event_id=since.event, number=since.decision)[0]
        return session.totals(), *new

    return source.read(count)


def _known_state(target: Session, origin: str, location: str) -> State | None:
    """Return how far a move has come; None if the target is empty."""
    state = State.load(target)
    if state is None and _is_used(target):
        raise StoreError(f"{location} is not empty: name a new store, or the target of an earlier move from there")
    if state is not None and state.origin != origin:
        raise StoreError(f"{location} holds what was moved from another store: name a new one")
    return state


def _is_used(target: Session) -> bool:
    """Return whether something is in a store."""
    return any(target.totals()) or any(next(iter(target.table(table)), None) is not None for table in (TALLY, *ROWS))
