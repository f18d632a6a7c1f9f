"""Import of a history in batches; one transaction writes a batch and the progress."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from modelperf_plugin.exchange.importing.rows import Rejection, RowConverter
from modelperf_plugin.exchange.importing.sources import Source
from modelperf_plugin.store import Step, Store
from modelperf_plugin.values import DEFAULT_PASS_SCORE

MAX_LISTED_REJECTIONS: Final = 1000
"""Maximum number of rejected lines that are listed; all are counted."""


@dataclass
class Report:
    """The progress of an import."""

    source: str
    outcomes: int = 0
    before: int = 0
    """Number of outcomes imported by earlier runs."""
    known: int = 0
    """Number of skipped outcomes whose ``outcome_id`` is in the store."""
    unknown: int = 0
    """Number of skipped records without a verdict."""
    rejected: int = 0
    listed: list[Rejection] = field(default_factory=list)
    pairs: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        counts = {key: value for key, value in vars(self).items() if key != "listed"}
        return {**counts, "problems": [rejection._asdict() for rejection in self.listed]}


def import_history(
    store: Store,
    source: Source,
    now_ms: int,
    *,
    pass_score: float = DEFAULT_PASS_SCORE,
    dry_run: bool = False,
    on_progress: Callable[[Report], None] = lambda _: None,
) -> Report:
    """Import the outcomes of ``source`` that no earlier run has imported; a dry run only reads.

    Each outcome is imported once, even if the import is interrupted or runs twice at the same time. Those without a
    time get ``now_ms``; those with a score alone are successes from ``pass_score`` on. Raises OutcomesFileError or
    StoreError; the batches before stay imported.
    """
    report = Report(source.name)
    converter = RowConverter((lambda *_: 1) if dry_run else store.imports.pair_id, now_ms, pass_score)
    while not _import_rest(store, source, converter, report, now_ms, dry_run=dry_run, on_progress=on_progress):
        pass  # another process imports the same source: continue after its last batch
    report.pairs = len(converter.pairs)
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
    """Import the rest of the source; return False if another process imported a part of it meanwhile."""
    imports = store.imports.all(source.kind)
    record = source.find(imports)
    report.before = 0 if record is None else record.outcomes - report.outcomes
    import_id = None if record is None else record.import_id
    position = 0 if record is None else record.position
    newest = max((record.import_id for record in imports), default=0)
    for batch in source.batches():
        converted = converter.convert(batch.records)
        rejected = len(converted.rejected)
        step = Step(
            source.kind, source.name, batch.digest, batch.position, position, rejected, now_ms, import_id, newest
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
        report.rejected += rejected
        report.listed += converted.rejected[: max(0, MAX_LISTED_REJECTIONS - len(report.listed))]
        on_progress(report)
    return True
