"""What tests of the litellm adapter share: a Router over the provider, and a program around it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from tests.adapters.provider import Provider

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else the import downloads a price list

MESSAGES: Final = [{"role": "user", "content": "the secret question"}]
PRICES: Final = {"input_cost_per_token": 1e-6, "output_cost_per_token": 1e-5}
COST: Final = 11e-6 + 6e-5
"""What each answer of the provider costs."""

_T = TypeVar("_T")


def deployment(provider: Provider, model: str, group: str = "smart", **params: Any) -> dict[str, Any]:
    """Return an entry of ``model_list``."""
    own = {"model": f"openai/{model}", "api_key": "sk-none", "api_base": provider.url, "max_retries": 0}
    return {"model_name": group, "litellm_params": {**own, **PRICES, **params}}


def router(provider: Provider, models: Sequence[str] = ("a", "b", "c"), **options: Any) -> Any:
    """Return a Router with one group of models, which never waits and never pauses a deployment."""
    import litellm

    chosen = {"num_retries": 0, "disable_cooldowns": True, "retry_after": 0, **options}
    model_list = chosen.pop("model_list", None) or [deployment(provider, model) for model in models]
    return litellm.Router(model_list=model_list, **chosen)


@contextmanager
def callback(*callbacks: Any) -> Iterator[None]:
    """Register callbacks for as long as this lasts."""
    import litellm

    litellm.suppress_debug_info = True
    litellm.callbacks = list(callbacks)
    try:
        yield
    finally:
        litellm.logging_callback_manager._reset_all_callbacks()
        litellm.callbacks = []


def run(program: Callable[[], Awaitable[_T]]) -> _T:
    """Run a program to its end: litellm's own tasks included, and its connections closed."""
    import litellm

    async def main() -> _T:
        try:
            return await program()
        finally:
            await settled()
            await litellm.close_litellm_async_clients()

    return asyncio.run(main())


async def settled() -> None:
    """Let litellm say what it says after an answer."""
    for _ in range(5):
        await asyncio.sleep(0.02)


async def chunks_of(answer: Any) -> list[Any]:
    """Return all chunks of a stream."""
    return [chunk async for chunk in answer]


def text_of(chunks: Sequence[Any]) -> str:
    """Return what the chunks of a stream say."""
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
