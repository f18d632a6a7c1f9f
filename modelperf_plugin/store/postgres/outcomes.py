"""Recording outcomes: one call of a function in the database for each, which waits for nobody else's."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from itertools import groupby
from typing import Final

from modelperf_plugin.log import logger
from modelperf_plugin.store.decision_records import Joining
from modelperf_plugin.store.entries import GONE, Entry, Recorded, Verdict, decision_of
from modelperf_plugin.store.postgres import decisions, known, together
from modelperf_plugin.store.postgres.asking import ask
from modelperf_plugin.store.postgres.connecting import PatientConnection
from modelperf_plugin.store.postgres.connection import PostgresConnection
from modelperf_plugin.store.postgres.groups import GroupCommit
from modelperf_plugin.store.postgres.parameters import FIELDS, columns, row_of
from modelperf_plugin.store.queries import load_queries
from modelperf_plugin.text import count

_WIDTH: Final = len(FIELDS)


class PostgresOutcomes:
    """Records outcomes in a PostgreSQL database; see :class:`~modelperf_plugin.store.roles.Outcomes`."""

    def __init__(self, connection: PostgresConnection) -> None:
        self._connection = connection
        self._sql = load_queries("postgres")
        self._groups = GroupCommit(self._record_alone, partial(together.record, connection))
        connection.restore_by(self._restore)

    def record(self, entry: Entry, joining: Joining | None = None) -> Recorded:
        recorded = self._groups.record(entry, joining, self._connection.patience)
        if recorded is not Recorded.NEW:  # but it was noted as one that is
            self._connection.follower.counts.void([entry.task_type])
        return recorded

    def _record_alone(self, entry: Entry, joining: Joining | None) -> Recorded:
        return self._record(entry) if joining is None else self._record_joined(entry, joining)

    def _record(self, entry: Entry) -> Recorded:
        def record(connection: PatientConnection, sent: int) -> int:
            values = known.values_of(connection, entry)
            if values is not None:
                ask(connection, known.query(connection, sent, values))
                return Recorded.NEW
            row = connection.execute(self._sql["record"], (connection.sender, sent, *row_of(entry))).fetchone()
            answer, _, tally_id, tried_id = row or (0, 0, None, None)
            known.note(connection, entry, tally_id, tried_id)
            return answer

        return _recorded(entry, self._connection.once([entry], record))

    def _record_joined(self, entry: Entry, joining: Joining) -> Recorded:
        """Record an outcome and join it to its decision, in one transaction."""
        row = (*row_of(entry), joining.outcome.decision_id, *decisions.parameters(joining))
        answer, number, joining.is_stored, log = self._connection.call_once([entry], self._sql["record_joined"], *row)
        if log is not None:
            decisions.join([joining], [number], log)
        return _recorded(entry, answer)

    def record_many(self, entries: Iterable[Entry]) -> int:
        entries = list(entries)
        rows = [row_of(entry) for entry in entries]
        if not rows:
            self._connection.ensure_open()
            return 0
        changed: int = self._connection.call_once(entries, self._sql["record_many"], *columns(rows, _WIDTH))[0]
        if changed < len(entries) or any(each.outcome.outcome_id is not None for each in entries):
            self._connection.follower.counts.void({each.task_type for each in entries})
        return changed

    def ingest_batch(self, batch_id: str, entries: Iterable[Entry]) -> int:
        """Write spooled outcomes in one transaction, unless the batch was ingested before; return how many were new."""
        rows = [(*row_of(entry)[:-1], True) for entry in entries]
        if not rows:  # the batch is just begun
            return 0
        new: int = self._connection.call(self._sql["ingest_batch"], batch_id, *columns(rows, _WIDTH))[0]
        return new

    def _restore(self, connection: PatientConnection, lost: PatientConnection) -> None:
        """Write by one connection the outcomes of another that the server has lost."""
        restored = 0
        for sender, group in groupby(lost.unsettled, lambda each: each[1]):
            written = [(number, entry) for _, _, number, entries in group for entry in entries]
            rows = [(*row_of(entry)[:-1], True) for _, entry in written]
            given = (sender, [number for number, _ in written], *columns(rows, _WIDTH))
            restored += connection.execute(self._sql["restore_lost"], given).fetchall()[0][0]
        if restored:
            location = self._connection.location
            logger.warning("%s had lost %s when it stopped: recorded again", location, count(restored, "outcome"))

    def forget_senders(self) -> None:
        """Forget connections of which nothing waits any more."""
        self._connection.execute(self._sql["drop_senders"])

    def known_ids(self, outcome_ids: Iterable[str]) -> set[str]:
        """Return which outcome ids are known; waits for no writer."""
        rows = self._connection.fetch(self._sql["known_outcome_keys"], list(outcome_ids))
        return {outcome_id for (outcome_id,) in rows}

    def verdict_of(self, outcome_id: str) -> Verdict | None:
        """Return the verdict of a known outcome, as long as its event exists; waits for no writer."""
        wanted = {"outcome_id": outcome_id, "decision_id": decision_of(outcome_id)}
        rows = self._connection.fetch(self._sql["verdict"], wanted)
        return Verdict._make(rows[0]) if rows else None

    def verdicts_of(self, outcome_ids: Iterable[str]) -> dict[str, Verdict]:
        rows = self._connection.fetch_folded(self._sql["verdicts"], list(outcome_ids))
        return {outcome_id: Verdict(*verdict) for outcome_id, *verdict in rows}


def _recorded(entry: Entry, answer: int) -> Recorded:
    """Return what the database has answered; what it dropped before is logged."""
    if answer >= 0:
        return Recorded(answer)
    logger.warning(GONE, f"the outcome {entry.outcome.outcome_id}")
    return Recorded.NOTHING
