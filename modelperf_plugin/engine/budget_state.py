"""A budget as it stands, in numbers and in words."""

from __future__ import annotations

from functools import cached_property
from typing import Final, NamedTuple

from modelperf_plugin.config.schema import BudgetScope
from modelperf_plugin.engine.ledger import Ledger
from modelperf_plugin.log import logger
from modelperf_plugin.policy.budget import Budget, Outlook, Pace
from modelperf_plugin.text import count
from modelperf_plugin.values import from_milliseconds

MOMENTS: Final = 2_000
"""A price holds for at most this part of a period."""


class BudgetState(NamedTuple):
    """A budget as it stands."""

    scope: BudgetScope
    budget: Budget
    outlook: Outlook
    pace: Pace

    @property
    def usd_per_success(self) -> float | None:
        """What may be spent for one more success now; None: whatever it costs."""
        return 1.0 / self.pace.price.usual if self.pace.price.usual else None

    @property
    def is_short(self) -> bool:
        """Whether the money does not last for more than the cheapest candidates."""
        return self.pace.is_short(self.outlook)

    @property
    def is_used_up(self) -> bool:
        """Whether there is no money for another task, even with the cheapest candidate."""
        return self.outlook.left_usd <= 0.0 or self.outlook.left_usd < self.pace.least_usd

    @property
    def urgency(self) -> tuple[bool, float]:
        """Of several budgets the one with the highest is most short."""
        return self.is_short, self.pace.price.usual

    def as_dict(self) -> dict[str, object]:
        """Return the state as plain JSON values."""
        return {
            "scope": self.scope.kind, "name": self.scope.name or None, "usd": self.budget.usd, "per": self.budget.per,
            "rolling": self.budget.rolling, "then": self.budget.then, "spent_usd": self.outlook.spent_usd,
            "left_usd": self.outlook.left_usd, "until": from_milliseconds(self.outlook.until_ms).isoformat(),
            "expected_outcomes": self.outlook.tasks, "usd_per_success": self.usd_per_success,
            "is_short": self.is_short, "is_used_up": self.is_used_up,
        }  # fmt: skip

    def describe(self) -> str:
        """Return how much is left of which budget until when, and what money costs, in one phrase."""
        if self.scope.kind == "model":
            return self.rest_in_words
        if self.is_short:
            return f"{self.rest_in_words}: not enough"
        worth = self.usd_per_success
        return f"{self.rest_in_words}: " + ("enough" if worth is None else f"one more success may cost ${worth:.3g}")

    @property
    def rest_in_words(self) -> str:
        """How much is left of which budget until when, and how many outcomes are to come."""
        left = f"${max(0.0, self.outlook.left_usd):.3g} left of {self.budget.in_words}"
        left += f" for {self.scope.name}" if self.scope.name else ""
        if not self.budget.rolling:
            left += f" until {from_milliseconds(self.outlook.until_ms):%Y-%m-%d %H:%M} UTC"
        if self.scope.kind == "model":
            return left
        return f"{left}, about {count(round(self.outlook.tasks), 'outcome')} to come"


class Standing:
    """A ledger, and what was last worked out from it."""

    def __init__(self, scope: BudgetScope, budget: Budget) -> None:
        self.scope = scope
        self.ledger = Ledger(budget)
        self.state: BudgetState | None = None
        self.made_of = (-1, -1)
        """Numbers of outcomes and of menus that the state was worked out from."""
        self.valid_ms = (0, 0)
        self._reported_until_ms = 0

    @cached_property
    def note(self) -> str:
        """The state in words."""
        return "" if self.state is None else f"; {self.state.describe()}"

    @property
    def urgency(self) -> tuple[bool, float]:
        return (False, 0.0) if self.state is None else self.state.urgency

    def report_used_up(self, now_ms: int) -> None:
        """Log, once in a period, that there is no decision because of this budget."""
        if self.state is not None and now_ms >= self._reported_until_ms:
            self._reported_until_ms = self.state.outlook.until_ms
            logger.warning("no decision: over budget%s; a host that goes on by itself spends more", self.note)

    def set(self, state: BudgetState, made_of: tuple[int, int], now_ms: int) -> BudgetState:
        """Replace the state."""
        self.__dict__.pop("note", None)
        self.state, self.made_of = state, made_of
        self.valid_ms = (now_ms, now_ms + max(1, state.budget.length_ms // MOMENTS))
        return state
