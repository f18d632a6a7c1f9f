"""SVG elements as text; escapes all foreign text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

_FORBIDDEN: Final = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML cannot represent."""


def text_of(value: str) -> str:
    """Return ``value`` as the text of an element or attribute."""
    return escape(_FORBIDDEN.sub("\ufffd", value))


def number(value: float) -> str:
    """Return a coordinate, to a tenth of a pixel."""
    return f"{value:.1f}".removesuffix(".0")


def element(name: str, *children: str, **attributes: str | float | None) -> str:
    """Return an element; ``children`` are markup, the values of ``attributes`` are text.

    In the name of an attribute ``_`` stands for ``-``; ``class_`` is ``class``; None leaves it out.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text_of(value) if isinstance(value, str) else number(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{name}{written}>{''.join(children)}</{name}>" if children else f"<{name}{written}/>"


def label(content: str, x: float, y: float, class_: str = "tick", anchor: str | None = None) -> str:
    return element("text", text_of(content), x=x, y=y, class_=class_, text_anchor=anchor)


def shortened(name: str, letters: int) -> str:
    """Return ``name``, cut to ``letters`` characters."""
    return name if len(name) <= letters else f"{name[: letters - 1]}…"


def title(content: str) -> str:
    """Return the tooltip of the enclosing element."""
    return element("title", text_of(content))


def path(points: Sequence[tuple[float, float]], class_: str, *, closed: bool = False) -> str:
    drawn = "M" + "L".join(f"{number(x)} {number(y)}" for x, y in points) + ("Z" if closed else "")
    return element("path", d=drawn, class_=class_)


def drawing(width: float, height: float, alternative: str, children: Iterable[str], class_: str = "chart") -> str:
    return element(
        "svg", *children, viewBox=f"0 0 {number(width)} {number(height)}", width=width, height=height, role="img",
        aria_label=alternative, class_=class_,
    )  # fmt: skip
