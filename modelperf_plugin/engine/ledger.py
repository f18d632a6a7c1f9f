"""What was spent under one budget, by steps of time."""

from __future__ import annotations

from typing import Final

from modelperf_plugin.policy.budget import Budget, Outlook, Spent, outlook
from modelperf_plugin.store.roles import Spending
from modelperf_plugin.store.spending import CostSums
from modelperf_plugin.values import DAY_MS, NANO_USD

MAX_EVENTS: Final = 200_000
"""Of how many of the newest outcomes the exact time is read at the start; of older ones the day is known."""
_READINGS: Final = 3
_PERIODS: Final = 3
"""For how many periods spending is kept: what comes is expected by what came."""


class Ledger:
    """Sums outcomes and costs; not thread-safe."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.changes = 0
        """Number of outcomes added, taken back or corrected so far."""
        self.position = 0
        """The last recorded outcome that was part of the sums when they were read."""
        self.corrected = 0
        """The last correction that was."""
        self._sums: dict[int, tuple[int, int]] = {}
        self._since_ms: int | None = None
        self._known_from = 0
        """The first step of which the sums are known."""
        self._window = (0, 0)
        self._steps = range(0)
        self._used = (0, 0)
        """Outcomes and nano-dollars of the current period."""

    def begin(self, spending: Spending, now_ms: int, task_type: str | None, model_id: str | None) -> None:
        """Read what was recorded before: of this task type, and of the costs those of this model."""
        budget = self.budget
        since_ms = now_ms - _PERIODS * budget.length_ms
        self._known_from = since_ms // budget.step_ms
        read = _by_day(spending, since_ms, task_type, model_id)
        if budget.step_ms < DAY_MS:
            day = now_ms // DAY_MS
            for _ in range(_READINGS):
                days, read = read, spending.by_step(budget.step_ms, since_ms, MAX_EVENTS, task_type, model_id)
                if days[:2] == read[:2]:
                    break
                days = read = _by_day(spending, since_ms, task_type, model_id)
            if budget.per == "day" and not budget.rolling:
                read.steps.append(_missing(days, read, day, budget.step_ms))
        self.position, self.corrected = read.position, read.corrected
        self._sums = {}
        for step, outcomes, nano_usd in read.steps:
            known = self._sums.get(step, (0, 0))
            self._sums[step] = (known[0] + outcomes, known[1] + nano_usd)
        known_steps = [step for step, sums in self._sums.items() if sums[0]]
        if known_steps:
            self._since_ms = min(now_ms, min(known_steps) * budget.step_ms + budget.step_ms // 2)
        self._window = (0, 0)

    def add(self, ended_ms: int, nano_usd: int, outcomes: int = 1) -> None:
        """Add an outcome; with -1 ``outcomes`` take it back, with 0 correct its cost by ``nano_usd``."""
        self.changes += 1
        step = ended_ms // self.budget.step_ms
        known, known_nano_usd = self._sums.get(step, (0, 0))
        self._sums[step] = (known + outcomes, known_nano_usd + nano_usd)
        if self._since_ms is None or ended_ms < self._since_ms:
            self._since_ms = ended_ms
        if step in self._steps:
            self._used = (self._used[0] + outcomes, self._used[1] + nano_usd)

    def lacks(self, now_ms: int) -> bool:
        """Return whether the clock went back to a period that was forgotten."""
        return (now_ms - self.budget.length_ms) // self.budget.step_ms < self._known_from

    def used(self, now_ms: int) -> tuple[int, float]:
        """Return the outcomes of the current period, and what they cost in US dollars."""
        begin, end = self._window
        is_current = now_ms - self.budget.step_ms < end <= now_ms if self.budget.rolling else begin <= now_ms < end
        if not is_current:
            self._turn(now_ms)
        outcomes, nano_usd = self._used
        return outcomes, nano_usd / NANO_USD

    def outlook(self, now_ms: int, reserved_usd: float) -> Outlook:
        """Return what is left now, and for how many outcomes."""
        return outlook(self.budget, Spent(self.budget.step_ms, self._sums, self._since_ms), now_ms, reserved_usd)

    def _turn(self, now_ms: int) -> None:
        """Begin another period: forget what is too old to matter."""
        step_ms = self.budget.step_ms
        oldest = self._known_from = (now_ms - _PERIODS * self.budget.length_ms) // step_ms
        self._sums = {step: sums for step, sums in self._sums.items() if step >= oldest}
        begin, end = self.budget.window(now_ms)
        if self.budget.rolling:
            end = now_ms // step_ms * step_ms
        self._window, self._steps = (begin, end), self.budget.steps(now_ms)
        current = [sums for step, sums in self._sums.items() if step in self._steps]
        self._used = (sum([sums[0] for sums in current]), sum([sums[1] for sums in current]))


def _by_day(spending: Spending, since_ms: int, task_type: str | None, model_id: str | None) -> CostSums:
    return spending.by_day(since_ms // DAY_MS, task_type, model_id)


def _missing(days: CostSums, steps: CostSums, day: int, step_ms: int) -> tuple[int, int, int]:
    """Return what the roll-up has of a day beyond the outcomes that were read, as a part of its first step."""
    per_day = DAY_MS // step_ms
    whole = [each for each in days.steps if each[0] == day]
    read = [each for each in steps.steps if each[0] // per_day == day]
    outcomes, nano_usd = (sum([each[n] for each in whole]) - sum([each[n] for each in read]) for n in (1, 2))
    return day * per_day, max(0, outcomes), max(0, nano_usd)
