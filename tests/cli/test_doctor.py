"""``doctor``: health checks and repairs."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pluggy
import pytest

import modelperf_plugin as mp
from modelperf_plugin.engine.core import ModelPerf
from modelperf_plugin.hooks.plugin import register
from modelperf_plugin.store import open_store, open_with_fallback
from modelperf_plugin.values import Outcome
from tests.cli.conftest import CANDIDATES, Choose, Run, RunJson, entry, samples


def break_something(store: str, times: int = 2) -> None:
    """Let a host hand over an outcome that cannot be recorded."""
    manager = pluggy.PluginManager("anyhost")
    plugin = register(manager, {}, store=store)
    for _ in range(times):
        manager.hook.on_task_complete(
            task_type="execute-task", model_id="gpt-4o", outcome={"success": "[red]maybe"}, decision=None
        )
    plugin.close()


def test_a_healthy_store_is_well(run: Run, run_json: RunJson, store: str) -> None:
    """With outcomes, an intact file and no problems, the exit code is 0 and every check is listed."""
    result = run("doctor", "--store", store)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith(f"{store}: all is well\n")
    for text in ("mode apply", "38 outcomes of 2 task types and 3 models; the last", "no file: the defaults"):
        assert text in result.stdout
    answer = run_json("doctor", "--store", store)
    assert (answer["ok"], answer["mode"], answer["problems"]) == (True, "apply", [])
    assert {finding["name"] for finding in answer["findings"]} >= {"mode", "outcomes", "integrity", "tallies"}
    assert set(answer["policy_ids"]) == {"execute-task", "plan-slice"}


def test_a_missing_store_is_not_active_yet(run: Run, run_json: RunJson, tmp_path: Path) -> None:
    """Before the first outcome the plugin is reported as not active, and no file is created."""
    result = run("doctor", "--store", "none.db", "--clear")
    assert result.exit_code == 1
    assert "not active yet" in result.stdout
    answer = run_json("doctor", "--store", "none.db", exit_code=1)
    assert [finding["name"] for finding in answer["findings"] if not finding["ok"]] == ["outcomes"]
    assert not list(tmp_path.iterdir())


def test_the_mode_off_is_a_finding(run: Run, store: str) -> None:
    """Mode off is reported as a problem."""
    Path("modelperf.toml").write_text('mode = "off"\n')
    result = run("doctor", "--store", store)
    assert result.exit_code == 1
    assert 'mode off: hosts are answered None and nothing is recorded; set mode = "apply"' in result.stdout


def test_task_types_with_a_policy_of_their_own_are_named(run: Run, store: str) -> None:
    """Where the policies differ, each is listed with its task types."""
    Path("modelperf.toml").write_text('[task_types."plan-slice".ranking]\nmin_samples = 9\n')
    line = next(line for line in run("doctor", "--store", store).stdout.splitlines() if line.startswith("policy "))
    assert " for execute-task; " in line
    assert line.endswith(" for plan-slice")


def test_problems_in_hosts_are_counted(run: Run, run_json: RunJson, store: str) -> None:
    """A failed hook call is listed with count, time and message, a negative finding until cleared."""
    break_something(store)
    result = run("doctor", "--store", store)
    assert result.exit_code == 1
    row = next(line for line in result.stdout.splitlines() if line.startswith("on_task_complete "))
    assert row.split()[1] == "2"
    assert row.endswith("but got text of 10 characters")
    (problem,) = run_json("doctor", "--store", store, exit_code=1)["problems"]
    assert (problem["kind"], problem["times"]) == ("on_task_complete", 2)
    assert problem["first"] <= problem["last"]
    assert run("doctor", "--store", store, "--clear").exit_code == 0
    assert run("doctor", "--store", store).exit_code == 0


def test_numbers_that_do_not_add_up_are_found(run: Run, store: str) -> None:
    """A tally that is not the sum of its events is a negative finding."""
    with closing(sqlite3.connect(store)) as connection:
        connection.execute("UPDATE tally SET successes = successes + 1 WHERE id = 1")
        connection.commit()
    result = run("doctor", "--store", store)
    assert result.exit_code == 1
    assert "something is wrong" in result.stdout
    assert "not what the events say, for execute-task / gpt-4o" in result.stdout


@pytest.mark.parametrize("content", [b"not a database, " * 100, b"\0" * 4096])
def test_a_store_that_cannot_be_opened_is_reported(run_json: RunJson, content: bytes) -> None:
    """The doctor does not fail itself: the cause is one of its findings."""
    Path("broken.db").write_bytes(content)
    answer = run_json("doctor", "--store", "broken.db", exit_code=1)
    (finding,) = [finding for finding in answer["findings"] if not finding["ok"]]
    assert finding["name"] == "store"
    assert "broken.db" in finding["message"]
    assert Path("broken.db").read_bytes() == content


def test_the_doctor_counts_decisions(run: Run, run_json: RunJson, store: str, choose: Choose) -> None:
    """Decisions with outcome, waiting and overdue, and the share that explored; none of it is a problem."""
    choose(Outcome(success=True))
    choose()
    choose(ago=timedelta(hours=2))
    result = run("doctor", "--store", store)
    assert result.exit_code == 0
    assert "3 decisions of the last 30 days in the log: 1 with outcome, 1 waiting, 1 overdue" in result.stdout
    hint = "1 decision older than an hour never got an outcome: is on_task_complete called with decision=…?"
    assert hint in result.stdout
    assert " of the choices were expected to explore, " in result.stdout
    answer = run_json("doctor", "--store", store)
    counted = {key: answer["decisions"][key] for key in ("decisions", "with_outcome", "waiting", "overdue")}
    assert counted == {"decisions": 3, "with_outcome": 1, "waiting": 1, "overdue": 1}


@pytest.mark.parametrize(("share", "said"), [("1", "none in the log yet"), ("0", "none in the log: log.share is 0")])
def test_the_doctor_reports_an_empty_decision_log(run: Run, store: str, share: str, said: str) -> None:
    """An empty decision log is not a problem; the message tells whether it is switched off."""
    Path("modelperf.toml").write_text(f"log.share = {share}\n")
    result = run("doctor", "--store", store)
    assert result.exit_code == 0
    assert said in result.stdout
    assert "overdue" not in result.stdout


def test_the_doctor_counts_outcomes_without_a_decision(run: Run, store: str) -> None:
    """After a minute an outcome whose decision never came is shown: what a crash has cost the log."""
    moment = datetime.now(UTC) - timedelta(minutes=2)
    with ModelPerf({}, store=store, clock=lambda: moment) as engine:
        engine.record("execute-task", "gpt-4o", Outcome(success=True), "0123456789abcdef0123")
    result = run("doctor", "--store", store)
    assert result.exit_code == 0
    assert "1 outcome named a decision that is not in the log" in " ".join(result.stdout.split())


def test_observed_decisions_are_not_overdue(run: Run, store: str) -> None:
    """In mode observe no outcome can arrive, so none is overdue."""
    moment = datetime.now(UTC) - timedelta(hours=2)
    with ModelPerf({"mode": "observe"}, store=store, clock=lambda: moment) as engine:
        engine.select("execute-task", CANDIDATES)
    result = run("doctor", "--store", store)
    assert (
        "1 decision of the last 30 days in the log: 0 with outcome, 0 waiting, 0 overdue, 1 only observed"
        in result.stdout
    )
    assert "never got an outcome" not in result.stdout


def test_a_repair_of_numbers(run: Run, run_json: RunJson, store: str) -> None:
    """Counts that do not add up are rebuilt; a second repair has nothing to do."""
    with closing(sqlite3.connect(store)) as connection:
        connection.execute("UPDATE tally SET successes = successes + 1 WHERE id = 1")
        connection.execute("DELETE FROM daily WHERE tally_id = 2")
        connection.commit()
    result = run("doctor", "--repair", "--store", store)
    assert result.exit_code == 0
    assert result.stdout.startswith("rebuilt the counts of 2 pairs, which did not add up, from the outcomes\n")
    assert run_json("doctor", "--repair", "--store", store)["repaired"] == ["nothing to repair"]
    assert samples(store) == 38


def test_a_repair_of_a_damaged_file(run: Run, store: str) -> None:
    """Readable rows are saved and the damaged file is set aside; the answer reports both."""
    os.truncate(store, Path(store).stat().st_size - 4096)
    broken = Path(store).read_bytes()
    assert run("doctor", "--store", store).exit_code == 1
    result = run("doctor", "--repair", "--store", store)
    (aside,) = Path(store).parent.glob("outcomes.db.damaged-*")
    assert f"the damaged file was set aside as {aside}" in result.stdout
    assert "outcomes were saved with all their details" in result.stdout
    assert aside.read_bytes() == broken
    samples(store)


def test_a_file_that_is_not_ours_is_not_repaired(run: Run, tmp_path: Path) -> None:
    """A text file is left as it is, whatever command is given it, and no message recommends to repair it."""
    path = tmp_path / "notes.txt"
    path.write_text("Dear diary,\n" * 100)
    for command in (["doctor", "--repair"], ["doctor"], ["stats"], ["rank", "t"], ["compact"], ["doctor", "--clear"]):
        result = run(*command, "--store", str(path))
        assert result.exit_code in {1, 2}
        assert "not an SQLite database but a text file" in " ".join((result.stdout + result.stderr).split())
        assert "--repair" not in result.stdout + result.stderr
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_text() == "Dear diary,\n" * 100


def test_spooled_outcomes_are_found_and_moved(run: Run, run_json: RunJson, tmp_path: Path) -> None:
    """Outcomes in JSON files are reported with place and cause; a repair moves them into the database."""
    path = tmp_path / "x.db"
    open_store(path).close()
    with path.open("r+b") as file:
        file.write(b"not a database, ")
    host = open_with_fallback(path)
    host.outcomes.record(entry())
    answer = run_json("doctor", "--store", str(path), exit_code=1)
    (finding,) = [each for each in answer["findings"] if each["name"] == "degraded"]
    assert "1 outcome waits in" in finding["message"]
    assert "a host runs without the database" in finding["message"]
    host.close()
    assert "the next host moves them into the database" in run("doctor", "--store", str(path)).stdout
    result = run("doctor", "--repair", "--store", str(path))
    assert "moved 1 outcome from JSON files into the database" in result.stdout
    assert samples(path) == 1
    assert not list(tmp_path.glob("*.jsonl"))


def test_ids_as_task_types_are_a_hint(run: Run, store: str) -> None:
    """A host that never repeats a task type is told so, with an example and what to do."""
    with mp.ModelPerf({}, store=store) as engine:
        for number in range(40):
            engine.record(f"fix-{4000 + number}", "gpt-4o", mp.Outcome(success=True))
    output = run("doctor", "--store", store).output
    assert "40 of 42 task types have one or two outcomes and look like ids, for example fix-4000" in output
    assert "unit_id" in output


def test_hints_of_names_and_verdicts(run: Run, tmp_path: Path) -> None:
    """Doctor names likely twins, configured names without outcomes, and verdicts that are all the same."""
    config = tmp_path / "modelperf.toml"
    config.write_text('[store]\npath = "x.db"\n[models."gpt-4o-mni"]\n[task_types.t.retries]\nattempts = 2\n')
    with mp.ModelPerf(config) as engine:
        for model_id in ("gpt-4o-mini", "openai/gpt-4o-mini") * 60:
            engine.record("t", model_id, mp.Outcome(success=True))
    result = run("doctor", "--config", str(config))
    assert result.exit_code == 1
    output = " ".join(result.output.split())
    assert "'gpt-4o-mini' and 'openai/gpt-4o-mini' may be one model" in output
    assert "[models.\"gpt-4o-mni\"] matches no outcome so far; did you mean 'gpt-4o-mini'?" in output
    assert "every verdict of t is success (120 outcomes)" in output


def test_a_model_for_which_others_answer_is_named(run_json: RunJson, tmp_path: Path) -> None:
    """If mostly another model answers, doctor says which and what to do; snapshots and few answers are fine."""
    config = tmp_path / "modelperf.toml"
    config.write_text('[store]\npath = "x.db"\n')
    served: dict[str, list[str | None]] = {
        "fast": [*["llama"] * 8, *["mistral"] * 3, *[None] * 4],
        "big": [*["small"] * 9, None],
        "small": [None] * 10,
        "gpt-4o": ["gpt-4o-2024-11-20"] * 20,
        "half": [*["llama"] * 5, *[None] * 5],
        "few": ["llama"] * 9,
    }
    with mp.ModelPerf(config) as engine:
        for model_id, names in served.items():
            for number, name in enumerate(names):
                engine.record("t", model_id, mp.Outcome(success=number > 2, served_model=name))

    def hints() -> list[str]:
        answer = run_json("doctor", "--config", str(config))
        return [finding["message"] for finding in answer["findings"] if finding["name"] == "served"]

    pin = "in the model at the provider, or turn off the fallback of the gateway"
    big = f"9 of 10 answers to calls for 'big' came from 'small': its outcomes say little about 'big' itself. P{pin}"
    fast = (
        "11 of 15 answers to calls for 'fast' came from other models, above all 'llama': its outcomes say little about "
        f'\'fast\' itself. If that is its other name, add [models."fast"] aliases = ["llama"]; otherwise p{pin}'
    )
    assert hints() == [big, fast]
    config.write_text('[store]\npath = "x.db"\n[models.fast]\naliases = ["llama"]\n')
    assert hints() == [big]


def test_a_model_that_is_gone_is_named(run: Run, run_json: RunJson, store: str) -> None:
    """With when it was found gone, the error kind and what to do; ``reset outage`` brings it back, once."""
    with mp.ModelPerf({}, store=store) as perf:
        perf.record("plan-slice", "[red]gone model", mp.Outcome(success=False, error_kind="unavailable"))
    answer = run_json("doctor", "--store", store, exit_code=1)
    (message,) = [finding["message"] for finding in answer["findings"] if finding["name"] == "gone"]
    assert message.startswith("[red]gone model is gone since 20")
    assert "1 try in a row ended with the error kind unavailable (HTTP 401, 403, 404 or 410)" in message
    assert "`modelperf reset outage '[red]gone model'`" in message
    ranked = run("rank", "plan-slice", "--store", store).stdout
    assert "unavailable" in ranked
    result = run("reset", "outage", "[red]gone model", "--store", store)
    assert (result.exit_code, result.stdout) == (0, "[red]gone model is available again\n")
    assert run_json("doctor", "--store", store)["ok"]
    result = run("reset", "outage", "[red]gone model", "--store", store)
    assert (result.exit_code, result.stderr) == (1, "'[red]gone model' is not out after an outage\n")


def test_announcing_a_model_ends_its_outage(run: Run, run_json: RunJson, store: str) -> None:
    """What has changed is no longer gone."""
    with mp.ModelPerf({}, store=store) as perf:
        perf.record("plan-slice", "gone", mp.Outcome(success=False, error_kind="unavailable"))
    assert run("announce", "gone", "--store", store).exit_code == 0
    assert run_json("doctor", "--store", store)["ok"]
