"""A score is the sum of its terms: a reader of the numbers or of the sentence gets the same score."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import modelperf_plugin as mp
from modelperf_plugin.values import RankedModel
from tests.clocks import FakeClock

TASKS, MODELS = ("plan", "fix"), ("a", "b", "c")
ENTRIES = st.lists(
    st.tuples(
        st.sampled_from(TASKS),
        st.sampled_from(MODELS),
        st.sampled_from(["success", "failure", "outage", "score", "later"]),
        st.sampled_from([0.0, 0.1, 9.0]),
    ),
    max_size=60,
)
"""Task type, model, what happens, and how many days pass."""
CONFIGS: dict[str, dict[str, Any]] = {
    "pooled": {},
    "not pooled": {"ranking": {"strategy": "posterior", "pooled": False, "prior_strength": 3.0}},
    "prior of a model": {"models": {"a": {"prior_success": 0.9}}},
}
TERM = re.compile(r"([\d.e-]+) (?:own|by|expected|from)\b[^%;]*? at ([\d.]+) %")


def rows_after(entries: Iterable[tuple[str, str, str, float]], config: dict[str, Any]) -> list[RankedModel]:
    """Return the rows of an explanation after these outcomes."""
    clock = FakeClock()
    rows: list[RankedModel] = []
    with mp.ModelPerf(config, store=":memory:", clock=clock, seed=1) as perf:
        for task_type, model_id, what, days in entries:
            clock.advance(days=days, minutes=1)
            decision = None
            if what == "later":
                other = next(each for each in MODELS if each != model_id)
                decision = perf.select(task_type, [other], {"attempts": 2})
                perf.record(task_type, other, mp.Outcome(success=False), decision)
            error: Any = "server_error" if what == "outage" else None
            score = 0.4 if what == "score" else None
            outcome = mp.Outcome(success=what == "success", error_kind=error, score=score)
            perf.record(task_type, model_id, outcome, decision)
        for task_type in TASKS:
            decision = perf.explain(task_type, MODELS)
            assert decision is not None
            rows += decision.ranking
    return rows


@pytest.mark.parametrize("config", list(CONFIGS.values()), ids=list(CONFIGS))
@settings(max_examples=20, deadline=None)
@given(entries=ENTRIES)
def test_the_terms_of_a_score_add_up(config: dict[str, Any], entries: list[tuple[str, str, str, float]]) -> None:
    """The score is the mean of its parts, weighed by their outcomes, times the availability."""
    for row in rows_after(entries, config):
        assert row.terms is not None
        assert row.terms.score == pytest.approx(row.score)
        assert all(part.outcomes > 0.0 and -1e-9 < part.rate < 1 + 1e-9 for part in row.terms.parts)


@settings(max_examples=20, deadline=None)
@given(entries=ENTRIES)
def test_the_score_can_be_recomputed_from_its_sentence(entries: list[tuple[str, str, str, float]]) -> None:
    """What a reader computes from the printed numbers differs by their rounding only."""
    for row in rows_after(entries, {}):
        mean = re.match(r"posterior mean ([\d.]+) ", row.reason)
        if row.status == "unavailable":
            continue
        assert mean is not None, row.reason
        parts = [(float(outcomes), float(rate)) for outcomes, rate in TERM.findall(row.reason)]
        counted = re.search(r"\((\d+) of (\d+) succeeded", row.reason)
        if counted is not None and " own today" not in row.reason:
            parts.append((float(counted[2]), 100.0 * int(counted[1]) / int(counted[2])))
        computed = sum(n * rate for n, rate in parts) / sum(n for n, _ in parts) / 100.0
        assert computed == pytest.approx(float(mean[1]), abs=0.0015), row.reason
