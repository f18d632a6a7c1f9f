"""Metrics for OpenTelemetry, as decisions are made and outcomes come. Needs the extra ``otel``.

Without an SDK in the host nothing is measured; where measurements go is the host's business.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from modelperf_plugin.engine.background import BackgroundErrors
from modelperf_plugin.errors import HostCodeError, MissingExtraError, ModelPerfError
from modelperf_plugin.store import Entry
from modelperf_plugin.values import Decision, Outcome

# written out: the conventions for these names are not stable yet, and their package changes with every release
MODEL: Final = "gen_ai.request.model"
TOKEN_TYPE: Final = "gen_ai.token.type"  # noqa: S105 - a name
ERROR: Final = "error.type"
TASK_TYPE: Final = "modelperf.task_type"
RESULT: Final = "modelperf.result"
EXPLORED: Final = "modelperf.explored"
MODE: Final = "modelperf.mode"

_RESULTS: Final = {None: "success", "model": "failure", "provider": "outage", "caller": "caller_error"}

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter

_Attributes = dict[str, str | bool]


class Telemetry:
    """Measures through the meter provider that the host has set. Any thread may call any method; none ever raises."""

    def __init__(self, on_error: Callable[[ModelPerfError], None]) -> None:
        """Make the instruments; ``on_error`` is called when a measurement fails for the first time.

        Raises:
            MissingExtraError: the extra ``otel`` is not installed.
            HostCodeError: the meter provider failed.
        """
        self._on_error = on_error
        self._has_failed = False
        try:
            from opentelemetry import metrics  # noqa: PLC0415 - an extra: imported only when used
        except ImportError as error:
            raise MissingExtraError("telemetry.metrics", "otel") from error
        try:
            self._make_instruments(metrics.get_meter("modelperf_plugin", version("modelperf-plugin")))
        except Exception as error:
            raise HostCodeError("the meter provider", error, "nothing is measured") from error

    def _make_instruments(self, meter: Meter) -> None:
        self._duration = meter.create_histogram("gen_ai.client.operation.duration", "s", "Wall time of a task.")
        self._tokens = meter.create_histogram("gen_ai.client.token.usage", "{token}", "Tokens of a task.")
        self._outcomes = meter.create_counter("modelperf.outcomes", "{outcome}", "Outcomes, by how they ended.")
        self._cost = meter.create_counter("modelperf.cost", "USD", "Cost in US dollars.")
        self._decisions = meter.create_counter("modelperf.decisions", "{decision}", "Choices, by model.")

    def on_decision(self, decision: Decision) -> None:
        """Count a decision."""
        attributes = _of(decision.task_type, decision.model_id)
        try:
            self._decisions.add(1, {**attributes, EXPLORED: decision.explored, MODE: decision.mode})
        except Exception as error:  # noqa: BLE001 - it is the host's code
            self._report(error)

    def on_outcome(self, task_type: str, model_id: str, outcome: Outcome) -> None:
        """Measure an outcome: what it took, what it cost, how it ended."""
        attributes = _of(task_type, model_id)
        failed: _Attributes = {}
        if not outcome.success:
            failed[ERROR] = outcome.error_kind or ("timeout" if outcome.timeout else "failure")
        try:
            self._outcomes.add(1, {**attributes, RESULT: _RESULTS[outcome.blame]})
            if outcome.duration_seconds is not None:
                self._duration.record(outcome.duration_seconds, {**attributes, **failed})
            if outcome.tokens_used:
                self._tokens.record(outcome.tokens_used, {**attributes, TOKEN_TYPE: "total"})
            if outcome.cost_usd:
                self._cost.add(outcome.cost_usd, attributes)
        except Exception as error:  # noqa: BLE001 - it is the host's code
            self._report(error)

    def _report(self, error: Exception) -> None:
        if not self._has_failed:
            self._has_failed = True
            self._on_error(HostCodeError("an instrument of the meter provider", error, "a measurement is missing"))


class Measurements:
    """The telemetry if it is wanted, opened when first used. Any thread may call any method; none ever raises."""

    def __init__(self, errors: BackgroundErrors, *, are_wanted: bool) -> None:
        self._errors = errors
        self._are_wanted = are_wanted
        self._telemetry: Telemetry | None = None

    def on_decision(self, decision: Decision) -> None:
        """Count a decision."""
        if self._are_wanted and (telemetry := self._open()):
            telemetry.on_decision(decision)

    def on_outcome(self, entry: Entry) -> None:
        """Measure an outcome."""
        if self._are_wanted and (telemetry := self._open()):
            telemetry.on_outcome(entry.task_type, entry.model_id, entry.outcome)

    def _open(self) -> Telemetry | None:
        """Return the telemetry; None if its packages are not installed."""
        if self._telemetry is None:
            try:
                self._telemetry = Telemetry(partial(self._errors.report, "a measurement is missing"))
            except ModelPerfError as error:
                self._are_wanted = False
                self._errors.report("nothing is measured", error)
        return self._telemetry


def _of(task_type: str, model_id: str) -> _Attributes:
    return {TASK_TYPE: task_type, MODEL: model_id}
