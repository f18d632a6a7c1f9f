"""The demo, seed by seed: its result beside what a host without the plugin would have got.

``BENCH_SCALE=0.1`` does a tenth of the seeds. It is no test of the plugin on real outcomes: for those see ``decisions``
and ``costs``.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from functools import partial
from statistics import fmean
from typing import Final, NamedTuple

import tomli

from modelperf_plugin.demo.comparison import Way
from modelperf_plugin.demo.orchestrator import POLICY, run_demo
from tests.benchmarks.decisions import SCALE
from tests.benchmarks.timing import verdict

SEEDS: Final = {"used in development": range(20), "others": range(200, 240)}
GOAL: Final = 0.8
"""Share of the seeds in which every constant chosen beforehand is to be beaten, in success and in dollars."""
POLICIES: Final = {"the demo's policy": tomli.loads(POLICY), "the default policy": {}}


class _Run(NamedTuple):
    success: float
    usd: float
    ways: tuple[Way, ...]
    noticed: bool

    @property
    def constants(self) -> list[Way]:
        """The constants that were chosen beforehand."""
        return [way for way in self.ways if way.model_id is not None and not way.is_hindsight]

    @property
    def wins(self) -> bool:
        return all(self.success > way.success_rate and self.usd < _usd(way) for way in self.constants)


def main() -> None:
    """Print each seed, and the means."""
    for name, policy in POLICIES.items():
        for kind, all_seeds in SEEDS.items():
            seeds = all_seeds[: max(2, round(len(all_seeds) * SCALE))]
            with ProcessPoolExecutor(2) as pool:
                runs = list(pool.map(partial(_run, policy), seeds))
            print(f"\n{name}, seeds {kind}: success and $ a solved task; constants, and the best in hindsight")
            for seed, run in zip(seeds, runs, strict=True):
                _print_seed(seed, run)
            _print_means(runs)


def _run(policy: dict[str, object], seed: int) -> _Run:
    report = run_demo(policy, seed=seed)
    noticed = any(each.noticed_day is not None for each in report.happenings)
    return _Run(report.success_rate, report.cost_per_success_usd or 0.0, report.ways, noticed)


def _usd(way: Way) -> float:
    return way.cost_per_success_usd or 0.0


def _print_seed(seed: int, run: _Run) -> None:
    ways = "  ".join(f"{way.model_id} {way.success_rate:.3f} ${_usd(way):.4f}" for way in run.ways if way.model_id)
    better = "better" if run.wins else "      "
    print(f"{seed:>3}  {run.success:.3f} ${run.usd:.4f} {better} {'noticed' if run.noticed else '-':<7}  {ways}")


def _print_means(runs: list[_Run]) -> None:
    print(f"{'this run':<44}{fmean(run.success for run in runs):.3f} ${fmean(run.usd for run in runs):.4f}")
    for position, way in enumerate(runs[0].ways):
        name = way.name + (" (known only in hindsight)" if way.is_hindsight else "")
        own = [run.ways[position] for run in runs]
        print(f"{name:<44}{fmean(each.success_rate for each in own):.3f} ${fmean(map(_usd, own)):.4f}")
    wins = sum(run.wins for run in runs)
    goal = verdict(GOAL * len(runs), wins)
    print(f"better than every constant chosen beforehand in {wins} of {len(runs)} seeds (goal: {GOAL:.0%} {goal})")


if __name__ == "__main__":
    main()
