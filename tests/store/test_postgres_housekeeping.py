"""Housekeeping by several hosts on one PostgreSQL database: whatever one of them has done, none does again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from itertools import pairwise
from pathlib import Path

import pytest

from modelperf_plugin.store import Store
from modelperf_plugin.store.watches import WatchState
from modelperf_plugin.values import DAY_MS
from tests.postgres import Server
from tests.store.contract.examples import NEW_YEAR_MS, entry, record, unsound
from tests.store.together import at_once

psycopg = pytest.importorskip("psycopg")

from modelperf_plugin.store.postgres.store import open_postgres  # noqa: E402

REPOSITORY = Path(__file__).parents[2]
HOSTS = 3
CONFIG = {
    "exploration": {
        "strategy": "ab_test", "incumbent": "a", "challenger": "b", "share": 0.5, "min_samples": 0, "promote": True,
    },
    "store": {"retention_days": 30, "patience_seconds": 30},
}  # fmt: skip
HOST = """
import json, logging, random, sys
import modelperf_plugin as mp

logging.basicConfig(stream=sys.stdout, format="%(message)s")
url, config, seed = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3])
world = random.Random(seed)
with mp.ModelPerf(config, store=url, seed=seed) as perf:
    for number in range(150):
        if number in (0, 75):  # both see the fall at the same time
            print("ready", flush=True)
            sys.stdin.readline()
        decision = perf.select("ab", ["a", "b"])
        perf.record("ab", decision.model_id, mp.Outcome(success=decision.model_id == "b"), decision)
        for model_id, chance in (("steady", 0.9), ("falls", 0.9 if number < 75 else 0.05)):
            success = world.random() < chance
            perf.record("work", model_id, mp.Outcome(success=success, tokens_used=100))
print("done", flush=True)
"""
"""Chooses between a worse model and a better one, and sees another one fall."""


@pytest.fixture
def url(postgres: Server) -> str:
    """Return the URL of an empty schema."""
    return postgres.new_schema()


@pytest.fixture
def stores(url: str) -> Iterator[list[Store]]:
    """Return a store for each host, all on one database."""
    with ExitStack() as opened:
        yield [opened.enter_context(closing(open_postgres(url))) for _ in range(HOSTS)]


def run_hosts(url: str, folder: Path) -> list[list[str]]:
    """Let two hosts run to their end at the same time; return what each has logged."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    hosts = [
        subprocess.Popen(
            [sys.executable, "-c", HOST, url, json.dumps(CONFIG), str(seed)], text=True, env=environment,
            cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        for seed in (1, 2)
    ]  # fmt: skip
    logs: list[list[str]] = [[], []]
    for _ in range(2):
        for host, log in zip(hosts, logs, strict=True):
            assert host.stdout is not None
            for line in iter(host.stdout.readline, "ready\n"):
                assert line, log
                log.append(line.rstrip())
        for host in hosts:
            assert host.stdin is not None
            host.stdin.write("\n")
            host.stdin.flush()
    for host, log in zip(hosts, logs, strict=True):
        log.extend(host.communicate()[0].split("\n"))
        assert log[-2:] == ["done", ""], log
    return logs


def test_each_finding_of_two_processes_appears_once(stores: list[Store], url: str, tmp_path: Path) -> None:
    """A demotion, a change and a verdict are stored and logged by one; old outcomes are dropped; every sum is right."""
    store = stores[0]
    store.outcomes.record_many(entry("old", task_type="past", ended_ms=NEW_YEAR_MS - 400 * DAY_MS) for _ in range(2500))
    logs = run_hosts(url, tmp_path)
    demotions = [(each.task_type, each.model_id) for each in store.demotions.all()]
    assert ("work", "falls") in demotions
    assert max(Counter(demotions).values()) == 1
    changes = sorted(
        (each.since_event_id, each.noticed_event_id) for each in store.changes.all() if each.model_id == "falls"
    )
    assert changes
    assert all(earlier[1] <= later[0] for earlier, later in pairwise(changes)), "none is another one's"
    said = Counter(line for log in logs for line in log)
    for word, findings in (("is demoted on work", 1), ("has been doing", len(changes))):
        lines = [line for line in said if line.startswith("falls ") and word in line]
        assert [said[line] for line in lines] == [1] * findings, said
    (test,) = store.ab_tests.all()
    (contest,) = test.contests
    assert (contest.verdict, contest.decided_ms is not None) == ("challenger", True)
    counts = {tally.model_id: tally.samples for tally in store.tallies.all()}
    assert counts["steady"] == counts["falls"] == 300
    assert counts["a"] + counts["b"] == 300
    assert counts["old"] == 2500
    assert sum(each.task_type == "past" for each in store.events.after(0, 5000)) < 2500
    assert unsound(store) == []


def test_old_decisions_are_deleted_once(stores: list[Store], url: str) -> None:
    """Of hosts that clean the log at the same time one does, a thousand at a time; the others do not wait for it."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO decision (id, made_ms, propensity, exploring, explored, task_type, model_id, mode, policy_id, "
            "record) SELECT 'd' || n, n, 1, 0, false, 't', 'm', 'auto', 'p', '{}' FROM generate_series(1, 5000) AS n"
        )
        with psycopg.connect(url) as busy:
            busy.execute("SELECT forget_decisions(1001, 10)")
            assert [store.decisions.forget(4001) for store in stores] == [0, 0, 0]
            busy.rollback()
        deleted = 0
        while more := sum(at_once(stores, lambda store, _: store.decisions.forget(4001))):
            deleted += more
        assert deleted == 4000
        assert connection.execute("SELECT count(*), min(made_ms) FROM decision").fetchone() == (1000, 4001)


def test_old_outcomes_are_dropped_once(stores: list[Store]) -> None:
    """What hosts drop at the same time adds up to what was there."""
    stores[0].outcomes.record_many(entry(f"m{number % 7}", ended_ms=number) for number in range(6001))
    before = stores[0].tallies.all()
    dropped = [sum(at_once(stores, lambda store, _: store.events.drop(10_000).dropped)) for _ in range(8)]
    assert sum(dropped) == 6000
    assert (stores[1].tallies.all(), unsound(stores[1])) == (before, [])


def test_a_host_that_is_behind_undoes_nothing(stores: list[Store]) -> None:
    """States of watches that were saved further on stay, whoever else saves and whatever has ended for it."""
    stores[0].watch_states.save(20, [WatchState("fall", "t", "a", (20.0,))])
    at_once(
        stores,
        lambda store, host: store.watch_states.save(host, [WatchState("fall", "t", "a", (0.0,))], [("fall", "t", "a")]),
    )
    assert stores[1].watch_states.load() == (20, [WatchState("fall", "t", "a", (20.0,))])


def test_estimated_costs_keep_the_newest_day(stores: list[Store]) -> None:
    """Whichever host marks a model last."""
    record(stores[0], "m", success=True)
    at_once(stores, lambda store, host: store.spending.mark_estimated("m", 20_000 - host))
    assert stores[1].spending.estimated() == {"m": 20_000}
