"""A simulated host that tries models until a task is solved, on tasks that differ in difficulty."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from functools import cache
from math import exp
from typing import NamedTuple

from modelperf_plugin.policy.intervals import expit


class SimulatedTry(NamedTuple):
    """One try of the model that is looked at."""

    success: bool
    tried: tuple[str, ...]
    """The models that had failed before, sorted."""
    task: int


def tries_of(
    watched: str, rates: Mapping[str, float], spread: float, count: int, rng: random.Random,
    order: Sequence[str] | None = None,
) -> list[SimulatedTry]:  # fmt: skip
    """Return the tries of one model on ``count`` tasks, with the models in a fixed or else in random order."""
    abilities = {model_id: ability(rate, spread) for model_id, rate in rates.items()}
    found = []
    for task in range(count):
        difficulty = spread * rng.gauss(0.0, 1.0)
        failed: list[str] = []
        for model_id in order or rng.sample(list(rates), len(rates)):
            success = solves(abilities[model_id] + difficulty, rng)
            if model_id == watched:
                found.append(SimulatedTry(success, tuple(sorted(failed)), task))
            if success:
                break
            failed.append(model_id)
    return found


def solves(logit: float, rng: random.Random) -> bool:
    """Return whether a model solves a task, by the logit of the chance of that."""
    return rng.random() < expit(logit)


@cache
def ability(rate: float, spread: float) -> float:
    """Return the ability of a model that solves ``rate`` of all tasks, by bisection on a fine grid of difficulties."""
    grid = [(number - 200) / 40 for number in range(401)]
    weights = [exp(-(each**2) / 2) for each in grid]
    low, high = -30.0, 30.0
    for _ in range(50):
        middle = (low + high) / 2
        solved = sum(weight * expit(middle + spread * each) for weight, each in zip(weights, grid, strict=True))
        low, high = (middle, high) if solved < rate * sum(weights) else (low, middle)
    return middle
