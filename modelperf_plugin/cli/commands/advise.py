"""``advise``: show what should be changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelperf_plugin.cli.answer import Answer
from modelperf_plugin.cli.help import command
from modelperf_plugin.cli.options import Common, common_options, json_option, task_option
from modelperf_plugin.cli.task_types import unknown_task_type
from modelperf_plugin.text import count

if TYPE_CHECKING:
    from modelperf_plugin.analysis.views.advice.values import Advice


@command("", "--task code-review", "--json")
@task_option
@json_option
@common_options
def advise(common: Common, answer: Answer, task_type: str | None) -> None:
    """Show what should be changed in hosts and configuration, each with its evidence and expected effect.

    The most important comes first. Nothing is changed: the lines are for your configuration file.
    """
    from modelperf_plugin.analysis.views.advice.gather import advise as advise_on

    empty: dict[str, Any] = {"task_type": task_type, "findings": []}
    with common.reading(answer, **empty) as engine:
        if task_type is not None and not engine.store.tallies.of(task_type):
            unknown_task_type(answer, engine, **empty)
        found = advise_on(engine, task_type)
        location = engine.store.location
    if answer.as_json:
        answer.print_json(store=location, **{**empty, "findings": [each.as_dict() for each in found]}, note=None)
        return
    answer.print_line(
        count(len(found), "finding") if found else "nothing to change was found", ("  " + location, "dim")
    )
    for number, each in enumerate(found, 1):
        _print(answer, number, each)


def _print(answer: Answer, number: int, advice: Advice) -> None:
    answer.print_line()
    answer.print_line((f"{number}. {advice.finding}", "bold"))
    answer.print_facts([("evidence", advice.evidence), ("change", advice.change), ("effect", advice.effect.text)])
    for line in (advice.toml or "").splitlines():
        answer.print_command(line)
    if advice.command is not None:
        for line in advice.command.split("; "):
            answer.print_command(line)
