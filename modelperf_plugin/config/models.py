"""The table of a single model, and what its names must be like."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from modelperf_plugin.errors import InvalidValueError, brief
from modelperf_plugin.policy.budget import Budget
from modelperf_plugin.values import check_id


class Section(BaseModel):
    """A table of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def _check_names(value: Any) -> Any:
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"must be an array of model ids, but got {brief(value)}")  # noqa: TRY004 - as pydantic wants it
    for name in value:
        try:
            check_id("an alias", name)
        except InvalidValueError as error:
            raise ValueError(f"must be an array of model ids, but {error}") from error
    return tuple(value)


class ModelConfig(Section):
    """What is known about one model beforehand."""

    aliases: Annotated[tuple[str, ...], BeforeValidator(_check_names)] = Field(
        default=(),
        description="Other names of this model, which hosts may offer and report: outcomes under any of them are "
        "outcomes of this model, including those recorded earlier.",
    )

    prior_success: float | None = Field(
        default=None, ge=0.01, le=0.99,
        description="Expected success rate on an average task type, for example from a published benchmark.",
    )  # fmt: skip
    prior_strength: float = Field(
        default=10.0, gt=0, le=10_000, description="Weight of that expectation, in outcomes on one task type."
    )
    cost_usd: float | None = Field(
        default=None, ge=0, le=1_000_000, description="Cost of a task in US dollars, used if no host reports any."
    )
    cost_since: date | None = Field(
        default=None,
        description="The day, in UTC, on which the price changed to cost_usd: the costs of earlier outcomes no longer "
        "count.",
    )
    budget: Budget | None = Field(default=None, description="A limit for this model, in addition to [budget].")


def ambiguous_names(models: Mapping[str, ModelConfig]) -> list[str]:
    """Return a sentence for each alias that does not say which model it means."""
    problems = []
    owners: dict[str, str] = {}
    for name, model in models.items():
        for alias in model.aliases:
            owner = owners.setdefault(alias, name)
            if alias in models and alias != name:
                problems.append(f"{alias!r} is an alias of {name!r}, but has a table [models.{json.dumps(alias)}] too")
            elif alias == name or (owner == name and model.aliases.count(alias) > 1):
                problems.append(f"{alias!r} is named twice in [models.{json.dumps(name)}]")
            elif owner != name:
                problems.append(f"{alias!r} is an alias of both {owner!r} and {name!r}")
    return list(dict.fromkeys(problems))
