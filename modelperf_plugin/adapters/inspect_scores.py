"""What a sample of an inspect-ai log says about the model that was evaluated. Private to the adapter."""

from __future__ import annotations

import builtins
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from modelperf_plugin.adapters.common import Perf, engine_of, task_type_of
from modelperf_plugin.engine.core import ModelPerf
from modelperf_plugin.recorder.ticket import Ticket
from modelperf_plugin.recorder.usage import cost_of, tokens_of
from modelperf_plugin.values import Failure, Outcome, failure_of

Grade = bool | float
PROVIDER: Final = "modelperf"
"""The provider of learned models, in their names."""
KEY: Final = "modelperf"
"""Where a sample keeps its ticket and its model: in its store, which is a part of the log."""

_GRADES: Final[Mapping[str, Grade]] = {
    "C": True, "I": False, "N": False, "P": 0.5, "yes": True, "true": True, "no": False, "false": False,
}  # fmt: skip
"""What the texts mean that scorers return: correct, incorrect, no answer, partial, and the usual words."""
_WITHOUT_VERDICT: Final = frozenset({"grader_failed", "scoring_failed"})
"""The reasons of a score that say that the scorer has failed, not the model."""
_EXHAUSTED: Final = frozenset({"time", "working", "message", "token", "turn", "cost"})
"""The limits of a sample that are a timeout."""
_STOPPED: Final[Mapping[str, Failure]] = {
    "model_length": Failure("context_overflow"),
    "content_filter": Failure("refused"),
}
"""Why an answer cannot be used, by its ``stop_reason``."""
_NEXT_ERROR: Final = "\nThe above exception was the direct cause of the following exception:\n"
_OTHER_ERROR: Final = "\nDuring handling of the above exception, another exception occurred:\n"


class Scoring(NamedTuple):
    """How samples become outcomes."""

    perf: Perf
    task_type: str | None
    scorer: str | None

    @property
    def engine(self) -> ModelPerf:
        """The engine to record with."""
        return engine_of(self.perf)

    def entry(self, sample: Any, spec: Any) -> tuple[str, str, Outcome, str | None] | str:
        """Return the arguments for ``record``, or why the sample is left out."""
        note = note_in(sample.store)
        if not note and spec.model.startswith(f"{PROVIDER}/"):
            return "no model has answered"
        ticket = Ticket.read(note["ticket"]) if note else None
        outcome_id = f"inspect-{sample.uuid}" if ticket is None else ticket.outcome_id
        outcome = outcome_of(sample, grade_of(sample, self.scorer), note.get("model", spec.model), outcome_id)
        if outcome is None:
            return "an error that is not of a provider" if sample.error else "no verdict"
        if ticket is None:
            return (
                self.type_of(spec.task, sample.metadata, spec.metadata, {"tags": spec.tags or []}),
                spec.model,
                outcome,
                None,
            )
        return ticket.task_type, ticket.model_id, outcome, ticket.decision_id

    def type_of(self, task: str | None, *metadata: Mapping[str, Any] | None) -> str:
        """Return the task type of a sample: as told, by its metadata, the first ones first, or the name of its task."""
        labels = {key: value for place in reversed(metadata) for key, value in (place or {}).items()}
        return task_type_of(self.engine, self.task_type, labels, task)


def note_in(place: Mapping[str, Any] | None) -> Mapping[str, str]:
    """Return what a store, or the metadata of an answer, says about the ticket; empty if it says nothing."""
    note = (place or {}).get(KEY)
    return note if isinstance(note, Mapping) else {}


def stopped(output: Any) -> Failure | None:
    """Return why an answer cannot be used; None if it can."""
    return None if output is None or output.empty else _STOPPED.get(output.stop_reason)


def grade_of(sample: Any, scorer: str | None) -> Grade | None:
    """Return the verdict of a scorer, or of the first one: a bool, or a score from 0 to 1; None without one."""
    scores = sample.scores or {}
    score = next(iter(scores.values()), None) if scorer is None else scores.get(scorer)
    if score is None or score.reason in _WITHOUT_VERDICT:
        return None
    value = score.value
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and (grade := _GRADES.get(value, _GRADES.get(value.lower()))) is not None:
        return grade
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if 0.0 <= number <= 1.0 else None


def failure_in(sample: Any) -> Failure | None:
    """Return why the model has failed; None if it has not, or an error is not known to be of a provider."""
    if sample.error is None:
        return stopped(sample.output)
    found = failure_of(_error(sample.error.traceback))
    return None if found.error_kind in {"other", "cancelled"} else found


def outcome_of(sample: Any, grade: Grade | None, model: str, outcome_id: str) -> Outcome | None:
    """Return the outcome of a sample; None if it says nothing about the model."""
    failed = failure_in(sample)
    if grade is None and failed is None:
        return None
    usage = sample.model_usage.get(model)
    is_failure = grade is None or grade is False
    is_scored = grade is not None and not isinstance(grade, bool)
    has_run_out = sample.limit is not None and sample.limit.type in _EXHAUSTED
    return Outcome(
        success=None if is_scored else not is_failure,  # type: ignore[arg-type]  # then the score decides
        score=grade if is_scored else None,
        error_kind=failed.error_kind if is_failure and failed is not None else None,
        timeout=has_run_out or (is_failure and failed is not None and failed.timeout),
        tokens_used=tokens_of(usage),
        cost_usd=0.0 if usage is None else cost_of(usage.total_cost),
        duration_seconds=sample.working_time or sample.total_time,
        timestamp=datetime.fromisoformat(sample.completed_at) if sample.completed_at else None,
        outcome_id=outcome_id,
    )


def _error(traceback: str) -> BaseException:
    """Return an exception like the one that a traceback shows, with those that it was raised from."""
    error: BaseException | None = None
    for part in traceback.rpartition(_OTHER_ERROR)[2].split(_NEXT_ERROR):
        lines = [line for line in part.splitlines() if line and not line.startswith((" ", "Traceback "))]
        name, _, message = lines[0].partition(": ") if lines else ("Exception", "", "")
        error, cause = _exception(name.rpartition(".")[2], message), error
        error.__cause__ = cause
    return error or Exception()


def _exception(name: str, message: str) -> BaseException:
    base = getattr(builtins, name, Exception)
    if not (isinstance(base, type) and issubclass(base, Exception)):
        base = Exception
    error: BaseException = base() if base is not Exception else type(name, (Exception,), {})()
    if status := re.match(r"Error code: (\d{3})\b", message):
        error.status_code = int(status[1])  # type: ignore[attr-defined]
    if code := re.search(r"'code': '(\w+)'", message):
        error.code = code[1]  # type: ignore[attr-defined]
    return error
