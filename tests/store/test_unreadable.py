"""Text that another program wrote as other bytes: each bad row costs itself, and nothing raises."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pluggy
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import modelperf_plugin as mp
from modelperf_plugin.cli import modelperf
from modelperf_plugin.store import Prior, open_store, open_to_read, open_with_fallback
from modelperf_plugin.store.opening import open_file
from modelperf_plugin.store.sqlite.schema import missing_triggers, newest_schema
from tests.store.filled import GOOD, VICTIMS, columns_of, fill, overwrite

LATIN_1 = b"mod\xe8le"
BYTES = st.binary(max_size=40) | st.sampled_from(
    [LATIN_1, b"\xff", b"\xed\xa0\x80", b"a\x00b", b"", b"[" * 5000, b"{}", b"[1, 2]", b'{"candidates": 1}', b"9" * 600]
)
EXTREME_NUMBERS = [-1, 2**63 - 1, -(2**63), 1e308, float("inf")]
NUMBERS = [*EXTREME_NUMBERS, 0, 1, -(2**53), 2**53, 2**62, -1.5]
OUTCOMES: list[mp.Outcome] = [
    mp.Outcome(success=True, score=0.7, cost_usd=0.1, tokens_used=5, duration_seconds=1.0),
    mp.Outcome(success=False, timeout=True),
    mp.Outcome(success=False, error_kind="rate_limit"),
]
COMMANDS = (
    ("stats",), ("rank", "plan"), ("explain", "plan"), ("decisions",), ("trend",), ("changes",), ("demotions",),
    ("compare", "plan"), ("merged", "list"), ("federate", "list"), ("doctor",), ("report", "-o", "r.html"),
    ("export", "--min-samples", "1", "--min-group", "1"),
)  # fmt: skip


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a database with rows in every table."""
    path = tmp_path_factory.mktemp("template") / "p.db"
    fill(path)
    return path


def copy_of(template: Path, folder: Path) -> Path:
    """Return a copy of the database."""
    return Path(shutil.copy(template, folder / "p.db"))


def use(path: Path) -> tuple[int, int]:
    """Choose and record as a host; return the outcomes of the good pair before and after. Nothing fails."""
    pm = pluggy.PluginManager("host")
    config = {"exploration": {"strategy": "ab_test", "share": 0.3, "incumbent": "a", "challenger": ["x", "y"]}}
    plugin = mp.register(pm, {**config, "log": {"share": 1.0}}, store=path, seed=1)
    try:
        before = plugin.engine().tracker.store.tallies.of(GOOD[0])[GOOD[1]].samples
        for _ in range(10):
            decision = pm.hook.select_model(task_type="plan", candidates=["a", "b", "x", "y"], context=None)
            assert decision is not None
            outcome = mp.Outcome(success=True, cost_usd=0.1)
            pm.hook.on_task_complete(task_type="plan", model_id="a", outcome=outcome, decision=decision)
        after = plugin.engine().tracker.store.tallies.of(GOOD[0])[GOOD[1]].samples
        assert plugin.failure_count() == 0, plugin._guarded.failures.unsaved
        return before, after
    finally:
        plugin.close()


def read(path: Path) -> dict[str, list[Any]]:
    """Return what every role reads, by role."""
    with closing(open_to_read(path)) as store:
        return {
            "tallies": store.tallies.all(),
            "events": store.events.after(0, 1000),
            "changes": store.changes.all(),
            "demotions": store.demotions.all(),
            "watch_states": store.watch_states.load()[1],
            "decisions": store.decisions.newest(limit=1000),
            "log": store.decisions.after(0, 1000),
            "ab_tests": store.ab_tests.all(ended=True),
            "imports": store.imports.all(),
            "attachments": store.attachments.all(),
            "merged": store.merged.all(),
            "priors": store.merged.priors(),
            "problems": store.problems.all(),
            "estimated": list(store.spending.estimated()),
            "baselines": list(store.tallies.baselines()),
            "faded": list(store.tallies.faded(("plan", "plan"), 20_000, 30.0)),
        }


def check_others(table: str, before: dict[str, list[Any]], after: dict[str, list[Any]]) -> None:
    """Fail if a row other than those of the victims is gone; a source of ``merged`` takes its tallies along."""
    for role in ("tallies", "events") if table == "merged" else ("tallies", "events", "priors"):
        assert {each for each in before[role] if _pair(each)[1] not in VICTIMS} <= set(after[role]), role
    for role, rows in before.items():
        lost = 4 if role in {"events", "demotions"} else 2 if role == "priors" else 1
        assert len(after[role]) >= len(rows) - lost, role


def _pair(row: Any) -> tuple[str, str]:
    tally = row.tally if isinstance(row, Prior) else row
    return tally.task_type, tally.model_id


@pytest.mark.slow
def test_every_column_of_text_has_a_remedy(template: Path, tmp_path: Path) -> None:
    """There is a row in every table, and text that is not UTF-8 is found in every column, named and set aside."""
    for table, column in columns_of(template, "TEXT"):
        path = copy_of(template, tmp_path)
        if not overwrite(path, table, column, LATIN_1):
            continue
        with closing(open_file(path)) as store:
            texts = [finding for finding in store.maintenance.check() if finding.name == "text"]
            assert [finding.ok for finding in texts] == [False], (table, column)
            assert f"{table}.{column} (1 row, for example 'mod\\xe8le')" in texts[0].message
            aside = store.maintenance.set_aside_unreadable()
            assert aside is not None
            assert "mod\\\\xe8le" in aside.read_text(encoding="utf-8")
            assert aside.stat().st_mode & 0o777 == 0o600
            for line in aside.read_text(encoding="utf-8").splitlines():
                assert isinstance(json.loads(line), dict)
            store.maintenance.rebuild()
            assert [finding.message for finding in store.maintenance.check() if not finding.ok] == [], (table, column)
            assert store.maintenance.set_aside_unreadable() is None
            assert store.merged.origin()
        aside.unlink()


@pytest.mark.slow
@settings(max_examples=60)
@given(data=st.data(), content=BYTES)
def test_no_bytes_in_any_column_harm_a_host(
    template: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, content: bytes
) -> None:
    """A host chooses and records, every role reads, and no other row is lost, whatever the bytes."""
    table, column = data.draw(st.sampled_from(columns_of(template, "TEXT")))
    path = copy_of(template, tmp_path_factory.mktemp("copy"))
    if not overwrite(path, table, column, content):
        return
    check_others(table, read(template), read(path))
    before, after = use(path)
    assert (before, after) == (3, 13)
    with closing(open_store(path)) as store:
        store.maintenance.check()


def check_number(path: Path, table: str, column: str, number: float) -> None:
    """Fail unless a host chooses and records, and every role reads, with ``number`` in a column."""
    if not overwrite(path, table, column, number):
        return
    read(path)
    with mp.ModelPerf({"log": {"share": 0.0}}, store=path, seed=1) as engine:
        assert engine.select("plan", ["a", "b", "x", "y"]) is not None
        for outcome in OUTCOMES:
            assert engine.record("plan", "a", outcome)
        assert engine.select("plan", ["a", "b", "x", "y"]) is not None


@settings(max_examples=40)
@given(data=st.data(), number=st.sampled_from(NUMBERS))
def test_no_number_in_any_column_harms_a_choice(
    template: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, number: float
) -> None:
    """A host chooses, and every role reads, whatever counts, times and weights another program has written."""
    table, column = data.draw(st.sampled_from(columns_of(template, "INTEGER", "REAL")))
    check_number(copy_of(template, tmp_path_factory.mktemp("copy")), table, column, number)


@pytest.mark.slow
def test_no_extreme_number_harms_a_choice(template: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A host chooses and records, and every role reads, with each extreme number in each column."""
    for table, column in columns_of(template, "INTEGER", "REAL"):
        for number in EXTREME_NUMBERS:
            check_number(copy_of(template, tmp_path_factory.mktemp("copy")), table, column, number)


@settings(max_examples=40)
@given(data=st.data(), content=BYTES, command=st.sampled_from(COMMANDS))
def test_no_bytes_in_any_column_harm_a_command(
    template: Path,
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
    content: bytes,
    command: tuple[str, ...],
) -> None:
    """Every command that reads ends with an answer, whatever the bytes."""
    table, column = data.draw(st.sampled_from(columns_of(template, "TEXT")))
    path = copy_of(template, tmp_path_factory.mktemp("copy"))
    if not overwrite(path, table, column, content):
        return
    result = run(path, *command)
    assert result.exit_code in {0, 1}, result.output
    assert not result.stderr.startswith("error"), result.stderr


@pytest.mark.slow
def test_no_command_fails_on_a_bad_column(template: Path, tmp_path: Path) -> None:
    """Every command on a bad row in every column."""
    for table, column in columns_of(template, "TEXT"):
        path = copy_of(template, tmp_path)
        if overwrite(path, table, column, LATIN_1):
            for command in COMMANDS:
                result = run(path, *command)
                assert result.exit_code in {0, 1}, (table, column, command, result.output)


def run(path: Path, *command: str) -> Any:
    """Run a command on the database at ``path``."""
    return CliRunner().invoke(
        modelperf, [*command, "--store", str(path)], prog_name="modelperf", catch_exceptions=False
    )


@pytest.mark.parametrize("relation", ["model_outcomes", "model_stats"])
@pytest.mark.parametrize("column", ["task_type", "model_id"])
@pytest.mark.parametrize("bad", [LATIN_1, b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"a\xe8"])
def test_other_bytes_are_refused_at_the_door(
    template: Path, tmp_path: Path, relation: str, column: str, bad: bytes
) -> None:
    """An INSERT into the documented relations names the column; names of any language are accepted."""
    path = copy_of(template, tmp_path)
    other = {"task_type": "model_id", "model_id": "task_type"}[column]
    value = "success" if relation == "model_outcomes" else "successes"
    insert = f"INSERT INTO {relation} ({column}, {other}, {value}) VALUES (CAST(? AS TEXT), 'other', 1)"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        with pytest.raises(sqlite3.IntegrityError, match=f"{relation}.{column} must be text in UTF-8"):
            connection.execute(insert, (bad,))
        for good in ("modèle", "模型", "\U0001f600", "x" * 512, "é" * 512):
            connection.execute(insert, (good.encode(),))


def test_the_outcomes_set_aside_can_be_imported(template: Path, tmp_path: Path) -> None:
    """Once the name is corrected, an import brings them back with all their details."""
    path = copy_of(template, tmp_path)
    with closing(open_store(path)) as store:
        before = store.tallies.of("plan")["y"]
    overwrite(path, "tally", "model_id", LATIN_1)
    result = run(path, "doctor", "--repair")
    assert "moved rows with unreadable text to" in result.stdout
    (aside,) = tmp_path.glob("p.db.unreadable-*.jsonl")
    aside.write_text(aside.read_text().replace("mod\\\\xe8le", "y"))
    assert run(path, "import", "jsonl", str(aside)).exit_code in {0, 1}
    with closing(open_store(path)) as store:
        after = store.tallies.of("plan")["y"]
    assert after.samples == before.samples - 10  # without the imported sums, which are no outcomes
    assert after.total_tokens == before.total_tokens


def test_a_schema_that_is_not_text_is_no_reason_to_stop_a_host(template: Path, tmp_path: Path) -> None:
    """The host records to the waiting file; the health check and the repair end with a message."""
    path = copy_of(template, tmp_path)
    content = path.read_bytes()
    assert b"CREATE TRIGGER model_stats_insert" in content
    path.write_bytes(content.replace(b"CREATE TRIGGER model_stats", b"CREATE TRIGGER \xff\xfe\xff\xfel_stats"))
    pm = pluggy.PluginManager("host")
    plugin = mp.register(pm, {}, store=path, seed=1)
    pm.hook.on_task_complete(task_type="plan", model_id="a", outcome=mp.Outcome(success=True), decision=None)
    assert pm.hook.select_model(task_type="plan", candidates=["a", "b"], context=None) is not None
    assert plugin.failure_count() == 0
    plugin.close()
    assert len(list(tmp_path.glob("p.waiting-*.jsonl"))) == 1
    for command in (("doctor",), ("stats",), ("doctor", "--repair")):
        assert run(path, *command).exit_code in {0, 1, 2}
    assert sum(tally["successes"] for tally in json.loads(run(path, "stats", "--json").stdout)["tallies"]) > 8


@pytest.mark.parametrize(
    "trigger",
    [
        "recording_insert",
        "recording_once_insert",
        "recording_later_insert",
        "event_update_duration",
        "revising_insert",
        "recording_served_insert",
    ],
)
def test_a_trigger_that_is_missing_costs_no_outcome(template: Path, tmp_path: Path, trigger: str) -> None:
    """Without a trigger that records, outcomes wait in a file until the database is repaired."""
    path = copy_of(template, tmp_path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"DROP TRIGGER {trigger}")
    pm = pluggy.PluginManager("host")
    plugin = mp.register(pm, {}, store=path, seed=1)
    for outcome in (mp.Outcome(success=True), mp.Outcome(score=0.75, outcome_id="one")):
        pm.hook.on_task_complete(task_type="plan", model_id="a", outcome=outcome, decision=None)
    assert plugin.failure_count() == 0
    plugin.close()
    assert run(path, "doctor", "--repair").exit_code in {0, 1}
    with closing(open_with_fallback(path)) as store:
        tally = store.tallies.of("plan")["a"]
        assert (tally.samples, tally.graded) == (5, 1)


def test_the_triggers_that_are_looked_for_are_those_of_the_schema() -> None:
    """Opening a file looks for every trigger of the newest schema, and for no other."""
    with closing(newest_schema()) as connection:
        assert missing_triggers(connection) == []
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")]
        for name in names:
            connection.execute(f"DROP TRIGGER {name}")
        assert missing_triggers(connection) == sorted(names)


@pytest.mark.parametrize("column", ["tally.successes", "decision.model_id", "event.ended_ms", "change.direction"])
def test_a_column_that_is_missing_is_no_reason_to_stop_a_host(template: Path, tmp_path: Path, column: str) -> None:
    """A schema that does not fit our statements is damage: outcomes wait in a file until it is repaired."""
    path = copy_of(template, tmp_path)
    table, name = column.split(".")
    content = path.read_bytes()
    at = content.index(b" %s " % name.encode(), content.index(b"CREATE TABLE %s (" % table.encode()))
    path.write_bytes(content[: at + 1] + b"\xff" + content[at + 2 :])
    pm = pluggy.PluginManager("host")
    plugin = mp.register(pm, {}, store=path, seed=1)
    decision = pm.hook.select_model(task_type="plan", candidates=["a", "b"], context=None)
    assert decision is not None
    pm.hook.on_task_complete(task_type="plan", model_id="a", outcome=mp.Outcome(success=True), decision=decision)
    plugin.close()
    assert run(path, "doctor", "--repair").exit_code in {0, 1}
    with closing(open_with_fallback(path)) as store:  # the next host moves in what still waits
        assert store.connection.degraded is None
        assert store.tallies.of("plan")["a"].samples == 4


def test_sums_stop_at_the_largest_integer(tmp_path: Path) -> None:
    """Tokens and dollars beyond 2^63 neither fail nor wrap: the store records on, reports, checks and repairs."""
    path = tmp_path / "p.db"
    most = mp.Outcome(success=True, tokens_used=2**53, cost_usd=1e6)
    with mp.ModelPerf(store=path) as engine:
        assert engine.record_many([("plan", "a", most)] * 9_300) == 9_300
        assert engine.record("plan", "a", most)
        assert engine.select("plan", ["a", "b"]) is not None
    with closing(open_file(path)) as store:
        tally = store.tallies.of("plan")["a"]
        assert (tally.total_tokens, tally.total_cost_nano_usd, tally.samples) == (2**63 - 1, 2**63 - 1, 9_301)
        assert [finding.message for finding in store.maintenance.check() if not finding.ok] == []
        store.maintenance.rebuild()
        assert store.tallies.of("plan")["a"] == tally
    for command in COMMANDS:
        assert run(path, *command).exit_code in {0, 1}
