"""Real programs: a grader in another process, a guess that is corrected, and processes that just end."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest

import modelperf_plugin as mp
from modelperf_plugin.engine.ab_verdicts import state_of
from modelperf_plugin.policy.sequential import TwoSampleTest
from modelperf_plugin.store import LoggedDecision, open_store
from tests.recorder.world import recorded

TASKS: Final = 8
AB_TEST: Final[dict[str, Any]] = {
    "exploration": {"strategy": "ab_test", "incumbent": "a", "challenger": "b", "share": 0.5, "min_samples": 0}
}
START: Final = f"""
import os, signal, sys, time
import modelperf_plugin as mp
perf = mp.ModelPerf({AB_TEST}, store=sys.argv[1])
def say(decision, outcome_id="-", ticket="-"):
    print(decision.decision_id, decision.model_id, outcome_id, ticket, flush=True)
"""
WORKERS: Final = {
    "by decision id": """
for _ in range(8):
    say(perf.select("t", ["a", "b"]))
""",
    "by decision id, after a guess": """
for _ in range(8):
    decision = perf.select("t", ["a", "b"])
    perf.record("t", decision.model_id, mp.Outcome(success=True, tokens_used=7), decision)
    say(decision)
""",
    "by ticket": """
for _ in range(8):
    with perf.task("t", ["a", "b"], verdict="later") as task:
        for model in task:
            with task.attempt(model) as attempt:
                attempt.usage(7)
    say(task.decision, ticket=task.ticket)
""",
    "by ticket, after a guess": """
for _ in range(8):
    with perf.task("t", ["a", "b"]) as task:
        for model in task:
            with task.attempt(model) as attempt:
                attempt.usage(7)
    say(task.decision, ticket=task.ticket)
""",
    "by outcome id, after a guess": """
for number in range(8):
    decision = perf.select("t", ["a", "b"])
    perf.record("t", decision.model_id, mp.Outcome(success=True, tokens_used=7, outcome_id=f"run-{number}"), decision)
    say(decision, f"run-{number}")
""",
}
GRADER: Final = """
import sys
import modelperf_plugin as mp
with mp.ModelPerf({}, store=sys.argv[1]) as perf:
    for line in sys.stdin:
        decision_id, model_id, outcome_id, ticket = line.split()
        good = model_id == "b"
        if outcome_id != "-":
            perf.record("t", model_id, mp.Outcome(success=good, outcome_id=outcome_id))
        else:
            perf.report(decision_id if ticket == "-" else ticket, success=good)
"""


def start(script: str, path: Path, stdin: int | None = None) -> subprocess.Popen[str]:
    """Start a program on a store."""
    environment = {**os.environ, "PYTHONPATH": str(Path(mp.__file__).parents[1])}
    return subprocess.Popen(
        [sys.executable, "-c", script, str(path)], env=environment, text=True, stdin=stdin, stdout=subprocess.PIPE
    )


def until(condition: Callable[[], bool]) -> None:
    """Wait for what a process does within about a second."""
    deadline = time.monotonic() + 30.0
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)


def log_of(path: Path) -> dict[str, LoggedDecision]:
    """Return the decisions in the store, by their ids."""
    with closing(open_store(path)) as store:
        return {decision.decision_id: decision for decision in store.decisions.newest(limit=1_000)}


def counted(path: Path) -> TwoSampleTest:
    """Return what the A/B test in the store has counted."""
    with closing(open_store(path)) as store:
        (test,) = store.ab_tests.all()
        return state_of(test.contests[0])


@pytest.mark.parametrize("ending", ["works on", "is killed"])
@pytest.mark.parametrize("way", WORKERS)
def test_a_grader_in_another_process_is_heard(path: Path, way: str, ending: str) -> None:
    """Half a second later every verdict is joined to its decision, counts once, and is all that the A/B test knows."""
    worker = start(START + WORKERS[way] + "time.sleep(60)", path)
    assert worker.stdout is not None
    lines = [worker.stdout.readline() for _ in range(TASKS)]
    time.sleep(0.5)
    if ending == "is killed":
        until(lambda: len(log_of(path)) == TASKS)  # the decisions of the last second are not in the log
        worker.kill()
    with start(GRADER, path, subprocess.PIPE) as grader:
        grader.communicate("".join(lines), timeout=60)
    assert grader.returncode == 0
    models = [line.split()[1] for line in lines]
    if ending == "is killed":  # the test goes on in the next process
        with mp.ModelPerf(AB_TEST, store=path) as perf:
            perf.select("t", ["a", "b"])
            perf.record("t", "c", {"success": True})
            until(lambda: counted(path).outcomes == TASKS)
    until(lambda: counted(path).outcomes == TASKS and counted(path).successes_a == 0)
    worker.kill()
    worker.communicate()
    state = counted(path)
    assert (state.outcomes_a, state.successes_a) == (models.count("a"), 0)
    assert (state.outcomes_b, state.successes_b) == (models.count("b"), models.count("b"))
    log = log_of(path)
    for line in lines:
        decision_id, model_id, *_ = line.split()
        (outcome,) = log[decision_id].tries
        assert (outcome.model_id, outcome.success) == (model_id, model_id == "b")
    tries = [each for each in recorded(path) if each.model != "c"]
    assert sorted((each.model, each.verdict) for each in tries) == sorted(
        (model, "good" if model == "b" else "failed") for model in models
    )


CALL: Final = (
    START
    + """
perf.run("t", ["a", "b"], lambda model: print(model, flush=True))
"""
)
ENDINGS: Final = {
    "returns": "",
    "sys.exit": "sys.exit(3)",
    "os._exit": "os._exit(0)",
    "SIGTERM": "os.kill(os.getpid(), signal.SIGTERM)",
    "SIGKILL": "os.kill(os.getpid(), signal.SIGKILL)",
}


def test_a_process_for_each_call_keeps_its_decision(path: Path) -> None:
    """However a program ends right after a call of the recorder, without a close: decision and outcome are there."""
    for ending in ENDINGS.values():
        process = start(CALL + ending, path)
        assert process.communicate(timeout=60)[0].strip() in {"a", "b"}
    log = log_of(path)
    assert len(log) == len(ENDINGS)
    assert all([each.success for each in decision.tries] == [True] for decision in log.values())
    assert counted(path).outcomes == len(ENDINGS)


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_ticket_that_was_handed_out_finds_its_decision(path: Path, ending: str) -> None:
    """However a worker ends right after giving a ticket away: the verdict is joined, and the A/B test counts it."""
    process = start(START + WORKERS["by ticket"] + ENDINGS[ending], path)
    lines = process.communicate(timeout=60)[0].splitlines()
    with mp.ModelPerf(AB_TEST, store=path) as perf:
        assert all(perf.report(line.split()[3], success=True) for line in lines)
    log = log_of(path)
    assert len(lines) == len(log) == TASKS
    assert all([each.success for each in decision.tries] == [True] for decision in log.values())
    assert counted(path).outcomes == TASKS


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_an_idle_server_keeps_its_decisions(path: Path, number: int) -> None:
    """A second after the last request the decisions are in the log, whatever signal ends the server."""
    server = start(START + WORKERS["by decision id"] + "time.sleep(60)", path)
    assert server.stdout is not None
    chosen = {server.stdout.readline().split()[0] for _ in range(TASKS)}
    until(lambda: log_of(path).keys() == chosen)
    server.send_signal(number)
    server.communicate(timeout=60)
    assert log_of(path).keys() == chosen


def _share_of_better(seed: int, tasks: int, *, guesses: bool) -> float:
    """Return how often the better of two models is chosen if each verdict comes three tasks later."""
    world = random.Random(seed)
    rates = {"poor": 0.2, "good": 0.9}
    waiting: list[tuple[mp.Decision, str, bool]] = []
    chosen = 0
    with mp.ModelPerf({}, store=":memory:", seed=seed) as perf:
        for number in range(tasks):
            decision = perf.select("t", list(rates))
            assert decision is not None
            model, outcome_id = decision.model_id, f"run-{number}"
            chosen += model == "good"
            if guesses:  # nothing was raised
                perf.record("t", model, mp.Outcome(success=True, outcome_id=outcome_id), decision)
            waiting.append((decision, outcome_id, world.random() < rates[model]))
            if len(waiting) > 3:
                judged, outcome_id, success = waiting.pop(0)
                perf.record("t", judged.model_id, mp.Outcome(success=success, outcome_id=outcome_id), judged)
        assert sum(tally.samples for tally in perf.store.tallies.of("t").values()) == tasks - 3 * (not guesses)
    return chosen / tasks


def test_a_guess_that_is_corrected_counts_once() -> None:
    """With a guess for each outcome the better model is chosen about as often as with the verdicts alone."""
    alone = [_share_of_better(seed, 300, guesses=False) for seed in range(6)]
    corrected = [_share_of_better(seed, 300, guesses=True) for seed in range(6)]
    assert sum(alone) / 6 >= 0.88
    assert sum(corrected) / 6 >= 0.88
