"""A/B tests in which outcomes are lost, or late on one side, in simulation: the check before each verdict."""

from __future__ import annotations

import random
import statistics
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from heapq import heappop, heappush
from math import inf

from modelperf_plugin.engine.ab_draws import Draw
from modelperf_plugin.engine.ab_ratios import check, settled, undecided_winners
from modelperf_plugin.engine.ab_tests import RECHECK_GROWTH
from modelperf_plugin.engine.ab_verdicts import advanced, state_of
from modelperf_plugin.store import DrawnDecisions, Entry, StoredContest, StoredTest
from modelperf_plugin.values import Assignment, Outcome
from tests.benchmarks.timing import verdict

RUNS = 500
TASKS = 2000
FALSE_GOAL = 0.01
Lost = Mapping[tuple[str, bool], float]
"""The share of outcomes that are lost, by side and success."""
Delay = Callable[[str, bool], int]
"""After how many further tasks an outcome arrives, by side and success."""
EQUAL = (0.7, 0.7)
NONE: Lost = {}
HALF: Lost = dict.fromkeys([(side, success) for side in "AB" for success in (True, False)], 0.5)
FAILURES_OF_B: Lost = {("B", False): 0.4}
FAILURES_OF_A: Lost = {("A", False): 0.4}


def at_once(_: str, success: bool) -> int:
    """Return the delay where tasks are done one after the other."""
    return 0


def slow_failures_of_b(side: str, success: bool) -> int:
    """Return the delay where about 30 tasks are under way and failures of B take six times as long."""
    return 15 if success else 15 * (6 if side == "B" else 2)


def main() -> None:
    """Print how often there is a verdict, with and without lost outcomes."""
    for name, rates, share, lost, delay, goal in (
        ("equal, nothing lost", EQUAL, 0.5, NONE, at_once, None),
        ("equal, 40 % of B's failures lost", EQUAL, 0.5, FAILURES_OF_B, at_once, FALSE_GOAL),
        ("equal, 40 % of A's failures lost", EQUAL, 0.5, FAILURES_OF_A, at_once, FALSE_GOAL),
        ("equal, 40 % of B's failures lost, share .1", EQUAL, 0.1, FAILURES_OF_B, at_once, FALSE_GOAL),
        (
            "equal, 40 % of B's failures lost, others late",
            EQUAL,
            0.5,
            FAILURES_OF_B,
            slow_failures_of_b,
            FALSE_GOAL,
        ),
        ("equal, B's failures late", EQUAL, 0.5, NONE, slow_failures_of_b, None),
        (".70 and .80, nothing lost", (0.7, 0.8), 0.5, NONE, at_once, None),
        (".70 and .80, half of all lost", (0.7, 0.8), 0.5, HALF, at_once, None),
        (".70 and .80, B's failures late", (0.7, 0.8), 0.5, NONE, slow_failures_of_b, None),
        (".80 and .70, B's failures late", (0.8, 0.7), 0.5, NONE, slow_failures_of_b, None),
    ):
        for checked in (False, True):
            rng = random.Random(13)
            found = [tasks_until_verdict(rng, rates, share, lost, delay, checked=checked) for _ in range(RUNS)]
            part = sum(each < inf for each in found) / RUNS
            median = f", after a median of {statistics.median(found):,.0f} tasks" if part > 0.5 else ""
            note = f" (goal ≤ {goal:.0%}: {verdict(part, goal)})" if goal is not None and checked else ""
            how = "checked" if checked else "unchecked"
            print(f"A/B, {name}, {how:<9} a verdict in {part:6.1%}{median}{note}", flush=True)


def tasks_until_verdict(
    rng: random.Random, rates: tuple[float, float], share: float, lost: Lost, delay: Delay, *, checked: bool = True
) -> float:
    """Return after how many tasks there is a verdict on A and B, looked at after each outcome; infinity without one."""
    test = begun(share)
    arriving: list[tuple[int, int, str, bool]] = []
    made: list[tuple[int, str]] = []
    arrived: dict[int, int] = {}
    check_at = 0.0
    for now in range(TASKS):
        side = "B" if rng.random() < share else "A"
        made.append((now, side))
        success = rng.random() < rates[side == "B"]
        if rng.random() >= lost.get((side, success), 0.0):
            heappush(arriving, (now + delay(side, success), now, side, success))
        while arriving and arriving[0][0] <= now:
            _, number, side, success = heappop(arriving)
            arrived[number] = now
            draw = Draw(Assignment(1, None), side, {"A": 1.0 - share, "B": share})
            contests = advanced(test, draw, Entry("t", side, Outcome(success=success), now))
            test = replace(test, contests=tuple(contests))
            outcomes = state_of(contests[0]).outcomes
            if not undecided_winners(test) or outcomes < check_at:
                continue
            withheld = checked and check(test, contests[0], drawn(made, arrived, share, now)).withholds
            if withheld:
                check_at = outcomes * RECHECK_GROWTH
            test = replace(test, contests=tuple(settled(test, {"B": withheld})))
            if test.contests[0].verdict is not None:
                return now
    return inf


def begun(share: float) -> StoredTest:
    """Return a test of B against A without outcomes."""
    return StoredTest(
        test_id=1, task_type="t", fingerprint="", incumbent="A", share=share, salt="", alpha=0.05, min_samples=100,
        max_samples=None, promote=False, started_ms=0, contests=(StoredContest("B", (), share=share),),
    )  # fmt: skip


def drawn(made: list[tuple[int, str]], arrived: dict[int, int], share: float, now: int) -> list[DrawnDecisions]:
    """Return the decisions as a store counts them, with a task as the unit of time."""
    delays = [arrived[number] - number for number in arrived]
    recent, old = min(3 * statistics.fmean(delays), now / 2), min(2 * max(delays), now / 2)
    counts: dict[tuple[str, bool], list[int]] = defaultdict(lambda: [0, 0])
    for number, side in made:
        if number <= now - recent:
            each = counts[side, number <= now - old]
            each[0] += 1
            each[1] += number in arrived
    shares = {"A": 1.0 - share, "B": share}
    return [
        DrawnDecisions(side, shares, decisions, reported, is_old)
        for (side, is_old), (decisions, reported) in counts.items()
    ]


if __name__ == "__main__":
    main()
