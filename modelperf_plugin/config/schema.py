"""What a configuration is: frozen models whose fields are the keys of the TOML file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cached_property
from hashlib import sha256
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from modelperf_plugin.errors import InvalidValueError
from modelperf_plugin.policy import (
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
from modelperf_plugin.policy.quality import Timeouts
from modelperf_plugin.values import Mode, check_id

POLICY_SECTIONS = ("ranking", "demotion", "cost", "exploration")
"""The sections that make up a policy; each holds one strategy and may be overridden per task type."""
PLAIN_SECTIONS = ("store", "log", "quality", "availability", "drift", "telemetry")
"""The other sections: each is one table of keys."""
NAMED_SECTIONS = ("models", "federation", "task_types")
"""The sections that hold one table for each name, or each thing."""


def naming_key(section: str) -> str:
    """Return the key of a policy section that names its strategy."""
    return "objective" if section == "cost" else "strategy"


FEDERATED_COLUMNS = ("task_type", "model_id", "success", "timeout", "tokens_used", "cost_usd", "timestamp")
"""What a column of another program's table can stand for."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class StoreConfig(_Section):
    """Where outcomes are kept."""

    path: str = Field(
        default=".sf/model-performance.db",
        min_length=1,
        description="File of the tracker, created if need be. In a file, relative to that file; "
        "unset, below the working directory.",
    )
    durability: Literal["normal", "full"] = Field(
        default="normal",
        description="normal: an acknowledged outcome survives the death of the process; "
        "full: also the loss of power, at the price of waiting for the disk.",
    )
    retention_days: int | None = Field(
        default=None,
        ge=1,
        le=36500,
        description="For how many days single outcomes are kept; older ones are dropped in small steps, and go on "
        "counting in the tallies and in the trends by day. Unset: all are kept.",
    )

    @field_validator("path")
    @classmethod
    def _known_store(cls, path: str) -> str:
        if "://" in path and not path.startswith("sqlite:///"):
            shown = re.sub(r"//[^@/]*@", "//…@", path)  # no password in a log
            raise ValueError(
                f"must be a path, :memory: or sqlite:///path (this version knows no other), but got {shown!r}"
            )
        return path


class LogConfig(_Section):
    """Which decisions are kept, with all that went into them, and for how long."""

    share: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="Share of the decisions that is kept, with candidates, scores, probabilities, reasons and "
        "outcome; 0 keeps none.",
    )
    keep_days: int = Field(
        default=30,
        ge=0,
        le=36500,
        description="For how many days they are kept; older ones are forgotten, once an hour.",
    )


class TaskTypeConfig(_Section):
    """The policy of one task type, where it differs; each strategy stands here complete."""

    ranking: AnyRanking | None = Field(default=None, description="As [ranking], for this task type.")
    demotion: AnyDemotion | None = Field(default=None, description="As [demotion], for this task type.")
    cost: AnyCostObjective | None = Field(default=None, description="As [cost], for this task type.")
    exploration: AnyExploration | None = Field(default=None, description="As [exploration], for this task type.")


class ModelConfig(_Section):
    """What is known of one model from elsewhere."""

    prior_success: float | None = Field(
        default=None,
        ge=0.01,
        le=0.99,
        description="The success expected of it on an average task type, for example from a published benchmark.",
    )
    prior_strength: float = Field(
        default=10.0, gt=0, le=10_000, description="How many outcomes on one task type that expectation weighs."
    )
    cost_usd: float | None = Field(
        default=None, ge=0, le=1_000_000, description="What a task costs in US dollars, where no host reports it."
    )


class QualityConfig(_Section):
    """What counts as a failure of the model."""

    timeouts: Timeouts = Field(
        default="failure",
        description="What a failed task that ran out of time counts as. failure: the model has failed; outage: it was "
        "not available; ignore: it says nothing.",
    )


class AvailabilityConfig(_Section):
    """What is done about models that have outages."""

    pause_seconds: float = Field(
        default=2.0,
        ge=0,
        le=86_400,
        description="For how long a model is left alone after an outage; twice as long after each further one in a "
        "row. 0: not at all.",
    )
    longest_pause_seconds: float = Field(
        default=300.0, ge=0, le=604_800, description="The pause grows no longer than this."
    )
    jitter: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Each pause is longer by a random part of up to this share, so that hosts do not return at once.",
    )


class DriftConfig(_Section):
    """What is done about models that change."""

    half_life_days: float = Field(
        default=30.0,
        ge=0,
        le=36_500,
        description="After so many days an outcome weighs half, after twice as many a quarter; 0: it weighs the same "
        "for ever.",
    )
    detect: bool = Field(
        default=True,
        description="Whether silent changes of a model are looked for, over all its task types; what came before a "
        "change counts as two outcomes.",
    )


class TelemetryConfig(_Section):
    """What is measured for others."""

    metrics: bool = Field(
        default=False,
        description="Whether decisions and outcomes are measured through OpenTelemetry, from the start of a host on; "
        "needs the extra otel, and an SDK in the host.",
    )


class FederationConfig(_Section):
    """Another program's table whose outcomes count as evidence; it is only read."""

    path: str = Field(
        min_length=1, description="The other program's SQLite database. In a file, relative to that file."
    )
    table: str = Field(
        default="llm_task_outcomes", min_length=1, description="The table or view with one row for each outcome."
    )
    columns: dict[str, str] = Field(
        default={},
        description="Which of its columns stands for task_type, model_id, success, timeout, tokens_used, cost_usd and "
        "timestamp, where its shape is not recognised.",
    )

    @field_validator("columns")
    @classmethod
    def _known_columns(cls, columns: dict[str, str]) -> dict[str, str]:
        unknown = [name for name in columns if name not in FEDERATED_COLUMNS]
        if unknown:
            raise ValueError(f"must have keys among {', '.join(FEDERATED_COLUMNS)}, but has {', '.join(unknown)}")
        return columns


class Config(_Section):
    """A complete configuration; every field has a default. Made by :func:`modelperf_plugin.config.load`."""

    mode: Mode = Field(
        default="apply",
        description="apply: choose; observe: decide and log, but answer None; off: neither choose nor record.",
    )
    store: StoreConfig = Field(default=StoreConfig(), description="Where outcomes are kept.")
    log: LogConfig = Field(default=LogConfig(), description="Which decisions are kept, and for how long.")
    ranking: AnyRanking = Field(default=Posterior(), description="How candidates are scored.")
    demotion: AnyDemotion = Field(default=DemoteByEvidence(), description="Which candidates are out of the running.")
    cost: AnyCostObjective = Field(default=Success(), description="How success is weighed against cost.")
    exploration: AnyExploration = Field(default=Adaptive(), description="How decisions are spread over the candidates.")
    quality: QualityConfig = Field(default=QualityConfig(), description="What counts as a failure of the model.")
    availability: AvailabilityConfig = Field(
        default=AvailabilityConfig(), description="What is done about models that have outages."
    )
    drift: DriftConfig = Field(default=DriftConfig(), description="What is done about models that change.")
    telemetry: TelemetryConfig = Field(default=TelemetryConfig(), description="What is measured for others.")
    models: dict[str, ModelConfig] = Field(
        default={}, description="What is known of single models from elsewhere, before they have outcomes."
    )
    federation: list[FederationConfig] = Field(
        default=[], description="Other programs' tables whose outcomes count as evidence, without being copied."
    )
    task_types: dict[str, TaskTypeConfig] = Field(
        default={}, description="Policies of single task types: any policy section, where it differs."
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

    def policy_for(self, task_type: str) -> Policy:
        """Return the policy in force for ``task_type``; task types without settings of their own share one."""
        return self._own_policies.get(task_type) or self._common_policy

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy with some fields changed; its policies are its own."""
        copy = super().model_copy(update=update, deep=deep)
        copy.__dict__.pop("_common_policy", None)
        copy.__dict__.pop("_own_policies", None)
        return copy

    @cached_property
    def _common_policy(self) -> Policy:
        return _policy(self, TaskTypeConfig())

    @cached_property
    def _own_policies(self) -> dict[str, Policy]:
        return {name: _policy(self, own) for name, own in self.task_types.items()}


def _policy(config: Config, own: TaskTypeConfig) -> Policy:
    ranking = own.ranking or config.ranking
    demotion = own.demotion or config.demotion
    cost = own.cost or config.cost
    exploration = own.exploration or config.exploration
    settings = {"ranking": ranking, "demotion": demotion, "cost": cost, "exploration": exploration}
    shared = {name: getattr(config, name) for name in ("quality", "availability", "drift", "models")}
    policy_id = _fingerprint({**settings, **shared})
    return Policy(ranking=ranking, demotion=demotion, cost=cost, exploration=exploration, policy_id=policy_id)


def _fingerprint(settings: dict[str, Any]) -> str:
    """Return 12 hexadecimal digits that are the same for the same settings, in every process."""
    plain = {name: _plain(value) for name, value in settings.items()}
    return sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:12]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return value.model_dump(mode="json")
