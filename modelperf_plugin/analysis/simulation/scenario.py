"""Scenarios: simulated worlds described by a TOML file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.resources import files
from math import exp, log
from pathlib import Path
from random import Random
from typing import Any, Final, Literal

import tomli
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from modelperf_plugin.analysis.simulation.difficulty import chance
from modelperf_plugin.analysis.simulation.world import Task, World
from modelperf_plugin.errors import InvalidValueError, OutcomesFileError
from modelperf_plugin.files import read_regular
from modelperf_plugin.values import ErrorKind, Outcome

_SHIPPED: Final = files(__package__) / "scenarios"
_MAX_BYTES: Final = 1_000_000
"""Of a scenario's file."""
_OUTAGES: Final[tuple[ErrorKind, ...]] = ("rate_limit", "server_error")
_RUNAWAY_FACTOR: Final = 4
"""How many times as many tokens a model writes before the time limit stops it."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, protected_namespaces=())


class Rates(_Part):
    """The distribution of success rates, which are drawn again in every run.

    ``uniform``: each between ``low`` and ``high``. ``related``: the log-odds are ``mean`` + N(0, ``model_sd``²) of the
    model + N(0, ``task_sd``²) of the task type + N(0, ``pair_sd``²) of both. ``fixed``: the rates of the models.
    """

    kind: Literal["uniform", "related", "fixed"] = "uniform"
    low: float = Field(default=0.48, gt=0, lt=1)
    high: float = Field(default=0.96, gt=0, lt=1)
    mean: float = 1.5
    model_sd: float = Field(default=0.7, ge=0)
    task_sd: float = Field(default=1.0, ge=0)
    pair_sd: float = Field(default=0.4, ge=0)
    spread: float = Field(default=0.0, ge=0, le=20)
    """Standard deviation of the difficulty of tasks in logits, the same for every model: so far do tasks of one type
    differ. Rates are means over all tasks."""


class Model(_Part):
    """One named model."""

    rate: float | None = Field(default=None, gt=0, lt=1)
    """Success rate, if the kind of the rates is fixed."""
    rates: dict[str, float] = {}
    """Success rates on single task types, where they differ from ``rate``."""
    cost_usd: float = Field(default=0.0, ge=0)
    """US dollars a task, in addition to its tokens."""
    input_usd: float = Field(default=0.0, ge=0)
    """US dollars for a million tokens read."""
    output_usd: float = Field(default=0.0, ge=0)
    """US dollars for a million tokens written."""
    verbosity: float = Field(default=1.0, gt=0)
    """How many times as many tokens it writes, reasoning included."""
    tokens_per_second: float = Field(default=80.0, gt=0)

    def price_usd(self, read: float, written: float) -> float:
        """Return the price of one task in US dollars, from the numbers of tokens read and written."""
        return self.cost_usd + (read * self.input_usd + written * self.output_usd) / 1_000_000


class TaskType(_Part):
    """One named class of work."""

    benchmark: str = ""
    """The benchmark that its success rates come from."""
    input_tokens: int = Field(default=0, ge=0)
    """Median tokens read."""
    output_tokens: int = Field(default=0, ge=0)
    """Median tokens written by a model with a verbosity of 1."""


class Event(_Part):
    """Something that happens to a model."""

    at: float = Field(ge=0, le=1)
    """Time, as a share of the decisions."""
    model: str = "best"
    """``best``, ``worst`` or a name."""
    do: Literal["multiply", "set", "shift", "arrive", "leave", "new"]
    """``multiply`` the rates by the value, ``set`` them to it, ``shift`` their log-odds by it; ``arrive``: offered from
    then on only; ``leave``: until then only; ``new``: one more model, its log-odds the value above the best one's."""
    value: float = 0.0


class Scenario(_Part):
    """A simulated world."""

    name: str = ""
    description: str = ""
    decisions: int = Field(default=2000, ge=1, le=1_000_000)
    models: dict[str, Model] = Field(default_factory=lambda: {f"model-{number}": Model() for number in range(8)})
    """The models at the start; a file may give their number instead."""
    task_types: dict[str, TaskType] = {"type-0": TaskType()}
    """The classes of work, equally frequent; a file may give their number or their names instead."""
    rates: Rates = Rates()
    drift_sd: float = Field(default=0.0, ge=0)
    """Standard deviation of the random walk of every rate, in logits a decision."""
    feedback_delay: int = Field(default=0, ge=0)
    """Number of further choices before an outcome is known."""
    offered: int | None = Field(default=None, ge=1)
    """Number of models offered each time, drawn at random; None for all."""
    offered_share: float = Field(default=1.0, gt=0, le=1)
    """Probability that a model is offered."""
    outage_share: float = Field(default=0.0, ge=0, lt=1)
    """Share of the calls that fail because the provider does."""
    timeout_share: float = Field(default=0.0, ge=0, le=1)
    """Share of the failures that are due to a time limit."""
    token_spread: float = Field(default=0.5, ge=0, le=2)
    """Standard deviation of the logarithm of a token count."""
    events: list[Event] = []

    @field_validator("models", mode="before")
    @classmethod
    def _named_models(cls, value: object) -> object:
        return {f"model-{number}": {} for number in range(value)} if isinstance(value, int) else value

    @field_validator("task_types", mode="before")
    @classmethod
    def _named_task_types(cls, value: object) -> object:
        if isinstance(value, int):
            value = [f"type-{number}" for number in range(value)]
        return {name: {} for name in value} if isinstance(value, list) else value

    @model_validator(mode="after")
    def _consistent(self) -> Scenario:
        if self.rates.kind == "fixed":
            for name, model in self.models.items():
                if model.rate is None and not set(self.task_types) <= set(model.rates):
                    needed = "each with a rate, or rates for every task type"
                    raise ValueError(f"rates.kind is fixed, so models must be named, {needed}; {name} has none")
        for event in self.events:
            if event.model not in {"best", "worst", *self.models}:
                raise ValueError(f"an event names the model {event.model!r}; there are {', '.join(self.models)}")
        return self

    def tasks(self, rng: Random) -> Iterator[Task]:
        """Yield the tasks of one run, with rates drawn from ``rng``."""
        world = World(self, rng)
        events = sorted(self.events, key=lambda event: event.at)
        for position in range(self.decisions):
            while events and position >= events[0].at * self.decisions:
                world.apply(events.pop(0))
            yield world.next_task()

    def outcome(self, rng: Random, task_type: str, model_id: str, rate: float) -> Outcome:
        """Draw what happens when a model with this success rate tries a task."""
        task, model = self.task_types[task_type], self.models.get(model_id, _NEW_MODEL)
        if self.outage_share and rng.random() < self.outage_share:
            seconds = round(rng.uniform(0.2, 5.0), 3)
            return Outcome(success=False, duration_seconds=seconds, error_kind=rng.choice(_OUTAGES))
        success = rng.random() < rate
        timeout = bool(self.timeout_share) and not success and rng.random() < self.timeout_share
        if not task.output_tokens:
            return Outcome(success=success, timeout=timeout, cost_usd=model.cost_usd)
        read = self._tokens(rng, task.input_tokens)
        written = self._tokens(rng, task.output_tokens * model.verbosity * (_RUNAWAY_FACTOR if timeout else 1))
        return Outcome(
            success=success,
            timeout=timeout,
            tokens_used=read + written,
            cost_usd=model.price_usd(read, written),
            duration_seconds=round(0.5 + written / model.tokens_per_second, 3),
        )

    def chance(self, task: Task, model_id: str) -> float:
        """Return the chance of success of a model on one task, of which its rate is the mean."""
        return chance(task.rates[model_id], self.rates.spread, task.difficulty)

    def run_task(self, rng: Random, task_type: str, model_id: str) -> Outcome:
        """Draw what happens when a model tries a task, where the rates are fixed."""
        return self.outcome(rng, task_type, model_id, self.expected_success(task_type, model_id))

    def expected_success(self, task_type: str, model_id: str) -> float:
        """Return the fixed success rate of a model on a task type, outages aside.

        Raises:
            InvalidValueError: the scenario has no such task type or model, or its rates are not fixed.
        """
        if task_type not in self.task_types:
            raise InvalidValueError("task_type", f"one of {', '.join(self.task_types)}", task_type)
        if model_id not in self.models:
            raise InvalidValueError("model_id", f"one of {', '.join(self.models)}", model_id)
        model = self.models[model_id]
        rate = model.rates.get(task_type, model.rate)
        if rate is None:
            raise InvalidValueError("rates.kind", "fixed", self.rates.kind)
        return rate

    def expected_cost_usd(self, task_type: str, model_id: str) -> float:
        """Return the mean cost of a task in US dollars, where the rates are fixed, outages aside."""
        timeouts = self.timeout_share * (1 - self.expected_success(task_type, model_id))
        task, model = self.task_types[task_type], self.models[model_id]
        written = task.output_tokens * model.verbosity * (1 + (_RUNAWAY_FACTOR - 1) * timeouts)
        # the mean of a log-normal variable is its median times exp(σ²/2)
        mean = exp(self.token_spread**2 / 2)
        return model.price_usd(mean * task.input_tokens, mean * written)

    def best_model(self, task_type: str) -> str:
        """Return the model with the highest fixed rate on a task type."""
        return max(self.models, key=lambda model_id: self.expected_success(task_type, model_id))

    def best_single_model(self, counts: Mapping[str, int] | None = None) -> str:
        """Return the model with the highest fixed rate over all task types.

        ``counts`` says how often each task type occurs; by default they are equally frequent.
        """
        weights = dict.fromkeys(self.task_types, 1) if counts is None else counts

        def expected(model_id: str) -> float:
            return sum(weight * self.expected_success(name, model_id) for name, weight in weights.items())

        return max(self.models, key=expected)

    def _tokens(self, rng: Random, median: float) -> int:
        return max(1, round(rng.lognormvariate(log(median), self.token_spread)))


_NEW_MODEL: Final = Model()
"""Stands for a model that an event adds."""


def shipped() -> list[str]:
    """Return the names of the scenarios that come with this package."""
    return sorted(each.name.removesuffix(".toml") for each in _SHIPPED.iterdir() if each.name.endswith(".toml"))


def read_scenario(source: str) -> Scenario:
    """Read a shipped scenario by its name, or a file.

    Raises:
        OutcomesFileError: the file cannot be read or is not a scenario; the message lists every problem.
        InvalidValueError: there is neither such a file nor such a shipped scenario.
    """
    if source in shipped():
        text = (_SHIPPED / f"{source}.toml").read_text(encoding="utf-8")
    elif not Path(source).exists():
        raise InvalidValueError("scenario", f"a file, or one of {', '.join(shipped())}", source, typed=True)
    else:
        try:
            text = read_regular(Path(source), _MAX_BYTES).decode()
        except (OSError, UnicodeDecodeError) as error:
            raise OutcomesFileError(
                source, None, f"cannot be read ({getattr(error, 'strerror', None) or error})"
            ) from error
    return parse_scenario(text, source)


def parse_scenario(text: str, source: str) -> Scenario:
    """Return the scenario in ``text``; ``source`` stands in messages, and its stem is the default name.

    Raises:
        OutcomesFileError: the text is not a scenario; the message lists every problem.
    """
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
