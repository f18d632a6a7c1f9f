"""The record of decisions, on every store: what is kept, what is joined, counted and forgotten."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from modelperf_plugin.store import (
    DecisionOutcome,
    DecisionRecord,
    DecisionSummary,
    Entry,
    Joining,
    ModeSummary,
    Store,
    decisions,
)
from modelperf_plugin.store.decisions import UNMATCHED_MS
from modelperf_plugin.values import (
    Decision,
    Exclusion,
    Mode,
    Outcome,
    PlannedTry,
    RankedModel,
    Ranking,
    ScorePart,
    ScoreTerms,
    ShareBasis,
    Status,
    Tally,
    to_milliseconds,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
NOON_MS = to_milliseconds(NOON)
HOUR_MS = 3_600_000
numbers = count()


def candidate(model_id: str, score: float | None = 0.5, status: Status = "ranked") -> RankedModel:
    """Return a row of a ranking."""
    interval = None if score is None else (score / 2, 1.0)
    return RankedModel(model_id, score, interval, Tally("plan", model_id, 3, 1), status, f"because it is {model_id}")


def decided(
    decision_id: str | None = None,
    model_id: str = "best",
    *,
    task_type: str = "plan",
    mode: Mode = "apply",
    at: datetime = NOON,
    rows: tuple[RankedModel, ...] = (candidate("best", 0.9), candidate("other", 0.4)),
    probabilities: tuple[float, ...] = (0.75, 0.25),
    excluded: tuple[Exclusion, ...] = (),
) -> Decision:
    """Return a decision."""
    return Decision(
        order=(model_id, *[row.model_id for row in rows if row.model_id != model_id]),
        decision_id=decision_id or f"decision-{next(numbers):04}",
        task_type=task_type,
        ranking=Ranking(rows, "posterior"),
        probabilities=probabilities,
        reason=f"{model_id} it is",
        explored=model_id != rows[0].model_id,
        excluded=excluded,
        policy_id="0123456789ab",
        mode=mode,
        created_at=at,
    )


def keep(store: Store, *decisions: Decision) -> None:
    """Keep ``decisions``."""
    store.decisions.write([DecisionRecord.of(each) for each in decisions], [])


def end(store: Store, decision_id: str, model_id: str, *, success: bool = True, **values: Any) -> None:
    """Say what came of a decision."""
    outcome = Outcome(success=success, **values)
    store.decisions.write([], [DecisionOutcome(decision_id, model_id, outcome, NOON_MS + 5000)])


def test_a_decision_is_read_as_it_was_made(store: Store) -> None:
    """Every value of the decision comes back: candidates in order, propensities exactly, exclusions, None as None."""
    made = decided(
        "d1",
        "other",
        rows=(candidate("best", 0.9), candidate("other", None, "unproven"), candidate("“quoted” \U0001f600", 0.1)),
        probabilities=(0.1 + 0.2, 2 / 3, 1 - (0.1 + 0.2) - 2 / 3),
        excluded=(Exclusion("tried", "excluded by the host"),),
    )
    keep(store, made)
    kept = store.decisions.get("d1")
    assert kept is not None
    said, meant = kept.as_dict(), json.loads(json.dumps(made.as_dict()))
    rows = said.pop("ranking")
    assert [row["reason"] for row in rows] == [row["reason"] for row in meant["ranking"]]
    for row, original, share in zip(rows, meant.pop("ranking"), made.probabilities, strict=True):
        tally = original.pop("tally")
        assert row == {**original, "samples": tally["successes"] + tally["failures"], "propensity": share}
    assert said.pop("outcome") is None
    assert said.pop("tries") == []
    assert said.pop("exploring") == pytest.approx(0.7)
    meant.pop("order")
    assert said == meant
    json.dumps(kept.as_dict(), allow_nan=False)


def test_a_decision_keeps_what_its_scores_and_shares_come_from(store: Store) -> None:
    """The score is the sum of its terms, to six digits; a share that is 0 has no cause."""
    terms = ScoreTerms((ScorePart("own", 16.8412345, 2 / 3), ScorePart("other task types", 4.2, 0.841)), 0.97, 0.5)
    best, *others = (candidate(name, terms.score) for name in ("best", "other", "third"))
    made = replace(
        decided("d1", rows=(best._replace(terms=terms), *others), probabilities=(0.98, 0.02, 0.0)),
        basis=ShareBasis(3, 1, 0.001),
    )
    keep(store, made)
    kept = store.decisions.get("d1")
    assert kept is not None
    first, *rest = kept.candidates
    assert first.terms is not None
    assert first.terms.score == pytest.approx(first.score, rel=1e-5)
    assert [part.source for part in first.terms.parts] == ["own", "other task types"]
    assert [row.terms for row in rest] == [None, None]
    assert [row.cause for row in kept.candidates] == list(made.causes) == ["best", "might be best", None]
    assert kept.as_dict()["ranking"][0]["terms"] == first.terms.as_dict()
    assert kept.as_dict()["causes"] == made.as_dict()["causes"]


@pytest.mark.parametrize("lost", [',"terms":"own 3 0.5"', ',"cause":"best"'])
def test_a_decision_of_an_earlier_version_is_read(store: Store, lost: str) -> None:
    """One without terms or causes is read with what it has."""
    row = candidate("best")._replace(terms=ScoreTerms((ScorePart("own", 3, 0.5),)))
    made = DecisionRecord.of(replace(decided("d1", rows=(row,), probabilities=(1.0,)), basis=ShareBasis(1, 1, 0.0)))
    assert lost in made.record
    store.decisions.write([made._replace(record=made.record.replace(lost, ""))], [])
    kept = store.decisions.get("d1")
    assert kept is not None
    assert (kept.candidates[0].terms is None, kept.candidates[0].cause is None).count(True) == 1


def test_a_decision_is_kept_once(store: Store) -> None:
    """Keeping an id again changes nothing; an id that is not kept is None."""
    keep(store, decided("d1"), decided("d1", "other"))
    keep(store, decided("d1", "other"))
    (kept,) = store.decisions.newest()
    assert kept.model_id == "best"
    assert store.decisions.get("d2") is None
    assert store.decisions.get("d") is None


def test_an_outcome_is_joined(store: Store) -> None:
    """What came of a decision stands beside it, whether both come at once or one after the other."""
    outcome = Outcome(success=False, timeout=True, tokens_used=7, cost_usd=0.25, error_kind="network")
    for together in (True, False):
        made, ended = decided(), DecisionOutcome("", "best", outcome, NOON_MS + 5000)
        ended = ended._replace(decision_id=made.decision_id)
        if together:
            store.decisions.write([DecisionRecord.of(made)], [ended])
        else:
            keep(store, made)
            store.decisions.write([], [ended])
        kept = store.decisions.get(made.decision_id)
        assert kept is not None
        assert kept.outcome is not None
        assert kept.outcome.as_dict() == {
            "model_id": "best",
            "ended_at": (NOON + timedelta(seconds=5)).isoformat(),
            "success": False,
            "timeout": True,
            "tokens_used": 7,
            "cost_usd": 0.25,
            "error_kind": "network",
            "duration_seconds": None,
            "score": None,
            "served_model": None,
            "former_verdicts": [],
        }


def test_an_outcome_of_an_unknown_decision_is_counted(store: Store) -> None:
    """Hosts may name decisions that were not kept, or ids of their own; after a minute that is visible."""
    end(store, "nobody-knows", "best")
    end(store, "nobody-knows", "best")
    assert store.decisions.newest() == []
    ended_ms = NOON_MS + 5000
    assert store.decisions.summary(ended_ms + UNMATCHED_MS - 1).unmatched == 0
    assert store.decisions.summary(ended_ms + UNMATCHED_MS).unmatched == 1
    store.decisions.forget(ended_ms + 1)
    assert store.decisions.summary(ended_ms + UNMATCHED_MS).unmatched == 0


def test_an_outcome_waits_for_its_decision(store: Store) -> None:
    """An outcome that is stored before its decision is joined when that comes, by the same rules, and counts once."""
    late = DecisionOutcome("d1", "best", Outcome(success=False, tokens_used=7, error_kind="network"), NOON_MS + 1)
    first = DecisionOutcome("d1", "fallback", Outcome(success=True), NOON_MS)
    assert store.decisions.write([], [first, late]) == []
    assert store.decisions.write([], [late]) == []
    assert store.decisions.write([DecisionRecord.of(decided("d1"))], []) == [first, late]
    assert store.decisions.write([DecisionRecord.of(decided("d1"))], [late]) == []
    kept = store.decisions.get("d1")
    assert kept is not None
    assert kept.outcome is not None
    assert (kept.outcome.model_id, kept.outcome.tokens_used, kept.outcome.error_kind) == ("best", 7, "network")
    assert store.decisions.summary(NOON_MS + HOUR_MS).unmatched == 0


def test_outcomes_that_wait_are_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that names ids of its own does not fill the store."""
    monkeypatch.setattr(decisions, "MAX_UNMATCHED_OUTCOMES", 5)
    for number in range(8):
        end(store, f"d{number}", "best")
    assert store.decisions.summary(NOON_MS + HOUR_MS).unmatched == 5
    joined = store.decisions.write([DecisionRecord.of(decided(f"d{number}")) for number in range(8)], [])
    assert [each.decision_id for each in joined] == [f"d{number}" for number in range(3, 8)]


@pytest.mark.parametrize(
    ("came", "stays"),
    [
        ([("best", True), ("best", False)], ("best", True)),
        ([("fallback", True)], ("fallback", True)),
        ([("fallback", True), ("best", False)], ("best", False)),
        ([("best", False), ("fallback", True)], ("best", False)),
        ([("fallback", True), ("other", False)], ("fallback", True)),
    ],
)
def test_the_chosen_models_first_outcome_stays(
    store: Store, came: list[tuple[str, bool]], stays: tuple[str, bool]
) -> None:
    """The first outcome stays, but the chosen model's takes the place of a fallback's."""
    keep(store, decided("d1"))
    for model_id, success in came:
        end(store, "d1", model_id, success=success)
    kept = store.decisions.get("d1")
    assert kept is not None
    assert kept.outcome is not None
    assert (kept.outcome.model_id, kept.outcome.success) == stays


def test_decisions_are_written_together_or_not_at_all(store: Store) -> None:
    """An error on the way leaves neither decisions nor outcomes behind."""
    keep(store, decided("d1"))

    def interrupted() -> Iterator[DecisionOutcome]:
        yield DecisionOutcome("d1", "best", Outcome(success=True), NOON_MS)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.decisions.write([DecisionRecord.of(decided("d2"))], interrupted())
    (kept,) = store.decisions.newest()
    assert (kept.decision_id, kept.outcome) == ("d1", None)


def test_evidence_does_not_change(store: Store) -> None:
    """The record of decisions is no evidence: the mapping in memory stays the very same."""
    before = store.tallies.of("plan")
    keep(store, decided("d1"))
    end(store, "d1", "best")
    assert store.tallies.of("plan") is before
    assert store.tallies.all() == []


def test_the_newest_decisions_come_first(store: Store) -> None:
    """Of one task type or of all, since a moment, and so many at most."""
    for minute, task_type in enumerate(["plan", "build", "plan", "build"]):
        keep(store, decided(f"d{minute}", task_type=task_type, at=NOON + timedelta(minutes=minute)))

    def ids(**said: Any) -> list[str]:
        return [decision.decision_id for decision in store.decisions.newest(**said)]

    assert ids() == ["d3", "d2", "d1", "d0"]
    assert ids(task_type="plan") == ["d2", "d0"]
    assert ids(task_type="test") == []
    assert ids(since_ms=NOON_MS + 120_000) == ["d3", "d2"]
    assert ids(limit=1, task_type="plan") == ["d2"]


def test_the_start_of_an_id_finds_it(store: Store) -> None:
    """What starts so is found, in order, and so many at most; nothing in it is a pattern."""
    keep(store, *[decided(decision_id) for decision_id in ("abc1", "abc2", "ab%", "abd", "b")])

    def like(prefix: str, limit: int = 10) -> list[str]:
        return [decision.decision_id for decision in store.decisions.starting_with(prefix, limit)]

    assert like("abc") == ["abc1", "abc2"]
    assert like("abc", 1) == ["abc1"]
    assert like("ab%") == ["ab%"]
    assert like("ab_") == like("*") == []


def test_the_summary_counts_what_came_and_what_did_not(store: Store) -> None:
    """A decision waits for an hour and is overdue then; in the mode observe nobody waits."""
    assert store.decisions.summary(NOON_MS) == DecisionSummary({})
    assert store.decisions.summary(NOON_MS).as_dict()["exploration_share"] is None
    hour_ago, recently = NOON - timedelta(hours=1), NOON - timedelta(minutes=59)
    keep(store, decided("done"), decided("late", at=hour_ago), decided("slow", "other", at=recently))
    keep(store, decided("seen", mode="observe", at=hour_ago))
    end(store, "done", "best")
    summary = store.decisions.summary(NOON_MS)
    assert summary.modes == {
        "apply": ModeSummary(3, 1, 1, 1, 1, 0.75),
        "observe": ModeSummary(1, 0, 0, 0, 0, 0.25),
    }
    assert summary.total == ModeSummary(4, 1, 1, 1, 1, 1.0)
    assert summary.as_dict() == {
        "decisions": 4,
        "with_outcome": 1,
        "waiting": 1,
        "overdue": 1,
        "explored": 1,
        "explored_share": 0.25,
        "exploration_share": 0.25,
        "modes": {mode: each.as_dict() for mode, each in summary.modes.items()},
    }


@pytest.mark.parametrize(
    ("rows", "probabilities", "exploring"),
    [
        ((candidate("a", 0.9), candidate("b", 0.5)), (0.9, 0.1), 0.1),
        ((candidate("a", 0.9), candidate("b", 0.9), candidate("c", 0.1)), (0.45, 0.45, 0.1), 0.1),
        ((candidate("a", None), candidate("b", None)), (0.5, 0.5), 0.0),
        ((candidate("a", 0.9), candidate("b", 0.5, "pinned")), (0.0, 1.0), 0.0),
        ((candidate("a", 0.9),), (1.0,), 0.0),
    ],
)
def test_what_is_spent_on_learning(
    rows: tuple[RankedModel, ...], probabilities: tuple[float, ...], exploring: float
) -> None:
    """It is 1 − P(best); candidates that are as good as the first are the best too, and a pin explores nothing."""
    chosen = rows[probabilities.index(max(probabilities))].model_id
    made = decided(model_id=chosen, rows=rows, probabilities=probabilities)
    assert DecisionRecord.of(made).exploring == pytest.approx(exploring)


def test_old_decisions_are_forgotten_in_steps(store: Store) -> None:
    """What was made before the moment goes, a thousand at a time and the oldest first; the rest stays."""
    keep(store, *[decided(f"old-{number:04}", at=NOON + timedelta(seconds=number)) for number in range(1100)])
    keep(store, decided("new", at=NOON + timedelta(hours=1)))
    assert store.decisions.forget(NOON_MS + HOUR_MS) == 1000
    assert store.decisions.get("old-0999") is None
    assert store.decisions.get("old-1000") is not None
    assert store.decisions.forget(NOON_MS + HOUR_MS) == 100
    assert store.decisions.forget(NOON_MS + HOUR_MS) == 0
    assert [decision.decision_id for decision in store.decisions.newest()] == ["new"]


def joining(decision: Decision, model_id: str = "best") -> tuple[Entry, Joining]:
    """Return an outcome with the decision that is to be stored with it."""
    entry = Entry("plan", model_id, Outcome(success=True), NOON_MS + 5000)
    outcome = DecisionOutcome(decision.decision_id, model_id, entry.outcome, entry.ended_ms)
    return entry, Joining(DecisionRecord.of(decision), outcome)


def test_an_outcome_is_recorded_together_with_its_decision(store: Store, kind: str) -> None:
    """One transaction stores both, already joined; a stand-in for the database records the outcome and says so."""
    entry, joined = joining(decided("d1"))
    assert store.outcomes.record(entry, joined)
    assert store.tallies.of("plan")["best"].successes == 1
    assert joined.is_stored == (kind != "degraded")
    kept = store.decisions.get("d1")
    assert (kept is not None) == joined.is_stored
    if kept is not None:
        assert kept.outcome is not None
        assert (kept.outcome.model_id, kept.outcome.ended_ms) == ("best", NOON_MS + 5000)
        assert joined.joined == [joined.outcome._replace(ref=1)]


def test_an_outcome_that_is_known_stores_no_decision(store: Store) -> None:
    """An outcome that is recorded again changes nothing, so its decision is left to be stored without it."""
    entry, joined = joining(decided("d1"))
    entry = entry._replace(outcome=Outcome(success=True, outcome_id="once"))
    assert store.outcomes.record(entry)
    assert not store.outcomes.record(entry, joined)
    assert not joined.is_stored
    assert store.decisions.get("d1") is None


def test_a_stored_decision_gets_the_outcome_alone(store: Store, kind: str) -> None:
    """A decision that was stored before its outcome came stays as it is, and is joined."""
    keep(store, decided("d1"))
    entry, joined = joining(decided("d1", "other"))
    assert store.outcomes.record(entry, joined)
    kept = store.decisions.get("d1")
    assert kept is not None
    assert kept.model_id == "best"
    assert (kept.outcome is not None) == (kind != "degraded")


def test_a_decision_that_cannot_be_stored_does_not_cost_the_outcome(store: Store) -> None:
    """A log that refuses the decision is left without it; the outcome is recorded all the same."""
    entry, joined = joining(decided("d1"))
    assert joined.decision is not None
    joined.decision = joined.decision._replace(policy_id="\ud800")
    assert store.outcomes.record(entry, joined)
    assert not joined.is_stored
    assert store.tallies.of("plan")["best"].successes == 1
    assert store.decisions.get("d1") is None


def test_an_outcome_is_joined_in_its_own_transaction(store: Store) -> None:
    """A decision that is in the log already gets its outcome with the record, or waits for a decision to come."""
    entry, joined = joining(decided("d1"))
    assert joined.decision is not None
    store.decisions.write([joined.decision], [])
    for decision_id in ("d1", "another"):
        later = Joining(None, joined.outcome._replace(decision_id=decision_id))
        assert store.outcomes.record(entry, later)
        if later.is_stored:
            assert [each.decision_id for each in later.joined] == (["d1"] if decision_id == "d1" else [])
            assert store.decisions.summary(NOON_MS + HOUR_MS).unmatched == int(decision_id != "d1")


# The tries of a decision.


def tries_of(store: Store, decision_id: str) -> list[tuple[str, bool]]:
    """Return model and success of all outcomes of a decision."""
    kept = store.decisions.get(decision_id)
    assert kept is not None
    assert [each.number for each in kept.tries] == [*range(1, len(kept.tries) + 1)]
    return [(each.model_id, each.success) for each in kept.tries]


@pytest.mark.parametrize(
    "came",
    [
        [],
        [("best", True)],
        [("best", False), ("fallback", False), ("other", True)],
        [("best", False), ("best", False), ("best", True)],
        [("fallback", False), ("best", False), ("fallback", True)],
        [("fallback", False), ("other", False), ("best", True), ("best", True)],
    ],
)
@pytest.mark.parametrize("order", ["decision first", "outcomes first", "together"])
def test_every_try_of_a_decision_is_kept(store: Store, came: list[tuple[str, bool]], order: str) -> None:
    """In the order of arrival, whichever of them is the outcome of the decision, and whenever that is stored."""
    outcomes = [
        DecisionOutcome("d1", model_id, Outcome(success=success), NOON_MS + number)
        for number, (model_id, success) in enumerate(came)
    ]
    if order == "together":
        store.decisions.write([DecisionRecord.of(decided("d1"))], outcomes)
    elif order == "outcomes first":
        for outcome in outcomes:
            store.decisions.write([], [outcome])
        assert store.unmatched.of("d1") == outcomes
        keep(store, decided("d1"))
    else:
        keep(store, decided("d1"))
        for outcome in outcomes:
            store.decisions.write([], [outcome])
    assert store.unmatched.of("d1") == []
    assert tries_of(store, "d1") == came
    keep(store, decided("d1"))
    assert tries_of(store, "d1") == came
    kept = store.decisions.get("d1")
    assert kept is not None
    chosen = [each for each in kept.tries if each.model_id == "best"]
    assert kept.outcome == next(iter([*chosen, *kept.tries]), None)
    assert (kept.as_dict()["tries"] == []) == (not came)
    (logged,) = store.decisions.after(0, 10)
    assert logged[2] == kept.outcome


def test_a_try_is_kept_with_all_that_was_reported(store: Store) -> None:
    """Tokens, dollars, error kind and duration of each try; a duration that was not reported is None."""
    keep(store, decided("d1"))
    end(store, "d1", "best", success=False, tokens_used=7, cost_usd=0.25, error_kind="other", duration_seconds=1.5)
    end(store, "d1", "other", success=False, timeout=True, cost_usd=0.5, duration_seconds=2.25)
    end(store, "d1", "third")
    kept = store.decisions.get("d1")
    assert kept is not None
    assert [each.duration_ms for each in kept.tries] == [1500, 2250, None]
    assert [each.cost_usd for each in kept.tries] == [0.25, 0.5, 0.0]
    first, second, _ = kept.as_dict()["tries"]
    assert (first["duration_seconds"], first["error_kind"], first["tokens_used"]) == (1.5, "other", 7)
    assert (second["duration_seconds"], second["timeout"]) == (2.25, True)


def test_further_outcomes_of_many_decisions_are_read_at_once(store: Store) -> None:
    """Those besides the outcome that a page of the log has, in order; decisions that have none are missing."""
    assert store.decisions.last_number() == 0
    keep(store, *(decided(each) for each in ("d1", "d2", "d3", "d4")))
    for decision_id, model_id in (("d1", "other"), ("d1", "best"), ("d1", "other"), ("d2", "best"), ("d3", "best")):
        end(store, decision_id, model_id, success=False)
    end(store, "d3", "other")
    found = store.decisions.further_outcomes(["d1", "d2", "d3", "d4", "d5"])
    page = store.decisions.after(0, 10)
    assert page[-1][0] == store.decisions.last_number()
    assert {decision_id: [each.number for each in rows] for decision_id, rows in found.items()} == {
        "d1": [1, 3], "d3": [2]
    }  # fmt: skip
    for _, record, outcome in page:
        kept = store.decisions.get(record.decision_id)
        assert kept is not None
        assert decisions.in_order(outcome, found.get(record.decision_id, ())) == kept.tries
    assert store.decisions.further_outcomes([]) == {}


def test_tries_of_a_decision_are_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that uses one decision for everything does not fill the log."""
    monkeypatch.setattr(decisions, "MAX_LOGGED_TRIES", 3)
    keep(store, decided("d1"))
    for number in range(5):
        end(store, "d1", "other", success=number > 2)
    assert tries_of(store, "d1") == [("other", False)] * 3
    end(store, "d1", "best")
    assert tries_of(store, "d1") == [("other", False)] * 3 + [("best", True)]


def test_tries_are_forgotten_with_their_decision(store: Store) -> None:
    """Nothing of a decision that is deleted is left to one that might be stored under its id."""
    keep(store, decided("d1"))
    for model_id in ("best", "other"):
        end(store, "d1", model_id, success=False)
    assert store.decisions.forget(NOON_MS + 1) == 1
    keep(store, decided("d1"))
    assert tries_of(store, "d1") == []


def test_a_task_is_followed_from_decision_to_decision(store: Store) -> None:
    """A decision knows the one that it follows, what had failed and the plan; the first one finds its follow-ups."""
    plan = (PlannedTry("other", 1.0, 0.5, None), PlannedTry("third", 0.5, 0.25, 0.125))
    second = replace(
        decided("d2", "other", at=NOON + timedelta(hours=1)), retry_of="d1", attempt=2, tried=("best",), plan=plan
    )
    third = replace(decided("d3", "other", at=NOON + timedelta(minutes=1)), retry_of="d1", attempt=3, tried=("a", "a"))
    keep(store, decided("d1"), second, third)
    kept = store.decisions.get("d2")
    assert kept is not None
    assert (kept.retry_of, kept.attempt, kept.tried, kept.plan) == ("d1", 2, ("best",), plan)
    said, meant = kept.as_dict(), json.loads(json.dumps(second.as_dict()))
    assert {key: said[key] for key in ("plan", "tried", "attempt", "retry_of")} == {
        key: meant[key] for key in ("plan", "tried", "attempt", "retry_of")
    }
    assert [each.decision_id for each in store.decisions.follow_ups("d1")] == ["d3", "d2"]
    assert store.decisions.follow_ups("d2") == store.decisions.follow_ups("nobody") == []
    first = store.decisions.get("d1")
    assert first is not None
    assert (first.retry_of, first.attempt, first.tried, first.plan, first.tries) == (None, 1, (), (), ())
