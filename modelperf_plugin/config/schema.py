"""The configuration: frozen models whose fields are the keys of the TOML file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from hashlib import sha256
from typing import Any, Literal, NamedTuple, Self

from pydantic import (
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from modelperf_plugin.config.models import ModelConfig, Section, ambiguous_names
from modelperf_plugin.config.rules import TaskTypeRules, problems_of
from modelperf_plugin.config.sections import (
    AvailabilityConfig,
    DriftConfig,
    FederationConfig,
    LogConfig,
    PricesConfig,
    QualityConfig,
    RetriesConfig,
    StoreConfig,
    TelemetryConfig,
)
from modelperf_plugin.errors import InvalidValueError
from modelperf_plugin.policy import (
    ABTest,
    Adaptive,
    AnyCostObjective,
    AnyDemotion,
    AnyExploration,
    AnyRanking,
    DemoteByEvidence,
    Policy,
    Posterior,
    Success,
)
from modelperf_plugin.policy.budget import Budget
from modelperf_plugin.values import Mode, check_id

POLICY_SECTIONS = ("ranking", "demotion", "cost", "exploration")
"""Sections that make up a policy: one strategy each, which a task type may override."""
PLAIN_SECTIONS = ("store", "log", "quality", "availability", "drift", "retries", "budget", "prices", "telemetry")
"""Sections that are one table of keys each."""
TASK_TYPE_SECTIONS = (*POLICY_SECTIONS, "retries", "budget")
"""Sections that a task type may override."""
RULES_SECTION = "task_type_rules"
"""The section that names task types by labels."""
NAMED_SECTIONS = ("models", "federation", "task_types", RULES_SECTION)
"""Sections that hold several tables."""


def naming_key(section: str) -> str:
    """Return the key of a policy section that names its strategy."""
    return "objective" if section == "cost" else "strategy"


class TaskTypeConfig(Section):
    """Settings of one task type that differ from the common ones; each strategy is complete."""

    ranking: AnyRanking | None = Field(default=None, description="As [ranking], for this task type.")
    demotion: AnyDemotion | None = Field(default=None, description="As [demotion], for this task type.")
    cost: AnyCostObjective | None = Field(default=None, description="As [cost], for this task type.")
    exploration: AnyExploration | None = Field(default=None, description="As [exploration], for this task type.")
    retries: RetriesConfig | None = Field(default=None, description="As [retries], for this task type.")
    budget: Budget | None = Field(
        default=None, description="A limit for this task type, in addition to [budget], whose other keys it inherits."
    )


class BudgetScope(NamedTuple):
    """What a budget is for."""

    kind: Literal["all", "task_type", "model"]
    name: str
    """The task type or the model; empty for all."""

    @property
    def names(self) -> tuple[str | None, str | None]:
        """The task type and the model that are meant; None: all."""
        return self.name if self.kind == "task_type" else None, self.name if self.kind == "model" else None


class Config(Section):
    """A complete configuration; every field has a default. Use :func:`modelperf_plugin.config.load` to read one."""

    mode: Mode = Field(
        default="apply",
        description="apply: choose; observe: decide and log, but answer None; off: neither choose nor record.",
    )
    store: StoreConfig = Field(default=StoreConfig(), description="Where outcomes are stored.")
    log: LogConfig = Field(default=LogConfig(), description="Which decisions are logged, and for how long.")
    ranking: AnyRanking = Field(default=Posterior(), description="How candidates are scored.")
    demotion: AnyDemotion = Field(default=DemoteByEvidence(), description="Which candidates are demoted.")
    cost: AnyCostObjective = Field(default=Success(), description="How success is weighed against cost.")
    exploration: AnyExploration = Field(default=Adaptive(), description="How decisions are spread over the candidates.")
    quality: QualityConfig = Field(default=QualityConfig(), description="What counts as a failure of the model.")
    availability: AvailabilityConfig = Field(
        default=AvailabilityConfig(), description="Back-off from models that have outages."
    )
    drift: DriftConfig = Field(default=DriftConfig(), description="How changes of models are handled.")
    retries: RetriesConfig = Field(default=RetriesConfig(), description="How often the host tries a task.")
    budget: Budget = Field(default=Budget(), description="How much may be spent in a period, by all task types.")
    prices: PricesConfig = Field(default=PricesConfig(), description="Estimates of costs that hosts do not report.")
    telemetry: TelemetryConfig = Field(default=TelemetryConfig(), description="Metrics for other systems.")
    models: dict[str, ModelConfig] = Field(default={}, description="What is known about single models beforehand.")
    federation: list[FederationConfig] = Field(
        default=[], description="Other programs' tables whose outcomes count as evidence without being copied."
    )
    task_types: dict[str, TaskTypeConfig] = Field(
        default={}, description="Policy sections that differ for one task type."
    )
    task_type_rules: dict[str, Any] = Field(
        default={}, description="Rules that name the task type of a call by its labels; the first that holds counts."
    )

    @field_validator("task_types", "models")
    @classmethod
    def _usable_names(cls, named: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        for name in named:
            try:
                check_id("a model" if info.field_name == "models" else "a task type", name)
            except InvalidValueError as error:
                raise ValueError(str(error)) from error
        return named

    @field_validator("task_type_rules")
    @classmethod
    def _usable_rules(cls, table: dict[str, Any]) -> dict[str, Any]:
        if problems := [f"{'.'.join(path)}: {message}" for path, message in problems_of(table)]:
            raise ValueError("; ".join(problems))
        return table

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        if problems := ambiguous_names(self.models) + self._tests_of_one_model():
            raise ValueError("; ".join(problems))
        return self

    def _tests_of_one_model(self) -> list[str]:
        """Return what is wrong with A/B tests that have one model on two sides, under different names."""
        ids = self.canonical_ids
        own = {f'task_types."{name}".exploration': each.exploration for name, each in self.task_types.items()}
        problems = []
        for path, exploration in ({"exploration": self.exploration, **own} if ids else {}).items():
            if isinstance(exploration, ABTest):
                named = (exploration.incumbent, *exploration.challengers)
                sides = [ids.get(name, name) for name in named if name is not None]
                twice = sorted({name for name in sides if sides.count(name) > 1})
                problems += [f"[{path}] names {name!r} twice, once by an alias" for name in twice]
        return problems

    @cached_property
    def canonical_ids(self) -> Mapping[str, str]:
        """The id of each model that has aliases, by alias."""
        return {alias: name for name, model in self.models.items() for alias in model.aliases}

    @cached_property
    def rules(self) -> TaskTypeRules:
        """The rules that name task types."""
        return TaskTypeRules(self.task_type_rules)

    def policy_for(self, task_type: str) -> Policy:
        """Return the policy of ``task_type``; task types without their own settings share one."""
        return self._own_policies.get(task_type) or self._common_policy

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy with some fields changed, and policies of its own."""
        copy = super().model_copy(update=update, deep=deep)
        for name in ("_common_policy", "_own_policies", "budgets", "canonical_ids", "rules"):
            copy.__dict__.pop(name, None)
        return copy

    @cached_property
    def budgets(self) -> dict[BudgetScope, Budget]:
        """The limits that are set: of all together, of task types, of models."""
        budgets = {BudgetScope("all", ""): self.budget}
        for name, own in self.task_types.items():
            budgets[BudgetScope("task_type", name)] = own.budget or Budget()
        for name, model in self.models.items():
            budgets[BudgetScope("model", name)] = model.budget or Budget()
        return {scope: budget for scope, budget in budgets.items() if budget.usd is not None}

    @cached_property
    def _common_policy(self) -> Policy:
        return _policy(self, TaskTypeConfig())

    @cached_property
    def _own_policies(self) -> dict[str, Policy]:
        return {name: _policy(self, own) for name, own in self.task_types.items()}


def _policy(config: Config, own: TaskTypeConfig) -> Policy:
    sections = {section: getattr(own, section) or getattr(config, section) for section in POLICY_SECTIONS}
    if isinstance(sections["exploration"], ABTest):
        sections["exploration"] = sections["exploration"].under(config.canonical_ids)
    retries = own.retries or config.retries
    shared = {name: getattr(config, name) for name in ("quality", "availability", "drift", "models")}
    if config.budgets:
        shared["budgets"] = {f"{kind}/{name}": budget for (kind, name), budget in config.budgets.items()}
    policy_id = _fingerprint({**sections, **shared, "retries": retries})
    return Policy(**sections, attempts=retries.attempts, policy_id=policy_id)


def _fingerprint(settings: dict[str, Any]) -> str:
    """Return 12 hexadecimal digits, the same for the same settings in every process."""
    plain = {name: _plain(value) for name, value in settings.items()}
    return sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:12]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return value.model_dump(mode="json")
