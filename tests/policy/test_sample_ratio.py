"""Whether outcomes are lost on one side of an A/B test."""

from __future__ import annotations

import random
from itertools import product

import pytest

from modelperf_plugin.policy.sequential import Reported, excess, sample_ratio


def after(numbers: random.Random, decisions: int, lost_a: float, lost_b: float, share_b: float = 0.5) -> Reported:
    """Return decisions of which each side loses a share of the outcomes."""
    counts = [0, 0, 0, 0]
    for _ in range(decisions):
        is_b = numbers.random() < share_b
        counts[2 * is_b] += 1
        counts[2 * is_b + 1] += numbers.random() >= (lost_b if is_b else lost_a)
    return Reported(share_b, *counts)


@pytest.mark.parametrize("share_b", [0.1, 0.5])
def test_the_e_value_is_1_on_average_if_the_side_does_not_matter(share_b: float) -> None:
    """Whichever decisions lose their outcome: over all ways in which the sides can fall, by their probability."""
    for lost in ((0,), (1, 4), (0, 1, 2, 3, 4, 5)):
        mean = 0.0
        for sides in product((False, True), repeat=6):
            groups, probability = [], 1.0
            for number, is_b in enumerate(sides):
                probability *= share_b if is_b else 1.0 - share_b
                counts = (1, int(number not in lost))
                groups.append(Reported(share_b, *((0, 0, *counts) if is_b else (*counts, 0, 0))))
            mean += probability * sample_ratio(groups).e_value
        assert mean == pytest.approx(1.0)


@pytest.mark.parametrize(("lost_a", "lost_b"), [(0.0, 0.0), (0.2, 0.2), (0.95, 0.95)])
def test_equal_losses_are_no_mismatch(lost_a: float, lost_b: float) -> None:
    """However many outcomes are lost, and if the probability of the sides changes together with the loss."""
    numbers = random.Random(1)
    runs = [sample_ratio([after(numbers, 300, lost_a, lost_b), after(numbers, 300, 0.5, 0.5, 0.1)]) for _ in range(300)]
    assert sum(run.differs for run in runs) <= 1


@pytest.mark.parametrize(
    ("lost_a", "lost_b", "decisions"), [(0.0, 0.12, 400), (0.12, 0.0, 400), (0.1, 0.22, 2000), (0.9, 0.95, 6000)]
)
def test_a_loss_on_one_side_is_found(lost_a: float, lost_b: float, decisions: int) -> None:
    """Few lost outcomes show among those, few reported ones among these."""
    numbers = random.Random(2)
    found = sum(sample_ratio([after(numbers, decisions, lost_a, lost_b)]).differs for _ in range(100))
    assert found >= 95


def test_nothing_is_known_of_no_decisions() -> None:
    """No decisions, or none with two sides, are no mismatch."""
    for groups in ([], [Reported(0.0, 10, 0)], [Reported(1.0, 0, 0, 10, 0)]):
        ratio = sample_ratio(groups)
        assert (ratio.e_value, ratio.share_a, ratio.share_b, ratio.differs) == (1.0, None, None, False)
        assert excess(groups) == (0, 0)


def test_the_excess_is_what_one_side_lacks_beyond_its_share() -> None:
    """In relation to the shares; nothing within two standard deviations."""
    assert excess([Reported(0.5, 50, 50, 50, 45)]) == (0, 5)
    assert excess([Reported(0.5, 50, 40, 50, 49)]) == (9, 0)
    assert excess([Reported(0.1, 900, 882, 100, 90)]) == (0, 8)
    assert excess([Reported(0.1, 900, 864, 100, 96)]) == (0, 0)
