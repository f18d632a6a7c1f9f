"""``forget``, ``rename`` and ``announce --undo``: taking out what was recorded by mistake."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import modelperf_plugin as mp
from modelperf_plugin.store import open_store
from tests.cli.conftest import Choose, Run, RunJson, samples
from tests.cli.processes import Terminal
from tests.postgres import Server


def copies(store: str, what: str) -> list[Path]:
    """Return the copies that were made before an edit."""
    return sorted(Path(store).parent.glob(f"*.before-{what}-*Z"))


def test_forget_takes_out_what_fulfils_all_options(run: Run, run_json: RunJson, store: str) -> None:
    """The database is sound afterwards, and the copy has what was there before."""
    before = samples(store)
    answer = run_json("forget", "--store", store, "--task", "execute-task", "--model", "gpt-4o", "--yes")
    assert (answer["outcomes"], answer["pairs"], answer["tests"], answer["dry_run"]) == (12, 1, [], False)
    assert samples(store) == before - 12
    (copy,) = copies(store, "forget")
    assert (answer["backup"], samples(copy)) == (str(copy), before)
    assert "gpt-4o" not in run("rank", "execute-task", "--store", store).stdout


def test_a_dry_run_says_what_would_be_forgotten(run: Run, store: str) -> None:
    """It changes nothing, makes no copy, and asks nothing."""
    before = samples(store)
    result = run("forget", "--store", store, "--model", "llama-70b", "--dry-run")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "would be forgotten: 12 outcomes of 1 pair and 0 logged decisions\n"
    assert (samples(store), copies(store, "forget")) == (before, [])


def test_a_span_of_time_is_given_by_days_or_times(run_json: RunJson, weeks: str) -> None:
    """A day counts as a whole; a time is one to the second."""
    today = datetime.now(UTC).date()
    days = ("--since", str(today - timedelta(days=3)), "--until", str(today - timedelta(days=2)))
    found = run_json("forget", "--store", weeks, *days, "--dry-run")
    assert found["outcomes"] == 16
    now = (datetime.now(UTC) + timedelta(minutes=1)).isoformat()
    assert run_json("forget", "--store", weeks, "--since", now, "--dry-run", exit_code=1)["outcomes"] == 0


def test_an_outcome_is_forgotten_by_its_id(run_json: RunJson, store: str) -> None:
    """Ids that are not known are no outcomes."""
    with mp.ModelPerf({}, store=store) as perf:
        perf.record("execute-task", "gpt-4o", mp.Outcome(success=True, outcome_id="wrong"))
    before = samples(store)
    answer = run_json(
        "forget", "--store", store, "--outcome-id", "wrong", "--outcome-id", "none", "--yes", "--no-backup"
    )
    assert (answer["outcomes"], answer["backup"], samples(store)) == (1, None, before - 1)


def test_an_import_is_forgotten_and_may_be_repeated(run: Run, run_json: RunJson, store: str, tmp_path: Path) -> None:
    """The list names it by a number; afterwards the same file is imported as if for the first time."""
    before = samples(store)
    file = tmp_path / "history.csv"
    file.write_text("task_type,model_id,success\nplan-slice,wrong,1\nplan-slice,wrong,0\n", encoding="utf-8")
    assert run("import", "csv", str(file), "--store", store).exit_code == 0
    with mp.ModelPerf({}, store=store) as perf:
        perf.record("plan-slice", "wrong", mp.Outcome(success=True))
    (row,) = run_json("import", "list", "--store", store)["imports"]
    assert (row["kind"], row["source"], row["outcomes"], row["rejected"]) == ("csv", str(file), 2, 0)
    shown = run("import", "list", "--store", store).stdout
    assert str(file) in shown
    number = str(row["id"])
    assert run_json("forget", "--store", store, "--import", number, "--dry-run")["outcomes"] == 2
    assert run_json("forget", "--store", store, "--import", number, "--yes")["outcomes"] == 2
    assert samples(store) == before + 1
    assert run("forget", "--store", store, "--import", number, "--yes").exit_code == 1
    assert run("import", "list", "--store", store).stdout == "nothing was imported\n"
    assert "2 outcomes of 1 pair imported" in run("import", "csv", str(file), "--store", store).stdout


def test_nothing_is_forgotten_unasked(run: Run, store: str) -> None:
    """Without a terminal --yes is needed; without any option nothing is meant; an empty selection is a finding."""
    before = samples(store)
    unasked = run("forget", "--store", store, "--model", "gpt-4o")
    assert (unasked.exit_code, unasked.stdout) == (2, "")
    assert "Add --yes to confirm" in unasked.stderr
    assert run("forget", "--store", store, "--yes").exit_code == 2
    assert run("forget", "--store", store, "--model", "no-such-model", "--yes").exit_code == 1
    assert run("forget", "--store", store, "--since", "yesterday", "--yes").exit_code == 2
    assert (samples(store), copies(store, "forget")) == (before, [])


def test_a_terminal_is_asked(store: str) -> None:
    """Anything but yes leaves everything as it is."""
    terminal = Terminal("forget", "--store", store, "--model", "gpt-4o")
    terminal.wait_for("[y/N]")
    terminal.type("n\n")
    code, text = terminal.finish()
    assert (code, "nothing was changed" in text, copies(store, "forget")) == (1, True, [])


def test_a_model_is_renamed_with_its_decisions(run: Run, run_json: RunJson, store: str, choose: Choose) -> None:
    """Everything is under the new name, and doctor is content."""
    decision = choose(mp.Outcome(success=True))
    before = samples(store)
    answer = run_json("rename", "model", decision.model_id, "renamed", "--store", store, "--yes")
    assert (answer["outcomes"] > 0, answer["decisions"], samples(store)) == (True, 1, before)
    logged = run_json("why", decision.decision_id, "--store", store)["decision"]
    assert logged["model_id"] == "renamed"
    assert decision.model_id not in run("stats", "--store", store).stdout
    assert len(copies(store, "rename")) == 1


def test_renaming_into_a_known_name_merges(run: Run, run_json: RunJson, store: str) -> None:
    """The question and the dry run say so."""
    before = samples(store)
    dry = run("rename", "task-type", "plan-slice", "execute-task", "--store", store, "--dry-run")
    assert dry.stdout.startswith("plan-slice would be merged into execute-task: 2 outcomes of 1 pair")
    unasked = run("rename", "task-type", "plan-slice", "execute-task", "--store", store)
    assert (unasked.exit_code, "Merge plan-slice into execute-task" in unasked.stderr) == (2, True)
    assert run("rename", "task-type", "plan-slice", "execute-task", "--store", store, "-y").exit_code == 0
    tallies = run_json("stats", "--store", store)["tallies"]
    assert {tally["task_type"] for tally in tallies} == {"execute-task"}
    assert samples(store) == before


@pytest.mark.parametrize(
    ("old", "new", "exit_code"), [("nothing", "other", 1), ("gpt-4o", "gpt-4o", 2), ("gpt-4o", "", 2)]
)  # fmt: skip
def test_a_name_that_cannot_be_renamed_is_said(run: Run, store: str, old: str, new: str, exit_code: int) -> None:
    """An unknown one is a finding; the same or an impossible one is wrong usage."""
    result = run("rename", "model", old, new, "--store", store, "--yes")
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (exit_code, "", 1)


def test_an_announcement_is_taken_back(run: Run, run_json: RunJson, store: str) -> None:
    """The scores are as before; twice is a finding."""
    before = run_json("rank", "execute-task", "--store", store)["ranking"]
    announced = run("announce", "gpt-4o", "--store", store)
    assert "modelperf announce gpt-4o --undo" in announced.stdout
    assert run_json("rank", "execute-task", "--store", store)["ranking"] != before
    assert run("announce", "gpt-4o", "--undo", "--store", store).exit_code == 0
    after = run_json("rank", "execute-task", "--store", store)["ranking"]
    assert [row["score"] for row in after] == pytest.approx([row["score"] for row in before], abs=1e-6)
    assert run("announce", "gpt-4o", "--undo", "--store", store).exit_code == 1


def test_a_running_host_learns_anew(store: str, run: Run) -> None:
    """What was forgotten is not in its next choice, and what it records afterwards counts."""
    with mp.ModelPerf({"exploration": {"strategy": "never"}}, store=store) as host:
        for _ in range(40):
            host.record("execute-task", "llama-70b", mp.Outcome(success=True))
        first = host.select("execute-task", ["gpt-4o", "llama-70b"])
        assert first is not None
        assert first.model_id == "llama-70b"
        assert run("forget", "--store", store, "--model", "llama-70b", "--yes").exit_code == 0
        for _ in range(10):
            host.record("execute-task", "gpt-4o", mp.Outcome(success=True))
        second = host.select("execute-task", ["gpt-4o", "llama-70b"])
        assert second is not None
        assert {row.model_id: row.tally.samples for row in second.ranking.rows} == {"gpt-4o": 22, "llama-70b": 0}
        assert second.model_id == "gpt-4o"
        host.record("execute-task", "llama-70b", mp.Outcome(success=False))
    with closing(open_store(store)) as opened:
        assert opened.tallies.of("execute-task")["llama-70b"].samples == 1
    samples(store)


def test_a_database_on_a_server_is_edited_too(run: Run, run_json: RunJson, postgres: Server) -> None:
    """No copy is made, and the command says how to make one; numbers are numbers for programs as well."""
    url = postgres.empty_schema()
    with mp.ModelPerf({}, store=url) as perf:
        for model_id in ("a", "b"):
            perf.record("t", model_id, mp.Outcome(success=True))
    result = run("rename", "model", "a", "b", "--store", url, "--yes")
    assert result.exit_code == 0, result.output
    assert "pg_dump" in result.stderr
    assert run_json("forget", "--model", "b", "--store", url, "--yes", "--no-backup")["outcomes"] == 2
    with closing(open_store(url)) as opened:
        assert opened.tallies.all() == []
    postgres.take_back(url)
