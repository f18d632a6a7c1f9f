"""Reading what came from elsewhere, by SQL: the same in every dialect but for the statements."""

from __future__ import annotations

from typing import Any, Final

from modelperf_plugin.json_text import parse_json
from modelperf_plugin.store.exchange import Attached, ImportRecord, Merged, Prior
from modelperf_plugin.store.queries import load_queries
from modelperf_plugin.store.read_tallies import Reading
from modelperf_plugin.store.roles import Span
from modelperf_plugin.store.rows import moments, usable
from modelperf_plugin.values import Tally

_TALLY_COLUMNS: Final = len(Tally._fields)
_FIRST_TRIES: Final = Tally._fields.index("later_successes")
"""How many fields of a tally a prior has: other projects' later tries are not part of it."""


class ReadImports:
    """Reads the list of imports; see :class:`~modelperf_plugin.store.exchange_roles.Imports`."""

    def __init__(self, connection: Reading, dialect: str) -> None:
        self._connection = connection
        self._sql = load_queries(dialect, "exchange.sql")

    def all(self, kind: str | None = None) -> list[ImportRecord]:
        return usable(import_record, self._connection.fetch(self._sql["imports"], kind))


class ReadAttachments:
    """Lists attached tables; see :class:`~modelperf_plugin.store.exchange_roles.Attachments`."""

    def __init__(self, connection: Reading, dialect: str) -> None:
        self._connection = connection
        self._sql = load_queries(dialect, "exchange.sql")

    def all(self) -> list[Attached]:
        return usable(_attached, self._connection.fetch(self._sql["attached"]))


class ReadMerged:
    """Reads tallies of other projects; see :class:`~modelperf_plugin.store.exchange_roles.MergedExperience`."""

    def __init__(self, connection: Reading, dialect: str) -> None:
        self._connection = connection
        self._sql = load_queries(dialect, "exchange.sql")

    def origin(self) -> str:
        for (origin,) in self._connection.fetch(self._sql["origin"]):
            return str(origin)
        return ""  # not readable: exports of this store cannot be told from others

    def all(self) -> list[Merged]:
        return usable(_merged, self._connection.fetch(self._sql["merged"]))

    def version(self) -> tuple[float, ...]:
        return tuple(self._connection.fetch(self._sql["merged_version"])[0])

    def priors(self, within: Span | None = None) -> list[Prior]:
        if within is None:
            rows = self._connection.fetch(self._sql["priors"])
        else:
            rows = self._connection.fetch(self._sql["priors_within"], *within)
        return [Prior(Tally(*row[:_TALLY_COLUMNS]), *row[_TALLY_COLUMNS:]) for row in rows]

    def task_types(self, after: tuple[int, str], limit: int) -> list[tuple[int, str]]:
        return self._connection.fetch(self._sql["prior_task_types"], *after, limit)


def import_record(row: Any) -> ImportRecord:
    """Return an import; raise OverflowError if it was at no moment."""
    record = ImportRecord._make(row)
    moments(record.begun_ms, record.latest_ms)
    return record


def prior_row(tally: Tally) -> tuple[Any, ...]:
    """Return a tally of another project as a row, but for the number of its source."""
    return *tally[:_FIRST_TRIES], tally.graded, tally.score_shift


def _attached(row: Any) -> Attached:
    path, name, text, attached_ms = row
    columns = parse_json(text)
    if not all(isinstance(theirs, str) for theirs in columns.values()):
        raise TypeError("columns are names")
    moments(attached_ms)
    return Attached(path, name, columns, attached_ms)


def _merged(row: Any) -> Merged:
    source = Merged._make(row)
    moments(source.merged_ms)
    return source
