"""Exports, and merged exports of other projects: removable priors."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import modelperf_plugin as mp
from modelperf_plugin.errors import InvalidValueError, MissingExtraError, OutcomesFileError
from modelperf_plugin.exchange import parquet
from modelperf_plugin.exchange.sharing.exports import FORMATS, Format, parquet_export, read_export, text_export
from modelperf_plugin.exchange.sharing.merge import merge
from modelperf_plugin.exchange.sharing.share import (
    GENERAL,
    HASH_PREFIX,
    Export,
    Names,
    Selection,
    as_entry,
    hashed,
    recognised,
    select,
)  # fmt: skip
from modelperf_plugin.store import Entry, Store, Sums, open_store
from modelperf_plugin.store.exchange import Step
from modelperf_plugin.values import Outcome, Tally
from tests.exchange.stores import is_sound

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SALT = "eight or more"


@st.composite
def tallies(draw: st.DrawFn) -> Tally:
    """Return a tally that a store can hold."""
    names = st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), min_size=1, max_size=5)
    parts = [draw(st.integers(0, 2**40)) for _ in range(6)]
    successes, plain, outages, caller_errors, timeout_failures, more = parts
    failures = plain + outages + caller_errors + timeout_failures
    return Tally(
        draw(names),
        draw(names),
        successes,
        failures,
        timeout_failures + more,
        outages,
        caller_errors,
        draw(st.integers(0, 2**53)),
        draw(st.integers(0, 2**52)),
        draw(st.integers(0, successes + failures)),
        draw(st.none() | st.integers(-(10**12), 10**13)),
        timeout_failures,
    )


lists = st.lists(tallies(), max_size=6, unique_by=lambda tally: (tally.task_type, tally.model_id))


def written(path: Path, entries: list[Tally], form: Format, origin: str = "somewhere") -> Path:
    """Write an export."""
    if form == "parquet":
        pytest.importorskip("pyarrow")
        path.write_bytes(parquet_export(entries, origin))
    else:
        path.write_bytes(text_export(entries, form, origin, NOW).encode())
    return path


def filled(store: Store, successes: int = 12, failures: int = 3, model_id: str = "x") -> Store:
    """Record outcomes in ``store`` and return it."""
    for number in range(successes + failures):
        store.outcomes.record(
            Entry("plan", model_id, Outcome(success=number < successes, cost_usd=0.01), 1000 + number)
        )
    return store


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@pytest.mark.parametrize("form", FORMATS)
@given(entries=lists)
def test_a_merged_export_can_be_exported_again(form: Format, entries: list[Tally], tmp_path: Path) -> None:
    """Merged priors equal the exported tallies in every format, and their export is the same file."""
    first = read_export(written(tmp_path / "first", entries, form))
    assert first.entries == entries
    store = open_store(":memory:")
    merge(store, first, "them", 1)
    priors = [prior.tally for prior in store.merged.priors()]
    assert sorted(priors) == sorted(entries)
    order = {tally[:2]: number for number, tally in enumerate(entries)}
    again = written(tmp_path / "again", sorted(priors, key=lambda tally: order[tally[:2]]), form)
    assert again.read_bytes() == (tmp_path / "first").read_bytes()
    assert select(store.tallies.all()).entries == []  # none of them are own counts
    assert {prior.source for prior in store.merged.priors()} <= {"them"}
    assert store.merged.remove("them")
    assert store.merged.priors() == []
    store.close()


def test_merging_does_not_change_the_own_counts(tmp_path: Path) -> None:
    """Tallies, evidence, events and the own export are the same before and after."""
    store = filled(open_store(tmp_path / "own.db"))
    before = (store.tallies.all(), dict(store.tallies.of("plan")), select(store.tallies.all()))
    for number in (1, 2):
        merge(store, Export([Tally("plan", "x", 100, 900)], f"origin {number}", str(number)), f"them {number}", 1)
    assert (store.tallies.all(), dict(store.tallies.of("plan")), select(store.tallies.all())) == before
    assert is_sound(store)
    store.merged.remove("them 1")
    assert [each.name for each in store.merged.all()] == ["them 2"]
    store.close()


def test_all_pairs_are_exported_unless_there_is_a_limit() -> None:
    """The models that a project learned to avoid have few outcomes there; limits are options."""
    own = [Tally("big", "x", 9, 1), Tally("big", "y", 5, 4), Tally("small", "x", 1, 1)]
    assert select(own) == Selection(own, 0, 0)
    assert select(own, min_samples=10) == Selection(own[:1], 2, 0)
    assert select(own, min_samples=10, min_group=10) == Selection(own[:1], 1, 1)
    assert select(own, min_group=10) == Selection(own[:2], 0, 1)


def test_entries_with_ten_outcomes_are_confident(tmp_path: Path) -> None:
    """As in the migration guide; counts on no task type, the sum of small pairs, never are."""
    own = [Tally("plan", "x", 5, 5), Tally("plan", "y", 5, 4), Tally(GENERAL, "z", 50, 50)]
    assert [as_entry(tally)["confident"] for tally in own] == [True, False, False]
    for form in ("json", "csv"):
        assert read_export(written(tmp_path / form, own, form)).entries == own


def test_small_counts_leave_the_machine_as_a_sum() -> None:
    """With ``sum_rest`` each model with small pairs has one entry more, without task type."""
    own = [Tally("a", "x", 9, 1), Tally("b", "x", 3, 4), Tally("c", "x", 2, 3), Tally("a", "y", 5, 4)]
    rest = [Tally(GENERAL, "x", 5, 7), Tally(GENERAL, "y", 5, 4)]
    assert select(own, min_samples=10, sum_rest=True) == Selection([*rest, own[0]], 3, 0)
    hidden = select(own, min_samples=10, sum_rest=True, names=Names(SALT, models=True, task_types=True)).entries
    assert [entry.task_type == GENERAL for entry in hidden] == [True, True, False]
    assert sorted(recognised(hidden[:2], SALT, [("model_id", "x"), ("model_id", "y"), ("task_type", GENERAL)])) == rest
    assert sum(entry.samples for entry in select(own, min_samples=9, sum_rest=True).entries) == 31


def test_names_are_hashed_with_a_salt() -> None:
    """The same salt gives the same names, and with it known names are restored; without it none are."""
    own = [Tally("plan", "gpt-4o", 10, 0)]
    (entry,) = select(own, names=Names(SALT, models=True, task_types=True)).entries
    assert entry.task_type.startswith(HASH_PREFIX)
    assert entry.model_id == hashed("model_id", "gpt-4o", SALT)
    assert "gpt" not in str(entry)
    known = [("task_type", "plan"), ("model_id", "gpt-4o")]
    assert recognised([entry], SALT, known) == own
    assert recognised([entry], "another salt", known) == [entry]
    (half,) = select(own, names=Names(SALT, models=True)).entries
    assert half.task_type == "plan"
    with pytest.raises(InvalidValueError, match="salt must be at least 8") as caught:
        select(own, names=Names("secret", models=True))
    assert "secret" not in str(caught.value)


def test_an_export_names_its_store(tmp_path: Path) -> None:
    """A later export replaces an older one of the same project; the own export and a taken name are refused."""
    theirs, ours = filled(open_store(tmp_path / "theirs.db")), filled(open_store(tmp_path / "ours.db"))
    assert theirs.merged.origin() != ours.merged.origin()
    first = read_export(written(tmp_path / "a", theirs.tallies.all(), "json", theirs.merged.origin()))
    assert merge(ours, first, "them", 1) == ("them", None, False)
    assert merge(ours, first, "them", 1).is_known
    filled(theirs)
    second = read_export(written(tmp_path / "b", theirs.tallies.all(), "json", theirs.merged.origin()))
    assert merge(ours, second, "b", 2, dry_run=True).replaces == "them"
    assert [each.name for each in ours.merged.all()] == ["them"]
    assert merge(ours, second, "b", 2).replaces == "them"
    assert [(each.name, each.outcomes) for each in ours.merged.all()] == [("b", 30)]
    with pytest.raises(InvalidValueError, match="name must be one that no other merged project has"):
        merge(ours, first._replace(origin="another"), "b", 3)
    own = read_export(written(tmp_path / "c", ours.tallies.all(), "json", ours.merged.origin()))
    with pytest.raises(InvalidValueError, match="must be of another store"):
        merge(ours, own, "c", 3)
    theirs.close()
    ours.close()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{}", "is not an export of `modelperf export`"),
        ('{"format": "modelperf export", "version": 2, "entries": []}', "is of version 2; this version reads 1"),
        ('{"format": "modelperf export", "version": 1, "entries": [{"task_type": "a"}]}', "entry 1: model_id"),
        ('{"format": "modelperf export", "version": 1, "entries": [7]}', "entry 1: task_type"),
        ("{", "is not an export"),
        ("a,b\n1,2\n", "it has no column task_type"),
        ("task_type,model_id,successes,failures\na,b,-1,2\n", "entry 1: successes must be a whole number"),
        ("task_type,model_id,successes,failures\na,b,1,2\na,b,1,2\n", "entry 2 repeats b on a"),
        ("task_type,model_id,successes,failures,outages\na,b,1,2,3\n", "failures must be at least outages"),
        (b"\xff\xfe", "is not an export"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: str | bytes, message: str) -> None:
    """The message names the file and the entry."""
    path = tmp_path / "no"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(OutcomesFileError, match=message):
        read_export(path)


def test_a_prior_counts_less_than_own_outcomes(tmp_path: Path) -> None:
    """Without own outcomes the other project's better model ranks first, weighed as min(strength, n) outcomes."""
    theirs = Export([Tally("plan", "good", 90, 10), Tally("plan", "bad", 10, 90)], "them", "1")
    with mp.ModelPerf({}, store=":memory:", seed=1) as engine:
        assert engine.explain("plan", ["good", "bad"]).ranking.rows[0].score == pytest.approx(0.5)  # type: ignore[union-attr]
        merge(engine.store, theirs, "them", 1, strength=10)
        engine._learner.reset()
        decision = engine.explain("plan", ["bad", "good"])
        assert decision is not None
        first, last = decision.ranking.rows
        assert (first.model_id, first.tally.samples, first.status) == ("good", 0, "unproven")
        assert first.score is not None
        assert last.score is not None
        assert first.score > 0.65
        assert last.score < 0.35
        for _ in range(60):  # the reverse of the prior
            engine.record("plan", "good", Outcome(success=False))
            engine.record("plan", "bad", Outcome(success=True))
        decision = engine.explain("plan", ["bad", "good"])
        assert decision is not None
        assert decision.ranking.rows[0].model_id == "bad"
        assert decision.ranking.rows[0].tally.samples == 60


def test_a_running_host_notices_a_merge(tmp_path: Path) -> None:
    """After a merge or removal by another process, the host's beliefs follow with the next outcomes."""
    path = tmp_path / "own.db"
    with mp.ModelPerf({}, store=path, seed=1) as engine:
        engine.record("plan", "a", Outcome(success=True))
        other = open_store(path)
        merge(other, Export([Tally("plan", "b", 0, 500)], "them", "1"), "them", 1, strength=50)

        def score() -> float:
            for _ in range(30):
                engine.record("plan", "a", Outcome(success=True))
            decision = engine.explain("plan", ["a", "b"])
            assert decision is not None
            found = {row.model_id: row.score for row in decision.ranking.rows}["b"]
            assert found is not None
            return found

        assert score() < 0.1
        other.merged.remove("them")
        assert score() > 0.5
        other.close()


def test_a_broken_parquet_file_is_refused(tmp_path: Path) -> None:
    """A file that only starts like Parquet is an error."""
    pytest.importorskip("pyarrow")
    (tmp_path / "no").write_bytes(b"PAR1 nonsense")
    with pytest.raises(OutcomesFileError, match="cannot be read as Parquet"):
        read_export(tmp_path / "no")


def test_parquet_is_an_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without pyarrow the error names the extra to install."""
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r'pip install "modelperf-plugin\[parquet\]"'):
        parquet.open_parquet(tmp_path / "x")


def test_imported_sums_are_exported_with_the_rest() -> None:
    """The own counts are events and imported sums; merged and attached ones are not exported."""
    store = filled(open_store(":memory:"))
    step = Step("json", "old.json", "d", 1, 0, 0, 1)
    assert store.imports.add_sums(step, [Sums("plan", "x", 5, 0)])
    (entry,) = select(store.tallies.all()).entries
    assert entry.samples == 20
    store.close()


def test_the_export_is_plain_json(tmp_path: Path) -> None:
    """An export holds names, counts and sums under plain keys."""
    text = text_export(
        [Tally("plan", "x", 9, 1, 2, 1, 0, 500, 1_500_000_000, 10, 1_767_225_600_000, 1)], "json", "o", NOW
    )
    entry = json.loads(text)["entries"][0]
    assert entry == {
        "task_type": "plan", "model_id": "x", "successes": 9, "failures": 1, "timeouts": 2, "timeout_failures": 1,
        "outages": 1, "caller_errors": 0, "total_tokens": 500, "total_cost_usd": 1.5, "priced": 10,
        "last_used": "2026-01-01T00:00:00+00:00", "later_successes": 0, "later_failures": 0,
        "later_timeout_failures": 0, "graded": 0, "score_shift": 0, "later_score_shift": 0, "confident": True,
    }  # fmt: skip


def test_a_failed_merge_changes_nothing(tmp_path: Path) -> None:
    """If the new rows cannot be written, the older export stays in the store."""
    store = open_store(tmp_path / "own.db")
    merge(store, Export([Tally("plan", "x", 1, 1)], "them", "1"), "them", 1)
    with pytest.raises(mp.StoreError):
        merge(store, Export([Tally("plan", "x", 1, -1)], "them", "2"), "them", 1)
    assert [prior.tally.failures for prior in store.merged.priors()] == [1]
    store.close()
    connection = sqlite3.connect(tmp_path / "own.db")
    assert connection.execute("SELECT count(*) FROM merged").fetchone() == (1,)
    connection.close()


def test_sums_that_no_store_can_add_up_are_refused(tmp_path: Path) -> None:
    """An export whose entries together are beyond 2^63 is an error that names the column, and changes nothing."""
    entries = [
        {"task_type": f"t{number}", "model_id": "m", "successes": 1, "failures": 0, "total_tokens": 2**53}
        for number in range(1100)
    ]
    head = {"format": "modelperf export", "version": 1, "origin": "o", "made": "2026-01-01T00:00:00+00:00"}
    (tmp_path / "e.json").write_text(json.dumps({**head, "entries": entries}))
    with pytest.raises(OutcomesFileError, match="total_tokens of all entries together is beyond"):
        read_export(tmp_path / "e.json")
    (tmp_path / "e.json").write_text(json.dumps({**head, "entries": entries[:1000]}))
    assert len(read_export(tmp_path / "e.json").entries) == 1000


def test_sources_whose_sums_overflow_together_can_be_listed_and_removed(tmp_path: Path) -> None:
    """A store that holds more than 2^63 outcomes of others still answers."""
    most = [Tally(f"t{number}", "m", 2**53, 0) for number in range(1000)]
    store = open_store(tmp_path / "p.db")
    for name in ("a", "b"):
        merge(store, Export([*most, *(each._replace(model_id="n") for each in most)], name, name), name, 0)
    assert [source.outcomes for source in store.merged.all()] == [2**63 - 1] * 2
    assert len(store.merged.priors()) == 4000
    assert store.merged.remove("a")
    store.close()


def test_what_cannot_be_an_export_is_not_read(tmp_path: Path) -> None:
    """A file of three gigabytes, and one that never ends, are errors at once."""
    with (tmp_path / "large.json").open("wb") as file:
        file.truncate(3 << 30)
    for path in (tmp_path / "large.json", Path("/dev/zero")):
        with pytest.raises(OutcomesFileError, match="cannot be read"):
            read_export(path)


@pytest.mark.parametrize(
    "content", ["[" * 200_000, '"' * 3, "x" * 200_000, 'task_type,"model_id\n', "[" + '{"a": 1},' * 9]
)
def test_what_is_neither_json_nor_csv_is_one_message(tmp_path: Path, content: str) -> None:
    """Whatever a text is, it is refused as a file that is no export, the first line included."""
    (tmp_path / "file").write_text(content)
    with pytest.raises(OutcomesFileError, match="is not"):
        read_export(tmp_path / "file")
