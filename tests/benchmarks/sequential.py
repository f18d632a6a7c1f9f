"""Sequential tests in simulation: wrong and right demotions and verdicts, looked at after every outcome."""

from __future__ import annotations

import random
import statistics
from collections.abc import Mapping
from heapq import heappop, heappush
from math import exp, inf, log

import modelperf_plugin as mp
from modelperf_plugin.policy.belief import Belief
from modelperf_plugin.policy.difficulty import Difficulty, Harder
from modelperf_plugin.policy.sequential import ChangeWatch, FallWatch, Side, TwoSampleTest, later_try
from modelperf_plugin.policy.sequential.two_sample_test import LEVEL
from tests.benchmarks.timing import p50_microseconds, verdict
from tests.policy.retrying import SimulatedTry, tries_of

RUNS = 1000
LONGEST = 2000
THRESHOLD = 0.75
FALSE_DEMOTIONS_GOAL = 0.01
CAUGHT_GOAL = 80
FALSE_VERDICTS_GOAL = 0.05
UPDATE_GOAL_MICROSECONDS = 4.0
MINIMUM = 100
KNOWN_POWER = {
    ("50/50", 0.9): "; known for the plug-in e-variable in pairs: 392",
    ("50/50", 0.85): "; known for it: 53 %",
    ("90/10", 0.9): "; known: 83 %",
    ("90/10", 0.85): "",
}
"""What the tables that this project started from give for tests of this kind."""
ENGINE_RUNS = 200
STICKY_RUNS = 300
LATE_RUNS = 300
STICKY_UNITS = 20
LATER_RUNS, LATER_TASKS, LATER_FALL = 100, 1500, 300
FALSE_LATER_GOAL = 0.05
SPREADS = {"narrow": 50.0, "medium": 5.0, "wide": 0.5}
"""Concentrations of Beta-distributed scores: deviations of .06, .16 and .33 at a mean of .80."""
GRADED_RUNS = 500


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
        for minimum in (0, MINIMUM):
            false = sum(outcomes_until_verdict(rng, 0.8, share_b, minimum) < inf for _ in range(RUNS)) / RUNS
            goal = f"(goal ≤ {FALSE_VERDICTS_GOAL:.0%}: {verdict(false, FALSE_VERDICTS_GOAL)})"
            what = f"A/B {name}, min_samples {minimum:>3}, verdict within {LONGEST:,} at .80"
            print(f"{what}/.80 {false:6.1%} {goal}")
            for rate_b in (0.9, 0.85):
                found = [outcomes_until_verdict(rng, rate_b, share_b, minimum) for _ in range(RUNS)]
                power = sum(each < inf for each in found) / RUNS
                median = f"{statistics.median(found):,.0f}" if power > 0.5 else f"more than {LONGEST:,}"
                print(
                    f"{what}/{rate_b:.2f} {power:6.1%} (after a median of {median} outcomes){KNOWN_POWER[name, rate_b]}"
                )
    through_the_engine(rng)
    for minimum in (0, 100, 200):
        for delay in (8, 30, 100):
            false = sum(late_sides_differ(rng, delay, minimum) for _ in range(LATE_RUNS)) / LATE_RUNS
            late = f"outcomes late by {delay} or {delay // 2}, failures thrice that"
            print(f"A/B, {late}, min_samples {minimum}: {false:6.1%} false verdicts")
    for name, first_only in (("all outcomes", False), ("the first outcome of each", True)):
        false = sum(sticky_units_differ(rng, first_only=first_only) for _ in range(STICKY_RUNS)) / STICKY_RUNS
        print(f"A/B by unit, {STICKY_UNITS} unequal units, {name:<25} {false:6.1%} false verdicts")
    later_tries(rng)
    graded(rng)
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


def outcomes_until_verdict(rng: random.Random, rate_b: float, share_b: float, minimum: int) -> float:
    """Return after how many outcomes there is a verdict on A at .80 and B at ``rate_b``; the first are no evidence."""
    state, level = TwoSampleTest(), log(LEVEL)
    for number in range(1, LONGEST + 1):
        side: Side = "B" if rng.random() < share_b else "A"
        success = rng.random() < (rate_b if side == "B" else 0.8)
        state = state.updated(side, success, share_b, counts=state.outcomes >= minimum)
        if state.peak >= level:
            return number
    return inf


def through_the_engine(rng: random.Random) -> None:
    """Print false verdicts and power of whole A/B tests, with a look into the store after each outcome."""
    for arms in (2, 3):
        for name, share in (("50/50", 0.5), ("90/10", 0.1)):
            equal = dict.fromkeys("ABC"[:arms], 0.8)
            found = [engine_verdict(rng.getrandbits(32), equal, share) for _ in range(ENGINE_RUNS)]
            false = sum(winner is not None for winner, _ in found) / ENGINE_RUNS
            goal = f"(goal ≤ {FALSE_VERDICTS_GOAL:.0%}: {verdict(false, FALSE_VERDICTS_GOAL)})"
            print(f"engine, {arms} arms {name}, all at .80: a verdict in {false:6.1%} {goal}", flush=True)
            found = [engine_verdict(rng.getrandbits(32), {**equal, "B": 0.9}, share) for _ in range(ENGINE_RUNS)]
            right = [outcomes for winner, outcomes in found if winner == "B"]
            wrong = sum(winner not in {None, "B"} for winner, _ in found) / ENGINE_RUNS
            median = statistics.median(right) if right else inf
            print(
                f"engine, {arms} arms {name}, B at .90: B wins first in {len(right) / ENGINE_RUNS:6.1%} "
                f"(after a median of {median:.0f} outcomes), another in {wrong:.1%}",
                flush=True,
            )


def engine_verdict(seed: int, rates: dict[str, float], share: float) -> tuple[str | None, int]:
    """Return who is the first to be found better in an A/B test of ``rates``, and after how many outcomes."""
    world = random.Random(seed)
    incumbent, *challengers = rates
    test = {"strategy": "ab_test", "incumbent": incumbent, "challenger": challengers, "share": share}
    config = {"exploration": test, "demotion": {"strategy": "never"}, "drift": {"detect": False}, "log": {"share": 0.0}}
    with mp.ModelPerf(config, store=":memory:", seed=seed) as perf:
        for number in range(1, LONGEST + 1):
            decision = perf.select("t", list(rates))
            if decision is None:
                raise SystemExit("there was no decision: the figures mean nothing")
            success = world.random() < rates[decision.model_id]
            perf.record("t", decision.model_id, mp.Outcome(success=success), decision)
            for pair in perf.store.ab_tests.all()[0].contests:
                if pair.verdict is not None:
                    return (pair.challenger if pair.verdict == "challenger" else incumbent), number
    return None, LONGEST


def late_sides_differ(rng: random.Random, delay: int, minimum: int) -> bool:
    """Return whether equal sides seem to differ when B's outcomes come in half the time, and failures in thrice."""
    arriving: list[tuple[int, int, Side, bool]] = []
    state, level = TwoSampleTest(), log(LEVEL)
    for now in range(LONGEST):
        side: Side = rng.choice(("A", "B"))
        success = rng.random() < 0.8
        late = (delay if side == "A" else delay // 2) * (1 if success else 3)
        heappush(arriving, (now + late, now, side, success))
        while arriving and arriving[0][0] <= now:
            *_, side, success = heappop(arriving)
            state = state.updated(side, success, 0.5, counts=state.outcomes >= minimum)
            if state.peak >= level:
                return True
    return False


def sticky_units_differ(rng: random.Random, *, first_only: bool) -> bool:
    """Return whether equal models seem to differ when few units of unequal difficulty keep their sides."""
    rates = [1.0 / (1.0 + exp(-(log(4.0) + rng.gauss(0.0, 1.0)))) for _ in range(STICKY_UNITS)]
    sides: list[Side] = [rng.choice(("A", "B")) for _ in range(STICKY_UNITS)]
    state, level, seen = TwoSampleTest(), log(LEVEL), set()
    for _ in range(LONGEST):
        unit = rng.randrange(STICKY_UNITS)
        success = rng.random() < rates[unit]
        if not (first_only and unit in seen):
            state = state.updated(sides[unit], success, 0.5)
        seen.add(unit)
        if state.peak >= level:
            return True
    return False


def later_tries(rng: random.Random) -> None:
    """Print false demotions among first and later tries, and how soon a fall is found, for a host that tries again."""
    rates = {"a": 0.75, "b": 0.65, "c": 0.55}
    beliefs = {model_id: Belief(1e4 * rate, 1e4 * (1.0 - rate)) for model_id, rate in rates.items()}
    for spread, learned in ((1.5, 1.5), (1.5, 1.0), (3.0, 3.0), (3.0, 2.0)):
        before: dict[tuple[str, ...], Harder] = {
            tried: later_try(Difficulty(learned), tried, beliefs).lowest for tried in (("a",), ("b",), ("a", "b"))
        }
        steady = [tries_of("c", rates, spread, LATER_TASKS, rng) for _ in range(LATER_RUNS)]
        share = sum(task_when_demoted(run, before, rates["c"]) < inf for run in steady) / LATER_RUNS
        falls = [falling(rates, spread, rng) for _ in range(LATER_RUNS)]
        firsts = [[each for each in run if not each.tried] for run in falls]
        among_all, among_firsts = (
            statistics.median(task_when_demoted(run, before, 0.5) for run in runs) - LATER_FALL
            for runs in (falls, firsts)
        )
        print(
            f"three tries, spread {spread}, learned {learned}: demoted at the threshold {share:6.1%} "
            f"(goal ≤ {FALSE_LATER_GOAL:.0%}: {verdict(share, FALSE_LATER_GOAL)}); "
            f"a fall from .55 to .25 takes {among_all:.0f} tasks, by first tries alone {among_firsts:.0f}",
            flush=True,
        )


def graded(rng: random.Random) -> None:
    """Print false demotions, false alarms and false verdicts of scores with equal means and unequal spread."""
    for name, spread in SPREADS.items():
        share = sum(graded_demoted(rng, spread) for _ in range(GRADED_RUNS)) / GRADED_RUNS
        alarms = sum(graded_alarm(rng, spread) for _ in range(GRADED_RUNS)) / GRADED_RUNS
        goal = f"(goal < {FALSE_DEMOTIONS_GOAL:.0%}: {verdict(share, FALSE_DEMOTIONS_GOAL)})"
        print(
            f"{name} scores of mean .80, {LONGEST:,} outcomes: demoted below .75 {share:6.1%} {goal}, "
            f"a change {alarms:.1%}",
            flush=True,
        )
    for pair in (("narrow", "wide"), ("wide", "narrow"), ("narrow", "narrow"), ("wide", "wide")):
        for share_b in (0.5, 0.1):
            runs = [graded_verdict(rng, pair, share_b, 0.8) < inf for _ in range(GRADED_RUNS)]
            found = [graded_verdict(rng, pair, share_b, 0.85) for _ in range(GRADED_RUNS)]
            false, power = sum(runs) / GRADED_RUNS, sum(each < inf for each in found) / GRADED_RUNS
            goal = f"(goal ≤ {FALSE_VERDICTS_GOAL:.0%}: {verdict(false, FALSE_VERDICTS_GOAL)})"
            what = f"A/B {share_b:.0%} B, {' against '.join(pair)} scores"
            print(f"{what}: false {false:6.1%} {goal}, .85 found {power:.1%}", flush=True)


def score(rng: random.Random, mean: float, spread: float) -> float:
    """Return a score from the Beta distribution with this mean and concentration."""
    return rng.betavariate(spread * mean, spread * (1.0 - mean))


def graded_demoted(rng: random.Random, spread: float) -> bool:
    """Return whether scores with a mean of .80 demote at some time, at a threshold of .75."""
    watch = FallWatch()
    for _ in range(LONGEST):
        watch = watch.updated(score(rng, 0.8, spread), THRESHOLD)
        if watch.demotes():
            return True
    return False


def graded_alarm(rng: random.Random, spread: float) -> bool:
    """Return whether scores with the predicted mean raise an alarm at some time."""
    watch = ChangeWatch()
    for position in range(1, LONGEST + 1):
        watch = watch.updated(0.8, score(rng, 0.8, spread), position)
        if watch.alarm() is not None:
            return True
    return False


def graded_verdict(rng: random.Random, pair: tuple[str, str], share_b: float, mean_b: float) -> float:
    """Return after how many outcomes there is a verdict on A at a mean of .80 and B at ``mean_b``."""
    state, level = TwoSampleTest(), log(LEVEL)
    for number in range(1, LONGEST + 1):
        side: Side = "B" if rng.random() < share_b else "A"
        name, mean = (pair[1], mean_b) if side == "B" else (pair[0], 0.8)
        state = state.updated(side, score(rng, mean, SPREADS[name]), share_b)
        if state.peak >= level:
            return number
    return inf


def falling(rates: Mapping[str, float], spread: float, rng: random.Random) -> list[SimulatedTry]:
    """Return the tries of a model that falls to .25 after some tasks."""
    before = tries_of("c", rates, spread, LATER_FALL, rng)
    after = tries_of("c", {**rates, "c": 0.25}, spread, LATER_TASKS, rng)
    return before + [each._replace(task=each.task + LATER_FALL) for each in after]


def task_when_demoted(tries: list[SimulatedTry], before: Mapping[tuple[str, ...], Harder], threshold: float) -> float:
    """Return the number of the task after which a model is demoted."""
    watch = FallWatch()
    for success, tried, task in tries:
        watch = watch.updated(success, threshold, before.get(tried))
        if watch.demotes():
            return task
    return inf


def update_cost(rng: random.Random) -> float:
    """Return the median time of taking in one outcome."""
    watch = FallWatch(1000, (0.001,) * 5)
    outcomes = [rng.random() < 0.8 for _ in range(20_000)]
    return p50_microseconds(lambda number: watch.updated(outcomes[number], THRESHOLD), len(outcomes))
