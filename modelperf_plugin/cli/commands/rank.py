"""``rank`` and ``explain``: what the policy makes of the models, and which one it would choose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from modelperf_plugin.cli.answer import Answer, Column, number
from modelperf_plugin.cli.options import (
    Common,
    common_options,
    csv_option,
    json_option,
    pass_common,
    split_names,
)
from modelperf_plugin.cli.task_types import task_type_note, unknown_task_type
from modelperf_plugin.cli.terminal_text import ESTIMATED, ago, count, dollars, percent, span, spent_per_success
from modelperf_plugin.values import mean_costs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from modelperf_plugin.store import LoggedCandidate
    from modelperf_plugin.values import Decision, Exclusion, RankedModel

_RANKING = (
    Column("model", "bold"), number("score"), number("interval"), number("outcomes"), number("success"),
    number("$/success"), Column("status"), number("last used", aside=True), Column("reason", aside=True),
)  # fmt: skip
_RANKING_CSV: Final = (
    "model_id", "score", "low", "high", "status", "successes", "failures", "timeouts", "outages", "caller_errors",
    "total_tokens", "total_cost_usd", "priced", "success_rate", "cost_per_success_usd", "last_used", "reason",
)  # fmt: skip
_CHOICE: Final = (
    Column("model", "bold"), number("chosen"), number("score"), number("interval"), number("outcomes"),
    number("$/task"), Column("status"), Column("reason", aside=True),
)  # fmt: skip
_COST: Final = 5
"""Which of these columns is shown only where costs matter."""
_NOT_APPLIED = {
    "observe": "mode is observe: hosts are answered None; this is what would be chosen",
    "off": "mode is off: hosts are answered None, nothing is recorded; this would be chosen",
}


@click.command()
@click.argument("task_type", metavar="TASK")
@click.option(
    "--min-samples", type=click.IntRange(min=1), metavar="N", help="Outcomes a model needs before it is proven."
)
@json_option
@csv_option
@common_options
@pass_common
def rank(common: Common, task_type: str, min_samples: int | None, as_json: bool, as_csv: bool) -> None:
    """Rank the models of a task type by the configured policy.

    For every model that has outcomes: its score (the estimated probability of success) and the interval in which
    that lies with 95 % certainty; then what was counted: outcomes, the share that succeeded, and the dollars spent
    for each success, failures included.
    """
    answer = Answer("rank", as_json=as_json, as_csv=as_csv)
    empty: dict[str, Any] = {"task_type": task_type, "ranking": []}
    flags = {} if min_samples is None else {"task_types": {task_type: {"ranking": {"min_samples": min_samples}}}}
    with common.reading(answer, flags, **empty) as engine:
        decision = engine.explain(task_type)
        if decision is None:
            unknown_task_type(answer, engine, **empty)
        means = mean_costs(engine.store.tallies())
        if as_json:
            answer.json(
                store=engine.store.location,
                task_type=task_type,
                mode=decision.mode,
                policy_id=decision.policy_id,
                ranking_strategy=decision.ranking.strategy,
                ranking=[row.as_dict() for row in decision.ranking],
                note=None,
            )
            return
    if as_csv:
        answer.csv(_RANKING_CSV, [_record(row) for row in decision.ranking])
        return
    answer.line((task_type, "bold"), f": {count(len(decision.ranking), 'model')}, best first")
    answer.line((f"ranking {decision.ranking.strategy}, policy {decision.policy_id}, {engine.store.location}", "dim"))
    answer.line()
    answer.table(_RANKING, [_ranking_row(row, means) for row in decision.ranking])
    if any("≈" in spent_per_success(row.tally, means.get(row.model_id)) for row in decision.ranking):
        answer.line()
        answer.line((ESTIMATED, "dim"))


@click.command()
@click.argument("task_type", metavar="TASK")
@click.option(
    "--candidates",
    metavar="A,B,C",
    multiple=True,
    help="The models on offer, separated by commas; may be given several times. Default: all with outcomes.",
)
@click.option("--pin", metavar="MODEL", help="As if the host insisted on this model.")
@click.option(
    "--exclude", metavar="A,B", multiple=True, help="As if the host had tried these already; like --candidates."
)
@click.option("--unit-id", metavar="ID", help="Whom or what the task is for: decides the side in an A/B test.")
@click.option("--max-cost-usd", metavar="USD", type=float, help="The most that the task may cost.")
@json_option
@common_options
@pass_common
def explain(
    common: Common,
    /,
    task_type: str,
    candidates: tuple[str, ...],
    exclude: tuple[str, ...],
    as_json: bool,
    **context: Any,
) -> None:
    """Say which model would be chosen now, and why.

    The same code decides as in a host; shown is the most likely choice. Nothing is drawn, nothing is written.
    """
    answer = Answer("explain", as_json=as_json)
    empty: dict[str, Any] = {"task_type": task_type, "decision": None}
    offered, tried = split_names(candidates), split_names(exclude)
    with common.reading(answer, **empty) as engine:
        known = engine.store.evidence(task_type)
        if not known and not candidates:
            unknown_task_type(answer, engine, **empty)
        decision = engine.explain(task_type, offered if candidates else None, {**context, "exclude": tried})
        if decision is None:
            answer.nothing("no candidate is left: all are excluded or over the budget", **empty)
        note = None if known else task_type_note(engine, task_type)
        location = engine.store.location
    if as_json:
        answer.json(store=location, task_type=task_type, decision=decision.as_dict(), note=note)
    else:
        _show(answer, decision, note, location)


def _show(answer: Answer, decision: Decision, note: str | None, location: str) -> None:
    answer.line((decision.task_type, "bold"), " → ", (decision.model_id, "bold green"))
    answer.line(decision.reason)
    for warning in (note, _NOT_APPLIED.get(decision.mode)):
        if warning is not None:
            answer.line((warning, "yellow"))
    answer.line((f"mode {decision.mode}, policy {decision.policy_id}, {location}", "dim"))
    answer.line()
    shares = decision.propensities
    show_candidates(answer, [(row, shares[row.model_id], row.tally.samples) for row in decision.ranking])
    show_excluded(answer, decision.excluded)


def show_candidates(answer: Answer, candidates: Sequence[tuple[RankedModel | LoggedCandidate, float, int]]) -> None:
    """Show the candidates of a decision, each with the probability that it was chosen and its number of outcomes."""
    rows = [
        [
            row.model_id,
            percent(share),
            percent(row.score),
            span(row.interval),
            f"{samples:,}",
            dollars(row.expected_cost_usd),
            row.status,
            row.reason,
        ]
        for row, share, samples in candidates
    ]
    costs_matter = any(row.expected_cost_usd is not None for row, _, _ in candidates)
    shown = [position for position in range(len(_CHOICE)) if costs_matter or position != _COST]
    answer.table([_CHOICE[position] for position in shown], [[row[position] for position in shown] for row in rows])


def show_excluded(answer: Answer, excluded: Sequence[Exclusion]) -> None:
    """Show which candidates were not permitted, if any."""
    if excluded:
        answer.line()
        answer.table([Column("excluded", "bold"), Column("reason")], [[row.model_id, row.reason] for row in excluded])


def _record(row: RankedModel) -> dict[str, Any]:
    low, high = row.interval or (None, None)
    return {**row.tally.as_dict(), **row.as_dict(), "low": low, "high": high}


def _ranking_row(row: RankedModel, means: Mapping[str, float]) -> list[str]:
    tally = row.tally
    return [
        row.model_id,
        percent(row.score),
        span(row.interval),
        f"{tally.samples:,}",
        percent(tally.success_rate),
        spent_per_success(tally, means.get(row.model_id)),
        row.status,
        ago(tally.last_used),
        row.reason,
    ]
