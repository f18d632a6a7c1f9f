"""What was spent under each budget, and what that means for the next choice."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from modelperf_plugin.config import Config
from modelperf_plugin.config.schema import BudgetScope
from modelperf_plugin.engine.accounts import Accounts
from modelperf_plugin.engine.budget_state import BudgetState, Standing
from modelperf_plugin.engine.candidate_costs import NO_COSTS, CandidateCosts
from modelperf_plugin.engine.lateness import unless_late
from modelperf_plugin.engine.learner import Learner
from modelperf_plugin.policy import Assessment, Policy
from modelperf_plugin.policy.belief import own_belief
from modelperf_plugin.policy.budget import Menu, assumed_usd, is_ahead, is_ample, pace, refused, usd_for_trials
from modelperf_plugin.policy.candidates import DOWN, UNAVAILABLE
from modelperf_plugin.policy.cost import ExpectedCost, expected_cost
from modelperf_plugin.store import Entry
from modelperf_plugin.store.roles import Connection, Spending, Tallies
from modelperf_plugin.values import Exclusion
from modelperf_plugin.values.recent import Recent

MAX_MENUS: Final = 64
"""Number of task types, those of the latest choices, whose candidates determine the price of money."""
UPDATES: Final = 128
"""So many times in the rest of a period the price is set again."""
EARLY_TASKS, MENU_TASKS = 64, 8
"""After so many tasks of a type its candidates are taken in again only with every eighth, which saves time."""
UNREPORTED: Final = 3
"""After so many successes without a cost, a model is taken to be one whose costs the host does not report."""
MAX_POLICIES: Final = 256
_GOLDEN_RATIO: Final = 0.6180339887498949
"""Its multiples, modulo 1, are spread evenly, however many there are."""

_Known = tuple[Assessment, dict[str, tuple[float, float]]]
"""The candidates of a task type, and cost and chance by model."""


class Advice(NamedTuple):
    """What the budgets mean for one choice."""

    offered: tuple[str, ...]
    """The candidates that they permit."""
    excluded: tuple[Exclusion, ...] = ()
    """The others."""
    price: float = 0.0
    """Successes that a dollar must bring."""
    note: str = ""
    """What money costs and how much is left of the budget that is most short, for the reason of the decision."""
    used_up: Standing | None = None
    """The budget that leaves no candidate."""


NO_ADVICE: Final = Advice(())
"""Without a budget."""


class SpendingControl:
    """Follows what outcomes cost, and sets the price of money. Any thread may call any method.

    Without a budget nothing is done.
    """

    def __init__(self, spending: Spending, tallies: Tallies, connection: Connection, learner: Learner) -> None:
        """Read costs from these roles of a store; ``learner`` knows the costs of models and the waiting decisions."""
        self._accounts = Accounts(spending, tallies, connection)
        self._learner = learner
        self._lock = threading.RLock()
        self._config: Config | None = None
        self._menus: Recent[str, _Known] = Recent(MAX_MENUS)
        """The assessments that menus were made of, and cost and chance by model."""
        self._costs: Recent[str, CandidateCosts] = Recent(MAX_MENUS)
        """What candidates cost by task type, those that are demoted as well."""
        self._tasks: Counter[str] = Counter()
        self._choices = 0
        self._most_usd = 0.0
        """The highest expected cost of a candidate so far."""
        self._menu_changes = 0
        self._policies: Recent[tuple[str, float], tuple[Policy, Policy]] = Recent(MAX_POLICIES)

    def is_on(self, config: Config) -> bool:
        """Return whether there is a budget."""
        if config is not self._config:
            with self._lock:
                self._accounts.configure(config.budgets)
                self._config = config
        return bool(self._accounts.standings)

    def advise(self, task_type: str, offered: tuple[str, ...], pin: str | None, now_ms: int) -> Advice:
        """Return what the budgets mean for a choice among ``offered``, if there are any.

        Call it after the tallies were asked for: that notices what others have recorded.
        """
        with self._lock:
            unless_late(lambda: self._accounts.read(now_ms), None)
            point = (self._choices * _GOLDEN_RATIO) % 1.0
            self._choices += 1
            price, most, used_up = 0.0, None, None
            costs = self._costs_of(task_type, offered)
            has_unknown = not all(map(costs.__contains__, offered))
            excluded: tuple[Exclusion, ...] = ()
            for standing in self._accounts.standings.values():
                kind, name = standing.scope
                if kind == "task_type" and name != task_type:
                    continue
                state = self._state(standing, now_ms)
                if kind == "model" or has_unknown or not self._is_ample(standing, state, now_ms):
                    offered, excluded = self._permit(standing, state, costs, offered, excluded, pin, now_ms)
                    used_up = used_up or (None if offered else standing)
                if kind != "model":
                    price = max(price, state.pace.price.at(point))
                    if most is None or state.urgency > most.urgency:
                        most = standing
            return Advice(offered, excluded, price, "" if most is None else most.note, used_up)

    def priced(self, policy: Policy, price: float) -> Policy:
        """Return a policy where a dollar must bring ``price`` successes: the same object as long as it is used."""
        known = self._policies.get((policy.policy_id, price))
        if known is None or known[0] is not policy:
            known = policy, replace(policy, cost=policy.cost.at_price(price))
            self._policies.put((policy.policy_id, price), known)
        return known[1]

    def on_assessment(self, assessment: Assessment, *, is_whole: bool = True) -> None:
        """Take in the candidates of a task as they are assessed; ``is_whole``: they are all that hosts offer."""
        if not self._accounts.standings:
            return
        with self._lock:
            self._tasks[assessment.task_type] = tasks = self._tasks[assessment.task_type] + 1
            known = self._menus.get(assessment.task_type)
            is_due = tasks < EARLY_TASKS or not tasks % MENU_TASKS
            if known is None or (is_due and known[0] is not assessment):
                self._take_in(assessment, None if is_whole else known)

    def lacks(self, config: Config, task_type: str | None = None) -> bool:
        """Return whether a budget is in force, but no candidates are known: of a task type or, with None, of any."""
        if not self.is_on(config):
            return False
        return not self._menus if task_type is None else self._menus.get(task_type) is None

    def on_outcome(self, entry: Entry) -> None:
        """Count an outcome that was recorded here."""
        if not self._accounts.standings:
            return
        with self._lock:
            self._accounts.on_outcome((entry.task_type, entry.model_id, entry.ended_ms, entry.outcome.cost_nano_usd))

    def on_many(self, entries: Iterable[Entry]) -> None:
        """Count outcomes that were recorded here together and wait to be moved into the store; it is read otherwise."""
        if self._accounts.are_waiting:
            for entry in entries:
                self.on_outcome(entry)

    def states(self, config: Config, now_ms: int) -> list[BudgetState]:
        """Return all budgets as they stand."""
        if not self.is_on(config):
            return []
        with self._lock:
            self._accounts.read(now_ms, at_once=True)
            standings = self._accounts.standings.values()
            for standing in standings:
                standing.state = None
            return [self._state(standing, now_ms) for standing in standings]

    def _state(self, standing: Standing, now_ms: int) -> BudgetState:
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

    def _take_in(self, assessment: Assessment, before: _Known | None) -> None:
        """Make a menu of the candidates of a task type; of others, what was known ``before``."""
        task_type, model_costs = assessment.task_type, self._learner.model_costs
        options, costs = ({}, {}) if before is None else (dict(before[1]), dict(self._known(task_type).costs))
        for position, each in enumerate(assessment.candidates):
            model_id, cost = each.tally.model_id, each.cost or expected_cost(each.tally, model_costs)
            if cost is None and each.tally.successes >= UNREPORTED:
                cost = ExpectedCost(0.0, "own")
            if cost is not None and each.group not in {UNAVAILABLE, DOWN}:
                costs[model_id] = cost
                if position < assessment.available:
                    alpha, beta, _, _ = each.belief or own_belief(each.tally)
                    options[model_id] = (cost.usd, alpha / (alpha + beta))
        self._costs.put(task_type, CandidateCosts.of(costs))
        self._most_usd = max(self._most_usd, *[cost.usd for cost in costs.values()], 0.0)
        self._menu_changes += self._menus.get(task_type) is None
        self._menus.put(task_type, (assessment, options))

    def _menus_of(self, scope: BudgetScope) -> dict[str, dict[str, tuple[float, float]]]:
        names = {"all": list(self._menus), "task_type": [scope.name], "model": []}[scope.kind]
        known = {task_type: self._menus.get(task_type) for task_type in names}
        return {task_type: menu[1] for task_type, menu in known.items() if menu is not None and menu[1]}

    def _known(self, task_type: str) -> CandidateCosts:
        return self._costs.get(task_type) or NO_COSTS

    def _costs_of(self, task_type: str, offered: Sequence[str]) -> Mapping[str, float]:
        """Return what candidates are expected to cost; those of few known costs as all task types know them by now."""
        known = self._known(task_type)
        if known.is_settled and all(map(known.usd.__contains__, offered)):
            return known.usd
        return known.with_seen(self._learner.model_costs, self._accounts.seen)

    def _reserved(self, scope: BudgetScope) -> float:
        """Return the expected cost of the decisions of this process that wait for their outcome."""
        usd = 0.0
        for (task_type, model_id), waiting in self._learner.pending.waiting():
            if scope.kind == "all" or scope.name == (task_type if scope.kind == "task_type" else model_id):
                costs = self._costs_of(task_type, [model_id])
                usd += waiting * (costs[model_id] if model_id in costs else assumed_usd(costs.values()))
        return usd

    def _is_ample(self, standing: Standing, state: BudgetState, now_ms: int) -> bool:
        """Return whether there is enough for any candidate, whatever is under way."""
        left = (state.budget.usd or 0.0) - standing.ledger.used(now_ms)[1]
        return is_ample(left, state.pace.rest_usd, self._most_usd, self._learner.pending.total)

    def _permit(
        self, standing: Standing, state: BudgetState, costs: Mapping[str, float], offered: tuple[str, ...],
        excluded: tuple[Exclusion, ...], pin: str | None, now_ms: int,
    ) -> tuple[tuple[str, ...], tuple[Exclusion, ...]]:  # fmt: skip
        """Return the candidates that a budget permits as well, and those that budgets do not permit."""
        candidates = [each for each in offered if each != pin]
        over = self._refused(standing, state, candidates, costs, now_ms)
        if not over:
            return offered, excluded
        refusals = [
            Exclusion(each, f"over budget{'' if each in costs else ': its cost is unknown'}{standing.note}")
            for each in over
        ]
        return tuple([each for each in offered if each not in over]), (*excluded, *refusals)

    def _refused(
        self, standing: Standing, state: BudgetState, offered: Sequence[str], costs: Mapping[str, float], now_ms: int
    ) -> list[str]:
        scope, budget = standing.scope, standing.ledger.budget
        if scope.kind == "model" and scope.name not in offered:
            return []
        outcomes, used = standing.ledger.used(now_ms)
        left = (budget.usd or 0.0) - used - self._reserved(scope)
        if scope.kind != "model":
            rest = state.pace.rest_usd
            trial = usd_for_trials(budget, state.outlook, outcomes, left)
            return refused(budget, offered, costs, left, rest, trial)
        cost = costs.get(scope.name, 0.0)
        may_stay = len(offered) == 1 and (budget.then == "overdraw" or left > cost)
        return [] if may_stay or not is_ahead(budget, state.outlook, outcomes, cost, left) else [scope.name]
