"""Sequential tests in simulation: wrong and right demotions and verdicts, looked at after every outcome."""

from __future__ import annotations

import random
import statistics
from math import inf, log

from modelperf_plugin.policy.sequential import FallWatch, Side, Versus
from modelperf_plugin.policy.sequential.versus import LEVEL
from tests.benchmarks.timing import p50_microseconds, verdict

RUNS = 1000
LONGEST = 2000
THRESHOLD = 0.75
FALSE_DEMOTIONS_GOAL = 0.01
CAUGHT_GOAL = 80
FALSE_VERDICTS_GOAL = 0.05
UPDATE_GOAL_MICROSECONDS = 4.0


def main() -> None:
    """Print false demotions, how soon a fall is caught, false A/B verdicts and power, and the cost of an update."""
    rng = random.Random(20_000)
    share = demoted_share(rng, 0.8)
    goal = f"(goal < {FALSE_DEMOTIONS_GOAL:.0%}: {verdict(share, FALSE_DEMOTIONS_GOAL)})"
    print(f"ever demoted in {LONGEST:,} outcomes, rate .80, threshold .75   {share:6.1%} {goal}")
    for good in (0, 200, 1000):
        caught = statistics.median(outcomes_until_caught(rng, good) for _ in range(RUNS))
        goal = f"(goal ≤ {CAUGHT_GOAL}: {verdict(caught, CAUGHT_GOAL)})"
        print(f"outcomes until a fall to .5 at {good:>5,} is caught, median  {caught:6.0f} {goal}")
    for name, share_b in (("50/50", 0.5), ("90/10", 0.1)):
        false = sum(outcomes_until_verdict(rng, 0.8, share_b) < inf for _ in range(RUNS)) / RUNS
        goal = f"(goal ≤ {FALSE_VERDICTS_GOAL:.0%}: {verdict(false, FALSE_VERDICTS_GOAL)})"
        print(f"A/B {name}, verdict within {LONGEST:,} at .80/.80              {false:6.1%} {goal}")
        found = [outcomes_until_verdict(rng, 0.9, share_b) for _ in range(RUNS)]
        power = sum(each < inf for each in found) / RUNS
        print(f"A/B {name}, verdict within {LONGEST:,} at .80/.90              {power:6.1%}", end=" ")
        print(f"(after a median of {statistics.median(found):.0f} outcomes)")
    cost = update_cost(rng)
    goal = f"(goal ≤ {UPDATE_GOAL_MICROSECONDS:g} µs: {verdict(cost, UPDATE_GOAL_MICROSECONDS)})"
    print(f"update of a fall watch, p50                                {cost:6.1f} µs {goal}")


def demoted_share(rng: random.Random, rate: float) -> float:
    """Return the share of runs in which a model that never changes is demoted at some time."""
    demoted = 0
    for _ in range(RUNS):
        watch = FallWatch()
        for _ in range(LONGEST):
            watch = watch.updated(rng.random() < rate, THRESHOLD)
            if watch.demotes():
                demoted += 1
                break
    return demoted / RUNS


def outcomes_until_caught(rng: random.Random, good: int) -> float:
    """Return how many outcomes at .5 it takes after ``good`` ones at .80."""
    watch = FallWatch()
    for _ in range(good):
        watch = watch.updated(rng.random() < 0.8, THRESHOLD)
    for number in range(1, LONGEST + 1):
        watch = watch.updated(rng.random() < 0.5, THRESHOLD)
        if watch.demotes():
            return number
    return inf


def outcomes_until_verdict(rng: random.Random, rate_b: float, share_b: float) -> float:
    """Return after how many outcomes there is a verdict on A at .80 and B at ``rate_b``."""
    state, level = Versus(), log(LEVEL)
    for number in range(1, LONGEST + 1):
        side: Side = "B" if rng.random() < share_b else "A"
        state = state.updated(side, rng.random() < (rate_b if side == "B" else 0.8), share_b)
        if state.peak >= level:
            return number
    return inf


def update_cost(rng: random.Random) -> float:
    """Return the median time of taking in one outcome."""
    watch = FallWatch(1000, (0.001,) * 5)
    outcomes = [rng.random() < 0.8 for _ in range(20_000)]
    return p50_microseconds(lambda number: watch.updated(outcomes[number], THRESHOLD), len(outcomes))
