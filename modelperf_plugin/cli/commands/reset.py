"""``reset``: end demotions, back-offs and A/B tests."""

from __future__ import annotations

import time

import click

from modelperf_plugin.cli import completing
from modelperf_plugin.cli.answer import Answer
from modelperf_plugin.cli.help import group
from modelperf_plugin.cli.options import Common, common_options, model_argument, task_argument
from modelperf_plugin.text import count


@group()
def reset() -> None:
    """End demotions, back-offs or A/B tests."""


@reset.command(name="demotion", examples=["code-review gpt-4o"])
@click.argument("task_type", metavar="TASK", shell_complete=completing.demoted_task_types)
@click.argument("model_id", metavar="MODEL", shell_complete=completing.demoted_models)
@common_options
def _demotion(common: Common, answer: Answer, task_type: str, model_id: str) -> None:
    """Reinstate a demoted model on one task type; its evidence starts over."""
    with common.writing(answer) as engine:
        if not engine.store.demotions.end(task_type, model_id, time.time_ns() // 1_000_000, "operator"):
            answer.exit_with_note(f"{model_id!r} is not demoted on {task_type!r}")
    answer.print_line(f"{model_id} is reinstated on {task_type}")


@reset.command(name="demotions", examples=[""])
@common_options
def _demotions(common: Common, answer: Answer) -> None:
    """Reinstate all demoted models."""
    with common.writing(answer) as engine:
        in_force = engine.store.demotions.all(in_force=True)
        if not in_force:
            answer.exit_with_note("no model is demoted by evidence")
        now_ms = time.time_ns() // 1_000_000
        ended = sum(
            engine.store.demotions.end(demotion.task_type, demotion.model_id, now_ms, "operator")
            for demotion in in_force
        )
    answer.print_line(f"{count(ended, 'demotion')} ended")


@reset.command(name="outage", examples=["gpt-4o"])
@model_argument
@common_options
def _outage(common: Common, answer: Answer, model_id: str) -> None:
    """End the back-off from a model at once, in all hosts.

    For a model that was gone and is back: its key works again, or it is deployed again. Its evidence is unchanged.
    """
    from modelperf_plugin.engine.availability import Availability

    with common.writing(answer) as engine:
        model_id = engine.config.canonical_ids.get(model_id, model_id)
        events = engine.store.events
        newest = events.last_id()
        if not Availability.read(events, engine.config, time.time_ns() // 1_000_000).has_outage(model_id):
            answer.exit_with_note(f"{model_id!r} is not out after an outage")
        events.mark_back(model_id, newest)
    answer.print_line(f"{model_id} is available again")


@reset.command(name="test", examples=["code-review"])
@task_argument
@common_options
def _test(common: Common, answer: Answer, task_type: str) -> None:
    """End the A/B tests of a task type; a configured one starts over.

    Evidence so far is discarded. Units keep their sides unless exploration.salt changes too.
    """
    with common.writing(answer) as engine:
        ended = engine.store.ab_tests.end(task_type, time.time_ns() // 1_000_000)
    if not ended:
        answer.exit_with_note(f"no A/B test on {task_type!r}")
    answer.print_line(f"{count(ended, 'A/B test')} on {task_type} ended")
