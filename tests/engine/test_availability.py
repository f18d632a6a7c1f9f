"""Outages lower a model's availability, not its quality: it is unavailable for a short, growing time."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import modelperf_plugin as mp
from tests.clocks import FakeClock
from tests.engine.outages import CONFIG, MODELS, SUCCESS, make_first_better

OUTAGE = mp.Outcome(success=False, error_kind="rate_limit")


@pytest.fixture
def perf(tmp_path: Path, clock: FakeClock) -> Iterator[mp.ModelPerf]:
    """Return an engine in which ``first`` is the better model, backs off for 10 s and more, without randomness."""
    with mp.ModelPerf(CONFIG, store=tmp_path / "x.db", clock=clock, seed=0) as engine:
        make_first_better(engine)
        yield engine


def select(perf: mp.ModelPerf, models: list[str] | None = None) -> mp.Decision:
    """Return a decision between both models."""
    decision = perf.select("t", models or MODELS)
    assert decision is not None
    return decision


def score(perf: mp.ModelPerf) -> float:
    """Return the score of ``first``."""
    found = select(perf).ranking.of("first").score
    assert found is not None
    return found


def pause(perf: mp.ModelPerf, clock: FakeClock) -> int:
    """Return for how many seconds ``first`` is unavailable, and advance the clock by them."""
    for second in range(1000):
        if select(perf).ranking.of("first").status != "unavailable":
            return second
        clock.advance(seconds=1)
    raise AssertionError("first is never available again")


def test_an_outage_makes_a_model_unavailable_for_a_while(perf: mp.ModelPerf, clock: FakeClock) -> None:
    """While unavailable the model ranks behind the others, with status and reason; then it is first again."""
    assert select(perf).model_id == "first"
    perf.record("t", "first", OUTAGE)
    decision = select(perf)
    assert list(decision) == ["second", "first"]
    row = decision.ranking.of("first")
    assert (row.status, row.reason) == ("unavailable", "unavailable until 12:00:10 UTC after an outage")
    assert decision.propensities == {"second": 1.0, "first": 0.0}
    clock.advance(seconds=9.9)
    assert select(perf).model_id == "second"
    clock.advance(seconds=0.1)
    assert select(perf).model_id == "first"


def test_outages_do_not_touch_quality(perf: mp.ModelPerf, clock: FakeClock) -> None:
    """Any number of outages leaves the score as it is and lowers the availability in the tally."""
    before = score(perf)
    for _ in range(100):
        perf.record("t", "first", OUTAGE)
        clock.advance(seconds=1)
    row = select(perf).ranking.of("first")
    assert row.score == pytest.approx(before, abs=0.05)  # only the fit over all task types goes on
    assert row.tally.availability == pytest.approx(20 / 120)


def test_backoff_doubles_up_to_the_longest_and_ends_with_a_success(perf: mp.ModelPerf, clock: FakeClock) -> None:
    """Each further outage in a row doubles the wait, up to the limit; any other outcome resets it."""
    lengths = []
    for _ in range(6):
        perf.record("t", "first", OUTAGE)
        lengths.append(pause(perf, clock))
    assert lengths == [10, 20, 40, 80, 100, 100]
    perf.record("t", "first", SUCCESS)
    perf.record("t", "first", OUTAGE)
    assert pause(perf, clock) == 10


def test_calls_that_fail_together_do_not_extend_the_backoff(perf: mp.ModelPerf, clock: FakeClock) -> None:
    """Twenty calls that fail together are one outage, whatever their task types."""
    for number in range(20):
        perf.record(f"task-{number}", "first", OUTAGE)
    clock.advance(seconds=10)
    assert select(perf).model_id == "first"


@pytest.mark.parametrize("ending", [SUCCESS, mp.Outcome(success=False), mp.Outcome(success=False, error_kind="other")])
def test_a_model_that_answers_is_available(perf: mp.ModelPerf, ending: mp.Outcome) -> None:
    """A success or a failure of the model ends the back-off at once: the provider works."""
    perf.record("t", "first", OUTAGE)
    assert select(perf).ranking.of("first").status == "unavailable"
    perf.record("u", "first", ending)
    assert select(perf).ranking.of("first").status == "ranked"


@pytest.mark.parametrize("kind", ["cancelled", "caller_error"])
def test_the_callers_own_errors_change_nothing(perf: mp.ModelPerf, kind: Any) -> None:
    """Errors of the caller neither begin a back-off nor end one."""
    perf.record("t", "first", mp.Outcome(success=False, error_kind=kind))
    assert select(perf).ranking.of("first").status == "ranked"
    perf.record("t", "first", OUTAGE)
    perf.record("t", "first", mp.Outcome(success=False, error_kind=kind))
    assert select(perf).ranking.of("first").status == "unavailable"


def test_if_all_are_unavailable_the_first_to_be_back_is_used(perf: mp.ModelPerf, clock: FakeClock) -> None:
    """If all candidates are unavailable, the one whose back-off ends first is chosen, and the reason says so."""
    perf.record("t", "second", OUTAGE)
    clock.advance(seconds=1)
    perf.record("t", "first", OUTAGE)
    decision = select(perf)
    assert list(decision) == ["second", "first"]
    assert decision.propensity == 1.0
    assert decision.reason.startswith("every candidate is unavailable, so the first to be back is used; ")


def test_a_pin_is_used_through_an_outage(perf: mp.ModelPerf) -> None:
    """A pinned model is chosen even while it is unavailable."""
    perf.record("t", "first", OUTAGE)
    decision = perf.select("t", MODELS, {"pin": "first"})
    assert decision is not None
    assert decision.model_id == "first"


def test_outages_of_other_processes_count(perf: mp.ModelPerf, clock: FakeClock, tmp_path: Path) -> None:
    """Outages are in the store: processes that share it, or start later, back off as well."""
    perf.record("t", "first", OUTAGE)
    with mp.ModelPerf(CONFIG, store=tmp_path / "x.db", clock=clock, seed=0) as other:
        assert select(other).ranking.of("first").status == "unavailable"
        clock.advance(seconds=10)
        assert select(other).ranking.of("first").status == "ranked"


def test_backoff_is_jittered(tmp_path: Path, clock: FakeClock) -> None:
    """Each wait is longer by a random part of up to the configured share, so that hosts do not return in step."""
    config = {**CONFIG, "availability": {"pause_seconds": 1000, "longest_pause_seconds": 1000, "jitter": 0.5}}
    lengths = set()
    for seed in range(20):
        with mp.ModelPerf(config, store=tmp_path / f"{seed}.db", clock=clock, seed=seed) as engine:
            engine.record("t", "first", OUTAGE)
            (streak,) = engine._availability._streaks.values()
            lengths.add(streak.until_ms - streak.last_ms)
    assert len(lengths) > 15
    assert 1_000_000 <= min(lengths) < 1_100_000
    assert 1_400_000 < max(lengths) <= 1_500_000


def test_backoff_can_be_switched_off(tmp_path: Path, clock: FakeClock) -> None:
    """With ``pause_seconds = 0`` an outage changes nothing."""
    config = {"availability": {"pause_seconds": 0}}
    with mp.ModelPerf(config, store=tmp_path / "x.db", clock=clock) as engine:
        engine.record("t", "first", OUTAGE)
        assert select(engine).ranking.of("first").status == "unproven"


@pytest.mark.parametrize(
    ("timeouts", "status"), [("outage", "unavailable"), ("failure", "ranked"), ("ignore", "ranked")]
)
def test_failed_timeouts_are_outages_if_configured(
    tmp_path: Path, clock: FakeClock, timeouts: str, status: str
) -> None:
    """A failed timeout makes a model unavailable only if timeouts are configured as outages."""
    with mp.ModelPerf({**CONFIG, "quality": {"timeouts": timeouts}}, store=tmp_path / "x.db", clock=clock) as engine:
        for _ in range(3):
            engine.record("t", "first", SUCCESS)
        engine.record("t", "first", mp.Outcome(success=False, timeout=True))
        engine._availability.refresh()
        assert select(engine).ranking.of("first").status == status


def test_an_outage_from_the_future_counts_as_now(perf: mp.ModelPerf, clock: FakeClock) -> None:
    """A stamp of another clock, or in another unit, makes no pause longer than the configured one."""
    perf.record(
        "t", "first", mp.Outcome(success=False, error_kind="rate_limit", timestamp=clock() + timedelta(days=365))
    )
    assert pause(perf, clock) == 10
    perf.record("t", "first", SUCCESS)
    assert select(perf).model_id == "first"


def test_a_success_ends_a_pause_from_the_future(perf: mp.ModelPerf, clock: FakeClock) -> None:
    """A model whose outage was stamped in the future is available as soon as it answers."""
    perf.record("t", "first", mp.Outcome(success=False, error_kind="network", timestamp=clock() + timedelta(days=365)))
    perf.record("t", "first", SUCCESS)
    assert select(perf).ranking.of("first").status != "unavailable"


def test_a_clock_that_is_set_back_makes_no_pause_longer(perf: mp.ModelPerf, clock: FakeClock) -> None:
    """A pause ends after its own length at the latest, whatever the time was when it began."""
    perf.record("t", "first", OUTAGE)
    assert select(perf).model_id == "second"
    clock.advance(seconds=-86_400)
    assert pause(perf, clock) == 10


def test_a_model_gets_a_few_tries_when_it_is_back(perf: mp.ModelPerf, clock: FakeClock) -> None:
    """Of a hundred tasks that wait for the end of a back-off, three go to the model until one of them is answered."""
    perf.record("t", "first", OUTAGE)
    clock.advance(seconds=11)
    chosen = [select(perf) for _ in range(100)]
    assert [decision.model_id for decision in chosen].count("first") == 3
    clock.advance(seconds=5)
    perf.record("t", "first", SUCCESS, chosen[0])
    assert {select(perf).model_id for _ in range(100)} == {"first"}


def test_tries_that_meet_an_outage_prolong_the_back_off(perf: mp.ModelPerf, clock: FakeClock) -> None:
    """All of them together count as one more outage in a row."""
    perf.record("t", "first", OUTAGE)
    clock.advance(seconds=10)
    for decision in [select(perf) for _ in range(3)]:
        perf.record("t", "first", OUTAGE, decision)
    assert pause(perf, clock) == 20


def test_tries_without_an_answer_are_repeated(perf: mp.ModelPerf, clock: FakeClock) -> None:
    """If nobody reports on them, others follow after the same time."""
    perf.record("t", "first", OUTAGE)
    for _ in range(3):
        clock.advance(seconds=10)
        assert [select(perf).model_id for _ in range(5)] == ["first"] * 3 + ["second"] * 2


def test_outages_count_in_the_score(perf: mp.ModelPerf, clock: FakeClock) -> None:
    """The score is the chance that a try succeeds: quality × recent availability. The reason has both."""
    quality = score(perf)
    for number in range(30):
        clock.advance(seconds=30)
        perf.record("t", "first", SUCCESS if number % 3 else OUTAGE)
    clock.advance(seconds=30)
    row = select(perf).ranking.of("first")
    assert row.score is not None
    assert row.interval is not None
    assert 0.6 * quality < row.score < 0.8 * quality
    assert row.interval[0] < row.score < row.interval[1]
    words = r"posterior mean 0\.9\d+ \(40 of 40 succeeded; .*\), recent availability 0\.\d+: 0\.\d+ in all"
    assert re.fullmatch(words, row.reason)


def test_an_outage_that_lasts_counts_once(perf: mp.ModelPerf, clock: FakeClock) -> None:
    """However long a model was down, it has its full share twenty answers later."""
    quality = score(perf)
    for _ in range(50):
        clock.advance(seconds=1)
        perf.record("t", "first", OUTAGE)
    for _ in range(20):
        clock.advance(seconds=1)
        perf.record("t", "first", SUCCESS)
    assert score(perf) > 0.95 * quality


def test_old_outages_are_forgotten(perf: mp.ModelPerf, clock: FakeClock) -> None:
    """After some half-lives the score is that of the quality again."""
    for _ in range(5):
        perf.record("t", "first", OUTAGE)
        clock.advance(minutes=5)
        perf.record("t", "first", SUCCESS)
    before = score(perf)
    clock.advance(days=3)
    assert score(perf) > before + 0.05
    assert "availability" not in select(perf).ranking.of("first").reason


def test_outages_can_be_left_out_of_the_score(tmp_path: Path, clock: FakeClock) -> None:
    """Without a half-life only the back-off remains."""
    config = CONFIG | {"availability": {"half_life_minutes": 0}}
    with mp.ModelPerf(config, store=tmp_path / "x.db", clock=clock) as perf:
        perf.record("t", "first", SUCCESS)
        before = score(perf)
        for _ in range(5):
            perf.record("t", "first", OUTAGE)
            clock.advance(minutes=10)
        assert score(perf) == before


@pytest.mark.parametrize("seed", range(3))
def test_of_equal_models_the_available_one_is_chosen(tmp_path: Path, clock: FakeClock, seed: int) -> None:
    """With .90 and 30 % outages against .88 without, nearly every first try goes to the second."""
    chance = random.Random(seed)
    solved = 0
    with mp.ModelPerf({}, store=tmp_path / "x.db", clock=clock, seed=seed) as perf:
        for task in range(1_200):
            clock.advance(seconds=10)
            decision = perf.select("t", ["a", "b"])
            assert decision is not None
            is_down = decision.model_id == "a" and chance.random() < 0.3
            success = not is_down and chance.random() < {"a": 0.90, "b": 0.88}[decision.model_id]
            outcome = mp.Outcome(success=success, error_kind="server_error" if is_down else None)
            perf.record("t", decision.model_id, outcome, decision)
            solved += success and task >= 200
    assert solved / 1000 >= 0.84
