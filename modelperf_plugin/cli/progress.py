"""How far a long computation is, on standard error, for whoever waits for it."""

from __future__ import annotations

import logging
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def stages() -> Iterator[Callable[[str], Callable[[int, int], None] | None]]:
    """Yield what starts a bar for the next part of the work, while the block runs; no bars without a terminal.

    Meanwhile what happens to models within the computation is not told: it is not news.
    """
    logger = logging.getLogger("modelperf_plugin")
    level = logger.level
    if logger.getEffectiveLevel() == logging.WARNING:
        logger.setLevel(logging.ERROR)
    try:
        with _bars() as start:
            yield start
    finally:
        logger.setLevel(level)


@contextmanager
def _bars() -> Iterator[Callable[[str], Callable[[int, int], None] | None]]:
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True, markup=False), transient=True) as bars:

        def start(name: str) -> Callable[[int, int], None]:
            bar = bars.add_task(name, total=None)

            def show(done: int, total: int) -> None:
                if done % 50 == 1 or done >= total:
                    bars.update(bar, completed=done, total=total)

            return show

        yield start
