"""Savings and losses from weighing costs: the objective ``cheapest_within`` beside ``success``, on real outcomes.

All 24 models of one file are offered for every instance; the router learns from nothing but its own choices, in the
same shuffled orders for every objective. ``BENCH_SCALE=0.1`` does a tenth of the runs. The outcomes are looked for
beside the repository in ``../shared/outcomes``, or where ``BENCH_OUTCOMES`` says.
"""

from __future__ import annotations

from dataclasses import replace
from math import sqrt
from statistics import fmean, stdev
from typing import Any, Final, NamedTuple

from modelperf_plugin.analysis.simulation.outcomes_file import OutcomeData, read_outcomes
from modelperf_plugin.analysis.simulation.replay import replay
from tests.benchmarks.decisions import OUTCOMES, SCALE
from tests.benchmarks.timing import verdict

SOURCE: Final = "swebench_bash_only"
RUNS: Final = 40
PASSES: Final = (1, 4)
"""How often each instance comes: 500 and 2,000 decisions."""
MARGIN, CUT_GOAL = 0.03, 0.35
OBJECTIVES: Final[dict[str, dict[str, Any]]] = {
    "success": {"objective": "success"},
    "cheapest_within .03": {"objective": "cheapest_within", "margin": MARGIN},
    "cheapest_within .03, confidence .6": {"objective": "cheapest_within", "margin": MARGIN, "confidence": 0.6},
    "value, $5 a success": {"objective": "value", "usd_per_success": 5.0},
    "value, $20 a success": {"objective": "value", "usd_per_success": 20.0},
}


class _Run(NamedTuple):
    success: float
    usd: float


def main() -> None:
    """Print success and cost of each objective, and the difference to success alone."""
    file = OUTCOMES / f"{SOURCE}.csv.gz"
    if not file.exists():
        print(f"skipped, {file} is not there (BENCH_OUTCOMES says where it is)")
        return
    core = read_outcomes(file).dense_core()
    for passes in PASSES:
        runs = max(2, round(RUNS * SCALE / passes))
        data = replace(core, instances=core.instances * passes)
        print(f"{len(data.instances):,} decisions among {len(core.models)} models, {runs} orders, ± standard error")
        found = {name: [_run(data, cost, seed) for seed in range(runs)] for name, cost in OBJECTIVES.items()}
        _print(found)
    single = max(core.models, key=lambda model: sum(each.outcomes[model].success for each in core.instances))
    usd = fmean(each.outcomes[single].cost_usd for each in core.instances)
    print(f"For comparison: always {single}, the best single model in hindsight, costs ${usd:.3f} a task")


def _run(data: OutcomeData, cost: dict[str, Any], seed: int) -> _Run:
    report = replay(data, {"cost": cost}, repeats=1, seed=seed).policy
    per_success = report.cost_per_success_usd or 0.0
    return _Run(report.success_rate, per_success * report.success_rate)


def _print(found: dict[str, list[_Run]]) -> None:
    base = found["success"]
    print(f"{'objective':<36}{'success':>9}{'$ a task':>10}{'Δ success':>18}{'cost cut':>10}")
    for name, runs in found.items():
        lost = [run.success - other.success for run, other in zip(runs, base, strict=True)]
        cut = 1.0 - sum(run.usd for run in runs) / sum(run.usd for run in base)
        error = stdev(lost) / sqrt(len(lost))
        goals = ""
        if name == "cheapest_within .03":
            goals = f"  goals: ≥ −{MARGIN} {verdict(-fmean(lost), MARGIN)}, ≥ {CUT_GOAL:.0%} {verdict(-cut, -CUT_GOAL)}"
        print(
            f"{name:<36}{fmean(run.success for run in runs):>9.3f}{fmean(run.usd for run in runs):>10.3f}"
            f"{f'{fmean(lost):+.4f} ± {error:.4f}':>18}{cut:>10.1%}{goals}",
            flush=True,
        )


if __name__ == "__main__":
    main()
