"""Forgetting and renaming under canonical ids."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from modelperf_plugin.store.aliases.role import Renamed
from modelperf_plugin.store.edits import Edited, Selection


class RenamedEditing(Renamed):
    """Implements :class:`~modelperf_plugin.store.roles.Editing`: a model is all of its names."""

    def count(self, selection: Selection) -> Edited:
        """Return what forgetting a selection would change, under any name of its model."""
        return _sum(self._own.count(each) for each in self._spelled(selection))

    def forget(self, selection: Selection, edited_ms: int) -> Edited:
        """Take a selection out of the store, under any name of its model."""
        return _sum(self._own.forget(each, edited_ms) for each in self._spelled(selection))

    def rename_model(self, old: str, new: str, edited_ms: int, fingerprint: Callable[[str, bool, str], str]) -> Edited:
        """Give all that is known about a model, under any of its names, to another one."""
        return _sum(
            self._own.rename_model(name, new, edited_ms, fingerprint)
            for name in self._aliases.spellings(old)
            if name != new
        )

    def unannounce(self, model_id: str, edited_ms: int) -> bool:
        """Take back an announcement, which is one of every name."""
        taken_back = [self._own.unannounce(name, edited_ms) for name in self._aliases.spellings(model_id)]
        return any(taken_back)

    def _spelled(self, selection: Selection) -> list[Selection]:
        if selection.model_id is None:
            return [selection]
        return [selection._replace(model_id=name) for name in self._aliases.spellings(selection.model_id)]


def _sum(edits: Iterable[Edited]) -> Edited:
    outcomes = pairs = decisions = 0
    tests: set[str] = set()
    for each in edits:
        outcomes, pairs, decisions = outcomes + each.outcomes, pairs + each.pairs, decisions + each.decisions
        tests.update(each.tests)
    return Edited(outcomes, pairs, decisions, tuple(sorted(tests)))
