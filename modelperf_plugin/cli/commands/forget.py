"""``forget``: take out what was recorded by mistake."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from modelperf_plugin.cli import completing
from modelperf_plugin.cli.answer import Answer
from modelperf_plugin.cli.editing import back_up_before, confirm, edit_options, outcomes_text, print_edit
from modelperf_plugin.cli.help import command
from modelperf_plugin.cli.options import Common, common_options, model_option, moment_ms, task_option

if TYPE_CHECKING:
    from modelperf_plugin.store.edits import Selection


@command(
    "--task code-reviw", "--model gpt-4o --since 2026-01-31 --dry-run", "--outcome-id task-17 --outcome-id task-18",
    "--import 3",
)  # fmt: skip
@task_option
@model_option("--model", "model_id", description="This model only.")
@click.option("--since", callback=moment_ms, metavar="TIME", help="Outcomes from this day or time on.")
@click.option("--until", callback=moment_ms, metavar="TIME", help="Outcomes up to this day, or before this time.")
@click.option(
    "--outcome-id", "outcome_ids", metavar="ID", multiple=True, help="The outcome with this id; may be repeated."
)
@click.option(
    "--import", "import_id", type=int, metavar="ID", shell_complete=completing.imports,
    help="Outcomes of this import; `modelperf import list` lists them.",
)  # fmt: skip
@edit_options
@common_options
def forget(
    common: Common, answer: Answer, /, *, task_type: str | None, model_id: str | None, since: int | None,
    until: int | None, outcome_ids: tuple[str, ...], import_id: int | None, **how: Any,
) -> None:  # fmt: skip
    """Take out outcomes that were recorded by mistake.

    Forgets what fulfils all of the options: the outcomes with their ids, what they have added to counts, days and
    costs, and their decisions. A task type or model without other options is forgotten as a whole, with imported
    counts, demotions, A/B tests and changes. After an import was forgotten as a whole, its source may be imported
    again. Hosts may run. The database is copied before.
    """
    from modelperf_plugin.store.edits import Selection

    selection = Selection(task_type, model_id, since, until, outcome_ids or None, import_id)
    if selection == Selection():
        raise click.UsageError("say what to forget: --task, --model, --since, --until, --outcome-id or --import")
    _forget(common, answer, selection, **how)


def _forget(common: Common, answer: Answer, selection: Selection, *, dry_run: bool, yes: bool, no_backup: bool) -> None:
    with common.reading(answer, outcomes=0, pairs=0, decisions=0, tests=[], dry_run=dry_run, backup=None) as engine:
        location, meant = engine.store.location, engine.store.editing.count(selection)
    what = outcomes_text(*meant[:3])
    if not any(meant[:3]):
        answer.exit_with_note(
            "nothing to forget: no outcome fulfils all of that", store=location, **meant._asdict(), dry_run=dry_run,
            backup=None,
        )  # fmt: skip
    if dry_run:
        print_edit(answer, location, f"would be forgotten: {what}", meant, None, dry_run=True)
        return
    confirm(f"Forget {what} in {location}?", yes=yes)
    copy = None if no_backup else back_up_before(answer, common.existing_location(), "forget")
    with common.writing(answer) as engine:
        edited = engine.store.editing.forget(selection, time.time_ns() // 1_000_000)
    print_edit(answer, location, f"forgotten: {outcomes_text(*edited[:3])}", edited, copy, dry_run=False)
