"""Ids for outcomes that are spooled: the decision log cannot refer to them by the number of an event yet."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Final

from modelperf_plugin.store.decision_records import Joining
from modelperf_plugin.store.entries import Entry

_ID_BYTES: Final = 10


def named(entry: Entry, joining: Joining | None) -> Entry:
    """Return an outcome with an id, which ``joining`` takes over; one without a decision needs none."""
    if joining is None or entry.outcome.outcome_id is not None:
        return entry
    outcome = replace(entry.outcome, outcome_id=os.urandom(_ID_BYTES).hex())
    joining.outcome = joining.outcome._replace(outcome=outcome, ref=outcome.outcome_id)
    return entry._replace(outcome=outcome)
