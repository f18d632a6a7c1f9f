"""The diagrams of the documentation show what their formulas say."""

from __future__ import annotations

import re
from math import log

import pytest

from modelperf_plugin.policy.difficulty import Difficulty
from tests.docs import pictures
from tests.docs.pages import DOCS, text_of

PAGE = DOCS / "explanation" / "retries.md"


def test_the_picture_of_a_second_try_is_drawn_from_the_formula() -> None:
    """The file is what the program draws; ``python -m tests.docs.pictures`` writes it again."""
    assert pictures.SECOND_TRY.read_text(encoding="utf-8") == pictures.second_try()


def test_the_picture_has_a_text_that_says_the_same() -> None:
    """Whoever does not see it reads its numbers, in the file and on the page."""
    (drawn,) = re.findall(r'aria-label="([^"]*)"', pictures.second_try())
    (written,) = re.findall(r"!\[([^\]]*)\]\(\.\./images/second-try\.svg\)", text_of(PAGE))
    assert re.findall(r"\d+ %", drawn) == re.findall(r"\d+ %", written) == ["65 %", "27 %"]


def test_the_table_of_the_page_follows_from_the_formula() -> None:
    """What B solves after A has failed, for several rates of B."""
    grid = [step / 100 for step in range(-600, 601)]
    ability_a = pictures.ability(pictures.FIRST)
    failed = [pictures.density(u) * (1 - pictures.chance(ability_a, u)) for u in grid]
    rows = re.findall(r"^\| (\d+) % \| (\d+) % \|$", text_of(PAGE), re.MULTILINE)
    assert len(rows) == 4
    for rate, later in rows:
        ability_b = pictures.ability(int(rate) / 100)
        chances = [pictures.chance(ability_b, u) for u in grid]
        assert round(100 * pictures.mean(chances, failed)) == int(later)


def test_the_planner_says_what_the_picture_shows() -> None:
    """The policy calculates with the same formula."""
    failed, second = (log(rate / (1 - rate)) for rate in (pictures.FIRST, pictures.SECOND))
    assert Difficulty.of(pictures.SPREAD).after([failed]).chance(second) == pytest.approx(0.27, abs=0.005)
