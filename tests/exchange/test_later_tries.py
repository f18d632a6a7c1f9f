"""Later tries that come from elsewhere, or leave: exports, merged experience, imports, attached databases."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

import pytest

import modelperf_plugin as mp
from modelperf_plugin.errors import OutcomesFileError
from modelperf_plugin.exchange.attached.databases import AttachedDatabases
from modelperf_plugin.exchange.importing.sources import Source
from modelperf_plugin.exchange.importing.tables import ParquetTable, TrackerFile
from modelperf_plugin.exchange.importing.text_files import CsvFile, JsonLinesFile
from modelperf_plugin.exchange.sharing.exports import FORMATS, Format, parquet_export, read_export, text_export
from modelperf_plugin.exchange.sharing.merge import merge
from modelperf_plugin.exchange.sharing.share import COLUMNS, as_entry, first_tries
from modelperf_plugin.store import Attached, Entry, open_store
from modelperf_plugin.store.attached import with_attached
from modelperf_plugin.store.queries import load_migrations
from modelperf_plugin.values import UNKNOWN_TRIED, LaterTries, Outcome, Tally
from tests.exchange.stores import NOW_MS, import_from, is_sound
from tests.store.later import NOON_MS, by_hand, counts, execute, mixed

NOW = datetime(2026, 1, 1, tzinfo=UTC)
RECORDED = mixed(300)


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """Return a store with first and later tries."""
    path = tmp_path / "theirs.db"
    with closing(open_store(path)) as store:
        store.outcomes.record_many(RECORDED)
    return path


@pytest.mark.parametrize("form", FORMATS)
def test_exports_tell_later_tries(tmp_path: Path, form: Format) -> None:
    """Every tally comes back with its later tries."""
    tallies, _ = by_hand(RECORDED)
    path = tmp_path / "export"
    if form == "parquet":
        pytest.importorskip("pyarrow")
        path.write_bytes(parquet_export(tallies, "them"))
    else:
        path.write_text(text_export(tallies, form, "them", NOW), encoding="utf-8")
    assert read_export(path).entries == tallies


def test_only_first_tries_of_others_count(theirs: Path, tmp_path: Path) -> None:
    """A merged project's later tries change no belief: what is stored are its first tries."""
    with closing(open_store(theirs)) as store:
        tallies = store.tallies.all()
    path = tmp_path / "export.json"
    path.write_text(text_export(tallies, "json", "them", NOW), encoding="utf-8")
    firsts, _ = by_hand(each for each in RECORDED if not each.tried)
    with closing(open_store(":memory:")) as ours:
        merge(ours, read_export(path), "them", 1)
        priors = [prior.tally for prior in ours.merged.priors()]
    assert [(each.successes, each.quality_failures, each.timeout_failures) for each in priors] == [
        (each.successes, each.quality_failures, each.timeout_failures) for each in firsts
    ]
    assert all(each.later_successes == each.later_failures == 0 for each in priors)


def test_an_export_of_an_earlier_version_counts_as_before(tmp_path: Path) -> None:
    """Without the counts of later tries all are first tries, and without scores none is graded, in JSON and in CSV."""
    tally = Tally("plan", "x", 9, 5, 2, 1, 0, 500, 1_500_000_000, 10, 1_767_225_600_000, 1)
    newer = ("later", "graded", "score", "confident")
    entry = {name: value for name, value in as_entry(tally).items() if not name.startswith(newer)}
    assert len(COLUMNS) == len(entry) + 7
    head = {"format": "modelperf export", "version": 1, "origin": "o", "made": "2026-01-01T00:00:00+00:00"}
    (tmp_path / "e.json").write_text(json.dumps({**head, "entries": [entry]}))
    (tmp_path / "e.csv").write_text(",".join(entry) + "\n" + ",".join(map(str, entry.values())) + "\n")
    for name in ("e.json", "e.csv"):
        (read,) = read_export(tmp_path / name).entries
        assert (read, first_tries(read)) == (tally, tally)


@pytest.mark.parametrize(
    "later",
    [
        {"later_successes": 10},
        {"later_failures": 5},
        {"later_timeout_failures": 1},
        {"later_failures": 4, "later_timeout_failures": 0},
        {"later_failures": 1, "later_timeout_failures": 2},
        {"later_successes": -1},
        {"later_successes": "many"},
    ],
)
def test_more_later_tries_than_tries_are_refused(tmp_path: Path, later: dict[str, object]) -> None:
    """The entry is named, and nothing of the file is used."""
    entry = {"task_type": "a", "model_id": "b", "successes": 9, "failures": 5, "outages": 1, "timeout_failures": 3}
    head = {"format": "modelperf export", "version": 1, "origin": "o"}
    (tmp_path / "e.json").write_text(json.dumps({**head, "entries": [{**entry, **later}]}))
    with pytest.raises(OutcomesFileError, match="entry 1: later_"):
        read_export(tmp_path / "e.json")


def test_another_store_is_imported_with_its_sets(theirs: Path) -> None:
    """Tallies and later tries are equal after one import and after two."""
    with closing(open_store(":memory:")) as ours:
        for _ in range(2):
            import_from(ours, TrackerFile(theirs))
            assert counts(ours) == by_hand(RECORDED)
            assert is_sound(ours)


@pytest.mark.parametrize(
    "spoil",
    [
        "DELETE FROM tried",
        "UPDATE tried SET models = 'x, y'",
        "UPDATE tried SET models = CAST(x'5b22ff225d' AS TEXT) || id",
        "UPDATE event SET tried_id = 1000 + tried_id",
    ],
)
def test_sets_that_are_lost_in_another_store(theirs: Path, spoil: str) -> None:
    """Its later tries are imported as later tries after an unknown set."""
    execute(theirs, spoil.replace("'x, y'", "'x, y' || id"))
    with closing(open_store(":memory:")) as ours:
        import_from(ours, TrackerFile(theirs))
        tallies, sets = counts(ours)
        assert tallies == by_hand(RECORDED)[0]
        assert sets == {}
        assert {event.tried for event in ours.events.after(0, 1000)} == {(), UNKNOWN_TRIED}
        assert is_sound(ours)


def older(path: Path) -> Path:
    """Create a store as it was before later tries were told from first tries."""
    migrations = [each for each in load_migrations("sqlite") if each.version < 11]
    with closing(sqlite3.connect(path)) as connection:
        for migration in migrations:
            connection.executescript(migration.script)
        connection.execute("PRAGMA application_id = 1297106481")
        connection.execute("PRAGMA user_version = 10")
        for number in range(5):
            connection.execute(
                "INSERT INTO model_outcomes (task_type, model_id, success) VALUES ('plan', 'x', ?)", (number % 2,)
            )
        connection.commit()
    return path


def test_a_store_of_an_earlier_version_holds_first_tries(tmp_path: Path) -> None:
    """It is imported as it is, and what was imported before its migration is known after it."""
    path = older(tmp_path / "older.db")
    with closing(open_store(":memory:")) as ours:
        assert import_from(ours, TrackerFile(path)).outcomes == 5
        assert (counts(ours)[1], ours.tallies.all()[0].later_successes) == ({}, 0)
        with closing(open_store(path)) as migrated:
            migrated.outcomes.record(Entry("plan", "x", Outcome(success=True), NOON_MS, ("y",)))
        assert import_from(ours, TrackerFile(path)).outcomes == 1
        assert counts(ours)[1] == {("plan", "x"): {("y",): LaterTries(1, 0, 0)}}


def test_files_of_outcomes_may_tell_tries(tmp_path: Path) -> None:
    """The column ``tried`` of CSV, JSON Lines and Parquet is a list of models; one that is not costs its line."""
    rows = [("x", None), ("x", ["y", "a"]), ("x", []), ("x", "not a list"), ("x", [""])]
    lines = [
        json.dumps({"task_type": "t", "model_id": model, "success": True, "tried": tried}) for model, tried in rows
    ]
    (tmp_path / "o.jsonl").write_text("\n".join(lines))
    texts = [tried if tried is None or isinstance(tried, str) else json.dumps(tried) for _, tried in rows]
    quoted = ['""' if text is None else '"' + text.replace('"', '""') + '"' for text in texts]
    (tmp_path / "o.csv").write_text(
        "task_type,model_id,success,tried\n" + "".join(f"t,x,1,{each}\n" for each in quoted)
    )
    sources: list[Source] = [JsonLinesFile(tmp_path / "o.jsonl"), CsvFile(tmp_path / "o.csv")]
    if find_spec("pyarrow") is not None:
        pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        columns = {"task_type": ["t"] * 5, "model_id": ["x"] * 5, "success": [True] * 5, "tried": texts}
        pq.write_table(pa.table(columns), tmp_path / "text.parquet")
        lists = [None, ["y", "a"], [], ["a\nb"], [""]]
        pq.write_table(pa.table({**columns, "tried": lists}), tmp_path / "lists.parquet")
        sources += [ParquetTable(tmp_path / name) for name in ("text.parquet", "lists.parquet")]
    for source in sources:
        with closing(open_store(":memory:")) as ours:
            report = import_from(ours, source)
            assert (report.outcomes, report.rejected) == (4, 1)
            assert report.listed[0].reason.startswith("tried")
            (tally,) = ours.tallies.all()
            assert (tally.successes, tally.later_successes) == (4, 2)
            assert counts(ours)[1] == {("t", "x"): {("a", "y"): LaterTries(1, 0, 0)}}
            assert is_sound(ours)


def attached_to(path: Path) -> list[Tally]:
    """Return the tallies of an empty store to which another one is attached."""
    with closing(open_store(":memory:")) as ours:
        ours.attachments.add(Attached(str(path), "model_outcomes", {}, NOW_MS))
        databases = AttachedDatabases(ours.attachments)
        databases.wait()
        try:
            return with_attached(ours, databases).tallies.all()
        finally:
            databases.close()


def test_an_attached_store_tells_its_later_tries(theirs: Path) -> None:
    """Its tallies count all tries, and say which of them were later tries; outages count as failures there."""
    found = {each[:2]: each for each in attached_to(theirs)}
    for tally in by_hand(RECORDED)[0]:
        each = found[tally[:2]]
        own = [entry for entry in RECORDED if (entry.task_type, entry.model_id) == tally[:2]]
        assert (each.successes, each.failures) == (tally.successes, tally.failures)
        assert each.later_successes == tally.later_successes
        assert each.later_failures == sum(bool(entry.tried) and not entry.outcome.success for entry in own)
        assert 0 <= each.timeout_failures - each.later_timeout_failures <= each.failures - each.later_failures


def test_an_attached_store_of_an_earlier_version(tmp_path: Path) -> None:
    """All its outcomes are first tries."""
    (tally,) = attached_to(older(tmp_path / "older.db"))
    assert (tally.samples, tally.later_successes, tally.later_failures) == (5, 0, 0)


def test_a_table_of_another_program_has_first_tries(tmp_path: Path) -> None:
    """A column that happens to be called ``tried_id`` means nothing there."""
    with closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("CREATE TABLE model_outcomes (task_type, model_id, success, tried_id, tried)")
        other.execute("CREATE TABLE event (tried_id)")
        other.execute("INSERT INTO model_outcomes VALUES ('t', 'x', 1, 5, 7)")
        other.commit()
    (tally,) = attached_to(tmp_path / "other.db")
    assert (tally.successes, tally.later_successes) == (1, 0)


def test_beliefs_from_an_attached_store_are_those_of_its_first_tries(tmp_path: Path) -> None:
    """A host that attaches a store of ours scores as if it held first tries only."""
    scores = []
    for name, tries in (("all", [(), ("y",), ("y",)]), ("first", [()])):
        path = tmp_path / f"{name}.db"
        with closing(open_store(path)) as store:
            store.outcomes.record_many(
                Entry("plan", "x", Outcome(success=not tried), NOON_MS, tried) for tried in tries for _ in range(20)
            )
        federation = [{"path": str(path), "table": "model_outcomes"}]
        with mp.ModelPerf({"federation": federation}, store=tmp_path / f"own-{name}.db", seed=1) as engine:
            engine.attached.wait()
            decision = engine.explain("plan", ["x", "y"])
            assert decision is not None
            scores.append({row.model_id: row.score for row in decision.ranking.rows}["x"])
    assert scores[0] == pytest.approx(scores[1])
