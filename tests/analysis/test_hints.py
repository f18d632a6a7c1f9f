"""Hints about what keeps a host from learning."""

from __future__ import annotations

import pytest

from modelperf_plugin.analysis.views.hints import (
    doubtful_names,
    empty_verdicts,
    likely_twins,
    names_without_outcomes,
    twins_sentence,
)
from modelperf_plugin.config import load
from modelperf_plugin.values import Tally


def tally(model_id: str, successes: int = 10, failures: int = 10, *, task_type: str = "t", outages: int = 0) -> Tally:
    """Return the tally of one pair."""
    return Tally(task_type, model_id, successes=successes, failures=failures + outages, outages=outages)


@pytest.mark.parametrize(
    "names",
    [
        ("gpt-4o", "openai/gpt-4o"),
        ("gpt-4o", "gpt-4o-2024-08-06", "openrouter/openai/gpt-4o"),
        ("GPT-4o", "gpt-4o", "gpt-4o "),
        ("caf\u00e9", "cafe\u0301"),
        ("claude-3-5-sonnet-20241022", "claude-3-5-sonnet-latest"),
    ],
)
def test_names_of_one_model(names: tuple[str, ...]) -> None:
    """Names that differ in spelling, provider or the date of a snapshot may belong to one model."""
    assert likely_twins([*names, "another"]) == [tuple(sorted(names))]


@pytest.mark.parametrize(
    "names",
    [("gpt-4", "gpt-4o"), ("gpt-4o", "gpt-4o-mini"), ("llama-3-8b", "llama-3-70b"), ("claude-3-opus", "claude-4-opus")],
)
def test_names_of_different_models(names: tuple[str, ...]) -> None:
    """Versions and sizes are models of their own."""
    assert likely_twins(names) == []
    assert twins_sentence([]) is None


def test_twins_are_named() -> None:
    """The sentence shows the names with their spaces, and what to do."""
    sentence = twins_sentence(likely_twins(["gpt-4o ", "gpt-4o", "openai/gpt-4o"]))
    assert sentence is not None
    assert sentence.startswith("'gpt-4o', 'gpt-4o ' and 'openai/gpt-4o' may be one model")
    assert sentence.endswith('[models."gpt-4o"] aliases = ["gpt-4o ", "openai/gpt-4o"]')


def test_configured_names_without_outcomes() -> None:
    """A misspelled model or task type is named with the one that was probably meant."""
    config = load(
        {"models": {"gpt-4o-mni": {}, "gpt-4o": {}, "new": {}}, "task_types": {"cdoe": {}, "code": {}}}
    ).config
    found = [tally("gpt-4o-mini", task_type="code"), tally("gpt-4o", task_type="code")]
    assert names_without_outcomes(config, found) == [
        "[models.\"gpt-4o-mni\"] matches no outcome so far; did you mean 'gpt-4o-mini'?",
        '[models."new"] matches no outcome so far',
        "[task_types.\"cdoe\"] matches no outcome so far; did you mean 'code'?",
    ]
    assert names_without_outcomes(config, []) == []


def test_names_in_the_configuration() -> None:
    """Twins within the file are named without a store; a side of a test only if it resembles a known model."""
    config = load(
        {
            "models": {"gpt-4o": {"aliases": ["azure/gpt-4o"]}, "openai/gpt-4o": {}},
            "exploration": {"strategy": "ab_test", "incumbent": "haiku-nwe", "challenger": ["new", "azure/gpt-4o"]},
        }
    ).config
    (twins,) = doubtful_names(config, [])
    assert twins.startswith("'gpt-4o' and 'openai/gpt-4o' may be one model")
    known = [tally(name) for name in ("gpt-4o", "openai/gpt-4o", "haiku-new")]
    assert doubtful_names(config, known) == [
        twins,
        "[exploration] incumbent 'haiku-nwe' matches no outcome so far; did you mean 'haiku-new'?",
    ]


def test_verdicts_that_are_all_the_same() -> None:
    """A hundred outcomes without a failure, outages aside, tell nothing; the sentence says of which task types."""
    good = [tally("a", 60, 0), tally("b", 50, 0, outages=9), tally("a", task_type="u")]
    sentence = empty_verdicts(good)
    assert sentence is not None
    assert sentence.startswith("every verdict of t is success (110 outcomes)")
    bad = empty_verdicts([tally("a", 0, 100), tally("b", 0, 1, task_type="u")])
    assert bad is not None
    assert bad.startswith("every verdict of t is failure (100 outcomes)")


@pytest.mark.parametrize("tallies", [[], [tally("a", 99, 0)], [tally("a", 200, 0), tally("b", 200, 1)]])
def test_verdicts_that_differ(tallies: list[Tally]) -> None:
    """A few outcomes are no pattern, and one failure is enough."""
    assert empty_verdicts(tallies) is None
