"""What a configuration is: frozen models whose fields are the keys of the TOML file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cached_property
from hashlib import sha256
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator

from modelperf_plugin.errors import InvalidValueError
from modelperf_plugin.policy import (
    Adaptive,
    AnyDemotion,
    AnyExploration,
    AnyRanking,
    DemoteByEvidence,
    Policy,
    Posterior,
)
from modelperf_plugin.types import Mode, check_id

POLICY_SECTIONS = ("ranking", "demotion", "exploration")
"""The sections that make up a policy; each holds one strategy and may be overridden per task type."""
PLAIN_SECTIONS = ("store", "log", "drift")
"""The other sections: each is one table of keys."""


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
    exploration: AnyExploration | None = Field(default=None, description="As [exploration], for this task type.")


class DriftConfig(_Section):
    """What is done about models that change."""

    detect: bool = Field(
        default=True,
        description="Whether silent changes of a model are looked for, over all its task types; what came before a "
        "change counts as two outcomes.",
    )


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
    exploration: AnyExploration = Field(default=Adaptive(), description="How decisions are spread over the candidates.")
    drift: DriftConfig = Field(default=DriftConfig(), description="What is done about models that change.")
    task_types: dict[str, TaskTypeConfig] = Field(
        default={}, description="Policies of single task types: any policy section, where it differs."
    )

    @field_validator("task_types")
    @classmethod
    def _usable_names(cls, task_types: dict[str, TaskTypeConfig]) -> dict[str, TaskTypeConfig]:
        for name in task_types:
            try:
                check_id("a task type", name)
            except InvalidValueError as error:
                raise ValueError(str(error)) from error
        return task_types

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
    exploration = own.exploration or config.exploration
    settings = {"ranking": ranking, "demotion": demotion, "exploration": exploration}
    return Policy(ranking=ranking, demotion=demotion, exploration=exploration, policy_id=_fingerprint(settings))


def _fingerprint(settings: dict[str, Any]) -> str:
    """Return 12 hexadecimal digits that are the same for the same settings, in every process."""
    plain = {name: strategy.model_dump(mode="json") for name, strategy in settings.items()}
    return sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:12]
