"""Pooled priors: evidence is shared between task types, and never counted twice."""

from __future__ import annotations

import random
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelperf_plugin.policy.intervals import expit
from modelperf_plugin.policy.pooling import MAX_STRENGTH, MIN_STRENGTH, Cell, ModelPrior, Pool, TaskBeliefs, fit

counts = st.integers(0, 1000)
cells = st.dictionaries(
    st.sampled_from("abcd"),
    st.dictionaries(st.sampled_from("wxyz"), st.tuples(counts, counts), max_size=4),
    max_size=4,
)


def fitted(known: dict[str, dict[str, Cell]], times: int = 20) -> Pool:
    """Return the pool after it has converged."""
    pool = Pool()
    for _ in range(times):
        pool = fit(known, pool)
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
    assert fit({}) == Pool()


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
    pool = fit(known, fit(known))
    for task_type in "abcde":
        row = known.get(task_type, {})
        beliefs = TaskBeliefs(pool, task_type, row)
        for model_id in "vwxyz":
            alpha, beta, _ = beliefs.belief(model_id)
            successes, failures = row.get(model_id, (0, 0))
            assert alpha > successes - 1e-9
            assert beta > failures - 1e-9
            assert MIN_STRENGTH - 1e-6 <= alpha + beta - successes - failures <= MAX_STRENGTH + 1e-6


@given(cells, st.lists(st.tuples(st.sampled_from("wxyz"), st.booleans()), max_size=12))
def test_carrying_forward_ends_near_a_fresh_start(
    known: dict[str, dict[str, Cell]], outcomes: list[tuple[str, bool]]
) -> None:
    """Beliefs updated outcome by outcome hold the same cells as beliefs from the final counts."""
    pool = fit(known)
    row = dict(known.get("a", {}))
    carried = TaskBeliefs(pool, "a", row)
    for model_id, success in outcomes:
        successes, failures = row.get(model_id, (0, 0))
        row[model_id] = (successes + success, failures + (not success))
        carried.update(model_id, row[model_id])
    assert all(carried.cell(model_id) == cell for model_id, cell in row.items())
    fresh = TaskBeliefs(pool, "a", row)
    for model_id in "wxyz":
        assert carried.belief(model_id).mean == pytest.approx(fresh.belief(model_id).mean, abs=0.2)


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
    alpha, beta, _ = TaskBeliefs(pool, task_type, {}).belief(model_id)
    return alpha / (alpha + beta), alpha + beta


def test_what_is_known_of_a_model_counts_from_the_first_task() -> None:
    """Without a single outcome: success .8, weighing seven to eight outcomes; an unknown model is at even odds."""
    pool = fit({}, None, {"known": ModelPrior.of(0.8, 10)})
    mean, weight = prior_of(pool, "known")
    assert mean == pytest.approx(0.8)
    assert weight == pytest.approx(7.58, abs=0.01)
    assert prior_of(pool, "other")[0] == 0.5


def test_outcomes_outweigh_what_was_known_before() -> None:
    """A model with a good prior that fails everywhere is believed to be bad, even on untried task types."""
    cells = {f"t{n}": {"boasted": (1, 9), "a": (5, 5), "b": (6, 4)} for n in range(10)}
    priors = {"boasted": ModelPrior.of(0.95, 10)}
    pool: Pool | None = None
    for _ in range(10):
        pool = fit(cells, pool, priors)
    assert pool is not None
    assert prior_of(pool, "boasted", "new")[0] < 0.3


def test_what_is_known_of_one_model_says_nothing_of_the_others() -> None:
    """Priors of two models leave the belief in a third where it was, nearly."""
    cells = {f"t{n}": {"a": (5, 5), "b": (6, 4), "c": (4, 6)} for n in range(5)}
    plain, informed = None, None
    for _ in range(10):
        plain, informed = (
            fit(cells, plain),
            fit(cells, informed, {"a": ModelPrior.of(0.5, 20), "x": ModelPrior.of(0.99, 50)}),
        )
    assert plain is not None
    assert informed is not None
    for model_id in ("b", "c", "never seen"):
        assert prior_of(informed, model_id)[0] == pytest.approx(prior_of(plain, model_id)[0], abs=0.03)


@given(cells, st.dictionaries(st.sampled_from("vwxyz"), st.tuples(st.floats(0.01, 0.99), st.floats(0.01, 10_000))))
def test_any_priors_give_usable_beliefs(
    known: dict[str, dict[str, Cell]], told: dict[str, tuple[float, float]]
) -> None:
    """For any priors and counts every belief is positive and finite."""
    priors = {model_id: ModelPrior.of(*each) for model_id, each in told.items()}
    pool = fit(known, fit(known, None, priors), priors)
    for task_type in "abe":
        beliefs = TaskBeliefs(pool, task_type, known.get(task_type, {}))
        for model_id in "vwxyz":
            alpha, beta, _ = beliefs.belief(model_id)
            assert 0.0 < alpha < inf
            assert 0.0 < beta < inf
