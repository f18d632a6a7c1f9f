"""``compare``: compare two models of a task type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from modelperf_plugin.cli.answer import Answer, Column, number
from modelperf_plugin.cli.options import Common, common_options, csv_option, json_option
from modelperf_plugin.cli.task_types import unknown_task_type
from modelperf_plugin.cli.terminal_text import UNKNOWN, ago, count, dollars, percent, short, span
from modelperf_plugin.values import Tally, from_milliseconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from modelperf_plugin.analysis.views.ab_tests import Trial


_SIDES: Final = (
    Column("model", "bold"), number("outcomes"), number("succeeded"), number("success"), number("interval"),
    number("$/success"), number("tokens/task"), number("timeouts"), number("outages", overflow=True),
)  # fmt: skip
_TESTS: Final = (
    Column("test", "bold"), number("share"), number("outcomes"), number("began"),
    number("last outcome"), Column("state"), Column("verdict", overflow=True),
)  # fmt: skip
_SIDES_CSV: Final = (
    "model_id", "successes", "failures", "success_rate", "low", "high", "cost_per_success_usd", "total_tokens",
    "timeouts", "outages", "caller_errors", "priced", "last_used",
)  # fmt: skip
_TESTS_CSV: Final = (
    "test_id", "incumbent", "challenger", "share", "started", "last_outcome", "e_value", "needed", "more", "verdict",
    "winner", "promoted", "decided", "configured", "text",
)  # fmt: skip
_OBSERVATIONAL: Final = (
    "no A/B test of these two: the numbers are observational, the tasks of one may have been easier than those of the "
    'other; and a difference that one looks at until it shows is no verdict (see [exploration] strategy = "ab_test")'
)


@click.command()
@click.argument("task_type", metavar="TASK")
@click.argument("models", metavar="[A B]", nargs=-1)
@json_option
@csv_option
@common_options
def compare(common: Common, answer: Answer, task_type: str, models: tuple[str, ...]) -> None:
    """Compare two models on a task type, or list its A/B tests.

    With two models: what was counted of both, and the verdict if there is an A/B test of them.
    """
    from modelperf_plugin.analysis.views.ab_tests import trials

    if len(models) not in {0, 2}:
        raise click.UsageError("name two models to compare, or none to list the A/B tests of the task type")
    if len(set(models)) == 1:
        raise click.UsageError(f"name two different models, not {models[0]!r} twice")
    empty: dict[str, Any] = {"task_type": task_type, "models": [], "tests": []}
    with common.reading(answer, **empty) as engine:
        location = engine.store.location
        evidence = engine.store.tallies.of(task_type)
        tests = trials(engine, task_type)
        if not evidence and not tests:
            unknown_task_type(answer, engine, task_type, models=[], tests=[])
        tallies = [evidence.get(model_id) or Tally(task_type, model_id) for model_id in models]
        if models and not any(tally.samples for tally in tallies):
            answer.exit_with_note(_neither(task_type, models, evidence), store=location, **empty)
        rows = [
            trial for trial in tests if not models or {trial.test.incumbent, trial.contest.challenger} == set(models)
        ]
    note = _OBSERVATIONAL if models and not rows else None
    if answer.as_json:
        sides, listed = [_side(tally) for tally in tallies], [row.as_dict() for row in rows]
        answer.print_json(store=location, task_type=task_type, models=sides, tests=listed, note=note)
    elif answer.as_csv and models:
        answer.print_csv(_SIDES_CSV, [_record(tally) for tally in tallies])
    elif answer.as_csv:
        answer.print_csv(_TESTS_CSV, [row.as_dict() for row in rows])
    elif models:
        _show(answer, task_type, tallies, rows)
    elif rows:
        answer.print_table(_TESTS, [_row(row) for row in rows])
    else:
        answer.print_line(f"no A/B test on {task_type}")


def _neither(task_type: str, models: Iterable[str], known: Iterable[str]) -> str:
    named = " nor ".join(map(repr, models))
    return f"neither {named} has outcomes of task type {task_type!r}; known are: {', '.join(known)}"


def _show(answer: Answer, task_type: str, tallies: Sequence[Tally], rows: Sequence[Trial]) -> None:
    answer.print_line((task_type, "bold"), f": {' and '.join(tally.model_id for tally in tallies)}")
    answer.print_line()
    answer.print_table(_SIDES, [_cells(tally) for tally in tallies])
    answer.print_line()
    for row in rows:
        answer.print_line((row.verdict, "bold"))
        for line in _history(row):
            answer.print_line((line, "dim"))
    if not rows:
        answer.print_line((_OBSERVATIONAL, "yellow"))


def _history(trial: Trial) -> tuple[str, str]:
    """Return who was tested against whom, what was done about it, and since when."""
    test, contest = trial.test, trial.contest
    decided = "" if contest.decided_ms is None else f", decided {ago(from_milliseconds(contest.decided_ms))}"
    began = f"share {percent(trial.share)}, began {ago(from_milliseconds(test.started_ms))}"
    return (
        f"A/B test of {contest.challenger} against {test.incumbent}: {trial.state}",
        f"{began}{decided}, {count(trial.outcomes, 'outcome')} in the test (the table counts all)",
    )


def _row(trial: Trial) -> list[str]:
    last = trial.contest.last_ms
    return [
        f"{trial.contest.challenger} against {trial.test.incumbent}",
        percent(trial.share),
        f"{trial.outcomes:,}",
        ago(from_milliseconds(trial.test.started_ms)),
        ago(None if last is None else from_milliseconds(last)),
        trial.state,
        trial.verdict,
    ]


def _interval(tally: Tally) -> tuple[float, float] | None:
    from modelperf_plugin.policy.intervals import wilson_interval

    return wilson_interval(tally.successes, tally.samples) if tally.samples else None


def _side(tally: Tally) -> dict[str, Any]:
    interval = _interval(tally)
    return {**tally.as_dict(), "interval": None if interval is None else list(interval)}


def _record(tally: Tally) -> dict[str, Any]:
    low, high = _interval(tally) or (None, None)
    return {**tally.as_dict(), "low": low, "high": high}


def _cells(tally: Tally) -> list[str]:
    return [
        tally.model_id,
        f"{tally.samples:,}",
        f"{tally.successes:,}",
        percent(tally.success_rate),
        span(_interval(tally)),
        dollars(tally.cost_per_success_usd),
        short(round(tally.total_tokens / tally.samples)) if tally.total_tokens else UNKNOWN,
        f"{tally.timeouts:,}",
        f"{tally.outages:,}",
    ]
