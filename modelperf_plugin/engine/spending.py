"""What was spent under each budget, and what that means for the next choice."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Final, NamedTuple

from modelperf_plugin.config import Config
from modelperf_plugin.config.schema import BudgetScope
from modelperf_plugin.engine.learner import Learner
from modelperf_plugin.engine.ledger import Ledger
from modelperf_plugin.policy import Assessment, Policy
from modelperf_plugin.policy.assessment import UNAVAILABLE
from modelperf_plugin.policy.belief import own_belief
from modelperf_plugin.policy.budget import Budget, Menu, Outlook, Pace, is_ahead, pace, refused
from modelperf_plugin.policy.cost import expected_cost
from modelperf_plugin.store.entries import Entry
from modelperf_plugin.store.roles import Connection, Spending, Tallies
from modelperf_plugin.values import Exclusion, from_milliseconds
from modelperf_plugin.values.recent import Recent

READ_SECONDS: Final = 1.0
"""How often costs are read from the store, even if no other process seems to have recorded any."""
PAGE: Final = 1_000
MAX_MENUS: Final = 64
"""Number of task types, those of the latest choices, whose candidates determine the price of money."""
UPDATES: Final = 128
"""So many times in the rest of a period the price is set again."""
MOMENTS: Final = 2_000
"""A price holds for at most this part of a period."""
MAX_POLICIES: Final = 256
_GOLDEN_RATIO: Final = 0.6180339887498949
"""Its multiples, modulo 1, are spread evenly, however many there are."""

_Cost = tuple[str, str, int, int]
"""Task type, model, end and nano-dollars of an outcome."""


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

    def as_dict(self) -> dict[str, object]:
        """Return the state as plain JSON values."""
        return {
            "scope": self.scope.kind, "name": self.scope.name or None, "usd": self.budget.usd, "per": self.budget.per,
            "rolling": self.budget.rolling, "then": self.budget.then, "spent_usd": self.outlook.spent_usd,
            "left_usd": self.outlook.left_usd, "until": from_milliseconds(self.outlook.until_ms).isoformat(),
            "expected_outcomes": self.outlook.tasks, "usd_per_success": self.usd_per_success,
            "is_short": self.is_short,
        }  # fmt: skip

    def describe(self) -> str:
        """Return how much is left of which budget until when, and what money costs, in one phrase."""
        left = f"${max(0.0, self.outlook.left_usd):.3g} left of {self.budget.in_words}"
        left += f" for {self.scope.name}" if self.scope.name else ""
        if not self.budget.rolling:
            left += f" until {from_milliseconds(self.outlook.until_ms):%Y-%m-%d %H:%M} UTC"
        if self.scope.kind == "model":
            return left
        left += f", for about {self.outlook.tasks:.0f} outcomes"
        if self.is_short:
            return f"{left}: not enough"
        worth = self.usd_per_success
        return f"{left}: enough" if worth is None else f"{left}: one more success may cost ${worth:.3g}"


class _Standing:
    """A ledger, and what was last worked out from it."""

    def __init__(self, scope: BudgetScope, budget: Budget) -> None:
        self.scope = scope
        self.ledger = Ledger(budget)
        self.state: BudgetState | None = None
        self.made_of = (-1, -1)
        """Numbers of outcomes and of menus that the state was worked out from."""
        self.valid_ms = (0, 0)

    @cached_property
    def note(self) -> str:
        """The state in words."""
        return "" if self.state is None else f"; {self.state.describe()}"

    def set(self, state: BudgetState, made_of: tuple[int, int], now_ms: int) -> BudgetState:
        """Replace the state."""
        self.__dict__.pop("note", None)
        self.state, self.made_of = state, made_of
        self.valid_ms = (now_ms, now_ms + max(1, state.budget.length_ms // MOMENTS))
        return state


class SpendingControl:
    """Follows what outcomes cost, and sets the price of money. Any thread may call any method.

    Costs are read from the store: sums when a budget is first needed, then outcome by outcome, so all processes count
    the same and a restart forgets nothing. Without a budget nothing is done.
    """

    def __init__(self, spending: Spending, tallies: Tallies, connection: Connection, learner: Learner) -> None:
        """Read costs from these roles of a store; ``learner`` knows the costs of models and the waiting decisions."""
        self._spending = spending
        self._tallies = tallies
        self._connection = connection
        self._learner = learner
        self._lock = threading.RLock()
        self._config: Config | None = None
        self._standings: dict[BudgetScope, _Standing] = {}
        self._position = 0
        self._revision: object = None
        self._read_at = 0.0
        self._own: list[_Cost] = []
        """Outcomes recorded here since the store was last read."""
        self._menus: Recent[str, tuple[Assessment, dict[str, tuple[float, float]]]] = Recent(MAX_MENUS)
        """The assessments that menus were made of, and cost and chance by model."""
        self._costs: Recent[str, Mapping[str, float]] = Recent(MAX_MENUS)
        """The expected costs of candidates by task type, those of demoted ones as well."""
        self._tasks: Counter[str] = Counter()
        self._choices = 0
        self._menu_changes = 0
        self._policies: Recent[tuple[str, float], tuple[Policy, Policy]] = Recent(MAX_POLICIES)

    def _is_on(self, config: Config) -> bool:
        """Return whether there is a budget."""
        if config is not self._config:
            with self._lock:
                self._configure(config)
        return bool(self._standings)

    def permit(
        self, config: Config, task_type: str, offered: tuple[str, ...], pin: str | None, now_ms: int
    ) -> tuple[tuple[str, ...], tuple[Exclusion, ...]]:
        """Return the candidates that the budgets permit, and the others with the reason."""
        if not self._is_on(config):
            return offered, ()
        self._tallies.of(task_type)  # notices what others have recorded
        with self._lock:
            self._read(now_ms)
            costs = self._costs_of(task_type)
            kept, excluded = offered, []
            for standing in self._standings.values():
                if standing.scope.kind == "task_type" and standing.scope.name != task_type:
                    continue
                over = self._refused(standing, [each for each in kept if each != pin], costs, now_ms)
                if over:
                    excluded += [Exclusion(each, f"over budget{standing.note}") for each in over]
                    kept = tuple([each for each in kept if each not in over])
            return kept, tuple(excluded)

    def priced(self, config: Config, policy: Policy, task_type: str, now_ms: int) -> Policy:
        """Return a policy with what money costs now: the same object as long as that does not change."""
        if not self._is_on(config):
            return policy
        with self._lock:
            point = (self._choices * _GOLDEN_RATIO) % 1.0
            price = max([state.pace.price.at(point) for state in self._states_of(task_type, now_ms)], default=0.0)
            if not price:
                return policy
            known = self._policies.get((policy.policy_id, price))
            if known is None or known[0] is not policy:
                known = policy, replace(policy, cost=policy.cost.at_price(price))
                self._policies.put((policy.policy_id, price), known)
            return known[1]

    def on_assessment(self, config: Config, assessment: Assessment, now_ms: int) -> str:
        """Take in the candidates of a task as they are assessed now.

        Return what money costs and how much is left of the budget that is most short, for the reason of the decision.
        """
        if not self._is_on(config):
            return ""
        with self._lock:
            self._tasks[assessment.task_type] += 1
            self._choices += 1
            self._take_in(assessment)
            states = self._states_of(assessment.task_type, now_ms)
            most = max(states, key=lambda state: (state.is_short, state.pace.price.usual), default=None)
            return "" if most is None else self._standings[most.scope].note

    def lacks(self, config: Config, task_type: str | None = None) -> bool:
        """Return whether a budget is in force, but no candidates are known: of a task type or, with None, of any."""
        if not self._is_on(config):
            return False
        return not self._menus if task_type is None else self._menus.get(task_type) is None

    def on_outcome(self, entry: Entry) -> None:
        """Count an outcome that was recorded here."""
        if not self._standings:
            return
        with self._lock:
            cost = (entry.task_type, entry.model_id, entry.ended_ms, entry.outcome.cost_nano_usd)
            self._own.append(cost)
            self._add(cost)

    def states(self, config: Config, now_ms: int) -> list[BudgetState]:
        """Return all budgets as they stand."""
        if not self._is_on(config):
            return []
        with self._lock:
            self._read_at = 0.0
            self._read(now_ms)
            for standing in self._standings.values():
                standing.state = None
            return [self._state(standing, now_ms) for standing in self._standings.values()]

    # what was spent

    def _configure(self, config: Config) -> None:
        """Begin a ledger for each budget; what was spent before is read when it is first needed."""
        budgets = config.budgets
        if {scope: each.ledger.budget for scope, each in self._standings.items()} != budgets:
            self._standings = {scope: _Standing(scope, budget) for scope, budget in budgets.items()}
            self._revision = None
        self._config = config

    def _read(self, now_ms: int) -> None:
        """Count what was recorded since the last time."""
        revision = self._tallies.revision
        if revision == self._revision and time.monotonic() < self._read_at:
            return
        self._read_at = time.monotonic() + READ_SECONDS
        if self._revision is None:
            for scope, standing in self._standings.items():
                standing.ledger.begin(self._spending, now_ms, *scope.names)
            self._position = min([each.ledger.position for each in self._standings.values()])
        elif self._connection.degraded or self._connection.busy:
            return  # what waits is counted as recorded here
        else:
            for cost in self._own:
                self._add(cost, sign=-1)
        self._own.clear()
        self._revision = revision
        while True:
            events = self._spending.after(self._position, PAGE)
            for event in events:
                cost = (event.task_type, event.model_id, min(event.ended_ms, now_ms), event.cost_nano_usd)
                self._add(cost, event.event_id)
                self._position = event.event_id
            if len(events) < PAGE:
                return

    def _add(self, cost: _Cost, event_id: int | None = None, sign: int = 1) -> None:
        task_type, model_id, ended_ms, nano_usd = cost
        for scope, standing in self._standings.items():
            if scope.kind == "task_type" and scope.name != task_type:
                continue
            if event_id is None or event_id > standing.ledger.position:
                is_counted = scope.kind != "model" or scope.name == model_id
                standing.ledger.add(ended_ms, nano_usd if is_counted else 0, sign)

    # what it means

    def _states_of(self, task_type: str, now_ms: int) -> list[BudgetState]:
        return [
            self._state(standing, now_ms)
            for scope, standing in self._standings.items()
            if scope.kind == "all" or (scope.kind == "task_type" and scope.name == task_type)
        ]

    def _state(self, standing: _Standing, now_ms: int) -> BudgetState:
        """Return the state of a budget, worked out again if enough has happened."""
        known, ledger = standing.state, standing.ledger
        if known is not None and standing.made_of[1] == self._menu_changes:
            news = ledger.changes - standing.made_of[0]
            first, last = standing.valid_ms
            if first <= now_ms < last and news * UPDATES < max(UPDATES, known.outlook.tasks):
                return known
        outlook = ledger.outlook(now_ms, self._reserved(standing.scope))
        menus = [
            Menu(float(self._tasks[task_type] or 1), list(options.values()))
            for task_type, options in self._menus_of(standing.scope).items()
        ]
        state = BudgetState(standing.scope, ledger.budget, outlook, pace(menus, outlook))
        return standing.set(state, (ledger.changes, self._menu_changes), now_ms)

    def _take_in(self, assessment: Assessment) -> None:
        """Make a menu of the candidates of a task type."""
        task_type = assessment.task_type
        known = self._menus.get(task_type)
        if known is not None and known[0] is assessment:
            return
        costs = self._learner.model_costs
        options: dict[str, tuple[float, float]] = {}
        usd = {**self._costs_of(task_type)}
        for position, each in enumerate(assessment.candidates):
            cost = each.cost or expected_cost(each.tally, costs)
            if cost is not None and each.group != UNAVAILABLE:
                usd[each.tally.model_id] = cost.usd
                if position < assessment.available:
                    alpha, beta, _ = each.belief or own_belief(each.tally)
                    options[each.tally.model_id] = (cost.usd, alpha / (alpha + beta))
        self._costs.put(task_type, usd)
        if known is not None and known[1].keys() > options.keys():
            return  # some are not permitted at the moment
        self._menu_changes += known is None
        self._menus.put(task_type, (assessment, options))

    def _menus_of(self, scope: BudgetScope) -> dict[str, dict[str, tuple[float, float]]]:
        names = {"all": list(self._menus), "task_type": [scope.name], "model": []}[scope.kind]
        known = {task_type: self._menus.get(task_type) for task_type in names}
        return {task_type: menu[1] for task_type, menu in known.items() if menu is not None and menu[1]}

    def _costs_of(self, task_type: str) -> Mapping[str, float]:
        return self._costs.get(task_type) or {}

    def _reserved(self, scope: BudgetScope) -> float:
        """Return the expected cost of the decisions of this process that wait for their outcome."""
        usd = 0.0
        for (task_type, model_id), waiting in self._learner.pending.waiting():
            if scope.kind == "all" or scope.name == (task_type if scope.kind == "task_type" else model_id):
                usd += waiting * self._costs_of(task_type).get(model_id, 0.0)
        return usd

    def _refused(
        self, standing: _Standing, offered: Sequence[str], costs: Mapping[str, float], now_ms: int
    ) -> list[str]:
        """Return the models of ``offered`` that a budget does not permit."""
        scope, budget = standing.scope, standing.ledger.budget
        if scope.kind == "model" and scope.name not in offered:
            return []
        state = self._state(standing, now_ms)
        outcomes, used = standing.ledger.used(now_ms)
        left = (budget.usd or 0.0) - used - self._reserved(scope)
        if scope.kind == "model":
            cost = costs.get(scope.name, 0.0)
            may_stay = len(offered) == 1 and (budget.then == "cheapest" or left > cost)
            return [] if may_stay or not is_ahead(budget, state.outlook, outcomes, cost, left) else [scope.name]
        rest = state.pace.rest_usd
        if left - rest > max(costs.values(), default=0.0):
            return []
        return refused(budget, offered, costs, left, rest)
