"""The stored form of sets of tried models."""

from __future__ import annotations

import json
from functools import lru_cache

from modelperf_plugin.json_text import parse_json
from modelperf_plugin.values import UNKNOWN_TRIED, Tried, check_tried


def text_of(tried: Tried) -> str:
    """Return the stored text of a set."""
    return json.dumps(tried, ensure_ascii=False, separators=(",", ":"))


@lru_cache(maxsize=4096)
def tried_of(models: str | bytes) -> Tried:
    """Return the set in ``models``; the unknown set if it cannot be read, as it was not a first try."""
    try:
        return check_tried("tried", parse_json(models)) or UNKNOWN_TRIED
    except ValueError:
        return UNKNOWN_TRIED


def is_set(models: str | bytes) -> bool:
    """Return whether ``models`` is the text of a set, the unknown one included."""
    return tried_of(models) is not UNKNOWN_TRIED or models == text_of(UNKNOWN_TRIED)


def is_canonical(models: bytes) -> bool:
    """Return whether ``models`` is the one text that stands for its set, as :func:`text_of` writes it."""
    return text_of(tried_of(models)).encode() == models
