"""An ``outcome_id`` names one outcome: one of another model or task type with the same id is an error."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

import modelperf_plugin as mp
from modelperf_plugin.errors import InvalidValueError

RUN_1 = {"success": True, "outcomeId": "run-1"}
REFUSED = "outcome_id must be unique: an outcome of another model or task type was recorded with it"
Record = Callable[[str, str, "mp.Outcome | dict[str, object]"], object]


@pytest.fixture(params=["file", "no file"])
def perf(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[mp.ModelPerf]:
    """Return an engine, also one whose database cannot be opened: it spools outcomes."""
    folder = tmp_path / "folder"
    if request.param == "file":
        folder.mkdir()
    else:
        folder.write_text("")
    with mp.ModelPerf({}, store=folder / "x.db") as engine:
        yield engine


def ways(perf: mp.ModelPerf) -> list[Record]:
    """Return the calls that record one outcome."""

    def one_of_many(*outcome: object) -> int:
        return perf.record_many([outcome])  # type: ignore[list-item]

    def tracked(*outcome: object) -> int:
        return perf.tracker.record_many([outcome])  # type: ignore[list-item]

    return [perf.record, perf.tracker.record_outcome, one_of_many, tracked]


def test_an_id_belongs_to_one_model_and_task_type(perf: mp.ModelPerf) -> None:
    """Every way to record refuses it for another one, and nothing is written."""
    perf.record("plan", "a", RUN_1)
    for record in ways(perf):
        for task_type, model_id in (("plan", "b"), ("code", "a")):
            with pytest.raises(InvalidValueError, match=REFUSED):
                record(task_type, model_id, RUN_1)
    assert [(each.task_type, each.model_id, each.samples) for each in perf.store.tallies.all()] == [("plan", "a", 1)]


def test_a_repeated_delivery_is_no_error(perf: mp.ModelPerf) -> None:
    """The same outcome again changes nothing, and another verdict of the same model replaces the first."""
    perf.record("plan", "a", RUN_1)
    for record in ways(perf):
        assert not record("plan", "a", RUN_1)
    assert perf.record("plan", "a", {"success": False, "outcomeId": "run-1"})
    (tally,) = perf.store.tallies.all()
    assert (tally.successes, tally.failures) == (0, 1)


def test_many_outcomes_are_refused_as_a_whole(perf: mp.ModelPerf) -> None:
    """Two models with one id among many outcomes: the message names the position, and none of them is written."""
    other = {"success": True, "outcomeId": "run-2"}
    with pytest.raises(InvalidValueError, match=r"outcomes\[2\]\.outcome_id must be unique"):
        perf.record_many([("plan", "a", RUN_1), ("plan", "a", other), ("plan", "b", RUN_1)])
    assert perf.store.tallies.all() == []
    assert perf.record_many([("plan", "a", RUN_1), ("plan", "b", other), ("plan", "a", RUN_1)]) == 2


def test_an_alias_is_the_same_model(tmp_path: Path) -> None:
    """An id recorded under a name that is an alias by now belongs to the canonical model."""
    with mp.ModelPerf({}, store=tmp_path / "x.db") as perf:
        perf.record("plan", "openai/a", RUN_1)
    with mp.ModelPerf({"models": {"a": {"aliases": ["openai/a"]}}}, store=tmp_path / "x.db") as perf:
        assert not perf.record("plan", "a", RUN_1)
        assert not perf.record_many([("plan", "a", RUN_1)])
        with pytest.raises(InvalidValueError, match=REFUSED):
            perf.record("plan", "b", RUN_1)


def test_a_report_by_decision_needs_no_model(tmp_path: Path) -> None:
    """The verdict on a decision is that of its last outcome, whichever model that is from."""
    with mp.ModelPerf({}, store=tmp_path / "x.db", seed=0) as perf:
        decision = perf.select("plan", ["a", "b"])
        assert decision is not None
        perf.record("plan", decision[1], {"success": True, "outcomeId": "run-1"}, decision)
        assert perf.report(decision, success=False)
        assert not perf.report(decision, success=False)


def test_what_was_spooled_with_a_known_id_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The host cannot be told any more when its outcome is moved into the store, so the log says what is dropped."""
    path = tmp_path / "x.db"
    with mp.ModelPerf({}, store=path) as perf:
        perf.record("plan", "a", RUN_1)
        perf.record("plan", "b", {"success": True})
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            perf.record("plan", "b", {"success": True, "outcomeId": "run-2"})
            with mp.ModelPerf({"store": {"patience_seconds": 0.1}}, store=path) as second:
                other.execute("ROLLBACK")
                second.record("plan", "a", {"success": True, "outcomeId": "run-2"})
    with caplog.at_level(logging.WARNING), mp.ModelPerf({}, store=path) as perf:
        assert sum(each.samples for each in perf.store.tallies.all()) == 3
    assert "does not count: its id run-2 was given to one of" in caplog.text
