"""A chat model for LangChain that says what it is told to, or raises it; and every way to call a runnable."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, Final

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

Runner = Callable[..., Any]
"""Calls a runnable."""
USAGE: Final = {"input_tokens": 11, "output_tokens": 6, "total_tokens": 17}


class Scripted(BaseChatModel):
    """Answers with ``answer``, word by word in a stream; raises it if it is an exception, returns it if a message.

    A list is what it does in one call after the other, its last element from then on.
    """

    answer: Any
    asked: list[list[BaseMessage]] = []  # noqa: RUF012 - copied by pydantic
    streamed: int = 0

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        """Keep the tools as an argument of calls."""
        return self.bind(tools=tools, **kwargs)

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        answer = self._next(messages)
        message = answer if isinstance(answer, AIMessage) else AIMessage(answer, usage_metadata=USAGE)
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(self, messages: list[BaseMessage], *_: Any, **__: Any) -> Iterator[ChatGenerationChunk]:
        answer = self._next(messages)
        if isinstance(answer, AIMessage):
            yield ChatGenerationChunk(message=AIMessageChunk(answer.content, tool_calls=answer.tool_calls))
            return
        for word in answer.split(" "):
            self.streamed += 1
            yield ChatGenerationChunk(message=AIMessageChunk(word))
        yield ChatGenerationChunk(message=AIMessageChunk("", usage_metadata=USAGE))

    def _next(self, messages: list[BaseMessage]) -> Any:
        answer = self.answer
        if isinstance(answer, list):
            answer = answer[min(len(self.asked), len(answer) - 1)]
        self.asked.append(messages)
        if isinstance(answer, BaseException):
            raise answer
        return answer


def models_with(**answers: Any) -> dict[str, Any]:
    """Return models with these answers."""
    return {name: Scripted(answer=answer) for name, answer in answers.items()}


def invoke(runnable: Any, given: Any = "hello", config: Any = None, **kwargs: Any) -> Any:
    """Return the answer of a runnable."""
    return runnable.invoke(given, config, **kwargs)


def ainvoke(runnable: Any, given: Any = "hello", config: Any = None, **kwargs: Any) -> Any:
    """Return the answer of a runnable, asynchronously."""
    return asyncio.run(runnable.ainvoke(given, config, **kwargs))


def stream(runnable: Any, given: Any = "hello", config: Any = None, **kwargs: Any) -> Any:
    """Return the sum of the chunks of a runnable."""
    return _sum(list(runnable.stream(given, config, **kwargs)))


def astream(runnable: Any, given: Any = "hello", config: Any = None, **kwargs: Any) -> Any:
    """Return the sum of the chunks of a runnable, asynchronously."""

    async def collect() -> list[Any]:
        return [chunk async for chunk in runnable.astream(given, config, **kwargs)]

    return _sum(asyncio.run(collect()))


def _sum(chunks: list[Any]) -> Any:
    total = chunks[0]
    for chunk in chunks[1:]:
        total = total + chunk if hasattr(total, "__add__") else chunk
    return total


WAYS: Final = [invoke, ainvoke, stream, astream]
"""Every way to call a runnable."""
