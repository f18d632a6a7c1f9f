"""``tokens_of`` and ``classify``: what objects of client libraries say."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
from hypothesis import given
from hypothesis import strategies as st

import modelperf_plugin as mp
from modelperf_plugin.recorder import classify, tokens_of
from tests.recorder.world import ProviderError

VOCABULARIES: list[tuple[str, dict[str, Any], int]] = [
    ("openai chat", {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}, 15),
    ("openai chat without a total", {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": None}, 15),
    ("openai responses", {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}, 15),
    (
        "anthropic",
        {"input_tokens": 10, "output_tokens": 5, "cache_creation_input_tokens": 100, "cache_read_input_tokens": 1000},
        1115,
    ),
    ("anthropic without cache", {"input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": None}, 15),
    (
        "google-genai",
        {"prompt_token_count": 10, "candidates_token_count": 5, "thoughts_token_count": 7, "total_token_count": 22},
        22,
    ),
    (
        "google-genai without a total",
        {"prompt_token_count": 10, "candidates_token_count": 5, "thoughts_token_count": 7, "total_token_count": None},
        22,
    ),
    ("google REST", {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15}, 15),
    (
        "langchain",
        {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15, "input_token_details": {"cache_read": 4}},
        15,
    ),
    (
        "litellm",
        {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15, "cache_read_input_tokens": 4},
        15,
    ),
    ("pydantic-ai", {"input_tokens": 10, "output_tokens": 5, "cache_read_tokens": 4, "requests": 1}, 15),
    ("pydantic-ai before 1.0", {"request_tokens": 10, "response_tokens": 5, "total_tokens": None}, 15),
    ("bedrock", {"inputTokens": 10, "outputTokens": 5, "totalTokens": 15}, 15),
    ("ollama", {"prompt_eval_count": 10, "eval_count": 5}, 15),
    ("an outcome", {"tokens_used": 15}, 15),
    ("unknown", {"price": 15}, 0),
    ("all unknown", {"prompt_tokens": None, "completion_tokens": None, "total_tokens": None}, 0),
]


@pytest.mark.parametrize(
    ("usage", "tokens"), [each[1:] for each in VOCABULARIES], ids=[each[0] for each in VOCABULARIES]
)
def test_the_vocabularies_of_clients(usage: dict[str, Any], tokens: int) -> None:
    """Input and output tokens are found in mappings, in objects, and behind a method that returns either."""
    assert tokens_of(usage) == tokens
    assert tokens_of(SimpleNamespace(**usage)) == tokens
    assert tokens_of(lambda: SimpleNamespace(**usage)) == tokens


class Hostile:
    """An object whose attributes all raise."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [(None, 0), (7, 7), (7.0, 7), (True, 0), (-7, 0), (float("nan"), 0), (2**60, 0), ("7", 0), ([7], 0),
     (MagicMock(), 0), ({"total_tokens": "many"}, 0), ({"total_tokens": -1, "prompt_tokens": 3}, 3)],
)  # fmt: skip
def test_what_is_not_understood_is_unknown(usage: Any, tokens: int) -> None:
    """A number is itself; whatever else cannot be one is 0, and nothing raises."""
    assert tokens_of(usage) == tokens


def test_an_object_that_always_raises_is_unknown() -> None:
    """Whatever is asked of it."""
    assert tokens_of(Hostile()) == 0
    assert tokens_of(Hostile) == 0


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.dictionaries(
            st.sampled_from(["total_tokens", "prompt_tokens", "usage", "input_tokens", "output_tokens"]) | st.text(),
            inner,
        ),
    )
)
def test_tokens_are_always_possible(usage: Any) -> None:
    """Whatever comes in, an outcome takes what comes out."""
    mp.Outcome(success=True, tokens_used=tokens_of(usage))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (429, "rate_limit"),
        (408, "timeout"),
        (ProviderError(401), "unavailable"),
        (TimeoutError(), "timeout"),
        (asyncio.CancelledError(), "cancelled"),
        (GeneratorExit(), "cancelled"),
        (SystemExit(), "cancelled"),
        (KeyboardInterrupt(), "cancelled"),
        (mp.InvalidValueError("models", "something else", 7), "caller_error"),
        (KeyError("x"), "other"),
        (ExceptionGroup("tasks", [ExceptionGroup("tasks", [ProviderError(429)]), ValueError()]), "rate_limit"),
        (BaseExceptionGroup("tasks", [KeyboardInterrupt()]), "cancelled"),
    ],
    ids=str,
)
def test_errors_are_classified(error: Any, kind: str) -> None:
    """An exception or a status is one of the error kinds, or a timeout."""
    assert classify(error) == kind
