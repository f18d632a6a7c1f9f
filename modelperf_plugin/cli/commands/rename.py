"""``rename``: give what is known about a task type or model to another name."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from modelperf_plugin.cli import completing
from modelperf_plugin.cli.answer import Answer
from modelperf_plugin.cli.editing import back_up_before, confirm, edit_options, outcomes_text, print_edit
from modelperf_plugin.cli.help import group
from modelperf_plugin.cli.options import Common, Refusal, common_options

if TYPE_CHECKING:
    from modelperf_plugin.engine.core import ModelPerf
    from modelperf_plugin.store.edits import Edited


@group()
def rename() -> None:
    """Rename a task type or a model, or merge two of them."""


@rename.command(name="task-type", examples=["code-reviw code-review", "review code-review --dry-run"])
@click.argument("old", metavar="OLD", shell_complete=completing.task_types)
@click.argument("new", metavar="NEW", shell_complete=completing.task_types)
@edit_options
@common_options
def _task_type(common: Common, answer: Answer, /, old: str, new: str, **how: Any) -> None:
    """Rename a task type.

    Outcomes, decisions, demotions and A/B tests go with it; if NEW exists, the two become one. Rename it in the
    configuration and in your hosts, too: what they record under OLD from now on is OLD again. The database is copied
    before.
    """
    _rename(common, answer, "task_type", old, new, **how)


@rename.command(name="model", examples=["gpt-4o-2024-08-06 gpt-4o"])
@click.argument("old", metavar="OLD", shell_complete=completing.models)
@click.argument("new", metavar="NEW", shell_complete=completing.models)
@edit_options
@common_options
def _model(common: Common, answer: Answer, /, old: str, new: str, **how: Any) -> None:
    """Rename a model.

    Outcomes, decisions, demotions, changes and A/B tests go with it; if NEW exists, the two become one. Rename it in
    the configuration and in your hosts, too: what they record under OLD from now on is OLD again, unless OLD is an
    alias of NEW. The database is copied before.
    """
    _rename(common, answer, "model_id", old, new, **how)


def _rename(
    common: Common, answer: Answer, what: str, old: str, new: str, *, dry_run: bool, yes: bool, no_backup: bool
) -> None:
    from modelperf_plugin.store.edits import Selection
    from modelperf_plugin.values import check_id

    word = "task type" if what == "task_type" else "model"
    check_id(word, new)
    if old == new:
        raise Refusal(f"{old} has this name already")
    empty: dict[str, Any] = {"outcomes": 0, "pairs": 0, "decisions": 0, "tests": [], "dry_run": dry_run, "backup": None}
    with common.reading(answer, **empty) as engine:
        location, editing = engine.store.location, engine.store.editing
        meant, present = (
            editing.count(Selection(task_type=name) if what == "task_type" else Selection(model_id=name))
            for name in (old, new)
        )
    if not any(meant[:3]):
        answer.exit_with_note(f"there is no {word} {old!r}", store=location, **empty)
    does, done = ("merge", "merged into") if present.outcomes else ("rename", "renamed to")
    details = outcomes_text(*meant[:3])
    if dry_run:
        print_edit(answer, location, f"{old} would be {done} {new}: {details}", meant, None, dry_run=True)
        return
    confirm(
        f"{does.capitalize()} {old} {'into' if present.outcomes else 'to'} {new} in {location}: {details}?", yes=yes
    )
    copy = None if no_backup else back_up_before(answer, common.existing_location(), "rename")
    with common.writing(answer) as engine:
        edited = _renamed(engine, what, old, new)
    print_edit(answer, location, f"{old} was {done} {new}: {outcomes_text(*edited[:3])}", edited, copy, dry_run=False)


def _renamed(engine: ModelPerf, what: str, old: str, new: str) -> Edited:
    from modelperf_plugin.policy import ABTest

    def fingerprint(incumbent: str, named: bool, salt: str) -> str:
        return ABTest(incumbent=incumbent, challenger="another model" if named else None, salt=salt).fingerprint

    now_ms = time.time_ns() // 1_000_000
    if what == "task_type":
        return engine.store.editing.rename_task_type(old, new, now_ms)
    return engine.store.editing.rename_model(old, new, now_ms, fingerprint)
