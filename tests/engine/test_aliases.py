"""An alias is another name of the same model, for choices, evidence and reports alike."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import modelperf_plugin as mp
from modelperf_plugin.config import watch
from modelperf_plugin.engine.ab_verdicts import state_of
from modelperf_plugin.engine.spelling import renamed
from modelperf_plugin.values import Assignment, Exclusion, PlannedTry, ShareBasis, Tally
from tests.clocks import FakeClock

NAMES = {
    "gpt-4o": ("gpt-4o", "openai/gpt-4o", "gpt-4o-2024-08-06"),
    "haiku": ("haiku", "anthropic/haiku"),
    "b": ("b",),
}
ALIASES: dict[str, Any] = {
    "models": {"gpt-4o": {"aliases": list(NAMES["gpt-4o"][1:])}, "haiku": {"aliases": list(NAMES["haiku"][1:])}}
}
CANONICAL = {name: model for model, names in NAMES.items() for name in names}
SUCCESS, FAILURE = mp.Outcome(success=True), mp.Outcome(success=False)


def engine(store: Path | str, config: dict[str, Any] | None = None, **options: Any) -> mp.ModelPerf:
    """Return an engine that knows the aliases unless it has a ``config``."""
    return mp.ModelPerf(ALIASES if config is None else config, store=store, seed=3, **options)


def canonical(names: Sequence[str]) -> list[str]:
    """Return the models with these names."""
    return [CANONICAL[name] for name in names]


def choose(perf: mp.ModelPerf, candidates: Sequence[str], **context: Any) -> mp.Decision:
    """Return a decision."""
    decision = perf.select("t", candidates, context)
    assert decision is not None
    return decision


def record_some(perf: mp.ModelPerf, name: str, successes: int, failures: int) -> None:
    """Record outcomes of one name."""
    perf.record_many([("t", name, SUCCESS)] * successes + [("t", name, FAILURE)] * failures)


def test_other_names_change_nothing_else_of_a_decision() -> None:
    """What is answered by the names of the host has every other field of the decision that is logged."""
    with engine(":memory:", {}) as perf:
        record_some(perf, "gpt-4o", 8, 1)
        decision = replace(
            choose(perf, ["gpt-4o", "b"]), explored=True, excluded=(Exclusion("gpt-4o", "too slow"),), mode="observe",
            assignment=Assignment(3, 7), plan=(PlannedTry("gpt-4o", 1.0, 0.7, 0.01),), attempt=3,
            tried=("gpt-4o", "haiku"), retry_of="other", basis=ShareBasis(2, 1, 0.0),
        )  # fmt: skip
    assert not [each.name for each in fields(decision) if getattr(decision, each.name) == each.default]
    there = renamed(decision, {"gpt-4o": "openai/gpt-4o"})
    assert "openai/gpt-4o" in there.order
    assert there.plan[0].model_id == there.excluded[0].model_id == there.tried[1] == "openai/gpt-4o"
    assert renamed(there, {"openai/gpt-4o": "gpt-4o"}) == decision


def test_a_host_gets_back_the_name_that_it_offered() -> None:
    """The names in a decision are the host's; the evidence is that of all names."""
    with engine(":memory:") as perf:
        record_some(perf, "gpt-4o", 8, 1)
        record_some(perf, "openai/gpt-4o", 9, 2)
        decision = choose(perf, ["gpt-4o-2024-08-06", "b"], pin="gpt-4o")
        assert decision.model_id == "gpt-4o-2024-08-06"
        assert set(decision.propensities) == {"gpt-4o-2024-08-06", "b"}
        row = decision.ranking.of("gpt-4o-2024-08-06")
        assert (row.tally.successes, row.tally.failures, row.tally.model_id) == (17, 3, "gpt-4o-2024-08-06")
        explained = perf.explain("t", ["openai/gpt-4o"])
        assert explained is not None
        assert explained.order == ("openai/gpt-4o",)


@pytest.mark.parametrize("first", [0, 1])
def test_of_two_names_of_one_model_the_first_is_the_candidate(first: int) -> None:
    """The other one is excluded, and the reason says of what it is another name."""
    offered = [NAMES["haiku"][first], "b", NAMES["haiku"][1 - first]]
    with engine(":memory:") as perf:
        decision = choose(perf, offered)
        assert sorted(decision.order) == sorted(offered[:2])
        assert decision.excluded == (mp.Exclusion(offered[2], f"another name of the candidate {offered[0]}"),)
        assert sum(decision.propensities.values()) == pytest.approx(1)


def test_context_and_retries_take_any_name() -> None:
    """``pin``, ``exclude`` and ``retry_of`` mean the model, whatever its name."""
    with engine(":memory:") as perf:
        decision = choose(perf, ["gpt-4o", "b"], pin="openai/gpt-4o")
        assert decision.model_id == "gpt-4o"
        perf.record("t", "gpt-4o-2024-08-06", FAILURE, decision)
        again = choose(perf, ["openai/gpt-4o", "b"], retry_of=decision)
        assert (again.order, again.attempt) == (("b",), 2)
        assert choose(perf, ["openai/gpt-4o", "b"], exclude=["gpt-4o"]).order == ("b",)
        perf.record("t", "b", SUCCESS, again)
        assert list(perf.store.tallies.later("t")["b"]) == [("gpt-4o",)]


def test_the_current_model_may_have_any_name() -> None:
    """A conversation goes on with it, whichever of its names the host gives, here or among the candidates."""
    with engine(":memory:", {**ALIASES, "cost": {"switch_usd": 1.0}}) as perf:
        record_some(perf, "gpt-4o", 8, 2)
        record_some(perf, "haiku", 9, 1)
        for current in NAMES["gpt-4o"]:
            for offered in NAMES["gpt-4o"]:
                decision = choose(perf, ["anthropic/haiku", offered], current_model=current)
                assert (decision.model_id, decision.propensity) == (offered, 1.0)
                assert decision.reason.startswith("goes on with the current model")


def test_an_outcome_under_another_name_is_that_of_the_chosen_model(tmp_path: Path) -> None:
    """It joins the decision as its own outcome, in the log under the canonical id."""
    with engine(tmp_path / "x.db") as perf:
        decision = choose(perf, ["openai/gpt-4o", "b"], pin="gpt-4o")
        perf.record("t", "gpt-4o-2024-08-06", SUCCESS, decision.decision_id)
        logged = perf.store.decisions.get(decision.decision_id)
        assert logged is not None
        assert logged.outcome is not None
        assert logged.model_id == logged.outcome.model_id == "gpt-4o"
        assert {row.model_id for row in logged.candidates} == {"gpt-4o", "b"}


def test_earlier_outcomes_count_as_soon_as_an_alias_is_configured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in a running host; without the alias the names are two models again, because nothing is rewritten."""
    monkeypatch.setattr(watch, "CHECK_SECONDS", 0.0)
    file = tmp_path / "modelperf.toml"
    file.write_text("")
    with mp.ModelPerf(file, store=tmp_path / "x.db", seed=1) as perf:
        record_some(perf, "haiku", 5, 1)
        record_some(perf, "anthropic/haiku", 4, 2)
        assert len(choose(perf, ["haiku", "anthropic/haiku"]).order) == 2
        file.write_text('[models.haiku]\naliases = ["anthropic/haiku"]\n')
        perf.select("t", ["haiku"])
        decision = choose(perf, ["anthropic/haiku", "haiku"])
        assert (len(decision.order), decision.ranking[0].tally.samples) == (1, 12)
        file.write_text("")
        perf.select("t", ["haiku"])
        assert [row.tally.samples for row in choose(perf, ["haiku", "anthropic/haiku"]).ranking] == [6, 6]


@pytest.mark.parametrize("name", ["openai/gpt-4o", "gpt-4o"])
@pytest.mark.parametrize("many", [False, True])
def test_a_later_verdict_finds_an_outcome_from_before_the_alias(tmp_path: Path, name: str, many: bool) -> None:
    """The id says which outcome it is, and the verdict is replaced once, under the name that the store has."""
    first, second = (mp.Outcome(success=success, outcome_id="run-1") for success in (True, False))
    with mp.ModelPerf({}, store=tmp_path / "x.db") as perf:
        perf.record("t", "openai/gpt-4o", first)
        perf.record("t", "gpt-4o", SUCCESS)
    with engine(tmp_path / "x.db") as perf:
        for changed in (True, False):
            assert changed == (perf.record_many([("t", name, second)]) if many else perf.record("t", name, second))
        tally = perf.store.tallies.of("t")["gpt-4o"]
        assert (tally.successes, tally.failures) == (1, 1)
    with mp.ModelPerf({}, store=tmp_path / "x.db") as perf:
        assert perf.store.tallies.of("t")["openai/gpt-4o"].failures == 1


def test_changes_and_demotions_are_those_of_the_model(tmp_path: Path) -> None:
    """An announced change voids the outcomes of all names; a demotion of any name ends under any name."""
    with engine(tmp_path / "x.db", {}) as perf:
        record_some(perf, "haiku", 5, 1)
        record_some(perf, "anthropic/haiku", 4, 2)
        perf.store.demotions.add("t", "anthropic/haiku", 1, 0.5, 20.0, "too few successes")
    with engine(tmp_path / "x.db") as perf:
        assert choose(perf, ["haiku", "b"]).ranking.of("haiku").status in {"demoted", "probe"}
        perf.store.changes.add("anthropic/haiku", "announced", (12, 12), (1, 1), None, {})
        assert [change.model_id for change in perf.store.changes.all()] == ["haiku"]
        assert {pair: (base.successes, base.failures) for pair, base in perf.store.tallies.baselines().items()} == {
            ("t", "haiku"): (9, 3)
        }
        assert perf.store.demotions.end("t", "anthropic/haiku", 2, "operator")
        assert perf.store.demotions.all(in_force=True) == []


def test_an_ab_test_takes_any_name(tmp_path: Path) -> None:
    """Sides may be named, offered and reported by aliases; every outcome counts, and an alias begins no new test."""
    exploration = {"strategy": "ab_test", "incumbent": "b", "challenger": "anthropic/haiku", "share": 0.5}
    test: dict[str, Any] = {"exploration": {**exploration, "min_samples": 0}}
    with engine(tmp_path / "x.db", test) as perf:
        for _ in range(20):
            decision = choose(perf, ["b", "anthropic/haiku"])
            perf.record("t", decision.model_id, SUCCESS, decision)
        (begun,) = perf.store.ab_tests.all("t")
    with engine(tmp_path / "x.db", {**ALIASES, **test}) as perf:
        for number in range(20):
            name = NAMES["haiku"][number % 2]
            decision = choose(perf, ["b", name])
            assert decision.propensities == {"b": 0.5, name: 0.5}
            perf.record("t", "b" if decision.model_id == "b" else "haiku", SUCCESS, decision)
        (continued,) = perf.store.ab_tests.all("t")
    assert (continued.test_id, continued.contests[0].challenger) == (begun.test_id, "haiku")
    assert (state_of(begun.contests[0]).outcomes, state_of(continued.contests[0]).outcomes) == (20, 40)


def test_what_operators_read_is_one_model(tmp_path: Path) -> None:
    """Tallies, pages of them, trends and old decisions show one model, its counts added up."""
    with engine(tmp_path / "x.db", {}) as perf:
        decision = choose(perf, ["haiku", "anthropic/haiku", "b"])
        perf.record("t", decision.model_id, SUCCESS, decision)
        for name in NAMES["haiku"]:
            record_some(perf, name, 3, 3)
    with engine(tmp_path / "x.db") as perf:
        expected = Tally("t", "haiku", 6 + (decision.model_id != "b"), 6)
        (found,) = [tally for tally in perf.store.tallies.all() if tally.model_id != "b"]
        assert found._replace(last_used_ms=None) == expected
        assert perf.store.tallies.page("", 10)["t"]["haiku"] == found == perf.tracker.store.tallies.of("t")["haiku"]
        logged = perf.store.decisions.get(decision.decision_id)
        assert logged is not None
        assert sorted(row.model_id for row in logged.candidates) == ["b", "haiku"]
        assert sum(row.propensity for row in logged.candidates) == pytest.approx(1)
        ((_, record, _),) = perf.store.decisions.after(0, 5)
        assert record.model_id == logged.model_id
        assert record.propensity == pytest.approx(logged.candidates[0].propensity) or logged.model_id == "b"


def test_a_likely_misspelling_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    """An excluded name without effect is logged, and a pin that is no candidate names the one that was meant."""
    with engine(":memory:", {}) as perf, caplog.at_level(logging.WARNING, "modelperf_plugin"):
        for _ in range(2):
            choose(perf, ["gpt-4o", "b"], exclude=["openai/GPT-4o "])
        with pytest.raises(mp.InvalidValueError, match="did you mean 'gpt-4o'"):
            perf.select("t", ["gpt-4o", "b"], {"pin": "GPT-4o"})
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.endswith("'openai/GPT-4o ' is no candidate; did you mean 'gpt-4o'?")


STEP = st.tuples(
    st.sampled_from(sorted(CANONICAL)),
    st.permutations(sorted(NAMES)),
    st.lists(st.integers(0, 2), min_size=3, max_size=3),
    st.booleans(),
)


@settings(max_examples=25)
@given(st.lists(STEP, min_size=1, max_size=25), st.sampled_from(["adaptive", "epsilon_greedy", "ab_test"]))
def test_any_mixture_of_names_is_as_good_as_one(steps: list[Any], exploration: str) -> None:
    """With the same random numbers, decisions, probabilities and evidence are those of one name."""
    explores = {"exploration": {"strategy": exploration, **({"min_samples": 0} if exploration == "ab_test" else {})}}
    clock = FakeClock()
    with engine(":memory:", explores, clock=clock) as one, engine(":memory:", ALIASES | explores, clock=clock) as many:
        for name, order, spellings, success in steps:
            outcome = mp.Outcome(success=success)
            offered = [NAMES[model][number % len(NAMES[model])] for model, number in zip(order, spellings, strict=True)]
            expected, found = choose(one, order), choose(many, offered)
            assert set(found.order) <= set(offered)
            assert canonical(found.order) == list(expected.order)
            assert canonical(found.ranking.model_ids) == list(expected.ranking.model_ids)
            assert found.probabilities == pytest.approx(expected.probabilities, abs=1e-9)
            one.record("t", expected.model_id, outcome, expected)
            many.record("t", NAMES[expected.model_id][-1], outcome, found)
            one.record("t", CANONICAL[name], outcome)
            many.record("t", name, outcome)
            clock.advance(seconds=30)
        assert many.store.tallies.all() == one.store.tallies.all()
