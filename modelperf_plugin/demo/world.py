"""The demo's world: models that succeed as often as they were measured to, and what happens to them in two weeks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib.resources import files
from random import Random
from typing import Final, Literal, NamedTuple

import tomli
from pydantic import BaseModel, ConfigDict, Field, model_validator

from modelperf_plugin.analysis.simulation.scenario import Scenario
from modelperf_plugin.values import Outcome

SOURCES: Final = (
    "Success rates: the benchmark table in the README of github.com/openai/simple-evals (commit 0f2cf333).",
    "Prices: model_prices_and_context_window.json of github.com/BerriAI/litellm (commit 19a1f629), and o3's before.",
    "Made up: task types, tokens, durations, outages, timeouts, and what happens when.",
)
"""Where the figures of :data:`WORLD` come from, one sentence each, to be shown beside them."""
DAYS: Final = 14
"""Simulated duration of a run."""


class Happening(BaseModel):
    """Something that happens to one model."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    day: float = Field(ge=0, lt=DAYS)
    """Days since the beginning."""
    model: str
    do: Literal["outage", "price", "decline", "arrival"]
    """``outage``: no call is answered for ``hours``; ``price`` and ``decline``: costs and success rates are multiplied
    by ``factor``; ``arrival``: offered from then on only."""
    factor: float = Field(default=1.0, gt=0, le=1)
    hours: float = Field(default=0.0, ge=0)

    def is_in_force(self, day: float) -> bool:
        """Return whether it has happened, and is not over, at a time in days since the beginning."""
        return self.day <= day and (self.do != "outage" or day < self.day + self.hours / 24)


class Conditions(NamedTuple):
    """The world at one moment."""

    offered: tuple[str, ...]
    """The models that exist."""
    down: frozenset[str]
    """The models that answer no call."""
    prices: Mapping[str, float]
    """Factors of the costs of models; 1 for all others."""
    abilities: Mapping[str, float]
    """Factors of the success rates of models; 1 for all others."""


class World(Scenario):
    """Models, task types, and what happens in :data:`DAYS` days."""

    happenings: list[Happening] = Field(default_factory=list)
    """In the order of time."""

    @model_validator(mode="after")
    def _known(self) -> World:
        for each in self.happenings:
            if each.model not in self.models:
                raise ValueError(f"something happens to {each.model!r}; there are {', '.join(self.models)}")
        return self

    def conditions(self, day: float) -> Conditions:
        """Return the world at a time in days since the beginning."""
        absent = {each.model for each in self.happenings if each.do == "arrival" and not each.is_in_force(day)}
        now = [each for each in self.happenings if each.is_in_force(day)]
        return Conditions(
            tuple([model_id for model_id in self.models if model_id not in absent]),
            frozenset([each.model for each in now if each.do == "outage"]),
            {each.model: each.factor for each in now if each.do == "price"},
            {each.model: each.factor for each in now if each.do == "decline"},
        )

    def rate(self, task_type: str, model_id: str, conditions: Conditions) -> float:
        """Return the success rate of a model on a task type, outages aside."""
        return self.expected_success(task_type, model_id) * conditions.abilities.get(model_id, 1.0)

    def best_now(self, task_type: str, conditions: Conditions) -> str:
        """Return the offered model with the highest success rate."""
        return max(conditions.offered, key=lambda model_id: self.rate(task_type, model_id, conditions))

    def attempt(self, key: str, task_type: str, model_id: str, conditions: Conditions) -> Outcome:
        """Return what happens when a model tries a task; the same ``key`` means the same luck."""
        rng = Random(key)
        if model_id in conditions.down:
            return Outcome(success=False, duration_seconds=round(rng.uniform(0.2, 5.0), 3), error_kind="server_error")
        outcome = self.outcome(rng, task_type, model_id, self.rate(task_type, model_id, conditions))
        factor = conditions.prices.get(model_id, 1.0)
        if factor == 1.0 or outcome.cost_usd is None:
            return outcome
        return replace(outcome, cost_usd=outcome.cost_usd * factor)


WORLD: Final = World.model_validate(tomli.loads((files(__package__) / "world.toml").read_text(encoding="utf-8")))
"""Six kinds of work and six models; whether a task succeeds is drawn with the published rate, independently."""
