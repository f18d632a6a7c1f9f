"""Simulated worlds from a file: rates, drifts, arrivals, delays and costs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from math import exp, log
from pathlib import Path
from random import Random
from typing import Any, Final, Literal, NamedTuple

import tomli
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from modelperf_plugin.errors import InvalidValueError, OutcomesFileError

_SHIPPED: Final = files(__package__) / "scenarios"
_SURE: Final = 0.001


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, protected_namespaces=())


class Rates(_Part):
    """How the rates of success are drawn, anew in every run.

    ``uniform``: each between ``low`` and ``high``. ``related``: the log-odds are ``mean`` + N(0, ``model_sd``²) of the
    model + N(0, ``task_sd``²) of the task type + N(0, ``pair_sd``²) of both. ``fixed``: as the models say.
    """

    kind: Literal["uniform", "related", "fixed"] = "uniform"
    low: float = Field(default=0.48, gt=0, lt=1)
    high: float = Field(default=0.96, gt=0, lt=1)
    mean: float = 1.5
    model_sd: float = Field(default=0.7, ge=0)
    task_sd: float = Field(default=1.0, ge=0)
    pair_sd: float = Field(default=0.4, ge=0)


class Model(_Part):
    """One named model."""

    rate: float | None = Field(default=None, gt=0, lt=1)
    """Its rate of success, where the kind of the rates is fixed."""
    rates: dict[str, float] = {}
    """Its rates on single task types, where they differ."""
    cost_usd: float = Field(default=0.0, ge=0)
    """What a task costs with it."""


class Event(_Part):
    """Something that happens to a model."""

    at: float = Field(ge=0, le=1)
    """When, as a share of the decisions."""
    model: str = "best"
    """Whom: ``best``, ``worst`` or a name."""
    do: Literal["multiply", "set", "shift", "arrive", "leave", "new"]
    """``multiply`` the rates by the value, ``set`` them to it, ``shift`` their log-odds by it; ``arrive``: offered from
    then on only; ``leave``: until then only; ``new``: one more model, its log-odds the value above the best one's."""
    value: float = 0.0


class Scenario(_Part):
    """A simulated world, as its file says."""

    name: str = ""
    description: str = ""
    decisions: int = Field(default=2000, ge=1, le=1_000_000)
    models: int | dict[str, Model] = 8
    task_types: int | list[str] = 1
    rates: Rates = Rates()
    drift_sd: float = Field(default=0.0, ge=0)
    """Every rate walks at random, so many logits (standard deviation) a decision."""
    feedback_delay: int = Field(default=0, ge=0)
    """So many choices are made before the outcome of one is known."""
    offered: int | None = Field(default=None, ge=1)
    """So many models are offered each time, drawn at random; all by default."""
    offered_share: float = Field(default=1.0, gt=0, le=1)
    """Each model is offered with this probability."""
    events: list[Event] = []

    @model_validator(mode="after")
    def _fitting(self) -> Scenario:
        if self.rates.kind == "fixed":
            if isinstance(self.models, int):
                raise ValueError("rates.kind is fixed, so models must be named, each with its rate")
            for name, model in self.models.items():
                if model.rate is None and not set(self.task_names) <= set(model.rates):
                    raise ValueError(f"models.{name} must have a rate, or rates for every task type")
        for event in self.events:
            if event.model not in {"best", "worst", *self.model_names}:
                raise ValueError(f"an event names the model {event.model!r}; there are {', '.join(self.model_names)}")
        return self

    @property
    def model_names(self) -> list[str]:
        """The models at the start."""
        return [f"model-{n}" for n in range(self.models)] if isinstance(self.models, int) else list(self.models)

    @property
    def task_names(self) -> list[str]:
        """The task types."""
        many = self.task_types
        return [f"type-{n}" for n in range(many)] if isinstance(many, int) else many

    def cost_usd(self, model_id: str) -> float:
        """Return what a task costs with a model."""
        return self.models[model_id].cost_usd if isinstance(self.models, dict) and model_id in self.models else 0.0

    def tasks(self, rng: Random) -> Iterator[Task]:
        """Yield the tasks of one run, with rates drawn from ``rng``."""
        world = _World(self, rng)
        events = sorted(self.events, key=lambda event: event.at)
        for position in range(self.decisions):
            while events and position >= events[0].at * self.decisions:
                world.happen(events.pop(0))
            yield world.task()


class Task(NamedTuple):
    """One task, and the true rate of success of every model that is offered."""

    task_type: str
    rates: Mapping[str, float]

    @property
    def candidates(self) -> Sequence[str]:
        """The models offered."""
        return list(self.rates)


class _World:
    """Log-odds of success that change."""

    def __init__(self, scenario: Scenario, rng: Random) -> None:
        self._scenario, self._rng = scenario, rng
        self._names = scenario.model_names
        rates = scenario.rates
        self._skills = {name: rng.gauss(0.0, rates.model_sd) for name in self._names}
        self._ease = {task: rates.mean + rng.gauss(0.0, rates.task_sd) for task in scenario.task_names}
        self._logits = {task: {name: self._draw(task, name) for name in self._names} for task in self._ease}
        strength = {name: sum(logits[name] for logits in self._logits.values()) for name in self._names}
        if rates.kind == "related":
            strength = self._skills
        self._best, self._worst = max(strength, key=strength.__getitem__), min(strength, key=strength.__getitem__)
        self._away = {self._who(event) for event in scenario.events if event.do == "arrive"}

    def happen(self, event: Event) -> None:
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

    def task(self) -> Task:
        scenario, rng = self._scenario, self._rng
        if scenario.drift_sd:
            for logits in self._logits.values():
                for name in logits:
                    logits[name] += rng.gauss(0.0, scenario.drift_sd)
        task_type = rng.choice(scenario.task_names)
        there = [name for name in self._names if name not in self._away]
        offered = there
        if scenario.offered is not None:
            offered = rng.sample(there, min(scenario.offered, len(there)))
        if scenario.offered_share < 1.0:
            offered = [name for name in offered if rng.random() < scenario.offered_share] or offered
        logits = self._logits[task_type]
        return Task(task_type, {name: _expit(logits[name]) for name in offered})

    def _who(self, event: Event) -> str:
        return {"best": self._best, "worst": self._worst}.get(event.model, event.model)

    def _draw(self, task: str, name: str) -> float:
        rates, models = self._scenario.rates, self._scenario.models
        if rates.kind == "fixed" and isinstance(models, dict):
            return _logit(models[name].rates.get(task, models[name].rate or 0.5))
        if rates.kind == "uniform":
            return _logit(self._rng.uniform(rates.low, rates.high))
        return self._ease[task] + self._skills[name] + self._rng.gauss(0.0, rates.pair_sd)

    def _above_the_best(self, task: str, value: float) -> float:
        rates = self._scenario.rates
        if rates.kind == "related":
            return self._ease[task] + self._skills[self._best] + value + self._rng.gauss(0.0, rates.pair_sd)
        return self._logits[task][self._best] + value


def shipped() -> list[str]:
    """Return the names of the scenarios that come with this package."""
    return sorted(each.name.removesuffix(".toml") for each in _SHIPPED.iterdir() if each.name.endswith(".toml"))


def read_scenario(source: str) -> Scenario:
    """Read a scenario: a shipped one by its name, or a file.

    Raises:
        OutcomesFileError: the file cannot be read or is not a scenario; every problem is in the message.
        InvalidValueError: there is neither such a file nor such a shipped scenario.
    """
    if source in shipped():
        text = (_SHIPPED / f"{source}.toml").read_text(encoding="utf-8")
    elif not Path(source).exists():
        raise InvalidValueError("scenario", f"a file, or one of {', '.join(shipped())}", source)
    else:
        try:
            text = Path(source).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise OutcomesFileError(source, None, f"cannot be read ({error})") from error
    try:
        values: dict[str, Any] = tomli.loads(text)
        return Scenario(**{"name": Path(source).stem, **values})
    except tomli.TOMLDecodeError as error:
        raise OutcomesFileError(source, None, f"is not TOML: {error}") from error
    except ValidationError as error:
        problems = "; ".join(_problem(each) for each in error.errors())
        raise OutcomesFileError(source, None, f"is not a scenario: {problems}") from error


def _problem(error: Any) -> str:
    path = ".".join(str(each) for each in error["loc"])
    return f"{path}: {error['msg']}" if path else str(error["msg"])


def _logit(rate: float) -> float:
    kept = min(max(rate, _SURE), 1.0 - _SURE)
    return log(kept / (1.0 - kept))


def _expit(logit: float) -> float:
    return 1.0 / (1.0 + exp(-logit))
