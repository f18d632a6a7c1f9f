"""Hints about what keeps a host from learning: several names of a model, gone models, empty verdicts."""

from __future__ import annotations

import re
import shlex
import unicodedata
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Final

from modelperf_plugin.config import Config
from modelperf_plugin.engine.availability import GoneModel
from modelperf_plugin.text import ago, count, enumerated
from modelperf_plugin.values import Tally, from_milliseconds

MIN_OUTCOMES: Final = 100
"""Outcomes of a task type from which verdicts that are all the same are noticed."""
_MAX_NAMED: Final = 5
_VERSION: Final = re.compile(r"[-@:_](?:20\d\d-?\d\d-?\d\d|latest)$")
"""The date or tag with which providers name a snapshot of a model."""


def likely_twins(model_ids: Iterable[str]) -> list[tuple[str, ...]]:
    """Return groups of names that may belong to one model.

    They differ in case, spaces, Unicode form, the provider before a slash, or the date of a snapshot.
    """
    groups: dict[str, list[str]] = {}
    for model_id in sorted(set(model_ids)):
        groups.setdefault(_plain(model_id), []).append(model_id)
    return [tuple(names) for names in groups.values() if len(names) > 1]


def _plain(model_id: str) -> str:
    name = unicodedata.normalize("NFKC", model_id).casefold()
    return _VERSION.sub("", "".join(name.split()).rpartition("/")[2])


def twins_sentence(twins: Sequence[tuple[str, ...]]) -> str | None:
    """Return what likely twins mean and what to do; None without any."""
    if not twins:
        return None
    groups = "; ".join(enumerated([repr(name) for name in names]) for names in twins[:_MAX_NAMED])
    more = f" (and {len(twins) - _MAX_NAMED} more groups)" if len(twins) > _MAX_NAMED else ""
    return f"{groups}{more} may be one model: outcomes are counted for each name apart, so pass the same name always"


def names_without_outcomes(config: Config, tallies: Iterable[Tally]) -> list[str]:
    """Return a sentence for each model and task type that the configuration names, but no outcome does."""
    tallies = list(tallies)
    sentences = []
    for section, named, known in (
        ("models", config.models, {tally.model_id for tally in tallies}),
        ("task_types", config.task_types, {tally.task_type for tally in tallies}),
    ):
        for name in named:
            if known and name not in known:
                near = get_close_matches(name, known, n=1, cutoff=0.7)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                sentences.append(f'[{section}."{name}"] matches no outcome so far{hint}')
    return sentences


def gone_models(models: Iterable[GoneModel]) -> list[str]:
    """Return for each model that is gone since when, and what to do."""
    return [
        f"{each.model_id} is gone since {_minute(each.since_ms)} UTC: {count(each.times, 'try', 'tries')} in a row "
        "ended with the error kind unavailable (HTTP 401, 403, 404 or 410), the last "
        f"{ago(from_milliseconds(each.last_ms))}. Check its name, its key and its access, or no longer offer it. It is "
        f"tried again from {_minute(each.next_ms)} UTC; `modelperf reset outage {shlex.quote(each.model_id)}` uses it "
        "at once"
        for each in models
    ]


def _minute(moment_ms: int) -> str:
    return f"{from_milliseconds(moment_ms):%Y-%m-%d %H:%M}"


def empty_verdicts(tallies: Iterable[Tally]) -> str | None:
    """Return what it means that all outcomes of a task type have the same verdict; None if they differ.

    Outages and the caller's own errors are no verdicts on a model.
    """
    sums: dict[str, tuple[int, int]] = {}
    for tally in tallies:
        successes, failures = sums.get(tally.task_type, (0, 0))
        sums[tally.task_type] = successes + tally.successes, failures + tally.quality_failures
    same = [name for name, both in sums.items() if sum(both) >= MIN_OUTCOMES and not all(both)]
    if not same:
        return None
    successes, failures = (sum(sums[name][side] for name in same) for side in (0, 1))
    what = "success" if not failures else "failure" if not successes else "the same"
    where = enumerated(same) if len(same) <= _MAX_NAMED else count(len(same), "task type")
    return (
        f"every verdict of {where} is {what} ({count(successes + failures, 'outcome')}): nothing can be learned from "
        "that. If success only means that the call raised no error, let the host judge the result"
    )
