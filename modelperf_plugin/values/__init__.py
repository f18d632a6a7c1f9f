"""The values that hosts pass in and get back.

All are frozen. Constructing one from an invalid value raises an :class:`~modelperf_plugin.errors.InvalidValueError`
that names field and value.
"""

from modelperf_plugin.values.context import NO_CONTEXT, Context
from modelperf_plugin.values.decision import Assignment, Decision, Exclusion, Mode
from modelperf_plugin.values.ids import MAX_ID_LENGTH, check_amount, check_id, check_ids
from modelperf_plugin.values.moments import DAY_MS, from_milliseconds, to_milliseconds
from modelperf_plugin.values.outcome import (
    BLAMES,
    ERROR_KINDS,
    MAX_COST_USD,
    MAX_TOKENS,
    NANO_USD,
    Blame,
    ErrorKind,
    Outcome,
    blame_of,
)
from modelperf_plugin.values.ranking import RankedModel, Ranking, Status
from modelperf_plugin.values.tally import Tally, combine, mean_costs

__all__ = [
    "BLAMES", "DAY_MS", "ERROR_KINDS", "MAX_COST_USD", "MAX_ID_LENGTH", "MAX_TOKENS", "NANO_USD", "NO_CONTEXT",
    "Assignment", "Blame", "Context", "Decision", "ErrorKind", "Exclusion", "Mode", "Outcome", "RankedModel", "Ranking",
    "Status", "Tally", "blame_of", "check_amount", "check_id", "check_ids", "combine", "from_milliseconds",
    "mean_costs", "to_milliseconds",
]  # fmt: skip
