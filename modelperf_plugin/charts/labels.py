"""Names beside points, where they hide neither each other nor other points."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple
from unicodedata import east_asian_width

_WIDTHS: Final = {"iIljt.,:;'|!()[]- ": 5.0, "mwMWQO@%": 11.8}
_USUAL, _FULL = 7.9, 13.0
_ABOVE, _BELOW = 11.0, 4.0
"""Height of a text over its baseline and below it, in pixels."""
_DOT: Final = 5.0


class Box(NamedTuple):
    """A rectangle in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: Box) -> bool:
        """Return whether the two share a part."""
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )

    def is_within(self, other: Box) -> bool:
        return (
            other.left <= self.left
            and self.right <= other.right
            and other.top <= self.top
            and self.bottom <= other.bottom
        )


class Place(NamedTuple):
    """Where a label stands."""

    x: float
    y: float
    anchor: str
    """``start``, ``middle`` or ``end``."""

    def box(self, width: float) -> Box:
        """Return the room that a text of ``width`` takes there."""
        left = self.x - {"start": 0.0, "middle": width / 2, "end": width}[self.anchor]
        return Box(left, self.y - _ABOVE, left + width, self.y + _BELOW)


def text_width(text: str) -> float:
    """Return about how wide a label is at most, in pixels: fonts differ."""
    return sum(_width(each) for each in text)


def places(
    points: Sequence[tuple[float, float]], texts: Sequence[str], within: Box, lines: Sequence[Box] = ()
) -> list[Place | None]:
    """Return a place for each label near its point, first come, first served; None where there is no room.

    Labels stay clear of ``lines`` where they can.
    """
    taken = [Box(x - _DOT, y - _DOT, x + _DOT, y + _DOT) for x, y in points]
    found: list[Place | None] = []
    for (x, y), text in zip(points, texts, strict=True):
        width = text_width(text)
        free = [each for each in _around(x, y) if _is_free(each.box(width), taken, within)]
        clear = [each for each in free if not any(each.box(width).meets(line) for line in lines)]
        place = next(iter(clear or free), None)
        if place is not None:
            taken.append(place.box(width))
        found.append(place)
    return found


def _around(x: float, y: float) -> Iterable[Place]:
    for shift in (0, -8, 8):
        yield Place(x + 9, y + 4 + shift, "start")
        yield Place(x - 9, y + 4 + shift, "end")
    yield Place(x, y - 10, "middle")
    yield Place(x, y + 17, "middle")


def _is_free(box: Box, taken: Sequence[Box], within: Box) -> bool:
    return box.is_within(within) and not any(box.meets(each) for each in taken)


def _width(letter: str) -> float:
    if east_asian_width(letter) in "WF":
        return _FULL
    return next((width for letters, width in _WIDTHS.items() if letter in letters), _USUAL)
