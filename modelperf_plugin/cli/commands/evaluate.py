"""``evaluate``: judge other policies on the decision log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from modelperf_plugin.cli.answer import Answer, Cell, Column, number
from modelperf_plugin.cli.decision_log import read_decision_log
from modelperf_plugin.cli.options import Common, common_options, json_option
from modelperf_plugin.cli.progress import stages
from modelperf_plugin.cli.terminal_text import count, dollars, moment_text, percent, points

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from modelperf_plugin.analysis.off_policy.evaluation import Candidate, Evaluation
    from modelperf_plugin.analysis.off_policy.judgement import Estimate, Judgement
    from modelperf_plugin.analysis.off_policy.plan import Plan

_JUDGED: Final = (
    Column("policy", "bold"), number("success"), number("95 % interval"), number("gain"), number("95 % interval"),
    number("$/task"), number("agrees"), number("effective"), Column("why there is no answer", overflow=True),
)  # fmt: skip
_ESTIMATES: Final = (Column("policy", "bold"), number("IPS"), number("SNIPS"), number("DR"), number("95 % interval"))
_TASK_TYPES: Final = (
    Column("task type", "bold"), number("decisions"), number("happened"), number("success"), number("95 % interval"),
    number("agrees"), Column("why there is no answer", overflow=True),
)  # fmt: skip
_PLANS: Final = (
    number("evaluation_share"), number("decisions for ± 12 points"), number("for ± 5 points"),
    number("successes lost per 1,000"), number("until ± 12 points"),
)  # fmt: skip
_EMPTY: Final[dict[str, Any]] = {"decisions": 0, "policies": []}


@click.command()
@click.option(
    "--policy", "files", multiple=True, metavar="TOML", type=click.Path(exists=True, dir_okay=False),
    help="A configuration to judge, instead of the one in force; may be given several times.",
)  # fmt: skip
@click.option("--task", "task_type", metavar="TASK", help="Only this task type.")
@click.option("--days", type=click.FloatRange(min=0, min_open=True), metavar="N", help="Only the last N days.")
@click.option("--by-task-type", is_flag=True, help="Also show every task type.")
@click.option(
    "--plan", "planned", is_flag=True,
    help="Also say which evaluation_share, over how many decisions, would answer, and at which price.",
)  # fmt: skip
@click.option("--seed", type=int, metavar="N", default=0, show_default=True, help="The same seed, the same answer.")
@click.option(
    "--fail-below", type=click.FloatRange(0, 1), metavar="X",
    help="Exit code 1 unless the success of every policy is surely X or more.",
)  # fmt: skip
@json_option
@common_options
def evaluate(
    common: Common,
    answer: Answer,
    /,
    files: tuple[str, ...],
    fail_below: float | None,
    *,
    task_type: str | None,
    days: float | None,
    **how: Any,
) -> None:
    """Say what another policy would have achieved, and how sure.

    When the log cannot tell, that is said, and why. The record of decisions is read: each has the probabilities with
    which it was made. A policy is judged by what it would have chosen at each of them, given what was known then.
    """
    from modelperf_plugin.analysis import need_numpy

    need_numpy("off-policy estimates")
    from modelperf_plugin.analysis.off_policy.evaluation import evaluate as evaluate_policies

    policies = candidates_of(common, files)
    with common.reading(answer, **_EMPTY) as engine, stages() as stage:
        log = read_decision_log(answer, engine.store, task_type=task_type, days=days, stage=stage, **_EMPTY)
        found = evaluate_policies(log, engine.store, policies, stage=stage, **how)
    failed = [each.name for each in found.policies if not _is_surely(each, fail_below)]
    if answer.as_json:
        answer.print_json(**found.as_dict(), fail_below=fail_below, failed=failed, note=None)
    else:
        _show(answer, found)
        if failed:
            answer.print_line()
            answer.print_line(("not surely ", "bold red"), f"{percent(fail_below)} or more: {', '.join(failed)}")
    if failed:
        raise click.exceptions.Exit(1)


def candidates_of(common: Common, files: Sequence[str]) -> list[Candidate]:
    """Return the configurations in ``files``, or the one in force if there are none."""
    from modelperf_plugin.analysis.off_policy.evaluation import Candidate
    from modelperf_plugin.config import load

    if not files:
        return [Candidate(name="the policy in force", config=common.load().config)]
    return [Candidate(name=file, config=load(file).config) for file in files]


def _is_surely(judged: Judgement, least: float | None) -> bool:
    return least is None or (judged.success is not None and judged.success.low >= least)


def _show(answer: Answer, found: Evaluation) -> None:
    answer.print_line(
        (count(found.decisions, "decision"), "bold"),
        f" from {moment_text(found.since)} to {moment_text(found.until)} in {found.source}",
    )
    for why, number_of in sorted(found.left_out.items()):
        answer.print_line((f"{number_of:,} left out: {why}", "dim"))
    answer.print_line()
    answer.print_facts(_facts(found))
    answer.print_line()
    answer.print_table(_JUDGED, [_judged(each) for each in _rows(found)])
    answer.print_line(("gain: against what made the log; effective: decisions of its own that the log is worth", "dim"))
    answer.print_line()
    answer.print_table(_ESTIMATES, [_estimates(each) for each in _rows(found)])
    for judged, plans in zip(found.policies, found.plans, strict=False):
        answer.print_line()
        answer.print_line(("what it takes to answer: ", "bold"), judged.name)
        answer.print_table(_PLANS, [_plan(each) for each in plans])
    for each in found.policies:
        if each.task_types:
            answer.print_line()
            answer.print_line((each.name, "bold"))
            answer.print_table(_TASK_TYPES, [_task_type(row) for row in each.task_types])


def _facts(found: Evaluation) -> Iterator[tuple[str, Cell]]:
    cost = "" if found.happened_cost_usd is None else f", {dollars(found.happened_cost_usd)} a task"
    yield "what happened", f"{percent(found.happened)} done well{cost}"
    if found.happened_cost_usd is not None and found.unpriced:
        yield "without a cost", f"{found.unpriced:,}, taken as $0"
    if found.best_single is None:
        yield "best single model", "the log cannot tell of any"
    for policy, learning in zip(found.policies, found.learning, strict=True):
        name = f"{policy.name}, had it started with nothing"
        if learning.success is None:
            yield name, f"the log cannot tell: {learning.refusal}"
        else:
            yield name, f"{_certain(learning.success)} over its first {count(learning.kept, 'task')}"


def _rows(found: Evaluation) -> Iterator[Judgement]:
    yield from found.policies
    yield found.made_the_log
    yield found.document_rule
    yield found.random
    if found.best_single is not None:
        yield found.best_single


def _judged(each: Judgement) -> list[Cell]:
    return [
        each.name,
        _value(each.success),
        _interval(each.success),
        "-" if each.gain is None else points(each.gain.value),
        "-" if each.gain is None else f"{points(each.gain.low)} – {points(each.gain.high)}",
        "-" if each.cost_usd is None else dollars(each.cost_usd.value),
        percent(each.agreement),
        f"{each.effective_sample_size:,.0f}",
        each.refusal or "",
    ]


def _plan(each: Plan) -> list[Cell]:
    return [
        f"{each.evaluation_share:g}",
        f"{each.decisions:,}",
        f"{each.decisions_precise:,}",
        f"{each.lost_per_1000:.1f}",
        f"{each.price:.1f}",
    ]


def _estimates(each: Judgement) -> list[Cell]:
    low, high = each.interval
    span = f"{100 * low:.1f} – {100 * high:.1f} %"
    return [each.name, percent(each.ips), percent(each.snips), percent(each.dr), span]


def _task_type(row: Any) -> list[Cell]:
    return [
        row.task_type,
        f"{row.decisions:,}",
        percent(row.happened),
        _value(row.success),
        _interval(row.success),
        percent(row.agreement),
        row.refusal or "",
    ]


def _value(estimate: Estimate | None) -> str:
    return percent(None if estimate is None else estimate.value)


def _interval(estimate: Estimate | None) -> str:
    return "-" if estimate is None else f"{100 * estimate.low:.1f} – {100 * estimate.high:.1f} %"


def _certain(estimate: Estimate) -> str:
    return f"{percent(estimate.value)} ({_interval(estimate)})"
