"""What the two hooks take and give back when everything is in order."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pluggy
import pytest

import modelperf_plugin as mp
from tests.hooks.conftest import Register
from tests.hooks.hosts import CANDIDATES, choose, complete, count_rows, is_sound, samples

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
GREEDY = {"exploration": {"strategy": "never"}, "ranking": {"strategy": "success_rate", "min_samples": 1}}


def test_the_whole_way(pm: pluggy.PluginManager, register: Register) -> None:
    """A host asks, works and reports; the model that does well is the one it is given."""
    register(pm, GREEDY)
    for _ in range(3):
        complete(pm, model_id="claude-opus")
        complete(pm, model_id="gpt-4o", outcome=mp.Outcome(success=False))
    decision = choose(pm)
    assert isinstance(decision, mp.Decision)
    assert decision[0] == decision.model_id == "claude-opus"
    assert sorted(decision) == sorted(CANDIDATES)
    assert decision.task_type == "plan"
    assert complete(pm, model_id=decision.model_id, decision=decision) == []


def test_task_types_are_apart(pm: pluggy.PluginManager, register: Register) -> None:
    """What was learned of one kind of work says nothing about another."""
    register(pm, GREEDY)
    for model_id, task_type in (("gpt-4o", "plan"), ("claude-opus", "build")):
        complete(pm, model_id=model_id, task_type=task_type)
    assert choose(pm, task_type="plan").model_id == "gpt-4o"
    assert choose(pm, task_type="build").model_id == "claude-opus"


def one_by_one() -> Iterator[str]:
    """Yield the candidates."""
    yield from CANDIDATES


@pytest.mark.parametrize(
    "candidates",
    [tuple(CANDIDATES), set(CANDIDATES), dict.fromkeys(CANDIDATES).keys(), dict.fromkeys(CANDIDATES), iter(CANDIDATES)],
    ids=["tuple", "set", "keys", "dict", "iterator"],
)
def test_candidates_of_any_kind(candidates: Any, pm: pluggy.PluginManager, register: Register) -> None:
    """Whatever yields model ids will do."""
    register(pm)
    assert sorted(choose(pm, candidates=candidates)) == sorted(CANDIDATES)


def test_candidates_from_a_generator(pm: pluggy.PluginManager, register: Register) -> None:
    """A generator is read once, and candidates that come twice count once."""
    register(pm)
    assert sorted(choose(pm, candidates=one_by_one())) == sorted(CANDIDATES)
    assert sorted(choose(pm, candidates=[*CANDIDATES, *CANDIDATES])) == sorted(CANDIDATES)


def test_candidates_are_copied(pm: pluggy.PluginManager, register: Register) -> None:
    """The host's list is not changed, and what the host does to it later does not change the decision."""
    register(pm)
    candidates = [*CANDIDATES]
    decision = choose(pm, candidates=candidates)
    assert candidates == CANDIDATES
    before = list(decision)
    candidates.clear()
    assert list(decision) == before
    assert len(decision.ranking) == len(before)


@pytest.mark.parametrize("handed_back", ["decision", "its id", "nothing", "the id of somebody else"])
def test_a_decision_is_handed_back(handed_back: str, pm: pluggy.PluginManager, register: Register) -> None:
    """With an outcome comes the decision, its id, or nothing; the outcome counts alike."""
    plugin = register(pm)
    decision = choose(pm)
    given = {"decision": decision, "its id": decision.decision_id, "the id of somebody else": "run-7"}
    complete(pm, model_id=decision.model_id, decision=given.get(handed_back))
    assert samples(plugin.engine()) == {decision.model_id: 1}
    assert plugin.failure_count() == 0


@pytest.mark.parametrize(
    "outcome",
    [
        mp.Outcome(success=True, timeout=True, tokens_used=1200, cost_usd=0.012, timestamp=NEW_YEAR),
        {"success": True, "timeout": True, "tokens_used": 1200, "cost_usd": 0.012, "timestamp": NEW_YEAR},
        {"success": True, "timeout": True, "tokensUsed": 1200, "costUsd": 0.012, "timestamp": NEW_YEAR},
        {"success": 1, "timeout": 1, "tokensUsed": 1200.0, "cost_usd": 0.012, "timestamp": "2026-01-01T00:00:00Z"},
        {
            "success": True,
            "timeout": True,
            "tokens_used": 1200,
            "cost_usd": 0.012,
            "durationSeconds": 3,
            "errorKind": None,
            "outcomeId": "run-1",
            "timestamp": NEW_YEAR.astimezone(timezone(timedelta(hours=-7))).isoformat(),
        },
    ],
    ids=["Outcome", "snake_case", "camelCase", "mixed", "everything"],
)
def test_outcomes_of_any_form(outcome: Any, pm: pluggy.PluginManager, register: Register) -> None:
    """An Outcome or a mapping, in snake_case or camelCase, the same moment in any spelling: the tally is the same."""
    plugin = register(pm)
    complete(pm, outcome=outcome)
    tally = plugin.engine().store.tallies.of("plan")["gpt-4o"]
    assert (tally.successes, tally.failures, tally.timeouts) == (1, 0, 1)
    assert (tally.total_tokens, tally.total_cost_usd) == (1200, 0.012)
    assert tally.last_used == NEW_YEAR


def test_the_same_outcome_id_counts_once(pm: pluggy.PluginManager, register: Register) -> None:
    """A host that reports the same outcome again, by its id, changes nothing, and that is no failure."""
    plugin = register(pm)
    for _ in range(3):
        complete(pm, outcome={"success": True, "outcomeId": "run-1"})
    assert samples(plugin.engine()) == {"gpt-4o": 1}
    assert plugin.failure_count() == 0


def test_the_clock_of_the_host(pm: pluggy.PluginManager, register: Register) -> None:
    """A clock handed to ``register`` stamps decisions, and outcomes that come without a time."""
    plugin = register(pm, clock=lambda: NEW_YEAR)
    complete(pm)
    assert plugin.engine().store.tallies.of("plan")["gpt-4o"].last_used == NEW_YEAR
    assert choose(pm).created_at == NEW_YEAR


def test_a_seed_repeats_the_exploration(register: Register) -> None:
    """Two hosts with the same seed and the same evidence are given the same models, in the same order."""
    runs = []
    for _ in range(2):
        pm = pluggy.PluginManager("somehost")
        register(pm, {"exploration": {"strategy": "epsilon_greedy", "epsilon": 1.0}}, store=":memory:", seed=7)
        runs.append([choose(pm).model_id for _ in range(20)])
    assert runs[0] == runs[1]
    assert len(set(runs[0])) > 1


def test_observing(pm: pluggy.PluginManager, register: Register) -> None:
    """In mode ``observe`` the host decides for itself, and its outcomes are recorded."""
    plugin = register(pm, {"mode": "observe"})
    assert choose(pm) is None
    complete(pm)
    assert samples(plugin.engine()) == {"gpt-4o": 1}
    explained = plugin.engine().explain("plan", CANDIDATES)
    assert explained is not None
    assert explained.mode == "observe"
    assert plugin.failure_count() == 0


def test_off(pm: pluggy.PluginManager, register: Register, path: Path) -> None:
    """In mode ``off`` nothing is answered and nothing recorded."""
    plugin = register(pm, {"mode": "off"})
    assert choose(pm) is None
    assert complete(pm) == []
    assert count_rows(path, "event") == 0
    assert plugin.failure_count() == 0


def test_no_candidates(pm: pluggy.PluginManager, register: Register) -> None:
    """Without candidates, or with all of them excluded, there is no opinion, and that is no failure."""
    plugin = register(pm)
    assert choose(pm, candidates=[]) is None
    assert choose(pm, context={"exclude": CANDIDATES}) is None
    assert plugin.failure_count() == 0


def test_a_pin(pm: pluggy.PluginManager, register: Register) -> None:
    """A pinned model is chosen whatever the policy thinks of it, with certainty."""
    register(pm, GREEDY)
    complete(pm, model_id="gpt-4o")
    complete(pm, model_id="llama-70b", outcome={"success": False})
    decision = choose(pm, context={"pin": "llama-70b"})
    assert (decision.model_id, decision.propensity) == ("llama-70b", 1.0)
    assert decision.ranking.of("llama-70b").status == "pinned"


def test_exclusions(pm: pluggy.PluginManager, register: Register) -> None:
    """A model that was tried on this task already is not among the fallbacks either, and the decision says why."""
    register(pm)
    decision = choose(pm, context={"exclude": {"gpt-4o"}, "session": object()})
    assert "gpt-4o" not in decision
    assert [(row.model_id, row.reason) for row in decision.excluded] == [("gpt-4o", "excluded by the host")]


def test_a_budget(pm: pluggy.PluginManager, register: Register) -> None:
    """A model that costs more than ``max_cost_usd`` on average is not used; one of unknown cost may be."""
    register(pm)
    complete(pm, model_id="gpt-4o", outcome={"success": True, "costUsd": 0.50})
    complete(pm, model_id="llama-70b", outcome={"success": True, "costUsd": 0.01})
    decision = choose(pm, context={"max_cost_usd": 0.1})
    assert sorted(decision) == ["claude-opus", "llama-70b"]
    (row,) = decision.excluded
    assert (row.model_id, "more than max_cost_usd = 0.1" in row.reason) == ("gpt-4o", True)


def test_a_unit_stays_on_its_side(pm: pluggy.PluginManager, register: Register) -> None:
    """In an A/B test one ``unit_id`` always gets the same model, and the units are spread over both sides."""
    sides = {"incumbent": "gpt-4o", "challenger": "claude-opus"}
    register(pm, {"exploration": {"strategy": "ab_test", "share": 0.5, **sides}})
    chosen = {}
    for number in range(40):
        unit = {"unit_id": f"user-{number}"}
        first = choose(pm, context=unit).model_id
        complete(pm, model_id=first, outcome={"success": number % 2 == 0})
        assert choose(pm, context=unit).model_id == first
        chosen[number] = first
    assert set(chosen.values()) == {"gpt-4o", "claude-opus"}


def test_everything_adds_up(pm: pluggy.PluginManager, register: Register, path: Path) -> None:
    """After a mix of outcomes, good and bad, events, tallies and roll-up are the same numbers."""
    plugin = register(pm)
    kinds = [None, "rate_limit", "cancelled", "context_overflow"]
    for number in range(40):
        outcome = {"success": number % 4 == 0, "error_kind": kinds[number % 4], "cost_usd": number / 1000}
        complete(pm, model_id=CANDIDATES[number % 3], outcome=outcome)
        complete(pm, outcome={"success": "perhaps"})
    assert count_rows(path, "event") == sum(samples(plugin.engine()).values()) == 40
    assert plugin.failure_count() == 40
    assert is_sound(path)
