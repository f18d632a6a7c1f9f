"""Which model has really answered, from the answer to the log."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

import modelperf_plugin as mp
from modelperf_plugin.cli import modelperf
from modelperf_plugin.recorder.ticket import Ticket

CONFIG: dict[str, Any] = {"log": {"share": 1.0}, "models": {"gpt-4o": {"aliases": ["openai/gpt-4o"]}}}


def answer(model: object) -> Any:
    """Return an answer as client libraries return them."""
    return SimpleNamespace(model=model, usage={"total_tokens": 7})


@pytest.mark.parametrize(
    ("answered", "served"),
    [
        ("gpt-4o-2024-11-20", "gpt-4o-2024-11-20"), ("gpt-4o", None), ("openai/gpt-4o", None), ("", None),
        ("a\nb", None), (7, None), ("x" * 600, None),
    ],
)  # fmt: skip
def test_the_answer_says_who_served_it(answered: object, served: str | None) -> None:
    """The name in an answer is the served model: unless it is the model's, by an alias too, or no name of a model."""
    with mp.ModelPerf(CONFIG, store=":memory:") as engine:
        engine.run("qa", ["gpt-4o"], lambda _: answer(answered))
        (decision,) = engine.store.decisions.newest()
        assert decision.outcome is not None
        assert (decision.outcome.model_id, decision.outcome.served_model) == ("gpt-4o", served)
        assert engine.store.tallies.of("qa")["gpt-4o"].total_tokens == 7


def test_a_function_of_the_host_may_say_it() -> None:
    """What ``usage`` returns may name the served model, as an outcome does."""
    with mp.ModelPerf(CONFIG, store=":memory:") as engine:
        engine.run("qa", ["gpt-4o"], lambda _: "text", usage=lambda _: {"servedModel": "mini"})
        (decision,) = engine.store.decisions.newest()
        assert decision.outcome is not None
        assert decision.outcome.served_model == "mini"


def test_a_ticket_carries_it() -> None:
    """The verdict by a ticket has the served model; a ticket without one reads as those of earlier versions do."""
    with mp.ModelPerf(CONFIG, store=":memory:") as engine:
        task = engine.task("qa", ["gpt-4o"], verdict="later")
        with task:
            for model in task:
                with task.attempt(model) as attempt:
                    attempt.served_model = "gpt-4o-2024-11-20"
        ticket = Ticket.read(task.ticket)
        assert ticket.served_model == "gpt-4o-2024-11-20"
        assert engine.report(task.ticket, success=True)
        (decision,) = engine.store.decisions.newest()
        assert decision.outcome is not None
        assert decision.outcome.served_model == "gpt-4o-2024-11-20"
    without = ticket._replace(served_model=None)
    assert Ticket.read(str(without)) == without
    assert len(str(without)) < len(str(ticket))


def test_why_and_decisions_show_it(tmp_path: Path) -> None:
    """The row of a try says who has served it, and ``--json`` has it."""
    path = tmp_path / "p.db"
    with mp.ModelPerf(CONFIG, store=path) as engine:
        decision = engine.select("qa", ["gpt-4o"])
        engine.record("qa", "gpt-4o", {"success": True, "servedModel": "gpt-4o-2024-11-20"}, decision)
        assert decision is not None
    for command in (("why", decision.decision_id), ("decisions",)):
        shown = CliRunner().invoke(modelperf, [*command, "--store", str(path)], env={"COLUMNS": "200"})
        assert "served by gpt-4o-2024-11-20" in " ".join(shown.stdout.split()), shown.output
    shown = CliRunner().invoke(modelperf, ["why", decision.decision_id, "--json", "--store", str(path)])
    assert '"served_model": "gpt-4o-2024-11-20"' in shown.stdout
