"""Names of task types: those that a host makes out of ids, and several spellings of one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from modelperf_plugin.values import Tally

MIN_ALIKE: Final = 20
"""At least this many names that differ only in a number are ids, not kinds of work."""
MIN_RARE: Final = 1000
"""At least this many task types with hardly any outcomes are ids, however they are spelled."""
_MAX_OUTCOMES: Final = 2
_MIN_SHARE: Final = 0.5
_NUMBER: Final = re.compile(r"(?i)[0-9a-f]{8}(?:-?[0-9a-f]{4,})+|(?=[a-f]*[0-9])[0-9a-f]{6,}|[0-9]+")
"""A UUID, a hash, or a decimal number."""


_SEPARATORS: Final = re.compile(r"[\s_./-]+")


class IdsAsTaskTypes(NamedTuple):
    """Task types that seem to be made of ids."""

    ids: int
    total: int
    """Number of all task types."""
    example: str

    def sentence(self) -> str:
        """Return what it means, and what to do."""
        return (
            f"{self.ids:,} of {self.total:,} task types have one or two outcomes and look like ids, for example "
            f"{self.example}. Nothing can be learned about a task that never comes again: pass the kind of work as "
            "task_type, and the id as unit_id in the context"
        )


def ids_as_task_types(tallies: Iterable[Tally]) -> IdsAsTaskTypes | None:
    """Return the task types that are made of ids, if at least half of them seem to be."""
    outcomes: dict[str, int] = {}
    for tally in tallies:
        outcomes[tally.task_type] = outcomes.get(tally.task_type, 0) + tally.samples
    rare = [name for name, samples in outcomes.items() if samples <= _MAX_OUTCOMES]
    alike: dict[str, list[str]] = {}
    for name in rare:
        alike.setdefault(_NUMBER.sub("#", name), []).append(name)
    ids = [name for shape, names in alike.items() if "#" in shape and len(names) >= MIN_ALIKE for name in names]
    if len(rare) >= MIN_RARE:
        ids = rare
    if not ids or len(ids) < _MIN_SHARE * len(outcomes):
        return None
    return IdsAsTaskTypes(len(ids), len(outcomes), min(ids))


def same_task_types(tallies: Iterable[Tally]) -> list[tuple[str, ...]]:
    """Return groups of task types whose names differ only in case and separators, those with most outcomes first.

    >>> same_task_types([Tally("write-tests", "m", 9), Tally("Write_Tests", "m", 1), Tally("tests", "m", 5)])
    [('write-tests', 'Write_Tests')]
    """
    outcomes: dict[str, int] = {}
    for tally in tallies:
        outcomes[tally.task_type] = outcomes.get(tally.task_type, 0) + tally.samples
    groups: dict[str, list[str]] = {}
    for name in sorted(outcomes, key=lambda name: (-outcomes[name], name)):
        groups.setdefault(_SEPARATORS.sub("-", name.strip()).casefold(), []).append(name)
    return [tuple(names) for names in groups.values() if len(names) > 1]
