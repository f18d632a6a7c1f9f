"""The sections that are one table of keys each, and the tables of other programs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    PlainValidator,
    WithJsonSchema,
    field_serializer,
    field_validator,
)
from pydantic_core import PydanticCustomError

from modelperf_plugin.config.models import Section
from modelperf_plugin.policy.quality import Timeouts
from modelperf_plugin.store.urls import is_postgres, without_secrets
from modelperf_plugin.values import DEFAULT_PASS_SCORE, MAX_ATTEMPTS

FEDERATED_COLUMNS = ("task_type", "model_id", "success", "timeout", "tokens_used", "cost_usd", "timestamp")
"""Columns that another program's table can be mapped to."""


def _check_path(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise PydanticCustomError("path", "must be non-empty text")
    return value


_PathText = Annotated[str, PlainValidator(_check_path), WithJsonSchema({"type": "string", "minLength": 1})]
"""A path as text. Bytes that are not UTF-8 are surrogates in it, which pydantic's own text does not allow."""


class StoreConfig(Section):
    """Where outcomes are stored."""

    path: _PathText = Field(
        default=".sf/model-performance.db",
        description="SQLite file, created if missing. A path in a configuration file is relative to that file; the "
        "default is relative to the working directory.",
    )
    url: str | None = Field(
        default=None, min_length=1, repr=False,
        description="PostgreSQL database to use instead of the file: postgresql://user@host/database, or "
        "postgresql://?service=NAME. Give passwords in PGPASSWORD, a password file or a service file. Outcomes that "
        "wait for the server are written to files beside path.",
    )  # fmt: skip
    durability: Literal["normal", "full"] = Field(
        default="normal",
        description="normal: a recorded outcome survives a crash of the process; full: also a power failure, but every "
        "record waits for the disk.",
    )
    patience_seconds: float = Field(
        default=1.0, ge=0, le=60,
        description="Seconds that a record waits for other writers; then the outcome is written to a file beside the "
        "database and moved in later. Choices never wait.",
    )  # fmt: skip
    retention_days: int | None = Field(
        default=None, ge=1, le=36500,
        description="Days to keep single outcomes; older ones are deleted in small steps but still count in the "
        "tallies and daily trends. Unset: keep all.",
    )  # fmt: skip

    @property
    def location(self) -> str:
        """The URL or, without one, the path; a password may be in it."""
        return self.url or self.path

    def keys_that_differ(self, other: StoreConfig) -> list[str]:
        """Return the keys whose values are not those of ``other``."""
        return [key for key in type(self).model_fields if getattr(self, key) != getattr(other, key)]

    @field_validator("path")
    @classmethod
    def _known_store(cls, path: str) -> str:
        if "://" in path and not path.startswith("sqlite:///"):
            what = "the key for it is store.url" if is_postgres(path) else "no other URL is supported"
            raise ValueError(f"must be a path, :memory: or sqlite:///path ({what}), but got {without_secrets(path)!r}")
        return path

    @field_validator("url")
    @classmethod
    def _known_database(cls, url: str | None) -> str | None:
        if url is not None and (not is_postgres(url) or "\0" in url):
            raise ValueError(f"must be postgresql://…, but got {without_secrets(url)!r}")
        return url

    @field_serializer("url", when_used="json")
    def _without_password(self, url: str | None) -> str | None:
        return None if url is None else without_secrets(url)


class LogConfig(Section):
    """Which decisions are logged, with all their inputs, and for how long."""

    share: float = Field(
        default=1.0, ge=0, le=1,
        description="Share of decisions to log with candidates, scores, probabilities, reasons and outcome; 0: none.",
    )  # fmt: skip
    keep_days: int = Field(
        default=30, ge=0, le=36500, description="Days to keep logged decisions; older ones are deleted hourly."
    )


class RetriesConfig(Section):
    """How often the host tries a task."""

    attempts: int = Field(
        default=1, ge=1, le=MAX_ATTEMPTS,
        description="Tries that the host makes per task until one succeeds. With more than 1, the order of the models "
        "is planned for the whole task.",
    )  # fmt: skip


class QualityConfig(Section):
    """What counts as a failure of the model."""

    timeouts: Timeouts = Field(
        default="failure",
        description="How a failed task that timed out counts. failure: as a failure of the model; outage: as an "
        "outage; ignore: as neither. An outcome with a score counts by its score.",
    )
    pass_score: float = Field(
        default=DEFAULT_PASS_SCORE, ge=0, le=1,
        description="Lowest score that is a success, if the host reports a score alone.",
    )  # fmt: skip


class AvailabilityConfig(Section):
    """Back-off from models that have outages, and how much recent outages lower a model's score."""

    pause_seconds: float = Field(
        default=2.0, ge=0, le=86_400,
        description="Seconds of back-off from a model after an outage; doubles with each further one in a row. "
        "0: no back-off, unless the model is gone or the provider says how long to wait.",
    )  # fmt: skip
    longest_pause_seconds: float = Field(default=300.0, ge=0, le=604_800, description="Maximum back-off in seconds.")
    jitter: float = Field(
        default=0.5, ge=0, le=1,
        description="Each back-off is extended by a random fraction of at most this, so that hosts do not all return "
        "at once.",
    )  # fmt: skip
    half_life_minutes: float = Field(
        default=240.0, ge=0, le=525_600,
        description="Minutes after which a try counts half in the recent availability, by which the score of a model "
        "is multiplied; 0: outages do not affect the score.",
    )  # fmt: skip
    gone_pause_minutes: float = Field(
        default=60.0, ge=0, le=10_080,
        description="Minutes of back-off from a model that is gone (unavailable); doubles with each further try in a "
        "row that finds it gone. 0: as after any outage.",
    )  # fmt: skip
    longest_gone_pause_hours: float = Field(
        default=24.0, ge=0, le=720, description="Maximum back-off in hours from a model that is gone.",
    )  # fmt: skip
    longest_retry_after_hours: float = Field(
        default=24.0, ge=0, le=720,
        description="Maximum back-off in hours if the provider says when to retry (retry_after_seconds); "
        "0: that is ignored.",
    )  # fmt: skip


class DriftConfig(Section):
    """How changes of models are handled."""

    half_life_days: float = Field(
        default=30.0, ge=0, le=36_500,
        description="Days after which an outcome counts half, and after twice as many a quarter; 0: outcomes do not "
        "fade.",
    )  # fmt: skip
    detect: bool = Field(
        default=True,
        description="Whether to detect silent changes of a model, over all its task types; all outcomes up to the "
        "detection then count as eight.",
    )


class TelemetryConfig(Section):
    """Metrics for other systems."""

    metrics: bool = Field(
        default=False,
        description="Whether to report decisions and outcomes through OpenTelemetry; read when a host starts, needs "
        "the extra otel and an SDK in the host.",
    )


class PricesConfig(Section):
    """Estimates of costs that hosts do not report."""

    estimate: bool = Field(
        default=True,
        description="Whether to estimate the cost of outcomes that have tokens but no cost, by the prices of "
        "genai-prices if it is installed (extra prices).",
    )


class FederationConfig(Section):
    """Another program's table whose outcomes count as evidence; read-only."""

    path: _PathText = Field(description="SQLite database of the other program; relative to the configuration file.")
    table: str = Field(default="llm_task_outcomes", min_length=1, description="Table or view with one row per outcome.")
    columns: dict[str, str] = Field(
        default={},
        description="Names of its columns for task_type, model_id, success, timeout, tokens_used, cost_usd and "
        "timestamp, if its schema is not recognised.",
    )

    @field_validator("columns")
    @classmethod
    def _known_columns(cls, columns: dict[str, str]) -> dict[str, str]:
        unknown = [name for name in columns if name not in FEDERATED_COLUMNS]
        if unknown:
            raise ValueError(f"must have keys among {', '.join(FEDERATED_COLUMNS)}, but has {', '.join(unknown)}")
        return columns
