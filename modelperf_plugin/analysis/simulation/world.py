"""The simulated world: true success rates that drift, and events that happen to models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp, log
from random import Random
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from modelperf_plugin.analysis.simulation.scenario import Event, Scenario

_MIN_RATE: Final = 0.001


class Task(NamedTuple):
    """A task, and the true success rate of every model offered."""

    task_type: str
    rates: Mapping[str, float]
    difficulty: float = 0.0
    """The same for every model; the higher, the easier. See :mod:`modelperf_plugin.analysis.simulation.difficulty`."""

    @property
    def candidates(self) -> Sequence[str]:
        """The models offered."""
        return list(self.rates)


class World:
    """True log-odds of success of each model on each task type, which events and drift change."""

    def __init__(self, scenario: Scenario, rng: Random) -> None:
        self._scenario, self._rng = scenario, rng
        self._names = list(scenario.models)
        rates = scenario.rates
        self._skills = {name: rng.gauss(0.0, rates.model_sd) for name in self._names}
        self._ease = {task: rates.mean + rng.gauss(0.0, rates.task_sd) for task in scenario.task_types}
        self._logits = {task: {name: self._draw(task, name) for name in self._names} for task in self._ease}
        strength = {name: sum(logits[name] for logits in self._logits.values()) for name in self._names}
        if rates.kind == "related":
            strength = self._skills
        self._best, self._worst = max(strength, key=strength.__getitem__), min(strength, key=strength.__getitem__)
        self._away = {self._who(event) for event in scenario.events if event.do == "arrive"}

    def apply(self, event: Event) -> None:
        """Let ``event`` happen."""
        name = self._who(event)
        if event.do in {"arrive", "leave"}:
            (self._away.discard if event.do == "arrive" else self._away.add)(name)
            return
        if event.do == "new":
            self._names = [*self._names, f"model-{len(self._names)}"]
            name = self._names[-1]
        for task, logits in self._logits.items():
            if event.do == "multiply":
                logits[name] = _logit(_expit(logits[name]) * event.value)
            elif event.do == "set":
                logits[name] = _logit(event.value)
            elif event.do == "shift":
                logits[name] += event.value
            else:
                logits[name] = self._above_the_best(task, event.value)

    def next_task(self) -> Task:
        """Let the rates drift, and draw the next task with its candidates."""
        scenario, rng = self._scenario, self._rng
        if scenario.drift_sd:
            for logits in self._logits.values():
                for name in logits:
                    logits[name] += rng.gauss(0.0, scenario.drift_sd)
        task_type = rng.choice(list(self._logits))
        offered = [name for name in self._names if name not in self._away]
        if scenario.offered is not None:
            offered = rng.sample(offered, min(scenario.offered, len(offered)))
        if scenario.offered_share < 1.0:
            offered = [name for name in offered if rng.random() < scenario.offered_share] or offered
        logits = self._logits[task_type]
        difficulty = rng.gauss(0.0, 1.0) if scenario.rates.spread else 0.0
        return Task(task_type, {name: _expit(logits[name]) for name in offered}, difficulty)

    def _who(self, event: Event) -> str:
        return {"best": self._best, "worst": self._worst}.get(event.model, event.model)

    def _draw(self, task: str, name: str) -> float:
        rates = self._scenario.rates
        if rates.kind == "fixed":
            return _logit(self._scenario.expected_success(task, name))
        if rates.kind == "uniform":
            return _logit(self._rng.uniform(rates.low, rates.high))
        return self._ease[task] + self._skills[name] + self._rng.gauss(0.0, rates.pair_sd)

    def _above_the_best(self, task: str, value: float) -> float:
        rates = self._scenario.rates
        if rates.kind == "related":
            return self._ease[task] + self._skills[self._best] + value + self._rng.gauss(0.0, rates.pair_sd)
        return self._logits[task][self._best] + value


def _logit(rate: float) -> float:
    clipped = min(max(rate, _MIN_RATE), 1.0 - _MIN_RATE)
    return log(clipped / (1.0 - clipped))


def _expit(logit: float) -> float:
    return 1.0 / (1.0 + exp(-logit))
