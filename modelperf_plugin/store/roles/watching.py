"""What is found about models as outcomes come in: changes, demotions and the watches that detect them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from modelperf_plugin.store.watches import Change, Demotion, Direction, WatchKey, WatchState


class Changes(Protocol):
    """Changes of models, detected or announced."""

    def all(self) -> list[Change]:
        """Return the changes of all models, newest first."""

    def add(
        self,
        model_id: str,
        direction: Direction,
        events: tuple[int, int],
        moments_ms: tuple[int, int],
        evidence: float | None,
        rates: Mapping[str, float],
    ) -> bool:
        """Store a change and the counts before it; return False if this change is stored already.

        Args:
            model_id: the model that changed.
            direction: whether it does better or worse since, or the change was announced.
            events: the last outcome before the change, and the one at which it was detected.
            moments_ms: when these two ended, in milliseconds since the Unix epoch.
            evidence: the likelihood ratio of change against no change; None if the change was announced.
            rates: the success rate expected since then, by task type.
        """


class Demotions(Protocol):
    """Demotions by evidence: at most one in force for a task type and model."""

    def all(self, *, in_force: bool = False) -> list[Demotion]:
        """Return the demotions, newest first."""

    def add(self, task_type: str, model_id: str, since_ms: int, threshold: float, evidence: float, reason: str) -> bool:
        """Demote a model on a task type; return False if it is demoted already."""

    def end(self, task_type: str, model_id: str, ended_ms: int, ended_by: str) -> bool:
        """Reinstate a model; return False if it was not demoted."""


class WatchStates(Protocol):
    """The saved states of the watches, so that a restart can resume them.

    A position goes with them: the last outcome that is part of them, whichever process has saved them.
    """

    def claim(self, holder: str, seconds: float) -> bool:
        """Return whether ``holder`` is to follow the outcomes, which is its task alone for so many seconds.

        Processes that share a file all follow them, which costs little: each of them may.
        """

    def load(self) -> tuple[int | None, list[WatchState]]:
        """Return the position (None if nothing was saved) and all states; takes long on a large store."""

    def load_models(self) -> tuple[int | None, list[WatchState]]:
        """Return the position and the states of models on all task types, the fit included."""

    def load_pair(self, task_type: str, model_id: str) -> tuple[int | None, list[WatchState]]:
        """Return the position and the states of one pair."""

    def save(self, event_id: int, states: Iterable[WatchState], ended: Iterable[WatchKey] = ()) -> None:
        """Delete the states of ``ended`` watches and replace those in ``states``; all others stay as they are.

        ``event_id`` becomes the position. Nothing is changed if another process has saved a later one.
        """
