"""A host that lets modelperf choose a model for every task, in about a hundred lines.

Run it with ``python examples/orchestrator.py``. The models are simulated. Everything else is what a real
host does: declare the two hooks, register the plugin, ask before a task, try the fallbacks if a model fails, and
report every attempt. It works in a temporary directory and leaves no files behind.
"""

from __future__ import annotations

import contextlib
import random
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pluggy

import modelperf_plugin as mp

POLICY = Path(__file__).with_name("modelperf.toml")
MODELS = ["swift-small", "solid-medium", "grand-large"]
RNG = random.Random(7)

hookspec = pluggy.HookspecMarker("tinyhost")


class Hooks:
    """The hooks of this host. It need not know which plugin answers."""

    @hookspec(firstresult=True)
    def select_model(
        self, task_type: str, candidates: Sequence[str], context: Mapping[str, Any] | None
    ) -> Sequence[str] | None:
        """Return model ids in the order to try them, or None for no opinion."""

    @hookspec
    def on_task_complete(self, task_type: str, model_id: str, outcome: mp.Outcome, decision: Any) -> None:
        """Called after every attempt."""


class RateLimitError(Exception):
    """The provider is busy."""


# How often each simulated model does each kind of work well, and what a call costs in US dollars.
SKILL = {
    "fix-bug": {"swift-small": 0.30, "solid-medium": 0.55, "grand-large": 0.85},
    "write-tests": {"swift-small": 0.60, "solid-medium": 0.90, "grand-large": 0.75},
    "release-notes": {"swift-small": 0.95, "solid-medium": 0.90, "grand-large": 0.90},
}
PRICE = {"swift-small": 0.002, "solid-medium": 0.010, "grand-large": 0.040}


def call_model(model_id: str, task_type: str) -> bool:
    """Do one task with a simulated model; return whether the result passed the host's checks."""
    luck = RNG.random()
    if model_id == "grand-large" and luck > 0.92:
        raise RateLimitError
    if luck > 0.98:
        raise TimeoutError
    return luck < SKILL[task_type][model_id]


def attempt(model_id: str, task_type: str) -> mp.Outcome:
    """Call a model and turn the result into an outcome."""
    try:
        success = call_model(model_id, task_type)
    except RateLimitError:  # the provider's fault: says nothing about the model's skill
        return mp.Outcome(success=False, error_kind="rate_limit")
    except TimeoutError:
        return mp.Outcome(success=False, timeout=True, cost_usd=PRICE[model_id])
    return mp.Outcome(success=success, tokens_used=1200, cost_usd=PRICE[model_id])


def run_task(pm: pluggy.PluginManager, task_type: str) -> list[str]:
    """Do one task; return the models tried, each with its result."""
    decision = pm.hook.select_model(task_type=task_type, candidates=MODELS, context=None)
    attempts = []
    for model_id in decision or MODELS:  # no opinion: the host's own order
        outcome = attempt(model_id, task_type)
        pm.hook.on_task_complete(task_type=task_type, model_id=model_id, outcome=outcome, decision=decision)
        attempts.append(f"{model_id} {describe(outcome)}")
        if outcome.success:
            break
    return attempts


def describe(outcome: mp.Outcome) -> str:
    """Return an outcome in a word or two."""
    if outcome.success:
        return "succeeded"
    if outcome.timeout:
        return "timed out"
    return f"had a {outcome.error_kind}" if outcome.error_kind else "failed the checks"


def main() -> None:
    """Do 300 tasks, then show what was learned."""
    pm = pluggy.PluginManager("tinyhost")
    pm.add_hookspecs(Hooks)
    # Without ``config``, the nearest modelperf.toml is used. A real host needs no seed.
    plugin = mp.register(pm, config="modelperf.toml", seed=1)
    for number in range(1, 301):
        task_type = RNG.choice(list(SKILL))
        attempts = run_task(pm, task_type)
        if number <= 30:
            print(f"task {number:>2}, {task_type}: {', then '.join(attempts)}")

    print("...\nAfter 300 tasks:")
    for task_type in SKILL:
        decision = pm.hook.select_model(task_type=task_type, candidates=MODELS, context=None)
        print(f"{task_type}: next time {decision[0]} ({decision.reason})")
        for row in decision.ranking:
            print(f"    {row.model_id:<13} {row.status:<8} {row.reason}")
    plugin.close()


if __name__ == "__main__":
    # The policy stores outcomes beside itself, so copy it to a temporary folder.
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(POLICY, folder)
        with contextlib.chdir(folder):
            main()
