"""Prices that change: how soon a cut is found, how often a rise is paid for, and what one outlier does.

The product is driven through its own methods, one outcome after each choice, and learns from nothing else. Costs are
lognormal with the given coefficient of variation. ``BENCH_SCALE=0.5`` does half the runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import log, sqrt
from random import Random
from statistics import fmean, median
from typing import Any, Final, NamedTuple

from modelperf_plugin import ModelPerf
from tests.benchmarks.decisions import SCALE
from tests.benchmarks.timing import verdict

SEEDS: Final = max(5, round(24 * SCALE))
BEFORE, AFTER, WINDOW = 1_000, 1_000, 20
FOUND_GOAL: Final = 150
CHEAPEST: Final[dict[str, Any]] = {"cost": {"objective": "cheapest_within", "margin": 0.03}}
VALUE: Final[dict[str, Any]] = {"cost": {"objective": "value", "usd_per_success": 2.0}}


class _Model(NamedTuple):
    chance: float
    usd: float


def main() -> None:
    """Print the three figures, each for steady and for varied costs."""
    for variation in (0.2, 1.0):
        print(f"coefficient of variation of the costs {variation:g}, {SEEDS} seeds, {BEFORE:,} outcomes before")
        for usd in (0.03, 0.05, 0.08):
            found = [_found_after_cut(seed, usd, variation) for seed in range(SEEDS)]
            print(
                f"  ${usd:g} beside $0.02, cut to a fifth, found after: median {median(found):g}, worst {max(found)} "
                f"tasks  goal ≤ {FOUND_GOAL}: {verdict(median(found), FOUND_GOAL)}",
                flush=True,
            )
        calls = [_calls_after_rise(seed, variation) for seed in range(SEEDS)]
        print(
            f"  price × 10 under max_cost_usd: {median(calls):g} calls of {AFTER:,}, at most {max(calls)}", flush=True
        )
        for position in (0, 5):
            shares = [_share_after_outlier(seed, position, variation) for seed in range(SEEDS)]
            print(
                f"  outcome {position + 1} costs $3 under max_cost_usd = .5: share of the best model in 1,000 tasks: "
                f"median {median(shares):.2f}, worst {min(shares):.2f}",
                flush=True,
            )
        for config in (CHEAPEST, VALUE):
            plain, late = (
                [_share_after_late_outlier(seed, config, variation, usd) for seed in range(SEEDS)]
                for usd in (None, 30.0)
            )
            print(
                f"  {config['cost']['objective']}, one cost of $30 among $0.10 at task 300: share of that model in the "
                f"next 1,000 tasks: mean {fmean(late):.2f}, worst {min(late):.2f}; without it: {fmean(plain):.2f}",
                flush=True,
            )
        spent = [_extra_money(seed, variation) for seed in range(SEEDS)]
        print(
            f"  no price changes, 2,000 tasks: money against the best model: median × {median(spent):.4f}", flush=True
        )


def _play(
    seed: int, tasks: int, models: Callable[[int], Mapping[str, _Model]], variation: float,
    config: Mapping[str, Any], context: Mapping[str, Any] | None = None,
    outlier: tuple[str, int, int, float] | None = None,
) -> list[tuple[str, float]]:  # fmt: skip
    """Return which model each task went to, and what it cost; "" is none.

    The ``outlier`` is the first call of a model from a task and a number of calls on, and costs so many dollars.
    """
    rng, deviation = Random(f"prices/{seed}"), sqrt(log(1.0 + variation**2))
    chosen: list[tuple[str, float]] = []
    calls: dict[str, int] = {}
    with ModelPerf(config, store=":memory:", seed=seed) as engine:
        for task in range(tasks):
            offered = models(task)
            decision = engine.select("code", offered, context)
            if decision is None:  # each seems to cost more than the task may
                chosen.append(("", 0.0))
                continue
            name = decision.model_id
            usd = offered[name].usd * rng.lognormvariate(-(deviation**2) / 2, deviation)
            if outlier is not None and name == outlier[0] and task >= outlier[1] and calls.get(name, 0) >= outlier[2]:
                usd, outlier = outlier[3], None
            calls[name] = calls.get(name, 0) + 1
            outcome = {"success": rng.random() < offered[name].chance, "cost_usd": usd}
            engine.record("code", name, outcome, decision)
            chosen.append((name, usd))
    return chosen


def _found_after_cut(seed: int, usd: float, variation: float) -> int:
    def models(task: int) -> dict[str, _Model]:
        factor = 1.0 if task < BEFORE else 0.2
        return {"steady": _Model(0.8, 0.02), "cut": _Model(0.8, usd * factor), "poor": _Model(0.5, 0.01)}

    played = [name == "cut" for name, _ in _play(seed, BEFORE + AFTER, models, variation, CHEAPEST)][BEFORE:]
    for start in range(AFTER - WINDOW):
        if played[start] and sum(played[start : start + WINDOW]) > WINDOW // 2:
            return start
    return AFTER


def _calls_after_rise(seed: int, variation: float) -> int:
    def models(task: int) -> dict[str, _Model]:
        return {"risen": _Model(0.9, 0.05 if task < BEFORE else 0.5), "other": _Model(0.7, 0.05)}

    played = _play(seed, BEFORE + AFTER, models, variation, {}, {"max_cost_usd": 0.2})
    return sum(name == "risen" for name, _ in played[BEFORE:])


def _share_after_outlier(seed: int, position: int, variation: float) -> float:
    def models(_: int) -> dict[str, _Model]:
        return {"best": _Model(0.9, 0.05), "other": _Model(0.7, 0.05)}

    played = _play(seed, 1_000, models, variation, {}, {"max_cost_usd": 0.5}, ("best", 0, position, 3.0))
    return sum(name == "best" for name, _ in played) / len(played)


def _share_after_late_outlier(seed: int, config: Mapping[str, Any], variation: float, usd: float | None) -> float:
    def models(_: int) -> dict[str, _Model]:
        return {"cheap": _Model(0.8, 0.1), "other": _Model(0.8, 0.2), "poor": _Model(0.5, 0.05)}

    played = _play(seed, 1_300, models, variation, config, outlier=None if usd is None else ("cheap", 300, 0, usd))
    start = next(task for task in range(300, len(played)) if played[task][0] == "cheap")
    after = played[start + 1 :]
    return sum(name == "cheap" for name, _ in after) / len(after)


def _extra_money(seed: int, variation: float) -> float:
    def models(_: int) -> dict[str, _Model]:
        return {"steady": _Model(0.8, 0.02), "dear": _Model(0.8, 0.05), "poor": _Model(0.5, 0.01)}

    played = _play(seed, 2_000, models, variation, CHEAPEST)
    return sum(models(0)[name].usd for name, _ in played) / (0.02 * len(played))


if __name__ == "__main__":
    main()
