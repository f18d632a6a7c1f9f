"""``simulate``: run policies in a simulated world."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import click

from modelperf_plugin.cli import completing
from modelperf_plugin.cli.answer import Answer
from modelperf_plugin.cli.help import command
from modelperf_plugin.cli.options import (
    Common,
    Refusal,
    attempts_option,
    common_options,
    json_option,
    policy_option,
    seed_option,
)
from modelperf_plugin.cli.progress import progress_stages
from modelperf_plugin.cli.tables import Column, drawn, number, prose
from modelperf_plugin.cli.terminal_text import sparkline
from modelperf_plugin.text import UNKNOWN, count, dollars, percent

if TYPE_CHECKING:
    from modelperf_plugin.analysis.simulation.simulate import PolicyResult, Simulation

_NAME: Final[Column[PolicyResult]] = Column("policy", lambda row: row.name, "bold")
_FIRST_TRIES: Final[tuple[Column[PolicyResult], ...]] = (
    number("success", lambda row: percent(row.success_rate)),
    number("lost", lambda row: f"{row.regret:,.1f}"),
    number("± s.e.", lambda row: UNKNOWN if row.standard_error is None else f"{row.standard_error:.1f}"),
)
_TASKS: Final[tuple[Column[PolicyResult], ...]] = (
    number("solved", lambda row: percent(row.solved_rate)),
    number("lost", lambda row: f"{row.solved_regret:,.1f}"),
    number("± s.e.", lambda row: UNKNOWN if row.solved_standard_error is None else f"{row.solved_standard_error:.1f}"),
    number("first try", lambda row: percent(row.success_rate)),
    number("tries", lambda row: f"{row.tries:.2f}" if row.tries else UNKNOWN),
)
_MORE: Final[tuple[Column[PolicyResult], ...]] = (
    number("$/task", lambda row: dollars(row.cost_usd or None)),
    drawn("over time", lambda row: sparkline(row.curve) if row.curve else ""),
    Column(
        "chosen most",
        lambda row: next((f"{model_id} ({percent(share)})" for model_id, share in row.shares.items()), ""),
        optional=True,
    ),
)
_SCENARIOS: Final[tuple[Column[tuple[str, str]], ...]] = (
    Column("scenario", lambda row: row[0], "bold"),
    prose("description", lambda row: row[1]),
)


@command("", "near-tie --runs 20 --policy new.toml")
@click.argument("scenario", required=False, metavar="[SCENARIO]", shell_complete=completing.scenarios)
@policy_option
@click.option(
    "--runs", type=click.IntRange(min=1), metavar="N", default=5, show_default=True,
    help="Number of runs, each with success rates of its own.",
)  # fmt: skip
@attempts_option
@seed_option
@json_option
@common_options
def simulate(common: Common, answer: Answer, /, scenario: str | None, files: tuple[str, ...], **options: Any) -> None:
    """Run a policy in a simulated world.

    SCENARIO is a TOML file or the name of a shipped scenario; without it, the shipped ones are listed. Neither reads
    nor writes a store.
    """
    from modelperf_plugin.analysis.simulation.play import MIGRATION_GUIDE_RULE
    from modelperf_plugin.analysis.simulation.scenario import read_scenario, shipped
    from modelperf_plugin.analysis.simulation.simulate import simulate as simulate_policies
    from modelperf_plugin.config import load

    if scenario is None:
        if answer.as_json:
            raise Refusal("--json needs a SCENARIO; without one, the shipped scenarios are listed")
        answer.print_table(_SCENARIOS, [(name, read_scenario(name).description) for name in shipped()])
        return
    world = read_scenario(scenario)
    policies = {**common.policies(files), "the migration guide's rule": load(MIGRATION_GUIDE_RULE).config}
    with progress_stages() as stages:
        simulation = simulate_policies(world, policies, progress=stages("simulating"), **options)
    if answer.as_json:
        answer.print_json(**simulation.as_dict(), note=None)
        return
    size = f"{count(simulation.decisions, 'decision')}, {count(simulation.runs, 'run')}"
    answer.print_line((simulation.scenario, "bold"), f": {size}. {simulation.description}")
    answer.print_line()
    several = simulation.attempts > 1
    columns = (_NAME, *(_TASKS if several else _FIRST_TRIES), *_MORE)
    answer.print_table(columns, [*simulation.policies, *_bounds(simulation)])
    if several:
        lost = f"lost: solved tasks in a run, against trying the {simulation.attempts} best models offered each time"
    else:
        lost = "lost: successes in a run, against the best model offered each time"
    answer.print_line((lost, "dim"))


def _bounds(simulation: Simulation) -> Iterator[PolicyResult]:
    from modelperf_plugin.analysis.simulation.simulate import PolicyResult

    lost = simulation.decisions * (simulation.best_solved_rate - simulation.random_solved_rate)
    for name, success_rate, regret, solved_rate, solved_regret in (
        ("random", simulation.random_success_rate, simulation.random_regret, simulation.random_solved_rate, lost),
        ("best each time", simulation.best_success_rate, 0.0, simulation.best_solved_rate, 0.0),
    ):
        yield PolicyResult(
            name=name, success_rate=success_rate, regret=regret, standard_error=None, cost_usd=0.0, curve=(), shares={},
            solved_rate=solved_rate, solved_regret=solved_regret, solved_standard_error=None, tries=0.0,
        )  # fmt: skip
