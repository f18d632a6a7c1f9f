"""``simulate``: a policy at work in a simulated world."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from modelperf_plugin.cli.answer import Answer, Cell, Column, number
from modelperf_plugin.cli.options import Common, Refusal, common_options, json_option
from modelperf_plugin.cli.progress import stages
from modelperf_plugin.cli.terminal_text import count, dollars, percent, sparkline

if TYPE_CHECKING:
    from modelperf_plugin.analysis.simulation.simulate import PolicyResult, Simulation

_POLICIES: Final = (
    Column("policy", "bold"), number("success"), number("lost"), number("± s.e."), number("$/task"),
    Column("over time"), Column("chosen most", overflow=True),
)  # fmt: skip
_SCENARIOS: Final = (Column("scenario", "bold"), Column("what happens"))


@click.command()
@click.argument("scenario", required=False, metavar="[SCENARIO]")
@click.option(
    "--policy", "files", multiple=True, metavar="TOML", type=click.Path(exists=True, dir_okay=False),
    help="A configuration to watch, instead of the one in force; may be given several times.",
)  # fmt: skip
@click.option(
    "--runs", type=click.IntRange(min=1), metavar="N", default=5, show_default=True,
    help="How many runs, each with rates of its own.",
)  # fmt: skip
@click.option("--seed", type=int, metavar="N", default=0, show_default=True, help="The same seed, the same answer.")
@json_option
@common_options
def simulate(
    common: Common, answer: Answer, /, scenario: str | None, files: tuple[str, ...], runs: int, seed: int
) -> None:
    """See a policy at work in a simulated world.

    SCENARIO is a TOML file that says what happens, or the name of a shipped one; without it those are listed. Nothing
    is read from or written to a store.
    """
    from modelperf_plugin.analysis.simulation.play import MIGRATION_GUIDE_RULE
    from modelperf_plugin.analysis.simulation.scenario import read_scenario, shipped
    from modelperf_plugin.analysis.simulation.simulate import simulate as simulate_policies
    from modelperf_plugin.config import load

    if scenario is None:
        if answer.as_json:
            raise Refusal("--json needs a SCENARIO; without one the shipped scenarios are listed")
        answer.print_table(_SCENARIOS, [[name, read_scenario(name).description] for name in shipped()])
        return
    world = read_scenario(scenario)
    policies = {file: load(file).config for file in files} or {"the policy in force": common.load().config}
    policies["the migration guide's rule"] = load(MIGRATION_GUIDE_RULE).config
    with stages() as stage:
        found = simulate_policies(world, policies, runs=runs, seed=seed, progress=stage("simulating"))
    if answer.as_json:
        answer.print_json(**found.as_dict(), note=None)
    else:
        _show(answer, found)


def _show(answer: Answer, found: Simulation) -> None:
    shape = f"{count(found.decisions, 'decision')}, {count(found.runs, 'run')}"
    answer.print_line((found.scenario, "bold"), f": {shape}. {found.description}")
    answer.print_line()
    answer.print_table(_POLICIES, [*(_row(each) for each in found.policies), *_bounds(found)])
    answer.print_line(("lost: successes in a run, against the best model offered each time", "dim"))


def _row(each: PolicyResult) -> list[Cell]:
    model_id, share = next(iter(each.shares.items()))
    return [
        each.name,
        percent(each.success_rate),
        f"{each.regret:,.1f}",
        "-" if each.standard_error is None else f"{each.standard_error:.1f}",
        dollars(each.cost_usd) if each.cost_usd else "-",
        sparkline(each.curve),
        f"{model_id} ({percent(share)})",
    ]


def _bounds(found: Simulation) -> list[list[Cell]]:
    return [
        ["random", percent(found.random_success_rate), f"{found.random_regret:,.1f}", "-", "-", "", ""],
        ["best each time", percent(found.best_success_rate), "0.0", "-", "-", "", ""],
    ]
