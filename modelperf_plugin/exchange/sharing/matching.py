"""Model names of other projects and leaderboards: which of them stand for models that are known here."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from difflib import SequenceMatcher
from typing import Final, NamedTuple

from modelperf_plugin.values import Tally, combine

LIKELY: Final = 0.8
"""Names whose plain forms are as similar as this are likely matches, if their digits are the same."""
_DATE: Final = re.compile(r"20\d\d[-.]?[01]\d[-.]?[0-3]\d")
_APART: Final = re.compile(r"[^a-z0-9]+")
_DIGITS: Final = re.compile(r"\d+")


class Matches(NamedTuple):
    """What of a source stands for models that are known here; names are sorted."""

    known: list[str]
    """Models of the source that are known here."""
    unknown: dict[str, str | None]
    """The others, each with the known model that it is likely to be."""
    missing: list[str]
    """Models that are known here and have nothing in the source."""


def renamed(entries: Iterable[Tally], aliases: Mapping[str, str]) -> list[Tally]:
    """Return entries under our model ids; those that become the same pair are added up."""
    pairs: dict[tuple[str, str], Tally] = {}
    for tally in entries:
        ours = tally._replace(model_id=aliases.get(tally.model_id, tally.model_id))
        pair = (ours.task_type, ours.model_id)
        pairs[pair] = combine(pairs[pair], ours) if pair in pairs else ours
    return list(pairs.values())


def matches(theirs: Iterable[str], ours: Iterable[str]) -> Matches:
    """Compare the models of a source with those known here."""
    named, known = set(theirs), set(ours)
    missing = sorted(known - named)
    forms = {name: plain(name) for name in missing}
    unknown = {name: _likely(plain(name), forms) for name in sorted(named - known)}
    return Matches(sorted(named & known), unknown, missing)


def plain(name: str) -> str:
    """Return a name without provider, date, case and punctuation.

    >>> plain("OpenAI/GPT-4o (2024-08-06)"), plain("gpt_4o-latest")
    ('gpt 4o', 'gpt 4o')
    """
    text = unicodedata.normalize("NFKC", name).casefold().rsplit("/", maxsplit=1)[-1]
    words = _APART.sub(" ", _DATE.sub(" ", text)).split()
    return " ".join(word for word in words if word != "latest")


def _likely(form: str, forms: Mapping[str, str]) -> str | None:
    """Return the name whose plain form is the most similar to ``form``, if it is similar enough."""
    best, found = LIKELY, None
    for name, other in forms.items():
        if "".join(_DIGITS.findall(form)) != "".join(_DIGITS.findall(other)):
            continue  # another version or size
        ratio = 1.0 if form == other else SequenceMatcher(None, form, other).ratio()
        if ratio > best or (ratio == best == LIKELY):
            best, found = ratio, name
    return found
