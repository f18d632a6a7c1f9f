"""``evaluate``: judge policies on the decision log."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import click

from modelperf_plugin.cli.answer import Answer
from modelperf_plugin.cli.decision_log import log_days_option, read_decision_log
from modelperf_plugin.cli.help import command
from modelperf_plugin.cli.options import Common, common_options, json_option, policy_option, seed_option, task_option
from modelperf_plugin.cli.progress import progress_stages
from modelperf_plugin.cli.tables import Cell, Column, Row, named, number, prose
from modelperf_plugin.text import UNKNOWN, count, dollars, moment_text, percent, points

if TYPE_CHECKING:
    from modelperf_plugin.analysis.off_policy.evaluation import Evaluation
    from modelperf_plugin.analysis.off_policy.judgement import Estimate, Judgement, TaskTypeJudgement
    from modelperf_plugin.analysis.off_policy.plan import Plan


def _value(estimate: Estimate | None) -> str:
    return percent(None if estimate is None else estimate.value)


def _interval(estimate: Estimate | None) -> str:
    return UNKNOWN if estimate is None else _range(estimate.low, estimate.high)


def _range(low: float, high: float) -> str:
    return f"{100 * low:.1f} – {100 * high:.1f} %"


_POLICIES: Final[tuple[Column[Judgement], ...]] = (
    Column("policy", lambda row: row.name, "bold"),
    number("success", lambda row: _value(row.success)),
    number("95 % interval", lambda row: _interval(row.success)),
    number("gain", lambda row: points(row.gain.value) if row.gain else UNKNOWN),
    number("95 % interval", lambda row: f"{points(row.gain.low)} – {points(row.gain.high)}" if row.gain else UNKNOWN),
    number("$/first try", lambda row: dollars(row.cost_usd.value if row.cost_usd else None)),
    number("agrees", lambda row: percent(row.agreement)),
    number("effective", lambda row: f"{row.effective_sample_size:,.0f}"),
    prose("why there is no answer", lambda row: row.refusal or ""),
)
_ESTIMATES: Final[tuple[Column[Judgement], ...]] = (
    Column("policy", lambda row: row.name, "bold"),
    number("IPS", lambda row: percent(row.ips)),
    number("SNIPS", lambda row: percent(row.snips)),
    number("DR", lambda row: percent(row.dr)),
    number("95 % interval", lambda row: _range(*row.interval)),
)
_TASK_TYPES: Final[tuple[Column[TaskTypeJudgement], ...]] = (
    named("task type", lambda row: row.task_type, "bold"),
    number("decisions", lambda row: f"{row.decisions:,}"),
    number("happened", lambda row: percent(row.happened)),
    number("success", lambda row: _value(row.success)),
    number("95 % interval", lambda row: _interval(row.success)),
    number("agrees", lambda row: percent(row.agreement)),
    prose("why there is no answer", lambda row: row.refusal or ""),
)
_PLANS: Final[tuple[Column[Plan], ...]] = (
    number("evaluation_share", lambda plan: f"{plan.evaluation_share:g}"),
    number("decisions for ± 12 points", lambda plan: f"{plan.decisions:,}"),
    number("for ± 5 points", lambda plan: f"{plan.decisions_precise:,}"),
    number("successes lost per 1,000", lambda plan: f"{plan.lost_per_1000:.1f}"),
    number("until ± 12 points", lambda plan: f"{plan.price:.1f}"),
)
_EMPTY: Final[dict[str, Any]] = {"decisions": 0, "policies": []}


@command("--policy new.toml", "--policy new.toml --plan")
@policy_option
@task_option
@log_days_option
@click.option("--by-task-type", is_flag=True, help="Show every task type, too.")
@click.option(
    "--plan", "planned", is_flag=True,
    help="Show which evaluation_share, over how many decisions, would give an answer, and its price.",
)  # fmt: skip
@seed_option
@click.option(
    "--fail-below", type=click.FloatRange(0, 1), metavar="X",
    help="Exit with code 1 unless the interval of every policy is at X or above.",
)  # fmt: skip
@json_option
@common_options
def evaluate(
    common: Common, answer: Answer, /, files: tuple[str, ...], fail_below: float | None, *, task_type: str | None,
    days: float | None, **options: Any,
) -> None:  # fmt: skip
    """Estimate what another policy would have achieved.

    Reads the decision log, which has the probabilities of every choice, and asks what the policy would have chosen at
    each decision, given what was known then. If the log is not sufficient for an answer, explains why. Only first tries
    are judged: the log has no probabilities for later ones.
    """
    from modelperf_plugin.analysis import need_numpy

    need_numpy("off-policy estimates")
    from modelperf_plugin.analysis.off_policy.evaluation import Candidate
    from modelperf_plugin.analysis.off_policy.evaluation import evaluate as evaluate_policies

    policies = [Candidate(name=name, config=config) for name, config in common.policies(files).items()]
    with common.reading(answer, **_EMPTY) as engine, progress_stages() as stages:
        log = read_decision_log(answer, engine.store, stages, task_type=task_type, days=days, **_EMPTY)
        evaluation = evaluate_policies(log, engine.store, policies, stage=stages, **options)
    failed = []
    if fail_below is not None:
        failed = [row.name for row in evaluation.policies if row.success is None or row.success.low < fail_below]
    if answer.as_json:
        answer.print_json(**evaluation.as_dict(), fail_below=fail_below, failed=failed, note=None)
    else:
        _show(answer, evaluation)
        if failed:
            answer.print_line()
            answer.print_line(("not certainly ", "bold red"), f"{percent(fail_below)} or more: {', '.join(failed)}")
    if failed:
        raise click.exceptions.Exit(1)


def _show(answer: Answer, evaluation: Evaluation) -> None:
    answer.print_line(
        (count(evaluation.decisions, "decision"), "bold"),
        f" from {moment_text(evaluation.since)} to {moment_text(evaluation.until)} in {evaluation.source}",
    )
    for reason, skipped in sorted(evaluation.left_out.items()):
        answer.print_line((f"{skipped:,} skipped: {reason}", "dim"))
    answer.print_line()
    answer.print_facts(_facts(evaluation))
    answer.print_line()
    rows = [*evaluation.policies, evaluation.made_the_log, evaluation.document_rule, evaluation.random]
    if evaluation.best_single is not None:
        rows.append(evaluation.best_single)
    what = "mean score" if evaluation.graded else "success"
    answer.print_table(_titled(_POLICIES, what), rows)
    answer.print_line((f"{what}, gain and cost are those of first tries, whatever was tried after them", "dim"))
    answer.print_line(
        ("gain: over the policy that made the log; effective: own decisions that the log is worth", "dim")
    )
    answer.print_line()
    answer.print_table(_ESTIMATES, rows)
    for policy, plans in zip(evaluation.policies, evaluation.plans, strict=False):
        answer.print_line()
        answer.print_line(("needed for an answer: ", "bold"), policy.name)
        answer.print_table(_PLANS, plans)
    for policy in evaluation.policies:
        if policy.task_types:
            answer.print_line()
            answer.print_line((policy.name, "bold"))
            answer.print_table(_titled(_TASK_TYPES, what), policy.task_types)


def _titled(columns: tuple[Column[Row], ...], what: str) -> list[Column[Row]]:
    """Return the columns with that of success named by what it shows."""
    return [column._replace(title=what) if column.title == "success" else column for column in columns]


def _facts(evaluation: Evaluation) -> Iterator[tuple[str, Cell]]:
    cost = "" if evaluation.happened_cost_usd is None else f", {dollars(evaluation.happened_cost_usd)} each"
    if evaluation.graded:
        yield "what happened", f"mean score of the first tries {percent(evaluation.happened)}{cost}"
        yield "with a score", f"{evaluation.graded:,} of {count(evaluation.decisions, 'decision')}"
    else:
        yield "what happened", f"{percent(evaluation.happened)} of the first tries succeeded{cost}"
    if evaluation.happened_cost_usd is not None and evaluation.unpriced:
        yield "without a cost", f"{evaluation.unpriced:,}, counted as $0"
    if evaluation.best_single is None:
        yield "best single model", "unknown: the log is not sufficient for any"
    for policy, learning in zip(evaluation.policies, evaluation.learning, strict=True):
        name = f"{policy.name}, starting with nothing"
        if learning.success is None:
            yield name, f"unknown: {learning.refusal}"
        else:
            success = f"{_value(learning.success)} ({_interval(learning.success)})"
            yield name, f"{success} over its first {count(learning.kept, 'task')}"
