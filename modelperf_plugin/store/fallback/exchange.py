"""The roles for data that comes from elsewhere, while SQLite works."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from modelperf_plugin.store.exchange import Attached, EventRow, ImportRecord, Merged, Prior, Step, Sums
from modelperf_plugin.store.fallback.role import Role
from modelperf_plugin.store.roles import EVERYTHING, Span
from modelperf_plugin.values import Tally


class FallbackImports(Role):
    """Imports into the store in use."""

    def all(self, kind: str | None = None) -> list[ImportRecord]:
        return self._switch.ask(lambda store: store.imports.all(kind))

    def pair_id(self, task_type: str, model_id: str) -> int:
        return self._switch.ask(lambda store: store.imports.pair_id(task_type, model_id))

    def add_events(
        self, step: Step, rows: Sequence[EventRow], outcome_ids: Sequence[str | None] = ()
    ) -> tuple[int, int] | None:
        return self._switch.ask(lambda store: store.imports.add_events(step, rows, outcome_ids))

    def add_sums(self, step: Step, sums: Sequence[Sums], *, once: bool = False) -> bool:
        return self._switch.ask(lambda store: store.imports.add_sums(step, sums, once=once))

    def add_some_sums(self, step: Step, sums: Sequence[Sums]) -> int | None:
        return self._switch.ask(lambda store: store.imports.add_some_sums(step, sums))

    def remove_some_sums(self, step: Step, limit: int) -> int | None:
        return self._switch.ask(lambda store: store.imports.remove_some_sums(step, limit))

    def archive(self, import_id: int, compress: Callable[[], str]) -> bool:
        return self._switch.ask(lambda store: store.imports.archive(import_id, compress))


class FallbackAttachments(Role):
    """Attached databases of the store in use."""

    def all(self) -> list[Attached]:
        return self._switch.memory.keep("attachments", self._switch.ask(lambda store: store.attachments.all()))

    def add(self, attached: Attached) -> None:
        self._switch.ask(lambda store: store.attachments.add(attached))

    def remove(self, path: str) -> bool:
        return self._switch.ask(lambda store: store.attachments.remove(path))


class FallbackMerged(Role):
    """Merged experience of the store in use."""

    def origin(self) -> str:
        return self._switch.ask(lambda store: store.merged.origin())

    def all(self) -> list[Merged]:
        return self._switch.memory.keep("merged", self._switch.ask(lambda store: store.merged.all()))

    def version(self) -> tuple[float, ...]:
        return self._switch.ask(lambda store: store.merged.version())

    def priors(self, within: Span | None = None) -> list[Prior]:
        priors = self._switch.ask(lambda store: store.merged.priors(within))
        return self._switch.memory.keep_priors(within or EVERYTHING, priors)

    def task_types(self, after: tuple[int, str], limit: int) -> list[tuple[int, str]]:
        return self._switch.ask(lambda store: store.merged.task_types(after, limit))

    def add(self, source: Merged, tallies: Iterable[Tally], *, replaces: str | None = None) -> None:
        tallies = list(tallies)
        self._switch.ask(lambda store: store.merged.add(source, tallies, replaces=replaces))

    def remove(self, name: str) -> bool:
        return self._switch.ask(lambda store: store.merged.remove(name))
