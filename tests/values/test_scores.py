"""Scores beside verdicts: each follows from the other where it is missing, and neither overrules the other."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from modelperf_plugin.errors import InvalidValueError
from modelperf_plugin.values import ERROR_KINDS, ErrorKind, Outcome


class NumpyFloat(float):
    """As numpy's floats are: a float, but comparing it gives neither True nor False."""

    def __ge__(self, other: object) -> Any:
        return "yes"


@pytest.mark.parametrize("score", [0, 0.49, 0.5, 1, Decimal("0.5"), NumpyFloat(0.7)])
def test_a_score_alone_is_a_verdict(score: Any) -> None:
    """Any number is taken; it is a success from .5 on, or from the configured score on."""
    outcome = Outcome(score=score)
    assert type(outcome.score) is float
    assert outcome.success is (outcome.score >= 0.5)
    assert outcome.grade == outcome.score
    for bar in (0.0, outcome.score, 1.0):
        assert outcome.passing(bar).success is (outcome.score >= bar)


def test_without_a_verdict_and_a_score_there_is_no_outcome() -> None:
    """The message names both ways to give one."""
    with pytest.raises(InvalidValueError, match=r"True or False .*, unless there is a score, but got None"):
        Outcome()


@pytest.mark.parametrize("success", [True, False])
@pytest.mark.parametrize("score", [0.0, 0.3, 0.8, 1.0])
def test_a_score_does_not_change_the_verdict_of_the_host(success: bool, score: float) -> None:
    """With both, the verdict stays, whatever the configured score is, and the grade is the score."""
    outcome = Outcome(success=success, score=score)
    assert outcome.success is success
    assert outcome.grade == score
    for bar in (0.0, 0.5, 1.0):
        assert outcome.passing(bar) == outcome


@pytest.mark.parametrize("kind", ERROR_KINDS)
def test_the_score_of_a_failure_that_is_not_the_models_does_not_count(kind: ErrorKind) -> None:
    """An outage or a mistake of the caller says nothing about the model, however the result was graded."""
    failed, succeeded = (Outcome(success=success, score=0.25, error_kind=kind) for success in (False, True))
    assert (failed.score_millionths is None) == (failed.blame != "model")
    assert failed.score_shift == (250_000 if failed.blame == "model" else 0)
    assert succeeded.score_shift == -750_000
