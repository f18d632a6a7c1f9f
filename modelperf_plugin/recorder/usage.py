"""What a call has used, in the vocabularies of the client libraries. No library is imported, and nothing raises."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from modelperf_plugin.values import MAX_COST_USD, MAX_TOKENS

_TOTALS: Final = ("total_tokens", "total_token_count", "totalTokens", "totalTokenCount", "tokens_used", "tokensUsed")
_PARTS: Final = (
    ("prompt_tokens", "completion_tokens"),  # openai, litellm, mistral
    ("input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"),  # anthropic, openai
    ("prompt_token_count", "candidates_token_count", "thoughts_token_count", "tool_use_prompt_token_count"),  # google
    ("promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount", "toolUsePromptTokenCount"),
    ("request_tokens", "response_tokens"),  # pydantic-ai before 1.0
    ("inputTokens", "outputTokens", "cacheReadInputTokens", "cacheWriteInputTokens"),  # bedrock
    ("prompt_eval_count", "eval_count"),  # ollama
)
"""Numbers that add up to the total where a library does not say it; the first row with any of them counts."""
_PLACES: Final = ("usage", "usage_metadata", "usageMetadata")
_OWN_KEYS: Final = ("tokens_used", "cost_usd", "error_kind", "tokensUsed", "costUsd", "errorKind")
_WITHOUT_USAGE: Final = frozenset({str, bytes, int, float, bool, list, tuple, type(None)})
"""Types of results that are not searched."""


class Usage(NamedTuple):
    """What a call has used; 0 means unknown."""

    tokens: int = 0
    cost_usd: float = 0.0
    error_kind: Any = None
    """Why the answer is none, by the host's word; None if it is one."""


def tokens_of(usage: Any) -> int:
    """Return the input and output tokens in a usage object or mapping of a client library; 0 if unknown.

    It knows those of openai, anthropic, google-genai, langchain, litellm, pydantic-ai, bedrock and ollama. A number is
    returned as it is; None, and anything else, is unknown.

    >>> tokens_of({"input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 100})
    115
    >>> tokens_of({"prompt_tokens": 10, "completion_tokens": None}), tokens_of(7), tokens_of(None)
    (10, 7, 0)
    """
    if usage is None:
        return 0
    try:
        return _tokens(usage)
    except Exception:  # noqa: BLE001 - objects of others may do anything
        return 0


def cost_of(value: Any) -> float:
    """Return a cost in US dollars; 0 if it is unknown or not a possible one."""
    if value is None or isinstance(value, (bool, str)):
        return 0.0
    try:
        cost = float(value)
    except Exception:  # noqa: BLE001 - objects of others may do anything
        return 0.0
    return cost if 0.0 <= cost <= MAX_COST_USD else 0.0


def usage_in(result: Any) -> Usage:
    """Return what the result of a call says that it has used."""
    if type(result) in _WITHOUT_USAGE:
        return Usage()
    hidden = field(result, "_hidden_params")  # litellm
    cost = 0.0 if hidden is None else cost_of(field(hidden, "response_cost"))
    return Usage(tokens_of(usage_field(result)), cost)


def usage_field(result: Any) -> Any:
    """Return the usage object of a result, or of a chunk of a stream; None if it has none."""
    for name in _PLACES:
        if (found := field(result, name)) is not None:
            return found
    return None


def usage_as_given(given: Any) -> Usage:
    """Return what a function of the host says: a usage object, tokens, or a mapping as an outcome has them."""
    if isinstance(given, Mapping) and any(key in given for key in _OWN_KEYS):
        tokens = given.get("tokens_used", given.get("tokensUsed"))
        error_kind = given.get("error_kind", given.get("errorKind"))
        return Usage(tokens_of(tokens), cost_of(given.get("cost_usd", given.get("costUsd"))), error_kind)
    return Usage(tokens_of(given))


def field(place: Any, name: str) -> Any:
    """Return a key of a mapping or an attribute; None without it."""
    try:
        if type(place) is not dict:
            found = getattr(place, name, None)
            if found is not None or not isinstance(place, Mapping):
                return found
        return place.get(name)
    except Exception:  # noqa: BLE001 - attributes of foreign objects may do anything
        return None


def _tokens(usage: Any) -> int:
    if isinstance(usage, (int, float)):
        return _whole(usage)
    if not isinstance(usage, Mapping) and callable(usage):  # pydantic-ai before 2.0
        found = usage()
        return 0 if callable(found) else tokens_of(found)
    for name in _TOTALS:
        if total := _whole(field(usage, name)):
            return total
    sums = (sum(_whole(field(usage, name)) for name in names) for names in _PARTS)
    return min(next(filter(None, sums), 0), MAX_TOKENS)


def _whole(number: Any) -> int:
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not 0 < number <= MAX_TOKENS:
        return 0
    return int(number)
