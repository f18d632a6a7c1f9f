"""The plugin that simonw's llm loads: the models ``auto`` and ``auto/TASK_TYPE``, and the command ``llm modelperf``.

llm imports this whenever it starts, so whatever is not llm's own is imported by what uses it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

import click
import llm

_OPTIONS_WITH_MODELS: Final = ("model_id", "model")
"""What llm's commands call the option or argument that names a model."""


@llm.hookimpl
def register_models(register: Callable[..., None]) -> None:
    """Register a model for each task type that is known or named on the command line."""
    from modelperf_plugin.adapters.llm import learned, learned_async
    from modelperf_plugin.llm_plugin.settings import engine, known_task_types, model_id_of, models_for

    for task_type in dict.fromkeys([*known_task_types(), *_named_now()]):
        models, model_id = partial(models_for, task_type), model_id_of(task_type)
        register(
            learned(engine, models, task_type=task_type, model_id=model_id),
            learned_async(engine, models, task_type=task_type, model_id=model_id),
        )


@llm.hookimpl
def register_commands(cli: click.Group) -> None:
    """Add ``llm modelperf``."""
    cli.add_command(_Deferred("modelperf", help="Learn which model is best at which kind of task"))


class _Deferred(click.Command):
    """The command until it is used: then its commands are imported."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        from modelperf_plugin.llm_plugin.commands import program

        return program.make_context(info_name, args, parent, **extra)


def _named_now() -> Iterator[str]:
    """Yield the task type that the command line of this process names, as in ``llm -m auto/fix-bug``."""
    from modelperf_plugin.llm_plugin.settings import task_type_of

    context = click.get_current_context(silent=True)
    for option in _OPTIONS_WITH_MODELS:
        model_id = None if context is None else context.params.get(option)
        task_type = task_type_of(model_id) if isinstance(model_id, str) else None
        if task_type is not None:
            yield task_type
