"""Imports of tables: other stores, Parquet files, and call logs."""

from __future__ import annotations

import csv
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import modelperf_plugin as mp
from modelperf_plugin.errors import OutcomesFileError
from modelperf_plugin.exchange.importing import tables
from modelperf_plugin.exchange.importing.call_logs import LiteLLMLog, LlmLog, VerdictFields
from modelperf_plugin.exchange.importing.tables import ParquetTable, TrackerFile
from modelperf_plugin.store import Entry, Store, Sums, open_store
from modelperf_plugin.store.exchange import Step
from modelperf_plugin.values import ERROR_KINDS, Outcome
from tests.exchange.stores import NOW_MS, import_from, is_sound

LLM_RESPONSES = """
CREATE TABLE responses (
    id TEXT PRIMARY KEY, model TEXT, prompt TEXT, system TEXT, prompt_json TEXT, options_json TEXT, response TEXT,
    response_json TEXT, conversation_id TEXT, duration_ms INTEGER, datetime_utc TEXT, input_tokens INTEGER,
    output_tokens INTEGER, token_details TEXT
)"""
CALLS: list[dict[str, Any]] = [
    {
        "request_id": f"r{number}", "call_type": "acompletion", "spend": 0.25, "total_tokens": 100 + number,
        "startTime": "2026-01-01T00:00:00.000Z", "endTime": "2026-01-01T00:00:02.500Z", "model": "openai/gpt-4o",
        "model_group": "gpt-4o", "status": "success",
        "metadata": json.dumps({"verdict": {"ok": number != 1}} if number < 3 else {}),
        "request_tags": ["team:a", "task:plan"],
    }
    for number in range(4)
]  # fmt: skip


def filled(path: Path) -> Store:
    """Return a store with all kinds of outcomes, and with sums."""
    store = open_store(path)
    for number in range(60):
        outcome = Outcome(
            success=number % 3 == 0,
            timeout=number % 7 == 0,
            tokens_used=number,
            cost_usd=number / 1000,
            duration_seconds=number / 8 if number % 2 else None,
            error_kind=ERROR_KINDS[number % len(ERROR_KINDS)] if number % 3 and number % 5 else None,
            outcome_id=f"id-{number}" if number % 4 == 0 else None,
        )
        store.outcomes.record(Entry(f"task-{number % 4}", f"model-{number % 3}", outcome, NOW_MS + number))
    store.imports.add_sums(
        Step("json", "old.json", "d", 1, 0, 0, 1), [Sums("task-0", "model-0", 7, 3, 1, 50, 10**9, 5)]
    )
    return store


def test_another_store_is_imported_completely_and_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tallies are equal after one import and after two; a later import adds what was recorded since."""
    monkeypatch.setattr(tables, "BATCH_ROWS", 7)
    theirs, ours = filled(tmp_path / "theirs.db"), open_store(tmp_path / "ours.db")
    for _ in range(2):
        again = TrackerFile(tmp_path / "theirs.db")
        again.import_sums(ours, NOW_MS)
        import_from(ours, again)
        assert ours.tallies.all() == theirs.tallies.all()
    theirs.outcomes.record(Entry("task-0", "model-0", Outcome(success=True), NOW_MS))
    assert import_from(ours, TrackerFile(tmp_path / "theirs.db")).outcomes == 1
    assert ours.tallies.all() == theirs.tallies.all()
    assert is_sound(ours)
    for name, is_own in (("ours.db", True), ("theirs.db", False)):
        with closing(TrackerFile(tmp_path / name)) as source:
            assert source.is_file_of(ours) == is_own
    theirs.close()
    ours.close()


def test_the_imported_store_is_opened_read_only(tmp_path: Path) -> None:
    """A file of an older version, or of the migration guide's tracker, is imported without a migration."""
    path = tmp_path / "document.db"
    connection = sqlite3.connect(path)
    connection.execute(
        "CREATE TABLE model_outcomes (id INTEGER PRIMARY KEY, task_type TEXT, model_id TEXT, success INTEGER, "
        "timeout INTEGER, tokens_used INTEGER, cost_usd REAL, timestamp TEXT)"
    )
    connection.execute("INSERT INTO model_outcomes VALUES (1, 'plan', 'x', 1, 0, 5, 0.1, '2026-01-01T00:00:00Z')")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    ours = open_store(":memory:")
    assert import_from(ours, TrackerFile(path)).outcomes == 1
    (tally,) = ours.tallies.all()
    assert (tally.successes, tally.total_tokens, tally.total_cost_usd, tally.last_used_ms) == (1, 5, 0.1, NOW_MS)
    assert path.read_bytes() == before
    ours.close()


@pytest.mark.parametrize("content", [None, b"", b"nonsense" * 1000])
def test_files_that_are_not_databases_are_refused(tmp_path: Path, content: bytes | None) -> None:
    """A missing, empty or different file is an error with its name."""
    path = tmp_path / "no.db"
    if content is not None:
        path.write_bytes(content)
    for kind in (TrackerFile, lambda file: LlmLog(file, VerdictFields())):
        with pytest.raises(OutcomesFileError, match=r"no\.db"):
            kind(path)
    assert path.exists() == (content is not None)


def test_parquet_is_read_like_csv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Typed columns, nulls, a column mapping and a constant task type; repeated imports change nothing."""
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(tables, "BATCH_ROWS", 2)
    path = tmp_path / "a.parquet"
    columns = {
        "llm": ["x", "y", "x", None],
        "passed": pa.array([True, None, False, True]),
        "cost_usd": [0.5, None, 0.25, 1.0],
        "tokens_used": [1, 2, 3, 4],
        "timestamp": pa.array([1_767_225_600_000, 0, 1_767_225_601_000, 0], pa.timestamp("ms", tz="UTC")),
    }
    pq.write_table(pa.table(columns), path)
    names = {"model_id": "llm", "success": "passed"}
    store = open_store(":memory:")
    report = import_from(store, ParquetTable(path, names, "plan"))
    assert (report.outcomes, report.unknown, [each.line for each in report.listed]) == (2, 1, [4])
    (tally,) = store.tallies.all()
    assert (tally.task_type, tally.successes, tally.failures) == ("plan", 1, 1)
    assert (tally.total_cost_usd, tally.total_tokens, tally.last_used_ms) == (0.75, 4, 1_767_225_601_000)
    assert import_from(store, ParquetTable(path, names, "plan")).before == 2
    with pytest.raises(OutcomesFileError, match="must have the column success"):
        ParquetTable(path, {"model_id": "llm"}, "plan")
    store.close()


@pytest.mark.parametrize("form", ["json", "jsonl", "csv"])
def test_spend_logs_count_where_they_hold_verdicts(form: str, tmp_path: Path) -> None:
    """Without a success field nothing is counted or marked as read; with one, all details are imported."""
    path = tmp_path / "spend"
    with path.open("w", newline="") as file:
        if form == "csv":
            writer = csv.DictWriter(file, list(CALLS[0]))
            writer.writeheader()
            writer.writerows({**call, "request_tags": json.dumps(call["request_tags"])} for call in CALLS)
        elif form == "json":
            json.dump(CALLS, file)
        else:
            file.writelines(json.dumps(call) + "\n" for call in CALLS)
    store = open_store(":memory:")
    silent = import_from(store, LiteLLMLog(path, VerdictFields()))
    assert (silent.outcomes, silent.unknown) == (0, 4)
    noted = VerdictFields(task_field="request_tags.task", success_field="metadata.verdict.ok")
    for outcomes, before in ((3, 0), (0, 3)):
        report = import_from(store, LiteLLMLog(path, noted))
        assert (report.outcomes, report.before, report.rejected) == (outcomes, before, 0)
    (tally,) = store.tallies.all()
    assert (tally.task_type, tally.model_id, tally.successes, tally.failures) == ("plan", "gpt-4o", 2, 1)
    assert (tally.total_cost_usd, tally.total_tokens, tally.last_used_ms) == (0.75, 303, NOW_MS + 2500)
    again = import_from(store, LiteLLMLog(path, VerdictFields("plan", None, "metadata.verdict.ok")))
    assert (again.outcomes, again.known) == (0, 3)  # the same requests, however they are read
    store.close()


def test_files_that_are_not_spend_logs_are_refused(tmp_path: Path) -> None:
    """Other JSON, other CSV, and neither are refused."""
    for content, message in (
        ("[1]", "not a LiteLLM spend log"),
        ("a,b\n1,2\n", "not a LiteLLM spend log"),
        ("[{", "is neither JSON nor CSV"),
        ('{"a": 1}\n', "not a LiteLLM spend log"),
    ):
        (tmp_path / "no").write_text(content)
        with pytest.raises(OutcomesFileError, match=message):
            LiteLLMLog(tmp_path / "no", VerdictFields())


def test_the_log_of_llm_counts_where_it_holds_verdicts(tmp_path: Path) -> None:
    """The log holds models, tokens, durations and times; verdicts only where the host wrote them."""
    path = tmp_path / "logs.db"
    connection = sqlite3.connect(path)
    connection.execute(LLM_RESPONSES)
    for number in range(3):
        options = json.dumps({"task": "plan", "ok": number % 2} if number < 2 else {})
        connection.execute(
            "INSERT INTO responses (id, model, options_json, duration_ms, datetime_utc, input_tokens, output_tokens) "
            "VALUES (?, 'gpt-4o', ?, 1500, ?, 10, NULL)",
            (f"id{number}", options, f"2026-01-01T00:00:0{number}.000000"),
        )
    connection.commit()
    connection.close()
    store = open_store(":memory:")
    silent = import_from(store, LlmLog(path, VerdictFields("plan")))
    assert (silent.outcomes, silent.unknown) == (0, 3)
    report = import_from(store, LlmLog(path, VerdictFields(None, "options_json.task", "options_json.ok")))
    assert (report.outcomes, report.unknown) == (2, 1)
    (tally,) = store.tallies.all()
    assert (tally.successes, tally.failures, tally.total_tokens, tally.last_used_ms) == (1, 1, 20, NOW_MS + 1000)
    store.close()


BYTES = ("CAST(x'6d6f64e86c65' AS TEXT)", "CAST(x'ff' AS TEXT)", "x'ff'", "7", "'a' || char(0)", "zeroblob(5000)")


@pytest.mark.parametrize("bad", BYTES)
@pytest.mark.parametrize("column", ["task_type", "model_id", "success", "timestamp", "cost_usd"])
def test_bytes_in_another_tracker_cost_their_row(tmp_path: Path, column: str, bad: str) -> None:
    """Latin-1, blobs and numbers where text belongs: that row is rejected or read, and the others are imported."""
    path = tmp_path / "theirs.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(
            "CREATE TABLE model_outcomes (id INTEGER PRIMARY KEY, task_type, model_id, success, timeout, tokens_used, "
            "cost_usd, timestamp)"
        )
        for _ in range(3):
            connection.execute("INSERT INTO model_outcomes (task_type, model_id, success) VALUES ('plan', 'x', 1)")
        connection.execute(f"UPDATE model_outcomes SET {column} = {bad} WHERE id = 2")
    with closing(open_store(tmp_path / "ours.db")) as ours:
        report = import_from(ours, TrackerFile(path))
        assert report.outcomes + report.rejected + report.unknown == 3
        assert report.outcomes >= 2
        assert ours.tallies.of("plan")["x"].samples >= 2
        assert is_sound(ours)


@pytest.mark.parametrize("bad", BYTES)
@pytest.mark.parametrize("column", ["model", "options_json", "duration_ms", "datetime_utc", "input_tokens", "id"])
def test_bytes_in_the_log_of_llm_cost_their_row(tmp_path: Path, column: str, bad: str) -> None:
    """The same for the log of llm, whose columns may hold anything."""
    path = tmp_path / "logs.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(LLM_RESPONSES)
        for number in range(3):
            row = (f"r{number}", json.dumps({"ok": True}))
            connection.execute("INSERT INTO responses (id, model, options_json) VALUES (?, 'm', ?)", row)
        connection.execute(f"UPDATE responses SET {column} = {bad} WHERE id = 'r1'")
    with closing(open_store(tmp_path / "ours.db")) as ours:
        report = import_from(ours, LlmLog(path, VerdictFields("plan", None, "options_json.ok")))
        assert report.outcomes + report.rejected + report.unknown == 3
        assert ours.tallies.of("plan")["m"].samples >= 2
        assert is_sound(ours)


@pytest.mark.parametrize("open_source", [TrackerFile, lambda path: LlmLog(path, VerdictFields("plan"))])
def test_a_schema_that_is_not_text_is_an_error(tmp_path: Path, open_source: Callable[[Path], object]) -> None:
    """One message that names the file."""
    path = tmp_path / "theirs.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(LLM_RESPONSES)
        connection.execute("CREATE TABLE model_outcomes (id INTEGER PRIMARY KEY)")
        connection.execute("CREATE VIEW of_bytes AS SELECT 1")
    path.write_bytes(path.read_bytes().replace(b"CREATE VIEW of_bytes", b"CREATE \xff\xfe\xff\xfe of_bytes"))
    with pytest.raises(OutcomesFileError, match="cannot be read"):
        open_source(path)


def test_sums_that_no_store_has_written_are_not_imported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A negative sum, a name that is not text, and a time beyond all years cost their pair, and are told."""
    filled(tmp_path / "theirs.db").close()
    with closing(sqlite3.connect(tmp_path / "theirs.db", isolation_level=None)) as connection:
        for number, (name, column) in enumerate([("CAST(x'ff' AS TEXT)", "1"), ("'late'", "9223372036854775807")]):
            pair = 1000 + number
            connection.execute(f"INSERT INTO tally (id, task_type, model_id) VALUES ({pair}, 'task', {name})")
            connection.execute(f"INSERT INTO imported VALUES ({pair}, 'json:old', 1, 1, 0, 0, 0, {column})")
    with closing(open_store(tmp_path / "ours.db")) as ours, closing(TrackerFile(tmp_path / "theirs.db")) as theirs:
        assert theirs.import_sums(ours, NOW_MS) == 10
        assert "the sums of 2 pairs are not usable" in caplog.text
        assert is_sound(ours)


def test_scores_of_another_store_are_imported(tmp_path: Path) -> None:
    """With them, an outcome counts by its score; a store that has none is recognised as before there were scores."""
    for name in ("scored", "plain"):
        with closing(open_store(tmp_path / f"{name}.db")) as theirs:
            score = 0.25 if name == "scored" else None
            theirs.outcomes.record(Entry("plan", "x", Outcome(success=False, score=score), NOW_MS))
    with closing(open_store(":memory:")) as store:
        assert import_from(store, TrackerFile(tmp_path / "scored.db")).outcomes == 1
        (tally,) = store.tallies.all()
        assert (tally.graded, tally.score_shift) == (1, 250_000)
        import_from(store, TrackerFile(tmp_path / "plain.db"))
        assert store.tallies.all()[0].graded == 1
    with closing(TrackerFile(tmp_path / "plain.db")) as plain:
        assert [len(row) for row in plain.rows()] == [10]


def test_verdicts_that_change_after_an_import_count_no_outcome_twice(tmp_path: Path) -> None:
    """A store is recognised by its first verdicts; what was recorded since is imported as it is now."""
    theirs, ours = filled(tmp_path / "theirs.db"), open_store(":memory:")
    assert import_from(ours, TrackerFile(tmp_path / "theirs.db")).outcomes == 60
    imported = ours.tallies.all()
    for score in (0.75, 0.0, None):
        outcome = Outcome(success=False, score=score, outcome_id="id-0")
        theirs.outcomes.record(Entry("task-0", "model-0", outcome, NOW_MS))
        again = import_from(ours, TrackerFile(tmp_path / "theirs.db"))
        assert (again.outcomes, again.before) == (0, 60)
    assert ours.tallies.all() == imported
    for score in (1.0, 0.25):
        outcome = Outcome(score=score, outcome_id="new")
        theirs.outcomes.record(Entry("late", "x", outcome, NOW_MS))
    assert import_from(ours, TrackerFile(tmp_path / "theirs.db")).outcomes == 1
    assert ours.tallies.of("late")["x"].mean_score == 0.25
    with closing(open_store(":memory:")) as another:
        assert import_from(another, TrackerFile(tmp_path / "theirs.db")).outcomes == 61
    theirs.close()
    ours.close()


def test_an_outcome_that_comes_after_its_verdict_and_an_import_is_not_new(tmp_path: Path) -> None:
    """What it adds to the reported verdict changes nothing about which outcome it is."""
    path = tmp_path / "theirs.db"
    with mp.ModelPerf({}, store=path) as theirs, closing(open_store(":memory:")) as ours:
        decision = theirs.select("plan", ["x"])
        assert decision is not None
        theirs.report(decision, success=True)
        theirs.record("plan", "x", Outcome(success=True))
        assert import_from(ours, TrackerFile(path)).outcomes == 2
        theirs.record("plan", "x", Outcome(success=True, cost_usd=0.5, duration_seconds=3.0), decision)
        again = import_from(ours, TrackerFile(path))
        assert (again.outcomes, again.before) == (0, 2)
