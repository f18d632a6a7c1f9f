"""A model that is gone is out for long; one whose provider says when to retry is out until then."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import modelperf_plugin as mp
from modelperf_plugin.engine.availability import Availability
from modelperf_plugin.values import to_milliseconds
from tests.clocks import FakeClock
from tests.engine.outages import CONFIG, MODELS, SUCCESS, make_first_better

GONE = mp.Outcome(success=False, error_kind="unavailable")


def limited(seconds: float, kind: Any = "rate_limit") -> mp.Outcome:
    """Return an outage with the provider's word for how long."""
    return mp.Outcome(success=False, error_kind=kind, retry_after_seconds=seconds)


def open_engine(tmp_path: Path, clock: FakeClock, **availability: float) -> mp.ModelPerf:
    """Return an engine on the store of the test."""
    config = {**CONFIG, "availability": {**CONFIG["availability"], **availability}}
    return mp.ModelPerf(config, store=tmp_path / "x.db", clock=clock, seed=0)


@pytest.fixture
def perf(tmp_path: Path, clock: FakeClock) -> Iterator[mp.ModelPerf]:
    """Return an engine in which ``first`` is the better model."""
    with open_engine(tmp_path, clock) as engine:
        make_first_better(engine)
        yield engine


def chosen(perf: mp.ModelPerf) -> str:
    """Return the model that is chosen now."""
    decision = perf.select("t", MODELS)
    assert decision is not None
    return decision.model_id


def row(perf: mp.ModelPerf) -> mp.RankedModel:
    """Return how ``first`` is ranked now, without a try."""
    decision = perf.explain("t", MODELS)
    assert decision is not None
    return decision.ranking.of("first")


def pause(perf: mp.ModelPerf, clock: FakeClock) -> float:
    """Return after how many minutes ``first`` is ranked again, up to a week; the clock is there."""
    minutes = 0
    while row(perf).status == "unavailable" and minutes < 10_080:
        clock.advance(minutes=1)
        minutes += 1
    return minutes


def test_a_gone_model_is_out_for_long(perf: mp.ModelPerf, clock: FakeClock) -> None:
    """After one such outcome it is unavailable for an hour, and the reason says since when."""
    perf.record("t", "first", GONE)
    assert chosen(perf) == "second"
    assert row(perf).reason == "unavailable since 2026-03-01 12:00 UTC: gone; next try from 2026-03-01 13:00 UTC"
    assert pause(perf, clock) == 60


def test_the_pause_of_a_gone_model_grows_to_a_day(perf: mp.ModelPerf, clock: FakeClock) -> None:
    """Each try that finds it gone doubles the pause; the reason keeps the first moment."""
    lengths = []
    for _ in range(7):
        perf.record("t", "first", GONE)
        lengths.append(pause(perf, clock) / 60)
    assert lengths == [1, 2, 4, 8, 16, 24, 24]
    perf.record("t", "first", GONE)
    assert row(perf).reason.startswith("unavailable since 2026-03-01 12:00 UTC: gone")


def test_a_gone_model_gets_one_try(perf: mp.ModelPerf, clock: FakeClock) -> None:
    """When its pause is over, one of a hundred tasks goes to it; if nobody reports, one more after the same time."""
    perf.record("t", "first", GONE)
    for _ in range(3):
        clock.advance(hours=1)
        assert [chosen(perf) for _ in range(100)].count("first") == 1


def test_a_gone_model_is_not_tried_before_demoted_ones(tmp_path: Path, clock: FakeClock) -> None:
    """If all others are demoted, it gets one try an hour, then one every two hours, and stays the last fallback."""
    demotion = {"strategy": "success_rate", "threshold": 0.6, "min_samples": 5}
    with mp.ModelPerf({**CONFIG, "demotion": demotion}, store=tmp_path / "x.db", clock=clock, seed=0) as engine:
        make_first_better(engine)
        tried = []
        for minute in range(600):
            decision = engine.select("t", MODELS)
            assert decision is not None
            if decision.model_id == "first":
                tried.append(minute)
                engine.record("t", "first", GONE, decision)
            else:
                assert decision.order == ("second", "first")
                engine.record("t", "second", mp.Outcome(success=minute % 2 == 0), decision)
            clock.advance(minutes=1)
        assert tried == [0, 60, 180, 420]
        engine.record("t", "first", SUCCESS)
        assert chosen(engine) == "first"


@pytest.mark.parametrize(("outage", "expected"), [(limited(600), "second"), (limited(0), "first")])
def test_a_provider_is_believed_that_no_call_will_be_answered(
    outage: mp.Outcome, expected: str, tmp_path: Path, clock: FakeClock
) -> None:
    """Until the time that it named, demoted models come first; after a mere outage the model may answer again."""
    demotion = {"strategy": "success_rate", "threshold": 0.6, "min_samples": 5}
    with mp.ModelPerf({**CONFIG, "demotion": demotion}, store=tmp_path / "x.db", clock=clock, seed=0) as engine:
        make_first_better(engine)
        engine.record("t", "first", outage)
        assert row(engine).status == "unavailable"
        assert chosen(engine) == expected


def test_calls_under_way_do_not_make_the_pause_longer(perf: mp.ModelPerf, clock: FakeClock) -> None:
    """Calls that find it gone together count once, and outages of other kinds change nothing."""
    for number in range(10):
        perf.record(f"t{number}", "first", GONE)
        perf.record("t", "first", mp.Outcome(success=False, error_kind="network"))
    assert pause(perf, clock) == 60


def test_a_model_may_be_gone_after_other_outages(perf: mp.ModelPerf, clock: FakeClock) -> None:
    """A short back-off becomes a long one as soon as a call finds the model gone."""
    perf.record("t", "first", mp.Outcome(success=False, error_kind="network"))
    clock.advance(seconds=1)
    perf.record("t", "first", GONE)
    assert pause(perf, clock) == 60


@pytest.mark.parametrize("ending", [SUCCESS, mp.Outcome(success=False), limited(0, "refused")])
def test_an_answer_ends_the_pause_at_once(perf: mp.ModelPerf, ending: mp.Outcome, clock: FakeClock) -> None:
    """A model that answers is there; the next time it is gone counts as the first."""
    perf.record("t", "first", GONE)
    perf.record("t", "first", ending)
    assert row(perf).status == "ranked"
    perf.record("t", "first", GONE)
    assert pause(perf, clock) == 60


def test_an_answer_of_an_older_call_ends_nothing(perf: mp.ModelPerf, clock: FakeClock) -> None:
    """A success that ended before the model was gone, but is reported later, changes nothing."""
    before = clock()
    clock.advance(minutes=1)
    perf.record("t", "first", GONE)
    perf.record("t", "first", mp.Outcome(success=True, timestamp=before))
    assert row(perf).status == "unavailable"


def test_a_success_in_any_host_ends_the_pause(perf: mp.ModelPerf, clock: FakeClock, tmp_path: Path) -> None:
    """The bad key of one host does not take the model from the others for longer than that."""
    with open_engine(tmp_path, clock) as other:
        perf.record("t", "first", GONE)
        assert row(other).status == "unavailable"
        other.record("t", "first", SUCCESS)
        perf._availability.refresh()
        assert (row(other).status, row(perf).status) == ("ranked", "ranked")


@pytest.mark.parametrize("outcome", [GONE, limited(7_200)])
@pytest.mark.parametrize("later", [0, 1_500])
def test_a_long_pause_survives_a_restart(
    perf: mp.ModelPerf, clock: FakeClock, tmp_path: Path, outcome: mp.Outcome, later: int
) -> None:
    """However many outcomes of other models came since, a new process knows it; an answer since ends it there, too."""
    perf.record("t", "first", outcome)
    perf.record_many([("t", "second", SUCCESS)] * later)
    clock.advance(minutes=59)
    with open_engine(tmp_path, clock) as new:
        assert row(new).status == "unavailable"
    perf.record("t", "first", SUCCESS)
    perf.record_many([("t", "second", SUCCESS)] * later)
    with open_engine(tmp_path, clock) as new:
        assert row(new).status == "ranked"


def test_the_number_of_tries_survives_a_restart(perf: mp.ModelPerf, clock: FakeClock, tmp_path: Path) -> None:
    """The pause goes on growing in a new process."""
    for _ in range(3):
        perf.record("t", "first", GONE)
        pause(perf, clock)
    perf.record_many([("t", "second", SUCCESS)] * 600)
    with open_engine(tmp_path, clock) as new:
        assert row(new).status == "ranked"
        new.record("t", "first", GONE)
        assert pause(new, clock) == 8 * 60


def test_tries_of_other_processes_count(perf: mp.ModelPerf, clock: FakeClock, tmp_path: Path) -> None:
    """With jitter, one process may try before the pause of another ends: what it finds prolongs that one as well."""
    with (
        open_engine(tmp_path, clock, jitter=1) as a,
        open_engine(tmp_path, clock, jitter=0) as b,
    ):
        perf.record("t", "first", GONE)
        assert row(a).status == row(b).status == "unavailable"
        clock.advance(minutes=60)
        b.record("t", "first", GONE)
        a._availability.refresh()
        clock.advance(minutes=119)
        assert row(a).status == "unavailable"


def test_gone_models_can_be_treated_like_other_outages(tmp_path: Path, clock: FakeClock) -> None:
    """Without a pause of their own they are out for as long as after any outage."""
    with open_engine(tmp_path, clock, gone_pause_minutes=0) as perf:
        perf.record("t", "first", GONE)
        clock.advance(seconds=10)
        assert row(perf).status != "unavailable"


def test_gone_models_are_listed_until_they_answer(perf: mp.ModelPerf, clock: FakeClock) -> None:
    """The one that has been gone for longest first, also when its next try is due."""
    perf.record("t", "second", GONE)
    clock.advance(minutes=90)
    perf.record("t", "first", GONE)
    perf.record("t", "third", mp.Outcome(success=False, error_kind="network"))
    now_ms = to_milliseconds(clock())
    found = Availability.read(perf.store.events, perf.config, now_ms).gone()
    assert [(each.model_id, each.times, each.next_ms - now_ms) for each in found] == [
        ("second", 1, -30 * 60_000),
        ("first", 1, 60 * 60_000),
    ]
    perf.record("t", "second", SUCCESS)
    assert [each.model_id for each in Availability.read(perf.store.events, perf.config, now_ms).gone()] == ["first"]


def test_an_operator_brings_a_model_back_at_once(perf: mp.ModelPerf, clock: FakeClock, tmp_path: Path) -> None:
    """In every process, until it is found gone again."""
    perf.record("t", "first", GONE)
    clock.advance(minutes=1)
    perf.store.events.mark_back("first", perf.store.events.last_id())
    perf._availability.refresh()
    assert row(perf).status == "ranked"
    with open_engine(tmp_path, clock) as other:
        assert row(other).status == "ranked"
    perf.record("t", "first", GONE)
    assert pause(perf, clock) == 60


def test_a_model_is_out_until_the_provider_said(perf: mp.ModelPerf, clock: FakeClock) -> None:
    """A day without quota costs one failed try; then the model gets three until one is answered."""
    perf.record("t", "first", limited(20 * 3_600))
    assert row(perf).reason == "unavailable until 2026-03-02 08:00 UTC, as its provider said"
    clock.advance(hours=19, minutes=59)
    assert chosen(perf) == "second"
    clock.advance(minutes=1)
    assert [chosen(perf) for _ in range(100)].count("first") == 3


def test_what_the_provider_said_is_bounded(perf: mp.ModelPerf, clock: FakeClock) -> None:
    """Nobody keeps a model out for longer than a day, whatever is reported and however it is stamped."""
    ahead = clock() + timedelta(days=365)
    perf.record("t", "first", mp.Outcome(success=False, error_kind="rate_limit", retry_after_seconds=1e9))
    assert pause(perf, clock) == 24 * 60
    perf.record("t", "first", SUCCESS)
    far = mp.Outcome(success=False, error_kind="rate_limit", retry_after_seconds=3_600, timestamp=ahead)
    perf.record("t", "first", far)
    assert pause(perf, clock) == 60


def test_the_latest_end_counts(perf: mp.ModelPerf, clock: FakeClock) -> None:
    """Of calls that fail together the one with the longest wait counts, and none is shorter than the usual back-off."""
    for seconds in (0.5, 1_800, 600, 0):
        perf.record("t", "first", limited(seconds))
    assert pause(perf, clock) == 30
    for _ in range(20):
        perf.record("t", "second", limited(0.1))
    assert perf._availability._streaks["second"].pause_ms == 10_000


@pytest.mark.parametrize(
    "outcome",
    [
        mp.Outcome(success=True, retry_after_seconds=7_200),
        limited(7_200, "caller_error"),
        limited(7_200, "cancelled"),
        limited(7_200, "refused"),
    ],
)
def test_only_outages_have_an_end(perf: mp.ModelPerf, outcome: mp.Outcome) -> None:
    """What a success, the caller's error or a refusal says about waiting is ignored."""
    perf.record("t", "first", outcome)
    assert row(perf).status == "ranked"


def test_a_gone_model_may_come_back_at_a_known_time(perf: mp.ModelPerf, clock: FakeClock) -> None:
    """A quota that is used up is reported as unavailable: its end is that of the provider, and grows in a row."""
    perf.record("t", "first", limited(600, "unavailable"))
    assert pause(perf, clock) == 10
    perf.record("t", "first", limited(600, "unavailable"))
    assert pause(perf, clock) == 20


def test_what_providers_say_can_be_left_out(tmp_path: Path, clock: FakeClock) -> None:
    """With a longest wait of 0 only the usual back-off remains."""
    with open_engine(tmp_path, clock, longest_retry_after_hours=0) as perf:
        perf.record("t", "first", limited(7_200))
        clock.advance(seconds=10)
        assert row(perf).status != "unavailable"


def test_camel_case_is_accepted(perf: mp.ModelPerf, clock: FakeClock) -> None:
    """A mapping may say ``retryAfterSeconds``."""
    perf.record("t", "first", {"success": False, "errorKind": "rate_limit", "retryAfterSeconds": 600})
    assert pause(perf, clock) == 10


def test_no_jitter_is_added_to_what_the_provider_said(tmp_path: Path, clock: FakeClock) -> None:
    """Hosts return within some seconds of that moment, not hours later."""
    with open_engine(tmp_path, clock, jitter=1) as perf:
        perf.record("t", "first", limited(36_000))
        assert 36_000_000 <= perf._availability._streaks["first"].pause_ms <= 36_010_000
