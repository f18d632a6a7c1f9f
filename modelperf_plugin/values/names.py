"""Names of models: aliases, and names that were probably meant."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

CanonicalIds = Mapping[str, str]
"""Model ids by alias."""
NO_ALIASES: Final[CanonicalIds] = {}

_VERSION: Final = re.compile(r"[-@:_](?:20\d\d-?\d\d-?\d\d|latest)$")
"""The date or tag with which providers name a snapshot of a model."""


class Aliases:
    """The aliases in force. Readers look at :attr:`ids` at each call, so a new configuration takes effect at once."""

    __slots__ = ("ids",)

    def __init__(self, ids: CanonicalIds = NO_ALIASES) -> None:
        self.ids = ids
        """Replaced as a whole, never modified."""

    def canonical(self, model_id: str) -> str:
        """Return the id under which the evidence of a model is kept."""
        return self.ids.get(model_id, model_id)

    def spellings(self, model_id: str) -> tuple[str, ...]:
        """Return all names of a model, given one of them: the canonical one first."""
        ids = self.ids
        if not ids:
            return (model_id,)
        canonical = ids.get(model_id, model_id)
        return (canonical, *(alias for alias, each in ids.items() if each == canonical))


@lru_cache(maxsize=10_000)
def plain_name(model_id: str) -> str:
    """Return what likely names of one model have in common.

    They differ in case, spaces, Unicode form, the provider before a slash, or the date of a snapshot.
    """
    name = unicodedata.normalize("NFKC", model_id).casefold()
    return _VERSION.sub("", "".join(name.split()).rpartition("/")[2])


def likely_meant(model_id: str, known: Iterable[str]) -> str | None:
    """Return the first of the ``known`` names that is likely another spelling of ``model_id``; None without one."""
    plain = plain_name(model_id)
    return next((name for name in known if name != model_id and plain_name(name) == plain), None)
