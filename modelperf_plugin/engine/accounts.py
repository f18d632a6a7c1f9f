"""The ledgers of all budgets, kept up to date with the store."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, TypeVar

from modelperf_plugin.config.schema import BudgetScope
from modelperf_plugin.engine.budget_state import Standing
from modelperf_plugin.policy.budget import Budget
from modelperf_plugin.store.roles import Connection, Spending, Tallies
from modelperf_plugin.store.spending import Correction

READ_SECONDS: Final = 0.5
"""How often costs are read from the store, even if no other process seems to have recorded any."""
PAGE: Final = 1_000
MAX_FOLLOWED: Final = 10_000
"""Maximum number of new outcomes that are read one by one; of more the sums are read."""

_Item = TypeVar("_Item")
Cost = tuple[str, str, int, int]
"""Task type, model, end and nano-dollars of an outcome."""


class Accounts:
    """Counts what was spent under each budget; not thread-safe.

    Costs are read from the store: sums when a budget is first needed, then outcome by outcome, and corrections of their
    costs. So all processes count the same, and a restart forgets nothing.
    """

    def __init__(self, spending: Spending, tallies: Tallies, connection: Connection) -> None:
        """Read from these roles of a store."""
        self._spending = spending
        self._tallies = tallies
        self._connection = connection
        self.standings: dict[BudgetScope, Standing] = {}
        self.seen: dict[str, tuple[int, int]] = {}
        """Number and nano-dollars of the costs that were seen one by one, by model."""
        self._position = self._corrected = 0
        self._revision: object = None
        self._read_at = 0.0
        self._own: list[Cost] = []
        """Outcomes recorded here since the store was last read."""

    @property
    def are_waiting(self) -> bool:
        """Whether outcomes that are recorded here wait to be moved into the store."""
        return bool(self._connection.degraded or self._connection.busy)

    def configure(self, budgets: Mapping[BudgetScope, Budget]) -> None:
        """Begin a ledger for each budget; what was spent before is read when it is first needed."""
        if {scope: each.ledger.budget for scope, each in self.standings.items()} != budgets:
            self.standings = {scope: Standing(scope, budget) for scope, budget in budgets.items()}
            self._revision = None

    def on_outcome(self, cost: Cost) -> None:
        """Count an outcome that was recorded here."""
        self._own.append(cost)
        self._add(cost)

    def read(self, now_ms: int, *, at_once: bool = False) -> None:
        """Count what was recorded since the last time, ``at_once`` or if it is due."""
        revision = self._tallies.revision
        if any(each.ledger.lacks(now_ms) for each in self.standings.values()):
            self._revision = None
        if revision == self._revision and time.monotonic() < self._read_at and not at_once:
            return
        self._read_at = time.monotonic() + READ_SECONDS
        is_known = self._revision is not None
        if is_known and self.are_waiting:
            return  # what waits is counted as recorded here
        if not (is_known and self._follow(now_ms)):
            self._begin(now_ms)
            self._follow(now_ms)
        self._revision = revision

    def _begin(self, now_ms: int) -> None:
        """Read the sums of what was recorded before."""
        for scope, standing in self.standings.items():
            standing.ledger.begin(self._spending, now_ms, *scope.names)
            standing.state = None
        self._position = min([each.ledger.position for each in self.standings.values()])
        self._corrected = min([each.ledger.corrected for each in self.standings.values()])
        if not self.are_waiting:
            self._own.clear()
        for cost in self._own:
            self._count(cost)

    def _follow(self, now_ms: int) -> bool:
        """Count outcome by outcome what was recorded since; False if that is too much for a call to wait for."""
        if not self.are_waiting:
            for cost in self._own:
                self._add(cost, sign=-1)
            self._own.clear()
        events = _paged(lambda: self._spending.after(self._position, PAGE, self._corrected))
        for number, event in enumerate(events, 1):
            cost = (event.task_type, event.model_id, min(event.ended_ms, now_ms), event.cost_nano_usd)
            self._add(cost, event.event_id)
            self._position = event.event_id
            if number > MAX_FOLLOWED:
                return False
        for correction in _paged(lambda: self._spending.corrections(self._corrected, PAGE)):
            self._correct(correction, now_ms)
            self._corrected = correction.number
        return True

    def _add(self, cost: Cost, event_id: int | None = None, sign: int = 1) -> None:
        """Count an outcome, and what its model costs."""
        _, model_id, _, nano_usd = cost
        if nano_usd and (event_id is None or event_id > self._position):
            number, usd = self.seen.get(model_id, (0, 0))
            self.seen[model_id] = (number + sign, usd + sign * nano_usd)
        self._count(cost, event_id, sign)

    def _count(self, cost: Cost, event_id: int | None = None, sign: int = 1) -> None:
        """Add an outcome to each ledger that it belongs to and that does not contain it."""
        task_type, model_id, ended_ms, nano_usd = cost
        for scope, standing in self.standings.items():
            if scope.kind == "task_type" and scope.name != task_type:
                continue
            if event_id is None or event_id > standing.ledger.position:
                is_counted = scope.kind != "model" or scope.name == model_id
                standing.ledger.add(ended_ms, sign * nano_usd if is_counted else 0, sign)

    def _correct(self, correction: Correction, now_ms: int) -> None:
        """Correct the cost of an outcome that was counted before; of a later one it will be read as corrected."""
        number, event, former_nano_usd = correction
        if event.event_id > self._position or event.cost_nano_usd == former_nano_usd:
            return
        for (kind, name), standing in self.standings.items():
            ledger = standing.ledger
            is_counted = name == {"task_type": event.task_type, "model": event.model_id}.get(kind, name)
            if is_counted and (event.event_id > ledger.position or number > ledger.corrected):
                ledger.add(min(event.ended_ms, now_ms), event.cost_nano_usd - former_nano_usd, 0)


def _paged(read: Callable[[], Sequence[_Item]]) -> Iterator[_Item]:
    """Yield the items of all pages; ``read`` begins after the last item that was taken."""
    while True:
        page = read()
        yield from page
        if len(page) < PAGE:
            return
