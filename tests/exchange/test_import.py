"""Imports of text files: each outcome once, despite interruptions, repetitions and concurrent imports."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelperf_plugin.errors import OutcomesFileError
from modelperf_plugin.exchange.importing import text_files as files
from modelperf_plugin.exchange.importing.history import Report
from modelperf_plugin.exchange.importing.text_files import CsvFile, JsonLinesFile
from modelperf_plugin.store import open_store
from modelperf_plugin.values import ERROR_KINDS, Outcome, Tally, to_milliseconds
from tests.exchange.stores import NOW_MS, import_from, is_sound, samples

HEADER = "task_type,model_id,success,timeout,tokens_used,cost_usd,timestamp"
IMPORT = [sys.executable, "-m", "modelperf_plugin", "import", "csv"]


def many_rows(number: int) -> str:
    """Return a CSV file with ``number`` different outcomes."""
    draw = random.Random(number)
    lines = [
        f"task-{draw.randrange(5)},model-{draw.randrange(4)},{draw.randrange(2)},0,{each},0.001,2026-01-0{1 + each % 9}"
        "T00:00:00Z"
        for each in range(number)
    ]
    return "\n".join([HEADER, *lines]) + "\n"


names = st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), min_size=1, max_size=6).filter(
    lambda name: name == name.strip()
)
rows = st.fixed_dictionaries(
    {"task_type": names, "model_id": names, "success": st.sampled_from(["0", "1", "true", "False"])},
    optional={
        "timeout": st.sampled_from(["0", "1", ""]),
        "tokens_used": st.integers(0, 2**53).map(str),
        "cost_usd": st.floats(0, 1_000_000).map(str),
        "timestamp": st.sampled_from(["", "2026-01-31T12:00:00Z", "2026-01-31T12:00:00.123456+05:30", "1950-05-05"]),
        "duration_seconds": st.floats(0, 1e6).map(str),
        "error_kind": st.sampled_from([*ERROR_KINDS, ""]),
        "note": st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    },
)


def counted_singly(given_rows: list[dict[str, str]]) -> list[Tally]:
    """Return the tallies of rows as if a host had recorded each."""
    tallies: dict[tuple[str, str], Tally] = {}
    for row in given_rows:
        moment = row.get("timestamp")
        if moment == "1950-05-05":
            moment += "T00:00:00Z"
        outcome = Outcome.from_mapping(
            {
                "success": row["success"] in {"1", "true"},
                "timeout": row.get("timeout") == "1",
                "tokens_used": int(row.get("tokens_used") or 0),
                "cost_usd": float(row.get("cost_usd") or 0),
                "error_kind": row.get("error_kind") or None,
                "timestamp": moment or None,
            }
        )
        at_ms = NOW_MS if outcome.timestamp is None else to_milliseconds(outcome.timestamp)
        pair = (row["task_type"], row["model_id"])
        tallies[pair] = (tallies.get(pair) or Tally(*pair)).plus(outcome, at_ms)
    return [tallies[pair] for pair in sorted(tallies, key=lambda pair: (pair[0].encode(), pair[1].encode()))]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=60)
@given(given_rows=st.lists(rows, max_size=12), part=st.integers(1, 400), json_lines=st.booleans())
def test_a_second_import_changes_nothing(
    given_rows: list[dict[str, str]], part: int, json_lines: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """For any rows, quoting and part size, tallies equal recorded ones after one import and after two."""
    monkeypatch.setattr(files, "PART_BYTES", part)
    path = tmp_path / "rows"
    columns = sorted({column for row in given_rows for column in row} | {"task_type", "model_id", "success"})
    text = io.StringIO(newline="")
    if json_lines:
        text.writelines(json.dumps(row) + "\n" for row in given_rows)
    else:
        writer = csv.DictWriter(text, columns)
        writer.writeheader()
        writer.writerows(given_rows)
    path.write_bytes(text.getvalue().encode())
    store = open_store(":memory:")
    first, second = (import_from(store, JsonLinesFile(path) if json_lines else CsvFile(path)) for _ in range(2))
    assert (first.outcomes, first.rejected) == (len(given_rows), 0)
    assert (second.outcomes, second.before) == (0, len(given_rows))
    assert store.tallies.all() == counted_singly(given_rows)
    assert is_sound(store)
    store.close()


@pytest.mark.parametrize("is_gzip", [False, True])
def test_a_file_that_has_grown_continues_where_it_ended(tmp_path: Path, is_gzip: bool) -> None:
    """Only new lines are imported, even if the file was moved; a different start makes a different file."""
    text = many_rows(300)
    pack = gzip.compress if is_gzip else bytes
    lines = text.splitlines(keepends=True)
    store = open_store(":memory:")
    for number, (end, name) in enumerate([(100, "a"), (100, "b"), (250, "a"), (301, "c")]):
        path = tmp_path / f"{name}.csv"
        path.write_bytes(pack("".join(lines[:end]).encode()))
        report = import_from(store, CsvFile(path))
        assert (report.before, report.outcomes) == [(0, 99), (99, 0), (99, 150), (249, 51)][number]
    (tmp_path / "other.csv").write_bytes(pack((HEADER + "\n" + lines[2]).encode()))
    assert import_from(store, CsvFile(tmp_path / "other.csv")).outcomes == 1
    store.close()


def test_bad_lines_are_counted_and_listed(tmp_path: Path) -> None:
    """Each unusable line is listed with its line number; the others are imported."""
    path = tmp_path / "bad.csv"
    good = "a,b,1,0,5,0.1,2026-01-01T00:00:00Z"
    bad = {
        3: "a,b,2,0,5,0.1,2026-01-01T00:00:00Z",
        4: "a,b,1,0,-5,0.1,2026-01-01T00:00:00Z",
        5: "a,b,1,0,5,nan,2026-01-01T00:00:00Z",
        6: "a,b,1,0,5,0.1,yesterday",
        7: "a,b,1",
        8: ",b,1,0,5,0.1,2026-01-01T00:00:00Z",
        9: 'a,"b,1,0,5,0.1,2026-01-01T00:00:00Z',
        10: "a\tc,b,1,0,5,0.1,2026-01-01T00:00:00Z",
        11: "a,b,1,0,5,1e12,2026-01-01T00:00:00Z",
        12: "a,b,1,0,9999999999999999999,0.1,2026-01-01T00:00:00Z",
    }
    text = "\n".join([HEADER, good, *bad.values(), "", good, 'a,"b",1,,,,']).encode() + b"\n\xff\xfe,b,1,0,5,0.1,\n"
    path.write_bytes(text)
    store = open_store(":memory:")
    report = import_from(store, CsvFile(path))
    assert report.outcomes == 3
    assert [each.line for each in report.listed] == [*bad, 16]
    assert report.rejected == 11
    assert "success must be 0, 1, true, false or empty, but got '2'" in report.listed[0].reason
    assert store.imports.all()[0].rejected == 11
    store.close()


def test_a_stray_quote_makes_one_line_unusable(tmp_path: Path) -> None:
    """An unclosed quote affects its own line only."""
    lines = many_rows(5000).splitlines()
    lines[10] = '"' + lines[10]
    path = tmp_path / "stray.csv"
    path.write_text("\n".join(lines))
    store = open_store(":memory:")
    report = import_from(store, CsvFile(path))
    assert (report.outcomes, [each.line for each in report.listed]) == (4999, [11])
    store.close()


def test_an_outcome_id_is_imported_once_across_files(tmp_path: Path) -> None:
    """Outcomes whose ``outcome_id`` is in the store are skipped and counted."""
    store = open_store(":memory:")
    for name, ids in (("a", "xyz"), ("b", "zw")):
        path = tmp_path / f"{name}.csv"
        path.write_text(
            "\n".join(["task_type,model_id,success,outcome_id", *(f"t,m,1,{each}" for each in ids), "t,m,0,"])
        )
        report = import_from(store, CsvFile(path))
        assert (report.outcomes, report.known) == ((4, 0) if name == "a" else (2, 1))
    assert samples(store) == 6
    assert is_sound(store)
    store.close()


def test_columns_may_have_other_names(tmp_path: Path) -> None:
    """A mapping translates column names, and a constant replaces a missing task type."""
    path = tmp_path / "other.csv"
    path.write_text("llm,passed,usd\nm,1,0.5\nn,0,\n")
    store = open_store(":memory:")
    columns = {"model_id": "llm", "success": "passed", "cost_usd": "usd"}
    assert import_from(store, CsvFile(path, columns, "plan")).outcomes == 2
    assert store.tallies.of("plan")["m"].total_cost_usd == 0.5
    with pytest.raises(OutcomesFileError, match="must name the column passes"):
        CsvFile(path, {**columns, "success": "passes"}, "plan")
    store.close()


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_score_alone_is_a_verdict(form: str, tmp_path: Path) -> None:
    """A file need not have successes: from the given score on, an outcome is one, unless it says otherwise itself."""
    path = tmp_path / "graded"
    open_file: Any = CsvFile if form == "csv" else JsonLinesFile
    lines = [json.dumps({"task_type": "plan", "model_id": "x", "score": score}) for score in (0.6, 0.8, 0.9)]
    path.write_text(
        "task_type,model_id,score\nplan,x,0.6\nplan,x,0.8\nplan,x,0.9\n" if form == "csv" else "\n".join(lines)
    )
    store = open_store(":memory:")
    assert import_from(store, open_file(path), pass_score=0.8).outcomes == 3
    tally = store.tallies.of("plan")["x"]
    assert (tally.successes, tally.failures, tally.graded) == (2, 1, 3)
    assert tally.mean_score == pytest.approx((0.6 + 0.8 + 0.9) / 3)
    path.write_text("task_type,model_id,success,score\nplan,y,1,0.6\nplan,y,,0.7\nplan,y,,\n")
    report = import_from(store, CsvFile(path), pass_score=0.8)
    assert (report.outcomes, report.unknown) == (2, 1)
    assert (store.tallies.of("plan")["y"].successes, store.tallies.of("plan")["y"].failures) == (1, 1)
    store.close()


def test_a_dry_run_reads_everything_and_writes_nothing(tmp_path: Path) -> None:
    """The report equals that of the real import; the store stays empty."""
    path = tmp_path / "a.csv"
    path.write_text(many_rows(50) + "x\n")
    store = open_store(":memory:")
    dry = import_from(store, CsvFile(path), dry_run=True)
    assert store.tallies.all() == []
    assert store.imports.all() == []
    assert dry == import_from(store, CsvFile(path))
    store.close()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "must name the column task_type"),
        (b"a,b,c\n1,2,3\n", "must name the column task_type"),
        (b"\x00\xff\xfe\x00", "is not the first line of a CSV file"),
        (b"task_type,model_id,success,success\n", "names the column success twice"),
        (gzip.compress(many_rows(3000).encode())[:8000], "is damaged"),
        (b"\x1f\x8bnonsense", "is not the first line of a CSV file"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    """The message names the file and the problem."""
    path = tmp_path / "no.csv"
    path.write_bytes(content)
    store = open_store(":memory:")
    with pytest.raises(OutcomesFileError, match=message):
        import_from(store, CsvFile(path))
    store.close()


@pytest.mark.slow
def test_a_killed_import_imports_every_outcome_once(tmp_path: Path) -> None:
    """After SIGKILL at random moments and a complete run, each line is in the store once and the sums are right."""
    path, db = tmp_path / "many.csv", tmp_path / "a.db"
    path.write_text(many_rows(200_000))
    draw = random.Random(3)
    killed = 0
    for _ in range(12):
        process = subprocess.Popen([*IMPORT, str(path), "--store", str(db)], stdout=subprocess.PIPE)
        time.sleep(draw.uniform(0.3, 0.9))
        process.kill()
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
    assert killed
    subprocess.run([*IMPORT, str(path), "--store", str(db)], check=True, stdout=subprocess.PIPE)
    store = open_store(db)
    assert samples(store) == 200_000
    assert sum(tally.total_tokens for tally in store.tallies.all()) == sum(range(200_000))
    assert is_sound(store)
    (record,) = store.imports.all()
    assert (record.outcomes, record.position) == (200_000, path.stat().st_size)
    store.close()


def test_concurrent_imports_of_a_file_import_it_once(tmp_path: Path) -> None:
    """Processes continue after each other's batches; together they import every outcome once."""
    path, db = tmp_path / "many.csv", tmp_path / "a.db"
    path.write_text(many_rows(60_000))
    processes = [
        subprocess.Popen([*IMPORT, str(path), "--store", str(db), "--json"], stdout=subprocess.PIPE) for _ in range(3)
    ]
    answers = [json.loads(process.communicate()[0]) for process in processes]
    assert sum(answer["outcomes"] for answer in answers) == 60_000
    store = open_store(db)
    assert samples(store) == 60_000
    assert is_sound(store)
    store.close()


def test_a_batch_is_not_written_after_a_concurrent_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If another process imports the whole file between two batches, nothing is imported twice."""
    monkeypatch.setattr(files, "PART_BYTES", 1000)
    path = tmp_path / "many.csv"
    path.write_text(many_rows(200))
    ours, theirs = open_store(tmp_path / "a.db"), open_store(tmp_path / "a.db")
    seen: Counter[str] = Counter()

    def interfere(_: Report) -> None:
        if not seen["other"]:
            seen["other"] = import_from(theirs, CsvFile(path)).outcomes

    report = import_from(ours, CsvFile(path), on_progress=interfere)
    assert report.outcomes + seen["other"] == 200
    assert samples(ours) == samples(theirs) == 200
    assert is_sound(ours)
    ours.close()
    theirs.close()


def test_imports_are_evidence_immediately(tmp_path: Path) -> None:
    """A store with cached tallies sees its own imports and those of other processes."""
    path = tmp_path / "a.csv"
    path.write_text(f"{HEADER}\nt,m,1,,,,\n")
    ours, theirs = open_store(tmp_path / "a.db"), open_store(tmp_path / "a.db")
    assert ours.tallies.of("t") == {}
    import_from(theirs, CsvFile(path))
    assert ours.tallies.of("t")["m"].successes == 1
    path.write_text(f"{HEADER}\nt,m,0,,,,\n")
    import_from(ours, CsvFile(path))
    assert ours.tallies.of("t")["m"].failures == 1
    ours.close()
    theirs.close()
