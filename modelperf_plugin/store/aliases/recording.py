"""Recording under canonical ids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from modelperf_plugin.store.decision_records import Joining
from modelperf_plugin.store.entries import Entry, Recorded, Verdict
from modelperf_plugin.store.roles import Outcomes, Tallies
from modelperf_plugin.values.names import Aliases


class RenamedOutcomes:
    """Implements :class:`~modelperf_plugin.store.roles.Outcomes`.

    Outcomes come under canonical ids. The first verdict of one may be in the store under an alias, if that was
    configured since: then the new one replaces it there.
    """

    def __init__(self, own: Outcomes, tallies: Tallies, aliases: Aliases) -> None:
        """Take the store's own roles."""
        self._own = own
        self._tallies = tallies
        self._aliases = aliases

    def record(self, entry: Entry, joining: Joining | None = None) -> Recorded:
        """Write one outcome, or replace its verdict under the name that it has in the store."""
        recorded = self._own.record(entry, joining)
        if recorded is Recorded.NOTHING and self._aliases.ids:
            for other in self._under_aliases(entry):
                recorded = recorded or self._own.record(other)
        return recorded

    def record_many(self, entries: Iterable[Entry]) -> int:
        """Write many outcomes; return how many were new or have changed a verdict, under whichever name."""
        entries = list(entries)
        changed = self._own.record_many(entries)
        if self._aliases.ids:
            others = [other for each in entries if each.outcome.outcome_id for other in self._under_aliases(each)]
            changed += self._own.record_many(others) if others else 0
        return changed

    def verdicts_of(self, outcome_ids: Iterable[str]) -> Mapping[str, Verdict]:
        """Return the verdicts in force, under canonical ids."""
        verdicts, aliases = self._own.verdicts_of(outcome_ids), self._aliases
        if not aliases.ids:
            return verdicts
        return {key: each._replace(model_id=aliases.canonical(each.model_id)) for key, each in verdicts.items()}

    def _under_aliases(self, entry: Entry) -> list[Entry]:
        """Return an outcome whose id is known under the aliases of its model that the store has."""
        _, *names = self._aliases.spellings(entry.model_id)
        known = self._tallies.of(entry.task_type) if names else {}
        return [entry._replace(model_id=name) for name in names if name in known]
