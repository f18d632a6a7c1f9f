"""Tokens without a cost are priced by genai-prices: marked, dated, and never while a host waits."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import modelperf_plugin as mp

pytest.importorskip("genai_prices", reason="needs the extra prices")

GPT_4O = 2.5e-6, 10e-6
"""US dollars for a token of input and of output."""
CHEAPEST = {"cost": {"objective": "cheapest_within"}, "exploration": {"strategy": "never"}}


def until(condition: Callable[[], Any]) -> None:
    """Wait for what a thread of the engine does."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the database is."""
    return tmp_path / "models.db"


def with_prices(perf: mp.ModelPerf, *models: str) -> mp.ModelPerf:
    """Return an engine that has looked the prices of models up."""
    perf.select("t", models)
    until(lambda: all(perf._prices._prices.get(model) for model in models))
    return perf


def cost_of(perf: mp.ModelPerf, model_id: str = "gpt-4o") -> float:
    """Return what the outcomes of a model have cost."""
    return perf.store.tallies.of("t")[model_id].total_cost_usd


def test_tokens_without_a_cost_are_priced(path: Path) -> None:
    """With a sum of tokens alone, three quarters are taken as input; a reported cost stays as it is."""
    with mp.ModelPerf(store=path) as perf:
        with_prices(perf, "gpt-4o")
        perf.record("t", "gpt-4o", {"success": True, "tokens_used": 1000})
        assert cost_of(perf) == pytest.approx(750 * GPT_4O[0] + 250 * GPT_4O[1])
        perf.record("t", "gpt-4o", {"success": True, "tokens_used": 1000, "cost_usd": 1.0})
        perf.record("t", "gpt-4o", {"success": False})
        assert cost_of(perf) == pytest.approx(1.0 + 750 * GPT_4O[0] + 250 * GPT_4O[1])


def test_input_and_output_have_their_own_prices(path: Path) -> None:
    """The recorder prices what a usage object says of both."""
    usage = {"prompt_tokens": 900, "completion_tokens": 100}
    with mp.ModelPerf(store=path) as perf:
        with_prices(perf, "gpt-4o")
        perf.run("t", ["gpt-4o"], lambda _: {"usage": usage})
        assert cost_of(perf) == pytest.approx(900 * GPT_4O[0] + 100 * GPT_4O[1])
        with perf.task("t", ["gpt-4o"], verdict="later") as task:
            for model in task:
                with task.attempt(model) as attempt:
                    attempt.usage(SimpleNamespace(input_tokens=0, output_tokens=100))
        perf.report(task.ticket, success=True)
        assert cost_of(perf) == pytest.approx(900 * GPT_4O[0] + 200 * GPT_4O[1])


def test_a_model_is_known_by_any_of_its_names(path: Path) -> None:
    """A provider before the name, an alias, and the name in the answer are all looked up."""
    config = {"models": {"smart": {"aliases": ["gpt-4o"]}}}
    answer = SimpleNamespace(model="gpt-4o-2024-08-06", usage={"input_tokens": 1000, "output_tokens": 0})
    with mp.ModelPerf(config, store=path) as perf:
        with_prices(perf, "openai/gpt-4o")
        perf.record("t", "openai/gpt-4o", {"success": True, "tokens_used": 1000})
        perf._prices.cost_of("smart", 1)
        perf._prices.cost_of("router", 1, None, "gpt-4o-2024-08-06")
        until(lambda: perf._prices._prices.get("gpt-4o") and perf._prices._prices.get("gpt-4o-2024-08-06"))
        perf.record("t", "smart", {"success": True, "tokens_used": 1000})
        perf.run("t", ["router"], lambda _: answer)
        assert cost_of(perf, "openai/gpt-4o") == cost_of(perf, "smart") > 0
        assert cost_of(perf, "router") == pytest.approx(1000 * GPT_4O[0])


def test_a_configured_cost_and_the_switch_win(path: Path) -> None:
    """A model whose cost is configured is not priced, and nothing is with ``[prices] estimate = false``."""
    with mp.ModelPerf({"models": {"gpt-4o": {"cost_usd": 0.5}}}, store=path) as perf:
        with_prices(perf, "gpt-4o").record("t", "gpt-4o", {"success": True, "tokens_used": 1000})
        assert cost_of(perf) == 0.0
    with mp.ModelPerf({"prices": {"estimate": False}}, store=path) as perf:
        perf.select("t", ["gpt-4o"])
        perf.record("t", "gpt-4o", {"success": True, "tokens_used": 1000})
        assert perf._prices._prices == {}
        assert cost_of(perf) == 0.0


def test_estimates_are_marked_and_dated(path: Path) -> None:
    """The store knows which models have estimated costs, also in the next process; a reported cost marks none."""
    with mp.ModelPerf(CHEAPEST, store=path) as perf:
        with_prices(perf, "gpt-4o", "gpt-4o-mini")
        perf.record("t", "gpt-4o-mini", {"success": True, "cost_usd": 0.001})
        perf.record("t", "gpt-4o", {"success": True, "tokens_used": 1000})
        (day,) = perf.store.spending.estimated().values()
        assert set(perf.store.spending.estimated()) == {"gpt-4o"}
    with mp.ModelPerf(CHEAPEST, store=path) as perf:
        perf.record("t", "large", {"success": True, "cost_usd": 1.0})
        decision = perf.explain("t", ["gpt-4o", "large"])
        assert decision is not None
        assert "≈$0.00438 a task, estimated from tokens, prices of 20" in decision.reason
        decision = perf.explain("t", ["gpt-4o-mini", "large"])
        assert decision is not None
        assert "estimated" not in decision.reason
        assert "$0.001 a task" in decision.reason
        dear = perf.explain("t", ["gpt-4o", "gpt-4o-mini"], {"max_cost_usd": 0.002})
        assert dear is not None
        assert "(estimated from tokens, prices of " in dear.excluded[0].reason
    assert 20_000 < day < 40_000


def test_budgets_count_estimates(path: Path) -> None:
    """What is estimated is spent."""
    with mp.ModelPerf({"budget": {"usd": 1.0}}, store=path) as perf:
        with_prices(perf, "gpt-4o").record("t", "gpt-4o", {"success": True, "tokens_used": 100_000})
        (state,) = perf.budgets()
        assert state.as_dict()["spent_usd"] == pytest.approx(0.4375)


def test_several_outcomes_at_once_are_priced(path: Path) -> None:
    """``record_many`` prices tokens as ``record`` does."""
    with mp.ModelPerf(store=path) as perf:
        with_prices(perf, "gpt-4o").record_many([("t", "gpt-4o", {"success": True, "tokens_used": 1000})] * 3)
        assert cost_of(perf) == pytest.approx(3 * 0.004375)


def test_no_estimate_replaces_a_cost(path: Path) -> None:
    """A later report with tokens alone keeps the cost that was reported, and gets one where none was known."""
    with with_prices(mp.ModelPerf(store=path), "gpt-4o") as perf:
        for outcome in (
            {"success": True, "cost_usd": 0.7, "outcome_id": "1"},
            {"success": False, "tokens_used": 1000, "outcome_id": "1"},
        ):
            perf.record("t", "gpt-4o", outcome)
        assert cost_of(perf) == pytest.approx(0.7)
        perf.record_many([("t", "gpt-4o", {"success": True, "tokens_used": 500, "outcome_id": "1"})])
        assert cost_of(perf) == pytest.approx(0.7)
        perf.record("t", "gpt-4o", {"success": True, "outcome_id": "2"})
        perf.record("t", "gpt-4o", {"success": False, "tokens_used": 1000, "outcome_id": "2"})
        assert cost_of(perf) == pytest.approx(0.7 + 0.004375)


PROGRAM = """
import sys, time
import modelperf_plugin as mp
assert "genai_prices" not in sys.modules
with mp.ModelPerf(store=sys.argv[1]) as perf:
    assert "genai_prices" not in sys.modules
    def call(model):
        time.sleep(3)
        return {"usage": {"input_tokens": 1000, "output_tokens": 0}}
    perf.run("t", ["gpt-4o"], call)
    print(perf.store.tallies.of("t")["gpt-4o"].total_cost_usd)
"""


def test_a_process_for_one_call_has_its_price(path: Path) -> None:
    """Nothing is imported before the first choice; the import runs while the model answers."""
    run = [sys.executable, "-W", "error", "-c", PROGRAM, str(path)]
    printed = subprocess.run(run, check=True, capture_output=True, text=True, timeout=60)
    assert float(printed.stdout) == pytest.approx(1000 * GPT_4O[0])
    assert printed.stderr == ""
