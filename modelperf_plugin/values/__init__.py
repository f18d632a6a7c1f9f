"""The values that hosts pass in and get back.

All are frozen. Constructing one from an invalid value raises an :class:`~modelperf_plugin.errors.InvalidValueError`
that names field and value.
"""

from modelperf_plugin.values.causes import CAUSES, Cause, ShareBasis
from modelperf_plugin.values.context import MAX_ATTEMPTS, NO_CONTEXT, Context
from modelperf_plugin.values.decision import Assignment, Decision, Exclusion, Mode, PlannedTry
from modelperf_plugin.values.durations import Durations
from modelperf_plugin.values.failures import Failure, error_kind_of, failure_of
from modelperf_plugin.values.ids import MAX_ID_LENGTH, check_amount, check_id, check_ids
from modelperf_plugin.values.moments import (
    DAY_MS,
    EPOCH_UNITS,
    from_epoch,
    from_milliseconds,
    parse_time,
    to_milliseconds,
)
from modelperf_plugin.values.outcome import (
    BLAMES,
    DEFAULT_PASS_SCORE,
    ERROR_KINDS,
    MAX_COST_USD,
    MAX_TOKENS,
    NANO_USD,
    WHOLE_SCORE,
    Blame,
    ErrorKind,
    Outcome,
    blame_of,
)
from modelperf_plugin.values.ranking import RankedModel, Ranking, ScorePart, ScoreTerms, Source, Status
from modelperf_plugin.values.tally import Tally, combine, mean_costs
from modelperf_plugin.values.tries import (
    MAX_ROW_SETS,
    MAX_SETS,
    MAX_TRIED,
    UNKNOWN_TRIED,
    LaterTries,
    Tried,
    as_tried,
    check_tried,
    most_sets,
)

__all__ = [
    "BLAMES",
    "CAUSES",
    "DAY_MS",
    "DEFAULT_PASS_SCORE",
    "EPOCH_UNITS",
    "ERROR_KINDS",
    "MAX_ATTEMPTS",
    "MAX_COST_USD",
    "MAX_ID_LENGTH",
    "MAX_ROW_SETS",
    "MAX_SETS",
    "MAX_TOKENS",
    "MAX_TRIED",
    "NANO_USD",
    "NO_CONTEXT",
    "UNKNOWN_TRIED",
    "WHOLE_SCORE",
    "Assignment",
    "Blame",
    "Cause",
    "Context",
    "Decision",
    "Durations",
    "ErrorKind",
    "Exclusion",
    "Failure",
    "LaterTries",
    "Mode",
    "Outcome",
    "PlannedTry",
    "RankedModel",
    "Ranking",
    "ScorePart",
    "ScoreTerms",
    "ShareBasis",
    "Source",
    "Status",
    "Tally",
    "Tried",
    "as_tried",
    "blame_of",
    "check_amount",
    "check_id",
    "check_ids",
    "check_tried",
    "combine",
    "error_kind_of",
    "failure_of",
    "from_epoch",
    "from_milliseconds",
    "mean_costs",
    "most_sets",
    "parse_time",
    "to_milliseconds",
]  # fmt: skip
