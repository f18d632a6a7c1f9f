"""Commands on a PostgreSQL database."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path

import pytest

import modelperf_plugin as mp
from modelperf_plugin.errors import MissingExtraError
from modelperf_plugin.store import open_store, open_with_fallback
from modelperf_plugin.store.opening import spool_of
from tests.cli.conftest import Run, RunJson, entry
from tests.postgres import Server


@pytest.fixture
def url(postgres: Server) -> str:
    """Return the URL of a database with an outcome in it."""
    url = postgres.empty_schema()
    with closing(open_store(url)) as store:
        store.outcomes.record(entry())
    return url


@pytest.mark.parametrize(
    ("command", "instead"),
    [
        (["backup", "copy.db"], "back it up with pg_dump"),
        (["restore", "copy.db"], "restore a copy with pg_restore"),
        (["compact"], "its server reclaims space by autovacuum"),
    ],
    ids=["backup", "restore", "compact"],
)
def test_commands_on_files_say_what_to_use_instead(run: Run, url: str, command: list[str], instead: str) -> None:
    """What works on a file only is refused in one line, which has what to do instead."""
    Path("copy.db").touch()
    refused = run(*command, "--store", url)
    assert refused.exit_code == 1
    assert refused.stderr.startswith("error: postgresql://")
    assert refused.stderr.endswith(f" is a PostgreSQL database: {instead}\n")
    assert refused.stderr.count("\n") == 1


def test_stats_and_doctor(run_json: RunJson, run: Run, url: str) -> None:
    """Commands that read work on it like on a file, and doctor moves what waits for it."""
    assert run_json("stats", "--store", url)["store"].startswith("postgresql://")
    with closing(open_with_fallback("postgresql://me@127.0.0.1:1/nothing", patience=0.1)) as host:
        host.outcomes.record(entry())
    (waits,) = [each for each in _findings(run, url) if "wait" in each]
    assert "1 outcome waits in" in waits
    assert Path(spool_of(url)).parent.name in waits
    assert "moved 1 outcome from JSON files into the database" in run("doctor", "--repair", "--store", url).stdout
    with closing(open_store(url)) as store:
        assert sum(each.samples for each in store.tallies.all()) == 2
    assert not [each for each in _findings(run, url) if "wait" in each]


def test_savings(run_json: RunJson, url: str) -> None:
    """Whole tasks are read from a server as from a file, second tries included."""
    config = {"exploration": {"strategy": "epsilon_greedy", "epsilon": 1.0}, "store": {"url": url}}
    spent = 0.0
    with mp.ModelPerf(config, seed=0) as perf:
        for number in range(80):
            decision = perf.select("plan", ["a", "b"])
            assert decision is not None
            for attempt, model_id in enumerate(decision):
                success = attempt > 0 or number % 2 == 0
                perf.record("plan", model_id, mp.Outcome(success=success, cost_usd=0.25), decision)
                spent += 0.25
                if success:
                    break
    answer = run_json("savings", "--store", url, "--against", "a")
    assert (answer["tasks"], answer["retried"]) == (80, 40)
    assert answer["cost_usd"] == pytest.approx(spent)


def _findings(run: Run, url: str) -> list[str]:
    import json

    return [each["message"] for each in json.loads(run("doctor", "--json", "--store", url).stdout)["findings"]]


def test_a_server_that_is_away_is_one_line(run: Run) -> None:
    """A command that cannot reach the server says so, without the password that it was given."""
    failed = run("stats", "--store", "postgresql://me:secret@127.0.0.1:1/nothing")
    assert failed.exit_code == 1
    assert failed.stderr.startswith("error: postgresql://me@127.0.0.1:1/nothing cannot be used: ")
    assert "Connection refused" in failed.stderr
    assert failed.stderr.count("\n") == 1
    assert "secret" not in failed.output


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    """Without psycopg one line names the extra to install."""
    monkeypatch.setitem(sys.modules, "psycopg", None)
    url = "postgresql://me@127.0.0.1:1/nothing"
    with pytest.raises(MissingExtraError, match="install the extra postgres"):
        mp.ModelPerf({}, store=url)
    failed = run("stats", "--store", url)
    assert failed.exit_code == 2
    assert failed.stderr.startswith("error: install the extra postgres for a store in PostgreSQL: ")
