"""``reset``: end demotions and A/B tests."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from modelperf_plugin.cli.answer import Answer
from modelperf_plugin.cli.options import Common, common_options
from modelperf_plugin.cli.terminal_text import count

if TYPE_CHECKING:
    from modelperf_plugin.engine.core import ModelPerf


@click.group()
def reset() -> None:
    """Take back what the plugin has concluded."""


@reset.command()
@click.argument("task_type", metavar="TASK")
@click.argument("model_id", metavar="MODEL")
@common_options
def demotion(common: Common, answer: Answer, task_type: str, model_id: str) -> None:
    """Put a demoted model back on one task type; the evidence against it begins anew."""
    with common.writing(answer) as engine:
        if not end_demotion(engine, task_type, model_id):
            answer.exit_with_note(f"{model_id!r} is not demoted on {task_type!r}")
    answer.print_line(f"{model_id} is back on {task_type}")


@reset.command(name="demotions")
@common_options
def all_demotions(common: Common, answer: Answer) -> None:
    """Put all demoted models back."""
    with common.writing(answer) as engine:
        in_force = engine.store.demotions.all(in_force=True)
        if not in_force:
            answer.exit_with_note("nobody is demoted by evidence")
        ended = sum(end_demotion(engine, each.task_type, each.model_id) for each in in_force)
    answer.print_line(f"{count(ended, 'demotion')} ended")


def end_demotion(engine: ModelPerf, task_type: str, model_id: str) -> bool:
    now_ms = time.time_ns() // 1_000_000
    return engine.store.demotions.end(task_type, model_id, now_ms, "operator")


@reset.command(name="test")
@click.argument("task_type", metavar="TASK")
@common_options
def reset_test(common: Common, answer: Answer, task_type: str) -> None:
    """Put an end to the A/B tests of a task type; one that is still configured begins anew.

    Its evidence so far does not count any more. Units keep their sides, unless exploration.salt is changed as well.
    """
    with common.writing(answer) as engine:
        ended = engine.store.ab_tests.end(task_type, time.time_ns() // 1_000_000)
    if not ended:
        answer.exit_with_note(f"no A/B test on {task_type!r}")
    answer.print_line(f"{count(ended, 'A/B test')} on {task_type} ended")
