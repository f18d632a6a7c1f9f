"""Runs the recipes of the page as they are printed there."""

from __future__ import annotations

import asyncio
import inspect
import re
from typing import Any, Final

import pytest

import modelperf_plugin as mp
from tests.adapters.provider import USAGE, Provider
from tests.docs.pages import DOCS
from tests.recorder.world import recorded

PAGE: Final = DOCS / "how-to" / "frameworks" / "recipes.md"
MODELS: Final = ("down", "slow", "good")
BEHAVIOURS: Final = {"down": "server_error", "slow": "hang"}


SECONDS: Final = 5.0
"""The time limit: long enough for a client to start on a busy machine."""
TRIES: Final = [("down", "server_error", 0), ("slow", "timeout", 0), ("good", "good", USAGE["total_tokens"])]
"""The model, the verdict and the tokens of each try of a recipe whose models fail, hang and answer."""
UNTIDY: Final = pytest.mark.filterwarnings("ignore")
"""Frameworks warn about each other, and leave open what they close at the end of the process."""


def code_of(heading: str) -> str:
    """Return the block of Python below a heading of the page."""
    section = PAGE.read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    assert len(blocks) == 1, heading
    return str(blocks[0])


def check(heading: str, perf: mp.ModelPerf, provider: Provider, expected: Any = "good") -> None:
    """Follow a recipe: with models that work, and with models that fail, hang and work."""
    names = names_of(heading, ["down"])
    names["perf"] = perf
    provider.answers.setdefault("down", provider.answers.get("good", "good"))
    with asyncio.Runner() as runner:
        assert ask(runner, names) == expected
        assert provider.asked == ["down"]
        provider.behaviours = BEHAVIOURS
        names.update(MODELS=list(MODELS), SECONDS=SECONDS)
        assert ask(runner, names) == expected
    assert provider.asked == ["down", *MODELS]  # each once: no client retries
    tries = [(each.model, each.verdict, each.tokens) for each in recorded(perf)]
    assert tries == [("down", "good", USAGE["total_tokens"]), *TRIES]


def names_of(heading: str, models: list[str]) -> dict[str, Any]:
    """Return what the block of a recipe defines, with models for it, and no time limit: imports take their time."""
    names: dict[str, Any] = {"MODELS": models, "SECONDS": None, "__name__": "__main__"}
    exec(compile(code_of(heading), f"{PAGE}#{heading}", "exec"), names)  # noqa: S102 - that is what is tested
    return names


def ask(runner: asyncio.Runner, names: dict[str, Any]) -> Any:
    """Return the answer of the recipe, asynchronous or not."""
    answer = names["answer"]("a secret question")
    return runner.run(_awaited(answer)) if inspect.isawaitable(answer) else answer


async def _awaited(answer: Any) -> Any:
    return await answer
