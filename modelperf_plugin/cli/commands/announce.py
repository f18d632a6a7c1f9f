"""``announce``: announce that a model has changed."""

from __future__ import annotations

import time

import click

from modelperf_plugin.cli.answer import Answer
from modelperf_plugin.cli.help import command
from modelperf_plugin.cli.options import Common, common_options, model_argument


@command("gpt-4o", "gpt-4o --undo")
@model_argument
@click.option("--undo", is_flag=True, help="Take the announcement back.")
@common_options
def announce(common: Common, answer: Answer, model_id: str, undo: bool) -> None:
    """Announce that a model has changed.

    Its outcomes so far stay in the store but no longer count as evidence, and demotions and back-offs that rest on them
    end. Until new outcomes arrive, expectations of the model are based on the other models. With --undo, its outcomes
    count again, and its demotions are in force again, unless it has changed since.
    """
    if undo:
        _take_back(common, answer, model_id)
        return
    with common.writing(answer) as engine:
        model_id = engine.config.canonical_ids.get(model_id, model_id)
        if all(tally.model_id != model_id for tally in engine.store.tallies.all()):
            answer.exit_with_note(f"no outcomes of model {model_id!r}: nothing to announce")
        now_ms = time.time_ns() // 1_000_000
        newest = engine.store.events.last_id()
        engine.store.changes.add(model_id, "announced", (newest, newest), (now_ms, now_ms), None, {})
        engine.store.events.mark_back(model_id, newest)
        ended = [
            demotion.task_type
            for demotion in engine.store.demotions.all(in_force=True)
            if demotion.model_id == model_id
            and engine.store.demotions.end(demotion.task_type, model_id, now_ms, "operator")
        ]
    answer.print_line(f"{model_id} has changed: its outcomes so far are kept, but no longer count as evidence")
    if ended:
        answer.print_line(f"it is reinstated on {', '.join(sorted(ended))}")
    answer.print_line(f"`modelperf announce {model_id} --undo` takes that back")


def _take_back(common: Common, answer: Answer, model_id: str) -> None:
    with common.writing(answer) as engine:
        model_id = engine.config.canonical_ids.get(model_id, model_id)
        if not engine.store.editing.unannounce(model_id, time.time_ns() // 1_000_000):
            answer.exit_with_note(f"that {model_id!r} has changed was not announced, or it has changed since")
    answer.print_line(f"{model_id} has not changed: its outcomes count as evidence again")
