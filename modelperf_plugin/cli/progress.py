"""Progress bars of long computations, on standard error."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Update = Callable[[int, int], None]
"""Called with the steps done and the steps in total."""
Stages = Callable[[str], Update | None]
"""Starts the bar of a named stage; None without a terminal."""


@contextmanager
def progress_stages() -> Iterator[Stages]:
    """Show progress bars and log no warnings: what happens to models within a computation is not news."""
    logger = logging.getLogger("modelperf_plugin")
    level = logger.level
    if logger.getEffectiveLevel() == logging.WARNING:
        logger.setLevel(logging.ERROR)
    try:
        with _bars_on_terminal() as start:
            yield start
    finally:
        logger.setLevel(level)


@contextmanager
def _bars_on_terminal() -> Iterator[Stages]:
    """Yield a function that starts a bar for the next stage of the work."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True, markup=False), transient=True) as bars:

        def start(name: str) -> Update:
            bar = bars.add_task(name, total=None)

            def update(done: int, total: int) -> None:
                if done % 50 == 1 or done >= total:
                    bars.update(bar, completed=done, total=total)

            return update

        yield start
