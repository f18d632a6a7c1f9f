"""Pooled priors: evidence is shared between task types, and never counted twice."""

from __future__ import annotations

import random
from collections.abc import Mapping
from math import inf, log
from typing import Final

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from modelperf_plugin.errors import InvalidValueError
from modelperf_plugin.policy.difficulty import PRIOR_SPREAD
from modelperf_plugin.policy.intervals import expit
from modelperf_plugin.policy.pooling import MAX_STRENGTH, MIN_STRENGTH, Cell, ModelPrior, Pool, Priors, TaskBeliefs
from tests.policy.full_fit import FullFit, converged, refit

counts = st.integers(0, 1000)
cells = st.dictionaries(
    st.sampled_from("abcd"),
    st.dictionaries(st.sampled_from("wxyz"), st.tuples(counts, counts), max_size=4),
    max_size=4,
)

ESTIMATES: Final = ("intercept", "model_variance", "task_variance", "cell_variance", "models", "tasks")


def add_pass(pool: Pool, known: Mapping[str, Mapping[str, Cell]]) -> None:
    """Visit every row and every model once."""
    pool.begin_pass()
    for task_type, row in known.items():
        pool.visit(task_type, row, in_pass=True)
    pool.revise(pool.model_ids())
    pool.end_pass()


def fitted(known: Mapping[str, Mapping[str, Cell]], priors: Priors | None = None, passes: int = 60) -> Pool:
    """Return the pool after it has converged."""
    pool = Pool(priors)
    for _ in range(passes):
        add_pass(pool, known)
    return pool


def prior_mean(pool: Pool, row: dict[str, Cell], task_type: str, model_id: str) -> float:
    """Return what is expected of a model on a task type on which it has no outcomes."""
    assert model_id not in row
    return TaskBeliefs(pool, task_type, row).belief(model_id).mean


def test_nothing_known_is_even_odds() -> None:
    """Without evidence every model has a weak belief of one half."""
    belief = TaskBeliefs(Pool(), "t", {}).belief("m")
    assert belief.mean == 0.5
    assert MIN_STRENGTH <= belief.alpha + belief.beta <= 10


def test_a_model_that_is_good_elsewhere_is_expected_to_be_good_here() -> None:
    """On a task type without outcomes the models are ranked as on the others."""
    known: dict[str, dict[str, Cell]] = {
        task_type: {"good": (45, 5), "fair": (35, 15), "bad": (20, 30)} for task_type in "abcde"
    }
    pool = fitted(known)
    means = [prior_mean(pool, {}, "new", model_id) for model_id in ("good", "fair", "bad", "unknown")]
    assert means[0] > means[1] > means[2]
    assert means[0] > means[3] > means[2]
    assert means[0] == pytest.approx(0.88, abs=0.05)


def test_a_hard_task_type_lowers_what_is_expected_of_all() -> None:
    """Failures of one model on a task type are expected of the others there, too, in part."""
    known: dict[str, dict[str, Cell]] = {task_type: {"a": (40, 10), "b": (35, 15)} for task_type in "vwxyz"}
    known["hard"] = {"a": (2, 38)}
    pool = fitted(known)
    assert prior_mean(pool, known["hard"], "hard", "b") < 0.4 < prior_mean(pool, {}, "new", "b")


def test_own_outcomes_are_left_out_of_the_prior() -> None:
    """With a single cell, its prior is that of a model nothing is known of: nothing counts twice."""
    pool = fitted({"t": {"m": (90, 10)}})
    belief = TaskBeliefs(pool, "t", {"m": (90, 10)}).belief("m")
    stranger = TaskBeliefs(pool, "t", {"m": (90, 10)}).belief("stranger")
    assert belief.alpha - 90 == pytest.approx(stranger.alpha)
    assert belief.beta - 10 == pytest.approx(stranger.beta)


def test_much_evidence_outweighs_any_prior() -> None:
    """A thousand outcomes of its own make a model's posterior its own rate, whatever the others do."""
    known: dict[str, dict[str, Cell]] = {task_type: {"m": (95, 5), "n": (90, 10)} for task_type in "abc"}
    known["t"] = {"m": (200, 800)}
    belief = TaskBeliefs(fitted(known), "t", known["t"]).belief("m")
    assert belief.mean == pytest.approx(0.2, abs=0.03)


def test_effects_are_recovered_from_data_that_has_them() -> None:
    """On simulated cells the posterior is nearer to the truth than each cell's own rate."""
    numbers = random.Random(7)
    models = {f"m{n}": numbers.gauss(0, 0.8) for n in range(6)}
    tasks = {f"t{n}": numbers.gauss(0, 0.8) for n in range(15)}
    truth = {(t, m): expit(0.3 + a + b) for t, b in tasks.items() for m, a in models.items()}
    known = {t: {m: (sum(numbers.random() < truth[t, m] for _ in range(6)) + 0.0, 0.0) for m in models} for t in tasks}
    known = {t: {m: (s, 6 - s) for m, (s, _) in row.items()} for t, row in known.items()}
    pool = fitted(known)
    pooled = own = 0.0
    for t, row in known.items():
        beliefs = TaskBeliefs(pool, t, row)
        for m, (successes, _) in row.items():
            pooled += (beliefs.belief(m).mean - truth[t, m]) ** 2
            own += ((successes + 1) / 8 - truth[t, m]) ** 2
    assert pooled < 0.6 * own


@given(cells)
def test_any_evidence_gives_usable_beliefs(known: dict[str, dict[str, Cell]]) -> None:
    """Whatever the counts, α and β are positive, and the prior weighs between the documented bounds."""
    pool = fitted(known, passes=2)
    for task_type in "abcde":
        row = known.get(task_type, {})
        beliefs = TaskBeliefs(pool, task_type, row)
        for model_id in "vwxyz":
            alpha, beta, *_ = beliefs.belief(model_id)
            successes, failures = row.get(model_id, (0, 0))
            assert alpha > successes - 1e-9
            assert beta > failures - 1e-9
            assert MIN_STRENGTH - 1e-6 <= alpha + beta - successes - failures <= MAX_STRENGTH + 1e-6


@given(cells, st.lists(st.tuples(st.sampled_from("wxyz"), st.booleans()), max_size=12))
def test_carrying_forward_ends_near_a_fresh_start(
    known: dict[str, dict[str, Cell]], outcomes: list[tuple[str, bool]]
) -> None:
    """Beliefs updated outcome by outcome hold the same cells as beliefs from the final counts."""
    pool = fitted(known, passes=1)
    row = dict(known.get("a", {}))
    carried = TaskBeliefs(pool, "a", row)
    for model_id, success in outcomes:
        successes, failures = row.get(model_id, (0, 0))
        row[model_id] = (successes + success, failures + (not success))
        carried.update(model_id, row[model_id])
    assert all(carried.cells[model_id] == cell for model_id, cell in row.items())
    fresh = TaskBeliefs(pool, "a", row)
    for model_id in "wxyz":
        assert carried.belief(model_id).mean == pytest.approx(fresh.belief(model_id).mean, abs=0.2)


@given(cells, st.lists(st.tuples(st.sampled_from("wxyz"), st.booleans()), max_size=12))
def test_other_beliefs_are_kept_as_long_as_the_task_type_is_about_as_hard(
    known: dict[str, dict[str, Cell]], outcomes: list[tuple[str, bool]]
) -> None:
    """Where an update says that the beliefs of other models still serve, their log-odds are about the same."""
    carried = TaskBeliefs(fitted(known, passes=1), "a", known.get("a", {}))
    kept = {model_id: carried.belief(model_id) for model_id in "wxyz"}
    for model_id, success in outcomes:
        successes, failures = carried.cells.get(model_id, (0, 0))
        if not carried.update(model_id, (successes + success, failures + (not success))):
            kept.clear()
        kept[model_id] = carried.belief(model_id)
        for other, (alpha, beta, *_) in kept.items():
            now = carried.belief(other)
            assert log(alpha / beta) == pytest.approx(log(now.alpha / now.beta), abs=0.1)


def test_a_single_task_type_shares_nothing_and_still_learns() -> None:
    """With one task type there is no task effect; models with few outcomes are shrunk to the overall mean."""
    known: dict[str, dict[str, Cell]] = {"t": {"a": (90, 10), "b": (80, 20), "c": (1, 0)}}
    pool = fitted(known)
    assert pool.single
    beliefs = TaskBeliefs(pool, "t", known["t"])
    assert 0.6 < beliefs.belief("c").mean < 0.95
    assert beliefs.belief("a").mean > beliefs.belief("b").mean


def prior_of(pool: Pool, model_id: str, task_type: str = "t") -> tuple[float, float]:
    """Return mean and weight of what is believed of a model without outcomes of its own."""
    alpha, beta, *_ = TaskBeliefs(pool, task_type, {}).belief(model_id)
    return alpha / (alpha + beta), alpha + beta


def test_what_is_known_of_a_model_counts_from_the_first_task() -> None:
    """Without a single outcome: success .8, weighing seven to eight outcomes; an unknown model is at even odds."""
    pool = fitted({}, {"known": ModelPrior.of(0.8, 10)})
    mean, weight = prior_of(pool, "known")
    assert mean == pytest.approx(0.8)
    assert weight == pytest.approx(7.58, abs=0.01)
    assert prior_of(pool, "other")[0] == 0.5


def test_outcomes_outweigh_what_was_known_before() -> None:
    """A model with a good prior that fails everywhere is believed to be bad, even on untried task types."""
    cells = {f"t{n}": {"boasted": (1, 9), "a": (5, 5), "b": (6, 4)} for n in range(10)}
    priors = {"boasted": ModelPrior.of(0.95, 10)}
    pool = fitted(cells, priors)
    assert prior_of(pool, "boasted", "new")[0] < 0.3


def test_what_is_known_of_one_model_says_nothing_of_the_others() -> None:
    """Priors of two models leave the belief in a third where it was, nearly."""
    cells = {f"t{n}": {"a": (5, 5), "b": (6, 4), "c": (4, 6)} for n in range(5)}
    plain = fitted(cells)
    informed = fitted(cells, {"a": ModelPrior.of(0.5, 20), "x": ModelPrior.of(0.99, 50)})
    for model_id in ("b", "c", "never seen"):
        assert prior_of(informed, model_id)[0] == pytest.approx(prior_of(plain, model_id)[0], abs=0.03)


@given(cells, st.dictionaries(st.sampled_from("vwxyz"), st.tuples(st.floats(0.01, 0.99), st.floats(0.01, 10_000))))
def test_any_priors_give_usable_beliefs(
    known: dict[str, dict[str, Cell]], told: dict[str, tuple[float, float]]
) -> None:
    """For any priors and counts every belief is positive and finite."""
    priors = {model_id: ModelPrior.of(*each) for model_id, each in told.items()}
    pool = fitted(known, priors, passes=2)
    for task_type in "abe":
        beliefs = TaskBeliefs(pool, task_type, known.get(task_type, {}))
        for model_id in "vwxyz":
            alpha, beta, *_ = beliefs.belief(model_id)
            assert 0.0 < alpha < inf
            assert 0.0 < beta < inf


rows = st.dictionaries(st.sampled_from("wxyz"), st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=4)
tables = st.dictionaries(st.sampled_from("abcdef"), rows, max_size=6)
few_priors = st.dictionaries(
    st.sampled_from("vwx"), st.builds(ModelPrior.of, st.floats(0.1, 0.9), st.floats(1, 50)), max_size=2
)


def full_fit_of(pool: Pool, known: Mapping[str, Mapping[str, Cell]]) -> FullFit:
    """Return the state of ``pool`` as the fit of all cells at once has it."""
    models = {model_id: pool.effect(model_id)[0] for model_id in pool.model_ids()}
    tasks = {task_type: pool.task(task_type) for task_type in known}
    return FullFit(pool.intercept, pool.model_variance, pool.task_variance, pool.cell_variance, models, tasks)


def settled(known: Mapping[str, Mapping[str, Cell]], priors: Priors, passes: int = 3000) -> FullFit | None:
    """Return the fit once passes no longer move it, or None if there are too few: a few cells can take thousands."""
    pool = Pool(priors)
    add_pass(pool, known)
    before = full_fit_of(pool, known)
    for _ in range(passes):
        add_pass(pool, known)
        after = full_fit_of(pool, known)
        if is_alike(after, before, 0.001):
            return after
        before = after
    return None


def is_alike(one: FullFit, other: FullFit, tolerance: float) -> bool:
    """Return whether two fits have the same estimates."""
    return all(getattr(one, name) == pytest.approx(getattr(other, name), abs=tolerance) for name in ESTIMATES)


def assert_alike(one: FullFit, other: FullFit, tolerance: float) -> None:
    """Assert that two fits have the same estimates."""
    for name in ESTIMATES:
        assert getattr(one, name) == pytest.approx(getattr(other, name), abs=tolerance), name


@pytest.mark.parametrize("seed", range(6))
def test_passes_over_rows_converge_to_the_fit_of_all_cells(seed: int) -> None:
    """Row by row or all cells at once: the estimates end up the same."""
    numbers = random.Random(seed)
    models = [f"m{n}" for n in range(numbers.randint(2, 6))]
    known: dict[str, dict[str, Cell]] = {
        f"t{n}": {model_id: (numbers.randint(0, 30), numbers.randint(1, 30)) for model_id in models}
        for n in range(numbers.randint(1, 12))
    }
    priors = {"m0": ModelPrior.of(0.9, 10), "m9": ModelPrior.of(0.3, 10)} if seed % 2 else {}
    assert_alike(full_fit_of(fitted(known, priors, 150), known), converged(known, priors, 150), 1e-6)


@settings(deadline=None, max_examples=40)
@given(tables, few_priors)
def test_where_passes_end_the_fit_of_all_cells_stays(
    known: dict[str, dict[str, tuple[int, int]]], priors: dict[str, ModelPrior]
) -> None:
    """Whatever the table, passes end where its equations are solved, of which a few cells have several solutions."""
    table = {task_type: {m: cell for m, cell in row.items() if sum(cell)} for task_type, row in known.items()}
    table = {task_type: row for task_type, row in table.items() if row}
    assume(table)
    fit = settled(table, priors)
    assume(fit is not None)
    assert fit is not None
    assert_alike(refit(table, fit, priors), fit, 0.05)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.sampled_from("abc"), rows), max_size=12))
def test_rows_can_change_and_vanish_at_any_time(changes: list[tuple[str, dict[str, tuple[int, int]]]]) -> None:
    """The sums of a model are those of the rows as they are now, whatever they were and in which order they came."""
    pool, table = Pool(), dict[str, dict[str, tuple[int, int]]]()
    for task_type, row in changes:
        pool.visit(task_type, row)
        table[task_type] = row
    for model_id in "wxyz":
        cells = [row[model_id] for row in table.values() if sum(row.get(model_id, ())) > 0]
        expected = sum(pool.shares.row(task_type).get(model_id, (0.0, 0.0))[0] for task_type in table)
        assert pool.shares.totals.get(model_id, (0.0, 0.0))[0] == pytest.approx(expected, abs=1e-9)
        assert (expected > 0) == bool(cells)
    assert len(pool.shares) == sum(any(map(sum, row.values())) for row in table.values())


def test_a_visit_is_a_step_of_its_row_and_moves_what_follows_from_it() -> None:
    """Without any pass a row that changes moves the model's effect at once, and the expectation elsewhere."""
    pool = fitted({task_type: {"a": (8, 2), "b": (7, 3)} for task_type in "xyz"})
    before = pool.effect("a")[0]
    pool.visit("x", {"a": (8, 42), "b": (7, 3)})
    assert pool.effect("a")[0] < before - 0.05


def test_a_stored_fit_stands_in_for_the_rows_not_yet_visited() -> None:
    """A later process has the same beliefs at once; its first pass replaces the stored part row by row."""
    known = {f"t{n}": {"a": (9.0, 1.0), "b": (5.0, 5.0), "c": (2.0, 8.0)} for n in range(8)}
    known["hard"] = {"a": (5.0, 5.0), "b": (1.0, 9.0)}
    pool = fitted(known)
    later = Pool.from_rows([*pool.rows(pool.model_ids())])
    for model_id in "abc":
        assert later.effect(model_id) == pytest.approx(pool.effect(model_id), abs=1e-9)
    for task_type, row in known.items():
        later.visit(task_type, row, in_pass=True)
        for model_id in "abc":
            mean, weight = prior_of(later, model_id)
            assert mean == pytest.approx(prior_of(pool, model_id)[0], abs=0.04)
            assert weight == pytest.approx(prior_of(pool, model_id)[1], rel=0.2)
    later.revise(later.model_ids())
    later.end_pass()
    for _ in range(60):
        add_pass(later, known)
    for model_id in "abc":
        assert later.effect(model_id) == pytest.approx(pool.effect(model_id), abs=1e-6)


@pytest.mark.parametrize(
    "stored",
    [
        [],
        [("", (0.0, 0.2, 0.2))],
        [("", (0.0, 0.2, 0.2, 0.2)), ("m", (1.0,))],
        [("", (0.0, 0.2, 0.0, 0.2))],
        [("", (inf, 0.2, 0.2, 0.2))],
        [("", (0.0, 0.2, 0.2, 0.2)), ("m", (-1.0, 0.0))],
    ],
)
def test_what_is_not_a_stored_fit_is_refused(stored: list[tuple[str, tuple[float, ...]]]) -> None:
    """Rows of another number or kind raise an error that names what was expected."""
    with pytest.raises(InvalidValueError, match="rows"):
        Pool.from_rows(stored)


def test_a_stored_fit_has_the_spread_unless_it_is_of_an_earlier_version() -> None:
    """The spread is the fifth number of the whole; rows with four numbers, from before later tries, are still read."""
    pool = fitted({"t": {"m": (90, 10)}})
    pool.log_spread = log(2.5)
    rows = list(pool.rows(pool.model_ids()))
    assert Pool.from_rows(rows).log_spread == pytest.approx(log(2.5))
    older = [(model_id, numbers if model_id else numbers[:4]) for model_id, numbers in rows]
    assert Pool.from_rows(older).log_spread == pytest.approx(log(PRIOR_SPREAD))
    assert Pool.from_rows(older).intercept == pool.intercept
