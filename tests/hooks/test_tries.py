"""The tries of a task through the hooks, by hosts whose parts run in processes of their own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from modelperf_plugin.store import open_store
from modelperf_plugin.values import Tried, as_tried

MODELS = ["a", "b", "c"]
HOST = """
import json, os, pickle, signal, sys
import pluggy, modelperf_plugin as mp

pm = pluggy.PluginManager("anyhost")
plugin = mp.register(pm, {}, store="p.db")
hook = pm.hook

def choose(context=None):
    return hook.select_model(task_type="t", candidates=["a", "b", "c"], context=context)

def report(model_id, decision, success=False, **outcome):
    hook.on_task_complete(task_type="t", model_id=model_id, outcome={"success": success, **outcome}, decision=decision)

def say(value):
    print(json.dumps(value), flush=True)
"""
END = """
assert plugin.failure_count() == 0
plugin.close()
"""


def run(folder: Path, script: str, *arguments: str, code: int = 0) -> Any:
    """Run a host's script to its end; return what it said."""
    done = subprocess.run(
        [sys.executable, "-c", HOST + script + END, *arguments],
        cwd=folder, capture_output=True, encoding="utf-8", check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


def tried(folder: Path) -> list[tuple[str, Tried]]:
    """Return the model of each outcome, and what had failed before it."""
    store = open_store(folder / "p.db")
    try:
        return [(event.model_id, event.tried) for event in store.events.after(0, 1_000)]
    finally:
        store.close()


CHOOSE = "decision = choose(); say([decision.decision_id, *decision])"
REPORT = "report(sys.argv[2], sys.argv[1], *map(json.loads, sys.argv[3:])); say(None)"
RETRY = """
decision = choose({"retry_of": sys.argv[1]})
say(decision and [list(decision), decision.attempt, list(decision.tried)])
"""


def test_choose_here_and_record_there(tmp_path: Path) -> None:
    """Each try is reported by another process, by the id of the decision: only the first is a first try."""
    decision_id, *order = run(tmp_path, CHOOSE)
    for number, model_id in enumerate(order[:2]):
        run(tmp_path, REPORT, decision_id, model_id)
        assert tried(tmp_path)[-1] == (model_id, as_tried(order[:number]))
    assert run(tmp_path, RETRY, decision_id) == [[order[2]], 3, sorted(order[:2])]
    run(tmp_path, REPORT, decision_id, order[2])
    assert run(tmp_path, RETRY, decision_id) is None


def test_a_decision_is_handed_to_another_process(tmp_path: Path) -> None:
    """A pickled decision brings along what had failed before it; what failed under it is in the log."""
    order = run(
        tmp_path,
        """
first = choose()
report(first[0], first)
second = choose({"retry_of": first})
open("decision", "wb").write(pickle.dumps(second))
say([first[0], *second])
""",
    )
    for number in (1, 2):
        run(tmp_path, f"d = pickle.load(open('decision', 'rb')); report('{order[number]}', d); say(None)")
    assert tried(tmp_path) == [(order[number], as_tried(order[:number])) for number in range(3)]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system cannot kill a process")
@pytest.mark.parametrize("after", [1, 2])
def test_a_host_that_is_killed_between_two_tries(tmp_path: Path, after: int) -> None:
    """Its acknowledged tries are known to the process that goes on with the task."""
    decision_id, *order = run(
        tmp_path,
        f"""
decision = choose()
say([decision.decision_id, *decision])
for model_id in decision[:{after}]:
    report(model_id, decision)
os.kill(os.getpid(), signal.SIGKILL)
""",
        code=-signal.SIGKILL,
    )
    assert tried(tmp_path) == [(order[number], as_tried(order[:number])) for number in range(after)]
    assert run(tmp_path, RETRY, decision_id) == [sorted(order[after:]), after + 1, sorted(order[:after])] or after == 1
    run(tmp_path, REPORT, decision_id, order[after])
    assert tried(tmp_path)[-1] == (order[after], as_tried(order[:after]))


def test_a_fork_between_two_tries(tmp_path: Path) -> None:
    """A child goes on with a decision of its parent."""
    order = run(
        tmp_path,
        """
decision = choose()
report(decision[0], decision)
if os.fork() == 0:
    report(decision[1], decision)
    os._exit(plugin.failure_count())
assert os.wait()[1] == 0
say([*decision, *choose({"retry_of": decision})])
""",
    )
    assert tried(tmp_path) == [(order[number], as_tried(order[:number])) for number in range(2)]
    assert order[3:] == [order[2]]


def test_an_outcome_reported_by_two_processes_is_one_try(tmp_path: Path) -> None:
    """A grader that repeats itself, elsewhere, adds nothing to what has failed."""
    decision_id, first, second, _ = run(tmp_path, CHOOSE)
    again = f"report('{first}', sys.argv[1], outcomeId='run-1'); say(None)"
    for _ in range(2):
        run(tmp_path, again, decision_id)
    run(tmp_path, REPORT, decision_id, second)
    assert tried(tmp_path) == [(first, ()), (second, (first,))]


def test_a_wrong_earlier_decision_is_a_failure_that_says_so(tmp_path: Path) -> None:
    """The hook answers None, and the message names the key and what it takes."""
    said = run(
        tmp_path,
        """
import logging
lines = []
handler = logging.Handler()
handler.emit = lambda record: lines.append(record.getMessage())
logging.getLogger("modelperf_plugin").addHandler(handler)
answers = [choose(context) for context in ({"retry_of": 7}, {"attempts": 0}, {"retryOf": "x", "retry_of": "y"})]
failures = plugin.failure_count()
say([answers, failures, lines])
os._exit(0)
""",
    )
    answers, failures, lines = said
    assert (answers, failures) == ([None] * 3, 3)
    assert "context['retry_of'] must be the earlier decision for this task, or its decision_id" in lines[0]
    assert "context['attempts'] must be a whole number from 1 to 10" in lines[1]
    assert "gives retry_of once" in lines[2]
