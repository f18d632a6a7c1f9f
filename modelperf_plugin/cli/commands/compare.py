"""``compare``: compare two models of a task type."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from modelperf_plugin.cli import completing
from modelperf_plugin.cli.answer import Answer
from modelperf_plugin.cli.help import command
from modelperf_plugin.cli.options import Common, common_options, csv_option, json_option, task_argument
from modelperf_plugin.cli.tables import Column, number, prose
from modelperf_plugin.cli.tally_columns import MODEL, OUTAGES, OUTCOMES, SUCCESS, TIMEOUTS, score_columns
from modelperf_plugin.cli.task_types import unknown_task_type
from modelperf_plugin.text import (
    UNKNOWN,
    ago,
    count,
    dollars,
    first_tries,
    has_later_tries,
    later_tries,
    percent,
    short,
    span,
)
from modelperf_plugin.values import Tally, from_milliseconds

if TYPE_CHECKING:
    from modelperf_plugin.analysis.views.ab_tests import Trial


def _ago(milliseconds: int | None) -> str:
    return ago(None if milliseconds is None else from_milliseconds(milliseconds))


_SIDES: Final[tuple[Column[Tally], ...]] = (
    MODEL,
    OUTCOMES,
    number("succeeded", lambda tally: f"{tally.successes:,}"),
    SUCCESS,
    number("interval", lambda tally: span(_interval(tally.successes, tally.samples))),
    number("$/success", lambda tally: dollars(tally.cost_per_success_usd)),
    number(
        "tokens/task", lambda tally: short(round(tally.total_tokens / tally.samples)) if tally.total_tokens else UNKNOWN
    ),
    TIMEOUTS._replace(optional=False),
    OUTAGES,
)
_TRIES: Final[tuple[Column[Tally], ...]] = (
    MODEL,
    number("first tries", first_tries),
    number("success", lambda tally: percent(_first(tally)["success_rate"])),
    number("interval", lambda tally: span(_first(tally)["interval"])),
    number("later tries", later_tries),
)
_TESTS: Final[tuple[Column[Trial], ...]] = (
    Column("test", lambda trial: f"{trial.contest.challenger} against {trial.test.incumbent}", "bold"),
    number("share", lambda trial: percent(trial.share)),
    number("outcomes", lambda trial: f"{trial.outcomes:,}"),
    number("reported", lambda trial: " / ".join(map(percent, trial.reported))),
    number("began", lambda trial: _ago(trial.test.started_ms)),
    number("last outcome", lambda trial: _ago(trial.contest.last_ms)),
    Column("state", lambda trial: trial.state),
    prose("verdict", lambda trial: trial.verdict),
)
_SIDES_CSV: Final = (
    "model_id", "successes", "failures", "success_rate", "low", "high", "cost_per_success_usd", "total_tokens",
    "timeouts", "outages", "caller_errors", "priced", "last_used",
    "first_successes", "first_samples", "later_successes", "later_failures", "graded", "mean_score",
)  # fmt: skip
_TESTS_CSV: Final = (
    "test_id", "incumbent", "challenger", "share", "started", "last_outcome", "e_value", "needed", "more", "verdict",
    "winner", "promoted", "decided", "configured", "withheld", "text",
)  # fmt: skip
_OBSERVATIONAL: Final = (
    "no A/B test of these two: the numbers are observational, so the tasks of one model may have been easier, and "
    'a difference that appears while you watch is not a verdict (see [exploration] strategy = "ab_test")'
)

_LATER_TRIES: Final = (
    "later tries met tasks that other models had failed, so compare the first; both leave out outages and the caller's "
    "own errors"
)


@command("code-review", "code-review gpt-4o claude-opus")
@task_argument
@click.argument("models", metavar="[A B]", nargs=-1, shell_complete=completing.models)
@json_option
@csv_option
@common_options
def compare(common: Common, answer: Answer, task_type: str, models: tuple[str, ...]) -> None:
    """Compare two models on a task type, or list its A/B tests.

    With two models, shows the counts of both, and the verdict of their A/B test if there is one.
    """
    from modelperf_plugin.analysis.views.ab_tests import trials

    if len(models) not in {0, 2}:
        raise click.UsageError("name two models to compare, or none to list the A/B tests of the task type")
    empty: dict[str, Any] = {"task_type": task_type, "models": [], "tests": []}
    with common.reading(answer, **empty) as engine:
        location, ids = engine.store.location, engine.config.canonical_ids
        models = tuple([ids.get(name, name) for name in models])
        if len(set(models)) == 1:
            raise click.UsageError(f"name two different models, not {models[0]!r} twice")
        evidence = engine.store.tallies.of(task_type)
        tests = trials(engine, task_type)
        if not evidence and not tests:
            unknown_task_type(answer, engine, task_type, models=[], tests=[])
    tallies = [evidence.get(model_id) or Tally(task_type, model_id) for model_id in models]
    if models and not any(tally.samples for tally in tallies):
        named = " nor ".join(map(repr, models))
        missing = f"neither {named} has outcomes of task type {task_type!r}; known are: {', '.join(evidence)}"
        answer.exit_with_note(missing, store=location, **empty)
    rows = [trial for trial in tests if not models or {trial.test.incumbent, trial.contest.challenger} == set(models)]
    if answer.as_json:
        sides, listed = [_side(tally) for tally in tallies], [row.as_dict() for row in rows]
        note = _OBSERVATIONAL if models and not rows else None
        answer.print_json(store=location, task_type=task_type, models=sides, tests=listed, note=note)
    elif answer.as_csv and models:
        answer.print_csv(_SIDES_CSV, map(_record, tallies))
    elif answer.as_csv:
        answer.print_csv(_TESTS_CSV, [row.as_dict() for row in rows])
    elif models:
        _show(answer, task_type, tallies, rows)
    elif rows:
        answer.print_table(_TESTS, rows)
    else:
        answer.print_line(f"no A/B test on {task_type}")


def _show(answer: Answer, task_type: str, tallies: Sequence[Tally], rows: Sequence[Trial]) -> None:
    answer.print_line((task_type, "bold"), f": {' and '.join(tally.model_id for tally in tallies)}")
    answer.print_line()
    answer.print_table([*_SIDES[:4], *score_columns(tallies), *_SIDES[4:]], tallies)
    if has_later_tries(tallies):
        answer.print_line()
        answer.print_table(_TRIES, tallies)
        answer.print_line((_LATER_TRIES, "dim"))
    answer.print_line()
    for row in rows:
        answer.print_line((row.verdict, "yellow" if row.withheld else "bold"))
        for line in _history(row):
            answer.print_line((line, "dim"))
    if not rows:
        answer.print_line((_OBSERVATIONAL, "yellow"))


def _history(trial: Trial) -> tuple[str, ...]:
    test, contest = trial.test, trial.contest
    decided = "" if contest.decided_ms is None else f", decided {_ago(contest.decided_ms)}"
    began = f"share {percent(trial.share)}, began {_ago(test.started_ms)}"
    counted = f"{count(trial.outcomes, 'first try', 'first tries')} in the test (the table counts all outcomes)"
    return (
        f"A/B test of {contest.challenger} against {test.incumbent}: {trial.state}",
        f"{began}{decided}, {counted}",
        *_reported(trial),
    )


def _reported(trial: Trial) -> Iterator[str]:
    ratio, names = trial.ratio, (trial.test.incumbent, trial.contest.challenger)
    if ratio.decisions_a and ratio.decisions_b:
        shares = [f"{percent(share)} for {name}" for share, name in zip(trial.reported, names, strict=True)]
        beyond = ", which differ beyond chance" if ratio.differs else ""
        yield f"decisions with an outcome: {', '.join(shares)}{beyond}"


def _interval(successes: int, samples: int) -> tuple[float, float] | None:
    from modelperf_plugin.policy.intervals import wilson_interval

    return wilson_interval(successes, samples) if samples else None


def _first(tally: Tally) -> dict[str, Any]:
    """Return the counts of the first tries, without outages and the caller's errors."""
    successes = tally.first_successes
    samples = successes + tally.first_failures
    rate = successes / samples if samples else None
    return {"successes": successes, "samples": samples, "success_rate": rate, "interval": _interval(successes, samples)}


def _side(tally: Tally) -> dict[str, Any]:
    sides = {"interval": _interval(tally.successes, tally.samples), "first_tries": _first(tally)}
    return {**tally.as_dict(), **sides}


def _record(tally: Tally) -> dict[str, Any]:
    low, high = _interval(tally.successes, tally.samples) or (None, None)
    first = _first(tally)
    flat = {"first_successes": first["successes"], "first_samples": first["samples"]}
    return {**tally.as_dict(), "low": low, "high": high, **flat}
