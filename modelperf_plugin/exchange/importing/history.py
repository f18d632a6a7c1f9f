"""The import of a history: batch by batch, each in a transaction that also notes how far it has come."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from modelperf_plugin.exchange.importing.rows import Rejection, RowConverter
from modelperf_plugin.exchange.importing.sources import Source
from modelperf_plugin.store import ImportRecord, Step, Store

MAX_LISTED_REJECTIONS: Final = 1000
"""So many lines that could not be used are listed; all are counted."""


@dataclass
class Report:
    """What an import has done so far."""

    source: str
    """What was read."""
    outcomes: int = 0
    """How many outcomes it brought."""
    before: int = 0
    """How many earlier runs had brought already."""
    known: int = 0
    """How many were left out because their ``outcome_id`` was in the store already."""
    unknown: int = 0
    """How many were left out because they do not say whether they succeeded."""
    rejected: int = 0
    """How many lines could not be used."""
    listed: list[Rejection] = field(default_factory=list)
    """The first of them."""
    pairs: int = 0
    """Of how many (task type, model) the outcomes are."""

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        counts = {key: value for key, value in vars(self).items() if key != "listed"}
        return {**counts, "problems": [each._asdict() for each in self.listed]}


def import_history(
    store: Store,
    source: Source,
    now_ms: int,
    *,
    dry_run: bool = False,
    on_progress: Callable[[Report], None] = lambda _: None,
) -> Report:
    """Bring the outcomes of ``source`` into ``store``, and only those that an earlier run has not brought.

    It may be interrupted anywhere, and run twice at once: every outcome is imported once.

    Args:
        store: where they go.
        source: where they come from.
        now_ms: the time of outcomes that do not say when they ended, in milliseconds since the Unix epoch.
        dry_run: read everything, write nothing.
        on_progress: called after every batch.

    Raises:
        OutcomesFileError: the source cannot be read; what came before stays imported.
        StoreError: the store cannot be written; so does that.
    """
    pairs: dict[tuple[str, str], int] = {}

    def pair_id(task_type: str, model_id: str) -> int:
        pair = (task_type, model_id)
        if pair not in pairs:
            pairs[pair] = len(pairs) + 1 if dry_run else store.imports.pair_id(*pair)
        return pairs[pair]

    report = Report(source.name)
    converter = RowConverter(pair_id, now_ms)
    while not _import_rest(store, source, converter, report, now_ms, dry_run=dry_run, on_progress=on_progress):
        pass  # another process imports the same source: look how far it has come
    report.pairs = len(pairs)
    return report


def _import_rest(
    store: Store,
    source: Source,
    converter: RowConverter,
    report: Report,
    now_ms: int,
    *,
    dry_run: bool,
    on_progress: Callable[[Report], None],
) -> bool:
    """Import what is left of the source; return False if another process has come in between."""
    imports = store.imports.all(source.kind)
    record = source.find(imports)
    report.before = 0 if record is None else record.outcomes - report.outcomes
    import_id = None if record is None else record.import_id
    position = 0 if record is None else record.position
    for batch in source.batches():
        converted = converter.convert(batch.records)
        step = Step(
            source.kind,
            source.name,
            batch.digest,
            batch.position,
            position,
            len(converted.rejected),
            now_ms,
            import_id,
            _newest(imports),
        )
        if not dry_run:
            written = store.imports.add_events(step, converted.rows, converted.outcome_ids)
            if written is None:
                return False
            import_id, new = written
        else:
            new = len(converted.rows)
        position = batch.position
        report.outcomes += new
        report.known += len(converted.rows) - new
        report.unknown += converted.unknown
        report.rejected += len(converted.rejected)
        report.listed += converted.rejected[: max(0, MAX_LISTED_REJECTIONS - len(report.listed))]
        on_progress(report)
    return True


def _newest(imports: list[ImportRecord]) -> int:
    return max((each.import_id for each in imports), default=0)
