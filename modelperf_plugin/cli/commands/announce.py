"""``announce``: announce that a model has changed."""

from __future__ import annotations

import time

import click

from modelperf_plugin.cli.answer import Answer
from modelperf_plugin.cli.commands.reset import end_demotion
from modelperf_plugin.cli.options import Common, common_options


@click.command()
@click.argument("model_id", metavar="MODEL")
@common_options
def announce(common: Common, answer: Answer, model_id: str) -> None:
    """Say that a model has changed: its old outcomes count no more.

    They are kept, but are evidence no more, and demotions that rest on them are ended. What is expected of the model
    now is what the other models let expect.
    """
    with common.writing(answer) as engine:
        if all(tally.model_id != model_id for tally in engine.store.tallies.all()):
            answer.exit_with_note(f"no outcomes of a model {model_id!r}: there is nothing to forget")
        now_ms = time.time_ns() // 1_000_000
        newest = engine.store.events.last_id()
        engine.store.changes.add(model_id, "announced", (newest, newest), (now_ms, now_ms), None, {})
        ended = [
            each.task_type
            for each in engine.store.demotions.all(in_force=True)
            if each.model_id == model_id and end_demotion(engine, each.task_type, model_id)
        ]
    answer.print_line(f"{model_id} has changed: what was recorded of it before is kept, but is evidence no more")
    if ended:
        answer.print_line(f"it is back on {', '.join(sorted(ended))}, where it was demoted")
