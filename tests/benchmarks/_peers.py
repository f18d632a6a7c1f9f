"""The product and its peers behind one interface: choose a model for a task, then learn how it went."""

from __future__ import annotations

import importlib
import os
import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, Protocol

import pluggy

import modelperf_plugin as mp


class Router(Protocol):
    """Chooses models. The outcomes come in the order of the choices, maybe late, and each exactly once."""

    def choose(self, task_type: str, candidates: Sequence[str]) -> str:
        """Return the model to use."""

    def learn(self, task_type: str, model_id: str, success: bool) -> None:
        """Take in the outcome of the oldest choice that has none yet."""

    def close(self) -> None:
        """Let go of everything."""


class Product:
    """The product as a host sees it: registered with pluggy, called through its two hooks."""

    def __init__(self, seed: int, config: Mapping[str, Any] | None = None) -> None:
        self._pm = pluggy.PluginManager("benchmark")
        self._plugin = mp.register(self._pm, config=dict(config or {}), store=":memory:", seed=seed)
        self._decisions: deque[mp.Decision] = deque()

    def choose(self, task_type: str, candidates: Sequence[str]) -> str:
        """Return what the hook decides."""
        decision: mp.Decision | None = self._pm.hook.select_model(
            task_type=task_type, candidates=candidates, context=None
        )
        if decision is None:
            raise SystemExit("select_model answered None: the figures would mean nothing")
        self._decisions.append(decision)
        return decision.model_id

    def learn(self, task_type: str, model_id: str, success: bool) -> None:
        """Hand the outcome over, with the decision it belongs to."""
        self._pm.hook.on_task_complete(
            task_type=task_type,
            model_id=model_id,
            outcome=mp.Outcome(success=success),
            decision=self._decisions.popleft(),
        )

    def close(self) -> None:
        """Close the plugin; failed hook calls would make the figures worthless."""
        failed = self._plugin.failure_count()
        self._plugin.close()
        if failed:
            raise SystemExit(f"{failed} hook calls failed: the figures would mean nothing")


class _Peer:
    """A peer that has nothing to close."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)

    def close(self) -> None:
        """Do nothing."""


class RandomChoice(_Peer):
    """Any candidate, all alike."""

    def choose(self, task_type: str, candidates: Sequence[str]) -> str:  # noqa: ARG002
        """Return any candidate."""
        return self.rng.choice(candidates)

    def learn(self, task_type: str, model_id: str, success: bool) -> None:
        """Learn nothing."""


class _Counting(_Peer):
    """Keeps successes and failures of every (task type, model)."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.counts: dict[tuple[str, str], list[int]] = {}

    def count(self, task_type: str, model_id: str) -> list[int]:
        """Return failures and successes so far."""
        return self.counts.setdefault((task_type, model_id), [0, 0])

    def learn(self, task_type: str, model_id: str, success: bool) -> None:
        """Count the outcome."""
        self.count(task_type, model_id)[success] += 1


class MigrationGuideRule(_Counting):
    """The migration guide's rule: the best success rate among models tried three times; any model while there is none.

    ``exploration`` is the share of the choices that go to any candidate.
    """

    def __init__(self, seed: int, exploration: float = 0.0) -> None:
        super().__init__(seed)
        self._exploration = exploration

    def choose(self, task_type: str, candidates: Sequence[str]) -> str:
        """Return the best candidate that is proven, or any."""
        if self.rng.random() < self._exploration:
            return self.rng.choice(candidates)
        counts = {model_id: self.count(task_type, model_id) for model_id in candidates}
        rates = {model_id: count[1] / sum(count) for model_id, count in counts.items() if sum(count) >= 3}
        best = max(rates.values(), default=None)
        tied = [model_id for model_id, rate in rates.items() if rate == best]
        return self.rng.choice(tied or candidates)


class Thompson(_Counting):
    """Thompson sampling from uniform priors, for each task type or for all of them together."""

    def __init__(self, seed: int, per_task_type: bool = True) -> None:
        super().__init__(seed)
        self._per_task_type = per_task_type

    def choose(self, task_type: str, candidates: Sequence[str]) -> str:
        """Return the candidate with the highest draw from its posterior."""
        draw, key = self.rng.betavariate, self._key(task_type)
        found, highest = "", -1.0
        for model_id in candidates:
            failures, successes = self.count(key, model_id)
            drawn = draw(successes + 1, failures + 1)
            if drawn > highest:
                found, highest = model_id, drawn
        return found

    def learn(self, task_type: str, model_id: str, success: bool) -> None:
        """Count the outcome."""
        super().learn(self._key(task_type), model_id, success)

    def _key(self, task_type: str) -> str:
        return task_type if self._per_task_type else ""


class LiteLLM(_Peer):
    """The bandit functions of LiteLLM's adaptive router: Thompson sampling, the evidence of a cell capped at 200.

    Every model gets the prior of the middle tier and the same cost, so quality alone decides.
    """

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else the import downloads a price list
        self._bandit: Any = importlib.import_module("litellm.router_strategy.adaptive_router.bandit")
        types: Any = importlib.import_module("litellm.types.router")
        preferences = types.AdaptiveRouterPreferences(quality_tier=2, strengths=[])
        self._start = self._bandit.initial_cell(preferences, next(iter(types.RequestType)))
        self._cells: dict[tuple[str, str], Any] = {}

    def choose(self, task_type: str, candidates: Sequence[str]) -> str:
        """Return what ``pick_best`` picks."""
        cells = {model_id: self._cells.get((task_type, model_id), self._start) for model_id in candidates}
        picked: str = self._bandit.pick_best(cells, dict.fromkeys(candidates, 1.0), rng=self.rng)
        return picked

    def learn(self, task_type: str, model_id: str, success: bool) -> None:
        """Add the outcome as ``apply_delta`` does."""
        cell = self._cells.get((task_type, model_id), self._start)
        self._cells[task_type, model_id] = self._bandit.apply_delta(cell, float(success), float(not success))


class MABWiser(_Peer):
    """One MABWiser bandit for each task type, over the candidates of its first choice."""

    def __init__(self, seed: int, policy: str, **settings: float) -> None:
        super().__init__(seed)
        library: Any = importlib.import_module("mabwiser.mab")
        self._new_bandit: Any = library.MAB
        self._policy = getattr(library.LearningPolicy, policy)(**settings)
        self._tries_all = policy == "UCB1"  # which says nothing sensible of a model that was never tried
        self._bandits: dict[str, Any] = {}
        self._untried: dict[str, list[str]] = {}

    def choose(self, task_type: str, candidates: Sequence[str]) -> str:
        """Return what the bandit predicts; at first any model that was not tried."""
        if task_type not in self._bandits:
            seed = self.rng.getrandbits(31)
            self._bandits[task_type] = self._new_bandit(list(candidates), self._policy, seed=seed)
            self._untried[task_type] = list(candidates)
        untried = self._untried[task_type]
        if untried and (self._tries_all or len(untried) == len(candidates)):
            return self.rng.choice(untried)
        predicted: str = self._bandits[task_type].predict()
        return predicted

    def learn(self, task_type: str, model_id: str, success: bool) -> None:
        """Fit the outcome."""
        self._bandits[task_type].partial_fit([model_id], [int(success)])
        if model_id in self._untried[task_type]:
            self._untried[task_type].remove(model_id)


class River(_Peer):
    """One river policy for each task type."""

    def __init__(self, seed: int, policy: str) -> None:
        super().__init__(seed)
        self._new_policy: Any = getattr(importlib.import_module("river.bandit"), policy)
        self._new_reward: Any = importlib.import_module("river.proba").Beta
        self._policies: dict[str, Any] = {}

    def choose(self, task_type: str, candidates: Sequence[str]) -> str:
        """Return the arm that the policy pulls."""
        if task_type not in self._policies:
            seed = self.rng.getrandbits(31)
            self._policies[task_type] = self._new_policy(reward_obj=self._new_reward(), seed=seed)
        pulled: str = self._policies[task_type].pull(candidates)
        return pulled

    def learn(self, task_type: str, model_id: str, success: bool) -> None:
        """Update the policy."""
        self._policies[task_type].update(model_id, int(success))


PRODUCT: Final = "modelperf, default"
ROUTERS: Final[Mapping[str, Callable[[int], Router]]] = {
    PRODUCT: Product,
    "random": RandomChoice,
    "success rate, min 3 (migration guide)": MigrationGuideRule,
    "the same + 10 % random": partial(MigrationGuideRule, exploration=0.1),
    "Thompson per task type": Thompson,
    "Thompson, task types ignored": partial(Thompson, per_task_type=False),
    "MABWiser Thompson": partial(MABWiser, policy="ThompsonSampling"),
    "MABWiser UCB1(.25)": partial(MABWiser, policy="UCB1", alpha=0.25),
    "river Thompson": partial(River, policy="ThompsonSampling"),
    "river BayesUCB": partial(River, policy="BayesUCB"),
    "LiteLLM adaptive router": LiteLLM,
}
"""From a name to what makes a new one from a seed; those of a library that is not there raise ImportError."""


def missing() -> dict[str, str]:
    """Return the peers that cannot be run here, each with the reason."""
    found = {}
    for name, new in ROUTERS.items():
        try:
            new(0).close()
        except ImportError as error:
            found[name] = str(error)
    return found
