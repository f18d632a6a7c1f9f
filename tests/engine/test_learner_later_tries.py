"""Learning from later tries: what an engine believes while a host tries again, and after a restart."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest

import modelperf_plugin as mp
from modelperf_plugin.engine.table_fit import CELLS_PER_SET, FEW_SETS, STEP_CELLS
from modelperf_plugin.policy.difficulty import PRIOR_SPREAD
from modelperf_plugin.policy.pooling import TaskBeliefs
from modelperf_plugin.values import MAX_ROW_SETS, MAX_SETS

MODELS = ["a", "b", "c"]
SUCCESS, FAILURE = mp.Outcome(success=True), mp.Outcome(success=False)


def walk(perf: mp.ModelPerf, tasks: int, rate: float = 0.5) -> None:
    """Try the models of a decision in turn until one succeeds; they fail independently."""
    numbers = random.Random(2)
    for _ in range(tasks):
        decision = perf.select("t", MODELS)
        assert decision is not None
        for model_id in decision:
            outcome = SUCCESS if numbers.random() < rate else FAILURE
            perf.record("t", model_id, outcome, decision=decision)
            if outcome.success:
                break


def test_the_spread_that_was_learned_outlives_the_process(tmp_path: Path) -> None:
    """Independent failures lower the spread; the next process begins with it, before it has read a row."""
    with mp.ModelPerf({}, store=tmp_path / "x.db", seed=1) as perf:
        assert perf._learner.difficulty("t").spread == PRIOR_SPREAD
        walk(perf, 120)
        learned = perf._learner.difficulty("elsewhere").spread
    assert learned < 0.8 * PRIOR_SPREAD
    with mp.ModelPerf({}, store=tmp_path / "x.db", seed=1) as perf:
        assert perf._learner.difficulty("elsewhere").spread == pytest.approx(learned, rel=0.15)


@pytest.mark.parametrize("success", [True, False])
def test_a_later_try_counts_in_the_next_choice(success: bool) -> None:
    """A solved task that another model had failed raises a score, an unsolved one lowers it, at once."""
    with mp.ModelPerf({}, store=":memory:", seed=1) as perf:
        walk(perf, 40)
        decision = perf.select("t", MODELS)
        assert decision is not None
        before = {row.model_id: row.score or 0.0 for row in decision.ranking}
        first, second = decision[:2]
        perf.record("t", first, FAILURE, decision=decision)
        perf.record("t", second, SUCCESS if success else FAILURE, decision=decision)
        after = perf.explain("t", MODELS)
        assert after is not None
        scores = {row.model_id: row.score or 0.0 for row in after.ranking}
        assert scores[first] < before[first]
        assert (scores[second] > before[second]) == success


def test_many_models_share_what_a_task_type_has_room_for() -> None:
    """The sets of failed models that count are bounded for all models together, so that no call takes long."""
    models = [f"m{number:02}" for number in range(30)]
    with mp.ModelPerf({}, store=":memory:", seed=1) as perf:
        perf.store.outcomes.record_many(
            perf.tracker.entry("t", model_id, FAILURE)._replace(tried=(before,))
            for model_id in models
            for before in models
        )
        assert perf.explain("t", models) is not None
        fit = perf._learner._fit
        tallies = perf.store.tallies.of("t")
        later = fit.later("t", tallies, fit.weigh(["t"], tallies.values()))
    assert later.keys() == set(models)
    assert {len(sets) for sets in later.values()} == {MAX_ROW_SETS // len(models)}


@pytest.fixture
def crowded() -> Iterator[mp.ModelPerf]:
    """Return an engine whose task types have many models, and many sets of models that failed before."""
    numbers = random.Random(3)
    models = [f"m{number:02}" for number in range(24)]
    rates = {model_id: 0.2 + 0.6 * numbers.random() for model_id in models}
    with mp.ModelPerf({}, store=":memory:", seed=1) as perf:
        entries = []
        for number in range(1500):
            tried: tuple[str, ...] = ()
            luck = numbers.gauss(0.0, 0.25)
            for model_id in numbers.sample(models, 3):
                solved = numbers.random() < rates[model_id] + luck
                entry = perf.tracker.entry(f"t{number % 2}", model_id, SUCCESS if solved else FAILURE)
                entries.append(entry._replace(tried=tuple(sorted(tried))))
                tried = (*tried, model_id)
                if solved:
                    break
        perf.store.outcomes.record_many(entries)
        yield perf


def test_no_step_of_the_fit_is_long(crowded: mp.ModelPerf) -> None:
    """A step does what its cost says, and no more than a few models of one row, however many sets the row has."""
    fit = crowded._learner._fit
    calls = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    steps: list[tuple[int, int]] = []
    for _ in range(2):  # the second pass begins with what the first has left
        work = fit._pass()
        while True:
            calls = 0
            sys.setprofile(count)
            try:
                cost = next(work, None)
            finally:
                sys.setprofile(None)
            if cost is None:
                break
            steps.append((cost, calls))
    assert len(steps) > 100
    assert max(cost for cost, _ in steps) <= STEP_CELLS + CELLS_PER_SET * MAX_SETS + 2 * MAX_ROW_SETS  # read, and again
    assert max(calls for _, calls in steps) < sum(calls for _, calls in steps) / 20


def test_what_passes_keep_of_later_tries_is_what_deriving_it_anew_says(crowded: mp.ModelPerf) -> None:
    """Beliefs that start from the last pass and beliefs derived from nothing agree, once passes have converged."""
    fit = crowded._learner._fit
    while fit.advance(1, 12) == 0:  # in slices
        pass
    fit.advance(1_000_000, 8)  # and at once
    tallies = crowded.store.tallies.of("t0")
    weighed = fit.weigh(["t0"], tallies.values())
    kept = fit.beliefs("t0", tallies, weighed)
    later, row = fit.later("t0", tallies, weighed), weighed.row("t0", tallies)
    anew = TaskBeliefs(fit.pool, "t0", row, later, fit.difficulty("t0"), sweeps=8)
    assert anew.sets > FEW_SETS
    for model_id in tallies:
        assert kept.belief(model_id).mean == pytest.approx(anew.belief(model_id).mean, abs=0.01)


def test_a_choice_advances_the_fit_or_derives_many_beliefs_from_it(crowded: mp.ModelPerf) -> None:
    """No choice does both where a row has many sets, and the beliefs follow the fit at the next choice."""
    models = sorted(crowded.store.tallies.of("t0"))
    assert crowded.select("t0", models) is not None
    advance, derive = "TableFit.advance", "TaskKnowledge.__init__"
    called: set[str] = set()

    def note(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call":
            called.add(frame.f_code.co_qualname)

    done: list[set[str]] = []
    for _ in range(60):
        called.clear()
        sys.setprofile(note)
        try:
            crowded.select("t0", models)
        finally:
            sys.setprofile(None)
        done.append(called & {advance, derive})
    assert {advance, derive} not in done
    assert {advance} in done
    assert {derive} in done
