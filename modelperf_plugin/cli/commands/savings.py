"""``savings``: dollars and success against always beginning with one model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import click

from modelperf_plugin.cli import completing
from modelperf_plugin.cli.answer import Answer
from modelperf_plugin.cli.help import command
from modelperf_plugin.cli.options import Common, common_options, json_option, moment_ms, task_option
from modelperf_plugin.cli.progress import progress_stages
from modelperf_plugin.cli.tables import Cell, Column, named, number, prose
from modelperf_plugin.text import UNKNOWN, count, dollars, moment_text, percent, points

if TYPE_CHECKING:
    from modelperf_plugin.analysis.off_policy.judgement import Estimate
    from modelperf_plugin.analysis.off_policy.savings import Difference, Savings


def _signed_dollars(usd: float) -> str:
    return f"{'-' if usd < 0 else '+'}{dollars(abs(usd))}"


def _saved(row: Difference) -> str:
    return UNKNOWN if row.saved_usd is None else _signed_dollars(row.saved_usd.value)


def _saved_range(estimate: Estimate | None) -> str:
    if estimate is None:
        return UNKNOWN
    return f"{_signed_dollars(estimate.low)} – {_signed_dollars(estimate.high)}"


def _range(estimate: Estimate | None) -> str:
    return UNKNOWN if estimate is None else f"{points(estimate.low)} – {points(estimate.high)}"


def _reasons(row: Difference) -> str:
    if row.refusal == row.cost_refusal:
        return row.refusal or ""
    success = "" if row.refusal is None else f"success: {row.refusal}"
    usd = "" if row.cost_refusal is None else f"dollars: {row.cost_refusal}"
    return "; ".join(filter(None, (success, usd)))


def _name(row: Difference) -> str:
    return row.name if row.model_id in {None, row.name} else f"{row.name}: {row.model_id}"


_COLUMNS: Final[tuple[Column[Difference], ...]] = (
    named("against", _name, "bold"),
    number("saved", _saved),
    number("95 % interval", lambda row: _saved_range(row.saved_usd)),
    number("points gained", lambda row: UNKNOWN if row.gained is None else points(row.gained.value)),
    number("95 % interval", lambda row: _range(row.gained)),
    number("same anyway", lambda row: percent(row.share)),
    prose("why there is no answer", _reasons),
)
_EMPTY: Final[dict[str, Any]] = {"tasks": 0, "against": []}


@command("", "--against best-before --since 2026-11-01")
@click.option(
    "--against", metavar="NAME", shell_complete=completing.models,
    help="A model, or best-before: the model that was best before --since, by what was known then; current: the model "
    "chosen most often for the newest 200 tasks. [default: all of these]",
)  # fmt: skip
@task_option
@click.option("--since", callback=moment_ms, metavar="TIME", help="Tasks from this day or time on.")
@click.option("--until", callback=moment_ms, metavar="TIME", help="Tasks up to this day, or before this time.")
@json_option
@common_options
def savings(
    common: Common, answer: Answer, /, *, against: str | None, task_type: str | None, since: int | None,
    until: int | None,
) -> None:  # fmt: skip
    """Show what the policy has saved, against always beginning with one model.

    Compares whole tasks: dollars are those of all tries, and what was spent to explore is included. What happened is
    known; what would have happened is estimated from the probabilities in the decision log, with 95 % intervals. Where
    the log is not sufficient, explains why. Exit code 1 if there is no answer at all.
    """
    from modelperf_plugin.analysis import need_numpy

    need_numpy("savings")
    from modelperf_plugin.analysis.views.savings import savings_of

    with common.reading(answer, **_EMPTY) as engine, progress_stages() as stages:
        found, note = savings_of(
            engine, against=against, task_type=task_type, since_ms=since, until_ms=until, progress=stages("reading")
        )
    if found is None:
        answer.exit_with_note(note or "", **_EMPTY)
    if answer.as_json:
        answer.print_json(**found.as_dict(), note=None)
    else:
        _show(answer, found)
    if all(row.success is None and row.saved_usd is None for row in found.against):
        raise click.exceptions.Exit(1)


def _show(answer: Answer, found: Savings) -> None:
    answer.print_line(
        (count(found.tasks, "task"), "bold"),
        f" from {moment_text(found.since)} to {moment_text(found.until)} in {found.source}",
    )
    for reason, skipped in sorted(found.left_out.items()):
        answer.print_line((f"{skipped:,} skipped: {reason}", "dim"))
    answer.print_line()
    answer.print_facts(_facts(found))
    answer.print_line()
    answer.print_table(_COLUMNS, found.against)
    answer.print_line(
        ("saved, gained: what happened less the same tasks begun with that model; below 0: a loss", "dim")
    )


def _facts(found: Savings) -> Iterator[tuple[str, Cell]]:
    what = "mean score" if found.graded else "solved"
    usd = UNKNOWN if found.cost_usd is None else f"{dollars(found.cost_usd)} in all"
    each = "" if found.cost_usd is None else f", {dollars(found.cost_usd / found.tasks)} a task"
    yield "what happened", f"{what} {percent(found.solved)}; {usd}{each}"
    if found.cost_usd is not None and found.unpriced:
        yield "without a cost", f"{found.unpriced:,}, taken to cost what the others do"
    yield "retries", f"{count(found.retried, 'task')} took more than one try; the later ones cost {_usd(found)}"
    row = found.exploration
    text = f"{count(found.explored, 'task')} began with another model than the one ranked first"
    if row.saved_usd is not None:
        text += f"; dollars against always the first: {_saved(row)} ({_saved_range(row.saved_usd)})"
    if row.gained is not None:
        text += f"; points: {points(row.gained.value)} ({_range(row.gained)})"
    yield "exploration", text


def _usd(found: Savings) -> str:
    return dollars(found.retries_usd) if found.retries_usd else "$0"
