"""``demo``: real hooks, a real database, and something to look at afterwards."""

from __future__ import annotations

import os
import shlex
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from modelperf_plugin.demo.world import SOURCES, WORLD
from modelperf_plugin.engine.performance_tracker import ModelPerformanceTracker
from tests.cli.conftest import Run, RunJson
from tests.cli.processes import Terminal, run_process
from tests.docs.pages import ROOT

POLICY = Path(".sf/demo.toml")
DEMO_NOTE = "note: these are a demo's outcomes, because .sf/model-performance.db does not exist yet\n"


def outcomes(path: str) -> int:
    """Return how many outcomes a store holds."""
    with closing(sqlite3.connect(path)) as connection:
        count: int = connection.execute("SELECT count(*) FROM model_outcomes").fetchone()[0]
    return count


def test_the_demo_leaves_a_database_that_the_other_commands_read() -> None:
    """The commands that the demo suggests work as printed."""
    result = run_process("demo", "--tasks", "60")
    assert (result.returncode, result.stderr) == (0, "")
    commands = [shlex.split(line) for line in result.stdout.partition("Look closer")[2].splitlines() if line]
    assert len(commands) == 7
    for words in commands:
        suggested = {"rank", "explain", "changes", "demotions", "trend", "advise", "savings"}
        start = next(place for place, word in enumerate(words) if word in suggested)
        following = run_process(*words[start:])
        assert (following.returncode, following.stderr) == (0, DEMO_NOTE)
    assert outcomes(".sf/demo.db") >= 60


def test_the_demo_shows_what_it_learned_beside_the_truth(run: Run) -> None:
    """What happened, other ways of choosing, every task type with its best model, and the sources are shown."""
    result = run("demo", "--tasks", "120")
    assert result.exit_code == 0
    ways = ("a random model", "the most expensive", "the best in the first 20 tasks", "the best on the day before")
    others = ("the migration guide's rule", "this run", "the best constant, known only in hindsight")
    for text in (*WORLD.task_types, *SOURCES, *ways, *others, "answers no call for 12 hours", "arrives"):
        assert text in result.stdout
    assert result.stdout.count("★") == len(WORLD.task_types) + 1


@pytest.mark.slow
def test_every_command_has_something_to_show_on_a_demo(run: Run) -> None:
    """A demo with its default seed has a change, a demotion, decisions, a budget, savings and advice."""
    assert run("demo").exit_code == 0
    Path("new.toml").write_text('[cost]\nobjective = "cheapest_within"\n', encoding="utf-8")
    for command, text in {
        ("stats",): "recall-facts",
        ("rank", "solve-math"): "o4-mini",
        ("explain", "solve-math"): "o4-mini",
        ("decisions",): "o4-mini",
        ("changes",): "o3",
        ("demotions",): "recall-facts",
        ("trend",): "write-code",
        ("doctor",): "$20 a day",
        ("advise",): "nobody needs o3",
        ("savings", "--against", "gpt-4.5-preview"): "+$",
        ("evaluate", "--policy", "new.toml"): "new.toml",
        ("config", "diff", ".sf/demo.toml", "new.toml"): "of 1,400 recorded decisions",
        ("compare", "write-code", "o4-mini", "gpt-4.1-mini"): "o4-mini",
        ("export", "--dry-run"): "recall-facts",
    }.items():
        result = run(*command)
        assert result.exit_code == 0, (command, result.stdout, result.stderr)
        assert text in result.stdout, (command, result.stdout)
    decision = run("decisions", "--limit", "1", "--csv").stdout.splitlines()[1].split(",")[0]
    assert run("why", decision).exit_code == 0
    assert run("report", "-o", "report.html").exit_code == 0


@pytest.mark.slow
def test_the_readme_shows_the_demo() -> None:
    """Word for word and number for number: a run with the default seed is the same everywhere."""
    result = run_process("demo")
    shown = result.stdout.partition("What it learned")[0].rstrip()
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "\n".join(line.rstrip() for line in shown.splitlines()) in readme


def test_the_policy_of_a_demo_is_in_force_for_what_follows(run: Run, run_json: RunJson) -> None:
    """Commands rank as the demo did; a configuration of one's own replaces its policy."""
    Path("own.toml").write_text("[exploration]\noptimism = 0.5\n", encoding="utf-8")
    run("demo", "--tasks", "60")
    own = run_json("explain", "write-code")["decision"]["policy_id"]
    assert own == run_json("explain", "write-code", "--config", ".sf/demo.toml")["decision"]["policy_id"]
    assert own != run_json("explain", "write-code", "--config", "own.toml")["decision"]["policy_id"]
    Path("own.toml").rename("modelperf.toml")
    assert own != run_json("explain", "write-code")["decision"]["policy_id"]
    assert run_json("demo", "--tasks", "20")["policy"] == [str(Path("modelperf.toml").resolve())]


def test_an_edited_policy_is_kept_and_used(run: Run, run_json: RunJson) -> None:
    """The demo writes its policy if there is none; an edited one is in force for the next run, which says so."""
    first = run("demo", "--tasks", "20")
    assert (first.exit_code, first.stderr, stat.S_IMODE(POLICY.stat().st_mode)) == (0, "", 0o600)
    assert run("demo", "--tasks", "20").stderr == "", "its own policy is worth no word"
    own = run_json("explain", "write-code")["decision"]["policy_id"]
    POLICY.write_text("[exploration]\noptimism = 0.5\n", encoding="utf-8")
    again = run("demo", "--tasks", "20")
    assert (again.exit_code, POLICY.read_text(encoding="utf-8")) == (0, "[exploration]\noptimism = 0.5\n")
    assert again.stderr.startswith("note: .sf/demo.toml is not as this version writes it")
    assert run_json("explain", "write-code")["decision"]["policy_id"] != own
    POLICY.unlink()
    assert run("demo", "--tasks", "20").stderr == ""
    assert run_json("explain", "write-code")["decision"]["policy_id"] == own


def test_a_mistake_in_an_edited_policy_leaves_the_last_demo(run: Run) -> None:
    """The database is not replaced before the policy is known to be valid."""
    run("demo", "--tasks", "20")
    before = outcomes(".sf/demo.db")
    POLICY.write_text("[exploration]\noptimsm = 0.5\n", encoding="utf-8")
    result = run("demo", "--tasks", "20")
    assert (result.exit_code, outcomes(".sf/demo.db")) == (2, before)
    assert "optimism" in result.stderr


def test_the_demo_in_json_is_its_whole_report(run_json: RunJson) -> None:
    """The report and the rankings are there, with the store that they come from."""
    answer = run_json("demo", "--tasks", "40", "--seed", "3")
    assert (answer["schema_version"], answer["command"], answer["store"]) == (1, "demo", ".sf/demo.db")
    assert answer["tasks"] == 40
    assert set(answer["rankings"]) == set(WORLD.task_types)
    assert {"success_rate", "ways", "happenings", "sources", "policy"} <= set(answer)


def test_the_same_seed_gives_the_same_run(run_json: RunJson) -> None:
    """Every run starts with an empty .sf/demo.db."""
    first, second = (run_json("demo", "--tasks", "40", "--seed", "7") for _ in range(2))
    for answer in (first, second):
        for ranking in answer["rankings"].values():
            for row in ranking:
                del row["tally"]["last_used"]
    assert first == second


def test_a_named_store_is_continued(run: Run) -> None:
    """--store is never replaced: the second run adds to the first."""
    for runs in (1, 2):
        assert run("demo", "--tasks", "20", "--store", "own.db").exit_code == 0
        assert outcomes("own.db") >= 20 * runs
    assert not Path(".sf").exists()


def test_a_file_that_is_not_a_demos_is_never_replaced(run: Run) -> None:
    """If a host has recorded to .sf/demo.db, the demo refuses and does not change it."""
    with ModelPerformanceTracker(".sf/demo.db") as tracker:
        tracker.record_outcome("execute-task", "gpt-4o", {"success": True})
    result = run("demo")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "not from a demo (execute-task, gpt-4o)" in result.stderr
    assert outcomes(".sf/demo.db") == 1


def test_the_configured_store_is_not_the_demos(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Demo outcomes are never written to the configured store."""
    Path("modelperf.toml").write_text('mode = "off"\n[store]\npath = "real.db"\n')
    monkeypatch.setenv("MODELPERF_STORE__PATH", "real.db")
    assert run("demo", "--tasks", "20").exit_code == 0
    assert outcomes(".sf/demo.db") >= 20
    assert not Path("real.db").exists()


def test_a_demo_is_what_the_next_commands_show(run: Run, run_json: RunJson) -> None:
    """Without --store, as long as no host has recorded anything here; programs see it in the answer."""
    run("demo", "--tasks", "20")
    for command in (["stats"], ["trend"], ["decisions"], ["rank", "write-code"], ["doctor"], ["demotions"]):
        assert run(*command).stderr == DEMO_NOTE
    answer = run_json("stats")
    assert (answer["store"], sum(tally["successes"] for tally in answer["tallies"]) > 0) == (".sf/demo.db", True)
    assert run("announce", answer["tallies"][0]["model_id"]).exit_code == 0
    assert not Path(".sf/model-performance.db").exists()


def test_a_hosts_outcomes_come_before_those_of_a_demo(run_json: RunJson, run: Run) -> None:
    """A demo is never shown instead of a store that exists, or is named."""
    run("demo", "--tasks", "20")
    with ModelPerformanceTracker() as tracker:
        tracker.record_outcome("execute-task", "gpt-4o", {"success": True})
    answer = run_json("stats")
    assert (answer["store"], len(answer["tallies"])) == (".sf/model-performance.db", 1)
    Path("modelperf.toml").write_text('[store]\npath = "elsewhere.db"\n')
    assert "elsewhere.db does not exist" in run("stats").stderr
    assert "other.db does not exist" in run("stats", "--store", "other.db").stderr


def test_a_demo_with_a_wrong_configuration_deletes_nothing(run: Run) -> None:
    """The demo before it is replaced only when the next one can begin."""
    run("demo", "--tasks", "20")
    before = outcomes(".sf/demo.db")
    assert run("demo", "--config", "nope.toml").exit_code == 2
    assert outcomes(".sf/demo.db") == before


def test_a_demo_in_memory_is_refused(run: Run) -> None:
    """It would leave nothing to look at."""
    result = run("demo", "--store", ":memory:")
    assert (result.exit_code, result.stdout) == (2, "")


def test_a_terminal_shows_progress() -> None:
    """A terminal shows a progress bar."""
    terminal = Terminal("demo", "--tasks", "30")
    code, _ = terminal.finish()
    assert code == 0
    assert "30/30" in terminal.raw


def test_progress_is_not_data() -> None:
    """With standard output redirected, the bar stays on the terminal and the data goes into the file."""
    with Path("out.txt").open("wb") as file:
        code, text = Terminal("demo", "--tasks", "30", stdout=file.fileno()).finish()
    assert code == 0
    assert "30/30" in text
    assert "What it learned" in Path("out.txt").read_text(encoding="utf-8")
    assert "\x1b" not in Path("out.txt").read_text(encoding="utf-8")


def test_ctrl_c_ends_the_demo_with_130() -> None:
    """An interrupted demo prints a message, no traceback."""
    terminal = Terminal("demo", "--tasks", "1000000")
    terminal.wait_for("successful")
    terminal.interrupt()
    code, text = terminal.finish()
    assert code == 130
    assert text.rstrip().endswith("error: interrupted")
    assert "Traceback" not in text


def test_the_demo_needs_no_home(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """It runs where there is no home directory, as in a container."""
    monkeypatch.delenv("HOME")
    monkeypatch.delenv("XDG_CONFIG_HOME")
    assert run("demo", "--tasks", "5").exit_code == 0
    assert os.listdir() == [".sf"]  # noqa: PTH208 - the whole directory
