"""Answer that a task type has no outcomes, and name those that have, most similar first."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any, NoReturn

from modelperf_plugin.cli.answer import Answer
from modelperf_plugin.text import count

if TYPE_CHECKING:
    from modelperf_plugin.engine.core import ModelPerf


def unknown_task_type(answer: Answer, engine: ModelPerf, task_type: str, **empty: Any) -> NoReturn:
    """Exit with a note that ``task_type`` has no outcomes."""
    answer.exit_with_note(
        task_type_note(engine, task_type), store=engine.store.location, task_type=task_type, **empty,
        known_task_types=_known_task_types(engine, task_type),
    )  # fmt: skip


def task_type_note(engine: ModelPerf, task_type: str) -> str:
    """Return that ``task_type`` has no outcomes, and which task types have."""
    known = _known_task_types(engine, task_type)
    if not known and (pairs := sum(source.pairs for source in engine.store.merged.all())):
        return (
            f"no outcomes yet in {engine.store.location}, only merged experience of {count(pairs, 'pair')}: it counts "
            "once a host offers their models, and `modelperf explain --candidates` shows how"
        )
    if not known:
        return f"no outcomes yet: {engine.store.location} is empty; run `modelperf demo` or record through a host"
    return f"no outcomes of task type {task_type!r}; known are: {', '.join(known)}"


def _known_task_types(engine: ModelPerf, task_type: str) -> list[str]:
    names = sorted({tally.task_type for tally in engine.store.tallies.all()})
    return sorted(names, key=lambda name: -SequenceMatcher(None, task_type, name).ratio())
