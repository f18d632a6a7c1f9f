"""Changes, demotions and watches under canonical ids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from modelperf_plugin.store.aliases.role import Renamed
from modelperf_plugin.store.watches import Change, Demotion, Direction, WatchKey, WatchState


class RenamedChanges(Renamed):
    """Implements :class:`~modelperf_plugin.store.roles.Changes`: a change is one of all names of its model."""

    def all(self) -> list[Change]:
        """Return the changes of all models, newest first, each once."""
        own: list[Change] = self._own.all()
        ids = self._aliases.ids
        if not ids:
            return own
        seen: dict[tuple[object, ...], Change] = {}
        for each in own:
            change = each._replace(model_id=ids.get(each.model_id, each.model_id))
            seen.setdefault(change[1:], change)
        return list(seen.values())

    def add(
        self,
        model_id: str,
        direction: Direction,
        events: tuple[int, int],
        moments_ms: tuple[int, int],
        evidence: float | None,
        rates: Mapping[str, float],
    ) -> bool:
        """Store a change for every name, so that earlier outcomes under any of them no longer count."""
        rest = (direction, events, moments_ms, evidence, rates)
        added = [self._own.add(name, *rest) for name in self._aliases.spellings(model_id)]
        return any(added)


class RenamedDemotions(Renamed):
    """Implements :class:`~modelperf_plugin.store.roles.Demotions`: one of any name is one of the model."""

    def all(self, *, in_force: bool = False) -> list[Demotion]:
        """Return the demotions, newest first, at most one in force for a pair."""
        own: list[Demotion] = self._own.all(in_force=in_force)
        ids = self._aliases.ids
        if not ids:
            return own
        seen: dict[tuple[object, ...], Demotion] = {}
        for each in own:
            demotion = each._replace(model_id=ids.get(each.model_id, each.model_id))
            ended = None if demotion.ended_ms is None else demotion.demotion_id
            seen.setdefault((demotion.task_type, demotion.model_id, ended), demotion)
        return list(seen.values())

    def add(self, task_type: str, model_id: str, since_ms: int, threshold: float, evidence: float, reason: str) -> bool:
        """Demote a model under its canonical id."""
        canonical = self._aliases.canonical(model_id)
        return bool(self._own.add(task_type, canonical, since_ms, threshold, evidence, reason))

    def end(self, task_type: str, model_id: str, ended_ms: int, ended_by: str) -> bool:
        """Reinstate a model under all its names."""
        names = self._aliases.spellings(model_id)
        ended = [self._own.end(task_type, name, ended_ms, ended_by) for name in names]
        return any(ended)


class RenamedWatchStates(Renamed):
    """Implements :class:`~modelperf_plugin.store.roles.WatchStates`.

    States cannot be added up: where several names of a model have one, that of the canonical id continues.
    """

    def claim(self, holder: str, seconds: float) -> bool:
        """Return whether ``holder`` is to follow the outcomes."""
        return bool(self._own.claim(holder, seconds))

    def load(self) -> tuple[int | None, list[WatchState]]:
        """Return the position and all states, one of each kind for a pair."""
        position, states = self._own.load()
        return position, self._renamed(states)

    def load_models(self) -> tuple[int | None, list[WatchState]]:
        """Return the position and the states of models on all task types."""
        position, states = self._own.load_models()
        return position, self._renamed(states)

    def load_pair(self, task_type: str, model_id: str) -> tuple[int | None, list[WatchState]]:
        """Return the position and the states of one pair."""
        position, states = self._own.load_pair(task_type, model_id)
        for name in self._aliases.spellings(model_id)[1:]:
            states = [*states, *self._own.load_pair(task_type, name)[1]]
        return position, self._renamed(states)

    def save(self, event_id: int, states: Iterable[WatchState], ended: Iterable[WatchKey] = ()) -> None:
        """Save the states under canonical ids, and delete those under aliases."""
        states, ended = list(states), list(ended)
        if self._aliases.ids:
            keys: list[WatchKey] = [*ended, *[state[:3] for state in states]]
            ended += [
                (kind, task_type, name)
                for kind, task_type, model_id in keys
                for name in self._aliases.spellings(model_id)[1:]
            ]
        self._own.save(event_id, states, ended)

    def _renamed(self, states: list[WatchState]) -> list[WatchState]:
        ids = self._aliases.ids
        if not ids:
            return states
        kept: dict[tuple[str, ...], WatchState] = {}
        for each in sorted(states, key=lambda state: state.model_id in ids):
            state = each._replace(model_id=ids.get(each.model_id, each.model_id))
            kept.setdefault(state[:3], state)
        return list(kept.values())
