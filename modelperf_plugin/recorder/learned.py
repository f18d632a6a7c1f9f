"""The decorator: a function that gets its model from the recorder."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import aclosing
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

from modelperf_plugin.recorder import calls, streams
from modelperf_plugin.recorder.judging import Options
from modelperf_plugin.recorder.link import EngineLink
from modelperf_plugin.recorder.task import Attempt, Task

_P = ParamSpec("_P")
_R = TypeVar("_R")


def learned(
    link: EngineLink, task_type: str, models: tuple[str, ...], options: Options[Any]
) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """See :meth:`modelperf_plugin.ModelPerf.learned`."""

    def decorate(function: Callable[_P, _R]) -> Callable[_P, _R]:
        def asked(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[str, ...], Callable[[Attempt], Any]]:
            """Return the models to try, and the call with one of them."""
            model = kwargs.pop("model", None)
            offered = models if model is None else (model,)
            return offered, lambda attempt: function(*args, **{**kwargs, "model": attempt.model})

        def task_of(offered: tuple[str, ...]) -> Task:
            return Task(link, task_type, offered, options.context, has_tickets=False)

        def call(*args: Any, **kwargs: Any) -> Any:
            offered, with_model = asked(args, kwargs)
            return calls.run(task_of(offered), with_model, options)

        async def call_async(*args: Any, **kwargs: Any) -> Any:
            offered, with_model = asked(args, kwargs)
            return await calls.arun(task_of(offered), with_model, options)

        def generate(*args: Any, **kwargs: Any) -> Generator[Any, None, None]:
            offered, with_model = asked(args, kwargs)
            yield from streams.stream(task_of(offered), with_model, options)

        async def generate_async(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, None]:
            offered, with_model = asked(args, kwargs)
            async with aclosing(streams.astream(task_of(offered), with_model, options)) as chunks:
                async for chunk in chunks:
                    yield chunk

        kinds: tuple[tuple[Callable[[Any], bool], Callable[..., Any]], ...] = (
            (inspect.isasyncgenfunction, generate_async),
            (inspect.isgeneratorfunction, generate),
            (inspect.iscoroutinefunction, call_async),
        )
        wrapper = next((wrapper for is_kind, wrapper in kinds if is_kind(function)), call)
        return cast("Callable[_P, _R]", wraps(function)(wrapper))

    return decorate
