"""Task types that are made of ids are noticed; kinds of work are not, however they are numbered."""

from __future__ import annotations

import uuid
from itertools import product

import pytest

from modelperf_plugin.analysis.views.task_type_names import ids_as_task_types
from modelperf_plugin.values import Tally


def tallies(*names: str, outcomes: int = 1) -> list[Tally]:
    """Return a tally of each task type."""
    return [Tally(name, "gpt-4o", outcomes, 0) for name in names]


@pytest.mark.parametrize(
    "names",
    [
        [f"fix-{number}" for number in range(4000, 4040)],
        [f"plan/{uuid.UUID(int=number * 7919**9 % 2**128)}" for number in range(30)],
        [f"commit {number * 7919**4 % 16**10:010x}1" for number in range(30)],
        [f"{number}" for number in range(1000, 1050)],
        ["".join(letters) for letters in product("ghij", "klmnopqrst", "uvwxyz", "GHIJK")],
    ],
    ids=["numbers", "UUIDs", "hashes", "only numbers", "words"],
)
def test_ids_are_noticed(names: list[str]) -> None:
    """Many names that differ in a number, or very many at all, of which hardly one comes twice."""
    kinds = tallies("write-code", "review", outcomes=400)
    found = ids_as_task_types([*tallies(*names), *kinds])
    assert found is not None
    assert (found.ids, found.total) == (len(set(names)), len(set(names)) + 2)
    assert found.example in names
    assert f"for example {found.example}" in found.sentence()


@pytest.mark.parametrize(
    ("names", "outcomes"),
    [
        ([f"level-{number}" for number in range(40)], 12),
        ([f"level-{number}" for number in range(12)], 1),
        (["write-code", "review", "plan"], 1),
        ([f"kind {chr(97 + number)}" for number in range(26)], 1),
        ([], 1),
    ],
    ids=["with outcomes", "few", "a start", "without numbers", "nothing"],
)
def test_kinds_of_work_are_not(names: list[str], outcomes: int) -> None:
    """Numbered kinds of work have outcomes, and a new store has few task types."""
    assert ids_as_task_types(tallies(*names, outcomes=outcomes)) is None


def test_a_few_ids_among_kinds_are_not() -> None:
    """Less than half of all task types is no reason to complain."""
    ids = tallies(*(f"fix-{number}" for number in range(30)))
    kinds = tallies(*(f"kind {chr(97 + n % 26)}{chr(97 + n // 26)}" for n in range(60)), outcomes=9)
    assert ids_as_task_types([*ids, *kinds]) is None
