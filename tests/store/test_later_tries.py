"""A later try stays a later try whatever happens to the store: rebuilt, retained, damaged, repaired, copied, killed."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from modelperf_plugin.cli import modelperf
from modelperf_plugin.store import Entry, open_store, open_to_read
from modelperf_plugin.store.opening import open_file
from modelperf_plugin.store.sqlite.file import PAGE_BYTES
from modelperf_plugin.store.sqlite.salvage import salvage
from modelperf_plugin.values import DAY_MS, MAX_ROW_SETS, UNKNOWN_TRIED, LaterTries, Outcome, Tally
from tests.store import later
from tests.store.faults import damage, pages_of
from tests.store.later import NOON_MS, by_hand, counts, execute, first_tries, mixed, unsound

RECORDED = mixed(400)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a database with first and later tries."""
    path = tmp_path_factory.mktemp("template") / "p.db"
    with closing(open_store(path)) as store:
        store.outcomes.record_many(RECORDED)
    return path


@pytest.fixture
def path(template: Path, tmp_path: Path) -> Path:
    """Return a copy of the database."""
    return Path(shutil.copy(template, tmp_path / "p.db"))


def run(path: Path, *command: str) -> str:
    """Run a command that succeeds on the database; return what it prints."""
    result = CliRunner().invoke(modelperf, [*command, "--store", str(path)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@settings(max_examples=25, deadline=None)
@given(st.lists(later.entries, max_size=30), st.integers(0, 30), st.randoms(use_true_random=False))
def test_a_random_mix_adds_up(
    tmp_path_factory: pytest.TempPathFactory, recorded: list[Entry], days: int, chance: random.Random
) -> None:
    """Tallies, sets, roll-up and events agree after any mix, before and after old outcomes were dropped."""
    path = tmp_path_factory.mktemp("mix") / "p.db"
    cut = chance.randint(0, len(recorded))
    with closing(open_file(path)) as store:
        for each in recorded[:cut]:
            store.outcomes.record(each)
        store.outcomes.record_many(recorded[cut:])
        assert counts(store) == by_hand(recorded)
        store.events.drop(NOON_MS - days * DAY_MS)
        assert counts(store) == by_hand(recorded)
        assert unsound(store) == []
        assert store.maintenance.rebuild() == 0
        assert counts(store) == by_hand(recorded)
        assert unsound(store) == []


DRIFTS = [
    "UPDATE tally SET later_successes = 0",
    "UPDATE tally SET later_failures = later_failures - 1 WHERE id % 2",
    "UPDATE tally SET later_successes = -1",
    "UPDATE tally SET later_timeout_failures = later_failures + 1",
    "UPDATE tally SET later_successes = successes + 1",
    "UPDATE daily SET later_successes = later_successes + 1",
    "DELETE FROM daily",
    "DELETE FROM later",
    "DELETE FROM later WHERE tried_id = 2",
    "UPDATE later SET successes = successes + 1",
    "UPDATE later SET failures = -1",
    "UPDATE later SET timeout_failures = failures + 1",
    "UPDATE later SET tried_id = 1000 + tried_id",
    "INSERT INTO later SELECT id, 99, 1, 1, 1, 0 FROM tally",
]


@pytest.mark.parametrize("drift", DRIFTS)
def test_drift_is_found_and_rebuilt_from_the_events(path: Path, drift: str) -> None:
    """The health check names counts of later tries that do not add up; a rebuild makes them what they were."""
    with closing(open_file(path)) as store:
        execute(path, drift)
        assert unsound(store) != []
        assert all("doctor --repair" in each for each in unsound(store))
        assert store.maintenance.rebuild() > 0
        assert unsound(store) == []
        assert counts(store) == by_hand(RECORDED)


@pytest.mark.parametrize("drift", DRIFTS)
def test_drift_after_retention(path: Path, drift: str) -> None:
    """Without the events, tries whose set is lost are later tries after an unknown set: no tally changes."""
    tallies, sets = by_hand(RECORDED)
    with closing(open_file(path)) as store:
        store.events.drop(NOON_MS - 10 * DAY_MS)
        execute(path, drift)
        store.maintenance.rebuild()
        assert unsound(store) == []
        after, kept = counts(store)
        assert after == tallies
        for pair, tries in kept.items():
            assert all(
                one <= other for key, each in tries.items() for one, other in zip(each, sets[pair][key], strict=True)
            )


def test_what_was_dropped_counts_as_later_tries(path: Path) -> None:
    """Retention keeps later tries and their sets, also if every event of a pair is gone and all is counted anew."""
    with closing(open_file(path)) as store:
        assert store.events.drop(NOON_MS + 1).dropped == len(RECORDED) - 1
        assert unsound(store) == []
        assert store.maintenance.rebuild() == 0
        assert counts(store) == by_hand(RECORDED)
        store.outcomes.record(Entry("plan", "x", Outcome(success=True), NOON_MS, ("y",)))
        assert store.tallies.later("plan")["x"][("y",)].successes > 0
        assert unsound(store) == []


@pytest.mark.parametrize(
    "drift",
    [
        "UPDATE dropped SET later_successes = successes + 1",
        "UPDATE dropped SET later_failures = -1",
        "UPDATE dropped SET later_timeout_failures = 10000",
        "UPDATE dropped SET later_failures = failures - outages - caller_errors, later_timeout_failures = 0",
    ],
)
def test_impossible_counts_of_dropped_events(path: Path, drift: str) -> None:
    """Later tries among dropped events are bounded by these, so that the pair can be used again."""
    with closing(open_file(path)) as store:
        store.events.drop(NOON_MS - 10 * DAY_MS)
        before = store.tallies.all()
        execute(path, drift)
        store.maintenance.rebuild()
        assert unsound(store) == []
        after = store.tallies.all()
    assert [each[:12] for each in after] == [each[:12] for each in before]


BAD_SETS = [
    pytest.param("DELETE FROM tried WHERE id = 2", id="missing"),
    pytest.param("DELETE FROM tried", id="all missing"),
    pytest.param("UPDATE tried SET models = 'x, y' WHERE id = 2", id="not JSON"),
    pytest.param("UPDATE tried SET models = '{}' WHERE id = 2", id="an object"),
    pytest.param("UPDATE tried SET models = '[]' WHERE id = 2", id="empty"),
    pytest.param("UPDATE tried SET models = '[1]' WHERE id = 2", id="a number"),
    pytest.param("UPDATE tried SET models = '[\"\\u0000\"]' WHERE id = 2", id="no id"),
    pytest.param("UPDATE tried SET models = CAST(x'5b22ff225d' AS TEXT) WHERE id = 2", id="not UTF-8"),
    pytest.param("UPDATE event SET tried_id = 77 WHERE tried_id = 2", id="unknown number"),
    pytest.param("UPDATE event SET tried_id = -1 WHERE tried_id = 2", id="negative number"),
]


@pytest.mark.parametrize("spoil", BAD_SETS)
@pytest.mark.parametrize("is_repaired", [False, True])
def test_a_set_that_is_lost(path: Path, spoil: str, is_repaired: bool) -> None:
    """Its tries stay later tries, after an unknown set: tallies are the same, and nothing reads them as first tries."""
    tallies, sets = by_hand(RECORDED)
    execute(path, spoil)
    if is_repaired:
        CliRunner().invoke(modelperf, ["doctor", "--repair", "--store", str(path)], catch_exceptions=False)
    with closing(open_store(path)) as store:
        if is_repaired:
            assert unsound(store) == []
        after, kept = counts(store)
        assert after == tallies
        for pair, tries in kept.items():
            assert UNKNOWN_TRIED not in tries
            assert all(each == sets[pair][key] for key, each in tries.items() if key in sets[pair])
        events = store.events.after(0, 1000)
        assert sum(bool(event.tried) for event in events) == sum(bool(each.tried) for each in RECORDED)
        new = Entry("plan", "x", Outcome(success=True), NOON_MS, ("x", "y", "z", "z"))
        before = store.tallies.later("plan").get("x", {}).get(new.tried, LaterTries()).successes
        store.outcomes.record(new)
        if is_repaired:
            assert store.tallies.later("plan")["x"][new.tried].successes == before + 1
            assert unsound(store) == []


ODD_SETS = ["[1,2]", "{}", "[]", "7", "null", '["x","x","x","x","x","x","x","x","x"]', '["z","x"]', '["x", "z"]']


@pytest.mark.parametrize("models", ODD_SETS)
def test_a_set_that_another_program_wrote_is_found_and_repaired(path: Path, models: str) -> None:
    """Doctor names it and says what to do; a known set in another order keeps its tries, others become unknown."""
    tallies, sets = by_hand(RECORDED)
    with closing(sqlite3.connect(path)) as connection, connection:
        number = connection.execute('SELECT id FROM tried WHERE models = \'["x","z"]\'').fetchone()[0]
        connection.execute("UPDATE tried SET models = ? WHERE id = ?", (models, number))
    found = CliRunner().invoke(modelperf, ["doctor", "--store", str(path)], catch_exceptions=False)
    assert found.exit_code == 1
    assert "tried.models (1 row" in " ".join(found.output.split())
    assert "modelperf doctor --repair" in " ".join(found.output.split())
    run(path, "doctor", "--repair")
    with closing(open_store(path)) as store:
        assert unsound(store) == []
        after, kept = counts(store)
    assert after == tallies
    is_known = "z" in models
    expected = sets if is_known else {
        pair: {tried: each for tried, each in tries.items() if tried != ("x", "z")} for pair, tries in sets.items()
    }  # fmt: skip
    assert kept == expected


@pytest.mark.parametrize(
    "stray",
    [
        "INSERT INTO later VALUES (99, 1, 1, 0, 0, 0)",
        "INSERT INTO later VALUES (99, 99, 0, 1, 0, 0)",
        "INSERT INTO later VALUES (1, 99, 0, 0, 0, 0)",
        "UPDATE event SET tried_id = 99 WHERE tried_id IS NOT NULL AND NOT success AND error_kind = 'network'",
    ],
)
def test_rows_of_later_tries_that_belong_to_nothing(path: Path, stray: str) -> None:
    """Counts without their pair or their set are found, and deleted by a repair."""
    before = by_hand(RECORDED)
    execute(path, stray)
    with closing(open_store(path)) as store:
        assert [finding.name for finding in store.maintenance.check() if not finding.ok] == ["later tries"]
    assert "rebuilt the counts of" in run(path, "doctor", "--repair")
    with closing(open_store(path)) as store:
        assert unsound(store) == []
        assert counts(store) == before


def test_sets_that_nothing_refers_to_are_deleted_by_a_repair(tmp_path: Path) -> None:
    """After retention, an outage leaves a set behind; those of other tries stay, and so does the last number."""
    path = tmp_path / "p.db"
    outage = Outcome(success=False, error_kind="network")
    with closing(open_file(path)) as store:
        for tried, outcome in ((("x",), outage), (("y",), Outcome(success=True)), (("z",), outage)):
            store.outcomes.record(Entry("plan", "m", outcome, NOON_MS - 9 * DAY_MS, tried))
        store.outcomes.record(Entry("plan", "m", Outcome(success=True), NOON_MS))
        assert store.events.drop(NOON_MS - DAY_MS).dropped == 3
        before = counts(store)
        store.maintenance.rebuild()
        assert unsound(store) == []
        assert counts(store) == before
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT models FROM tried ORDER BY id").fetchall() == [('["y"]',), ('["z"]',)]


def test_an_unknown_set_says_nothing(path: Path) -> None:
    """A later try after an unknown set is in the tally alone, right after it was recorded and when it is read again."""
    with closing(open_file(path)) as store:
        tallies, sets = counts(store)
        before = store.tallies.of("plan")["x"]
        store.outcomes.record(Entry("plan", "x", Outcome(success=True), NOON_MS, UNKNOWN_TRIED))
        for _ in range(2):
            assert store.tallies.of("plan")["x"].later_successes == before.later_successes + 1
            assert counts(store)[1] == sets
            store.connection.cache.clear()
        assert unsound(store) == []
        assert len(store.tallies.all()) == len(tallies)


def test_a_new_set_does_not_get_the_number_of_a_lost_one(path: Path) -> None:
    """After a repair, tries whose set was lost do not belong to whatever set comes next."""
    execute(path, "DELETE FROM tried WHERE id = (SELECT max(id) FROM tried)")
    with closing(open_file(path)) as store:
        store.maintenance.rebuild()
        _, before = counts(store)
        store.outcomes.record(Entry("plan", "x", Outcome(success=True), NOON_MS, ("new",)))
        _, after = counts(store)
        assert after["plan", "x"].pop(("new",)) == LaterTries(1, 0, 0)
        assert after == before


@pytest.mark.parametrize("table", ["event", "tally", "daily", "later", "tried"])
@pytest.mark.parametrize("is_retained", [False, True])
def test_a_damaged_table_is_salvaged(path: Path, table: str, is_retained: bool) -> None:
    """Whichever table is lost, tallies and later tries are those from before; only sets may be unknown."""
    tallies, sets = by_hand(RECORDED)
    if is_retained:
        with closing(open_file(path)) as store:
            store.events.drop(NOON_MS - 20 * DAY_MS)
    damage(path, pages_of(path, table))
    salvage(str(path))
    with closing(open_store(path)) as store:
        assert unsound(store) == []
        after, kept = counts(store)
    if table == "tally" and is_retained:  # the sums of what was dropped are left in the roll-up
        assert first_tries(after) == first_tries(tallies)
    else:
        assert after == tallies
    if table in {"daily", "tally"} or (table == "later" and not is_retained):
        assert kept == sets
    for pair, tries in kept.items():
        assert all(
            one <= other for key, each in tries.items() for one, other in zip(each, sets[pair][key], strict=True)
        )


@pytest.mark.parametrize("seed", range(6))
def test_any_damage_leaves_first_tries_apart(path: Path, seed: int) -> None:
    """Whatever pages are lost or cut off, no later try becomes a first try, and everything adds up."""
    tallies, _ = by_hand(RECORDED)
    chance = random.Random(seed)
    size = path.stat().st_size // PAGE_BYTES
    if seed % 2:
        os.truncate(path, chance.randrange(size // 3, size) * PAGE_BYTES + chance.randrange(PAGE_BYTES))
    else:
        damage(path, chance.sample(range(2, size + 1), size // 4))
    salvage(str(path))
    path.chmod(0o600)
    with closing(open_store(path)) as store:
        assert unsound(store) == []
        after = store.tallies.all()
    before, found = first_tries(tallies), first_tries(after)
    for pair in before.keys() & found.keys():
        assert found[pair] <= before[pair] or sum(found[pair]) <= sum(before[pair])
        assert all(one <= other for one, other in zip(found[pair], before[pair], strict=True))


def test_sets_are_found_without_a_schema(path: Path) -> None:
    """Without schema and pointer map, sets and later tries are told from other tables by their rows."""
    with closing(sqlite3.connect(path)) as connection:
        try:
            query = "SELECT pageno FROM dbstat WHERE name IN ('sqlite_schema', 'sqlite_master')"
            schema = [number for (number,) in connection.execute(query)]
        except sqlite3.OperationalError:
            pytest.skip("this SQLite cannot tell where tables lie")
    with closing(open_store(path)) as store:
        origin = store.merged.origin()
    damage(path, [*schema, 2])
    salvage(str(path))
    with closing(open_store(path)) as store:
        assert unsound(store) == []
        assert counts(store) == by_hand(RECORDED)
        assert store.merged.origin() == origin
    keys = {each.outcome.outcome_id for each in RECORDED} - {None}
    with closing(sqlite3.connect(path)) as connection:
        assert {key for (key,) in connection.execute("SELECT outcome_id FROM outcome_key")} == keys


KILLED = """
import sys
from modelperf_plugin.store.opening import open_file
from tests.store.later import NOON_MS, mixed
store = open_file(sys.argv[1])
entries = mixed(20_000, seed=7)
print("ready", flush=True)
for number, entry in enumerate(entries):
    store.outcomes.record_many(entries[number:number + 3]) if number % 10 == 0 else store.outcomes.record(entry)
    if number % 7 == 0:
        store.events.drop(NOON_MS - 86_400_000 * 10)
    if number % 50 == 0:
        store.maintenance.rebuild()
"""


@pytest.mark.parametrize("after_seconds", [0.05, 0.2])
def test_a_killed_process_leaves_whole_outcomes(tmp_path: Path, after_seconds: float) -> None:
    """A process that is killed while it records, drops and counts anew leaves a database in which all sums agree."""
    path = tmp_path / "p.db"
    with subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(after_seconds)
        process.send_signal(signal.SIGKILL)
    with closing(open_file(path)) as store:
        assert unsound(store) == []
        assert sum(each.later_successes + each.later_failures for each in store.tallies.all()) > 0
        assert store.maintenance.rebuild() == 0


def test_copies_keep_later_tries(path: Path, tmp_path: Path) -> None:
    """Backup, restore and compact change neither tallies nor sets."""
    run(path, "backup", str(tmp_path / "copy.db"))
    run(path, "compact")
    for file in (path, tmp_path / "copy.db"):
        with closing(open_to_read(file)) as store:
            assert counts(store) == by_hand(RECORDED)
    execute(path, "DELETE FROM later")
    run(path, "restore", str(tmp_path / "copy.db"))
    with closing(open_to_read(path)) as store:
        assert counts(store) == by_hand(RECORDED)


@pytest.mark.parametrize(
    "insert",
    [
        "INSERT INTO model_outcomes (task_type, model_id, success) VALUES ('plan', 'x', 0)",
        "INSERT INTO model_stats (task_type, model_id, successes, failures) VALUES ('plan', 'x', 3, 2)",
    ],
)
def test_what_other_programs_insert_are_first_tries(path: Path, insert: str) -> None:
    """The documented relations count all tries, and an INSERT into them adds first tries."""
    tallies, sets = by_hand(RECORDED)
    (before,) = [each for each in tallies if each[:2] == ("plan", "x")]
    with closing(open_store(path)) as store:
        execute(path, insert)
        after = store.tallies.of("plan")["x"]
        assert after.samples > before.samples
        assert after[12:] == before[12:]
        assert counts(store)[1] == sets
        assert unsound(store) == []
    with closing(sqlite3.connect(path)) as connection:
        (samples,) = connection.execute(
            "SELECT successes + failures FROM model_stats WHERE task_type = 'plan' AND model_id = 'x'"
        ).fetchone()
    assert samples == after.samples


def test_impossible_tallies_are_left_out(path: Path) -> None:
    """A pair whose later tries are more than its tries is used in no choice, and reported."""
    execute(path, "UPDATE tally SET later_successes = successes + 1 WHERE model_id = 'x'")
    with closing(open_store(path)) as store:
        assert set(store.tallies.of("plan")) == {"y", "z"}
        assert any(each.startswith("later tries") for each in unsound(store))


def test_outcomes_set_aside_come_back_as_later_tries(path: Path, tmp_path: Path) -> None:
    """Rows of an unreadable pair keep what had failed before in the file that can be imported."""
    tallies, sets = by_hand(RECORDED)
    execute(path, "UPDATE tally SET model_id = CAST(x'78e8' AS TEXT) WHERE model_id = 'x'")
    CliRunner().invoke(modelperf, ["doctor", "--repair", "--store", str(path)], catch_exceptions=False)
    (aside,) = tmp_path.glob("p.db.unreadable-*.jsonl")
    aside.write_text(aside.read_text().replace("x\\\\xe8", "x"))
    CliRunner().invoke(modelperf, ["import", "jsonl", str(aside), "--store", str(path)], catch_exceptions=False)
    with closing(open_store(path)) as store:
        assert counts(store) == (tallies, sets)
        assert unsound(store) == []


def test_older_files_hold_first_tries(path: Path) -> None:
    """What a file has without a set is a first try, whatever its age: the difference of all and later tries."""
    execute(path, "UPDATE event SET tried_id = NULL")
    with closing(open_file(path)) as store:
        store.maintenance.rebuild()
        assert unsound(store) == []
        assert all(each[12:] == (0, 0, 0, 0, 0, 0) for each in store.tallies.all())
        assert counts(store)[1] == {}


def test_as_json(path: Path) -> None:
    """The counts of later tries are part of what programs read."""
    tally = json.loads(run(path, "stats", "--json"))["tallies"][0]
    assert {"later_successes", "later_failures", "later_timeout_failures"} <= tally.keys()
    assert isinstance(Tally("a", "b").as_dict()["later_successes"], int)


def test_of_many_sets_those_with_most_tries_are_read(tmp_path: Path) -> None:
    """How many a choice reads has a bound, whatever the store holds; how the tries ended makes no difference."""
    models = [f"m{number:02}" for number in range(20)]
    entries = [
        Entry("t", model_id, Outcome(success=number % 2 == 0), NOON_MS, (failed,))
        for model_id in models
        for number, failed in enumerate(f"f{each:02}" for each in range(40))
        for _ in range(1 + number)
    ]
    with closing(open_store(tmp_path / "p.db")) as store:
        store.outcomes.record_many(entries)
        later_tries = store.tallies.later("t")
    most = MAX_ROW_SETS // len(models)
    expected = {(f"f{number:02}",) for number in range(40 - most, 40)}
    assert later_tries.keys() == set(models)
    assert all(sets.keys() == expected for sets in later_tries.values())
