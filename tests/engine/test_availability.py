"""Outages lower a model's availability, not its quality: it is unavailable for a short, growing time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import modelperf_plugin as mp
from tests.clocks import FakeClock

OUTAGE = mp.Outcome(success=False, error_kind="rate_limit")
SUCCESS = mp.Outcome(success=True)
MODELS = ["first", "second"]
CONFIG: dict[str, Any] = {
    "availability": {"pause_seconds": 10, "longest_pause_seconds": 100, "jitter": 0},
    "exploration": {"strategy": "never"},
    "demotion": {"strategy": "never"},
}


@pytest.fixture
def clock() -> FakeClock:
    """Return a clock at noon."""
    return FakeClock()


@pytest.fixture
def perf(tmp_path: Path, clock: FakeClock) -> Iterator[mp.ModelPerf]:
    """Return an engine in which ``first`` is the better model, backs off for 10 s and more, without randomness."""
    with mp.ModelPerf(CONFIG, store=tmp_path / "x.db", clock=clock, seed=0) as engine:
        for _ in range(20):
            engine.record("t", "first", SUCCESS)
            engine.record("t", "second", mp.Outcome(success=False))
        yield engine


def select(perf: mp.ModelPerf, models: list[str] | None = None) -> mp.Decision:
    """Return a decision between both models."""
    decision = perf.select("t", models or MODELS)
    assert decision is not None
    return decision


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
    before = select(perf).ranking.of("first").score
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


def test_if_all_are_unavailable_the_best_is_used(perf: mp.ModelPerf) -> None:
    """If all candidates are unavailable, the best of them is chosen, and the reason says so."""
    for model_id in MODELS:
        perf.record("t", model_id, OUTAGE)
    decision = select(perf)
    assert decision.model_id == "first"
    assert decision.reason.startswith("every candidate is unavailable, so the best of them is used; ")


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
