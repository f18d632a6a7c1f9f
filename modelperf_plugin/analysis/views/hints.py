"""Hints about what keeps a host from learning: several names of a model, others that answer for it, empty verdicts."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Final

from modelperf_plugin.config import Config
from modelperf_plugin.engine.availability import GoneModel
from modelperf_plugin.policy import ABTest
from modelperf_plugin.text import ago, count, enumerated
from modelperf_plugin.values import Tally, from_milliseconds
from modelperf_plugin.values.names import plain_name

MIN_OUTCOMES: Final = 100
"""Outcomes of a task type from which verdicts that are all the same are noticed."""
MIN_ANSWERS: Final = 10
"""Answers of a model from which it is noticed that others have given most of them."""
_MAX_NAMED: Final = 5


def likely_twins(model_ids: Iterable[str]) -> list[tuple[str, ...]]:
    """Return groups of names that may belong to one model.

    They differ in case, spaces, Unicode form, the provider before a slash, or the date of a snapshot.
    """
    groups: dict[str, list[str]] = {}
    for model_id in sorted(set(model_ids)):
        groups.setdefault(plain_name(model_id), []).append(model_id)
    return [tuple(names) for names in groups.values() if len(names) > 1]


def twins_sentence(twins: Sequence[tuple[str, ...]]) -> str | None:
    """Return what likely twins mean and what to do; None without any."""
    if not twins:
        return None
    groups = "; ".join(enumerated([repr(name) for name in names]) for names in twins[:_MAX_NAMED])
    more = f" (and {len(twins) - _MAX_NAMED} more groups)" if len(twins) > _MAX_NAMED else ""
    table, aliases = _toml(twins[0][0]), ", ".join(map(_toml, twins[0][1:]))
    return (
        f"{groups}{more} may be one model: outcomes are counted for each name apart. If it is one, add "
        f"[models.{table}] aliases = [{aliases}]"
    )


def doubtful_names(config: Config, tallies: Iterable[Tally]) -> list[str]:
    """Return a sentence for each name that matches nothing, and one for likely names of one model."""
    tallies = list(tallies)
    sides = [side for _, exploration in _tests(config) for side in (exploration.incumbent, *exploration.challengers)]
    named = [*config.models, *[side for side in sides if side is not None]]
    names = [name for name in [*named, *[tally.model_id for tally in tallies]] if name not in config.canonical_ids]
    twins = twins_sentence(likely_twins(names))
    return [*([] if twins is None else [twins]), *names_without_outcomes(config, tallies)]


def names_without_outcomes(config: Config, tallies: Iterable[Tally]) -> list[str]:
    """Return a sentence for each model and task type that the configuration names, but no outcome does.

    A side of an A/B test may be new; it is only named if another name was probably meant.
    """
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
    known = {tally.model_id for tally in tallies}
    for path, exploration in _tests(config):
        for key, sides in (("incumbent", [exploration.incumbent]), ("challenger", exploration.challengers)):
            for side in sides:
                missing = side is not None and config.canonical_ids.get(side, side) not in known
                if side is not None and missing and (near := get_close_matches(side, known, n=1, cutoff=0.7)):
                    sentences.append(f"[{path}] {key} {side!r} matches no outcome so far; did you mean {near[0]!r}?")
    return sentences


def answered_by_others(counts: Mapping[tuple[str, str], int]) -> list[str]:
    """Return a sentence for each model for which mostly others have answered, by the answers of each for each.

    A snapshot of the model, or its name with a provider, is not another one.
    """
    answers: dict[str, Counter[str]] = {}
    for (model_id, served), number in sorted(counts.items()):
        answers.setdefault(model_id, Counter())[served] = number
    sentences = []
    for model_id, numbers in answers.items():
        others = Counter({each: n for each, n in numbers.items() if plain_name(each) != plain_name(model_id)})
        if numbers.total() >= MIN_ANSWERS and 2 * others.total() > numbers.total():
            (first, _), *more = others.most_common(2)
            whose = f"other models, above all {first!r}" if more else repr(first)
            of = f"{others.total():,} of {count(numbers.total(), 'answer')} to calls for {model_id!r}"
            what = f"{of} came from {whose}: its outcomes say little about {model_id!r} itself"
            advice = "Pin the model at the provider, or turn off the fallback of the gateway"
            if first not in answers:  # an alias would add up what is known of two candidates
                advice = (
                    f"If that is its other name, add [models.{_toml(model_id)}] aliases = [{_toml(first)}]; otherwise "
                    f"{advice[0].lower()}{advice[1:]}"
                )
            sentences.append(f"{what}. {advice}")
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


def _tests(config: Config) -> Iterator[tuple[str, ABTest]]:
    """Yield the configured A/B tests, each with the path of its section."""
    own = [(f"task_types.{_toml(name)}.exploration", each.exploration) for name, each in config.task_types.items()]
    for path, exploration in [("exploration", config.exploration), *own]:
        if isinstance(exploration, ABTest):
            yield path, exploration


def _toml(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)


def verdicts_all_the_same(tallies: Iterable[Tally]) -> dict[str, dict[str, int]]:
    """Return the outcomes of task types whose verdicts are all "success", and of those with "failure" alone.

    Outages and the caller's own errors are no verdicts on a model. Scores tell models apart that always succeed.
    """
    tallies = list(tallies)
    scored = {tally.task_type for tally in tallies if tally.score_shift}
    sums: dict[str, tuple[int, int]] = {}
    for tally in tallies:
        if tally.task_type not in scored:
            successes, failures = sums.get(tally.task_type, (0, 0))
            sums[tally.task_type] = successes + tally.successes, failures + tally.quality_failures
    same: dict[str, dict[str, int]] = {}
    for name, (successes, failures) in sums.items():
        if successes + failures >= MIN_OUTCOMES and not (successes and failures):
            same.setdefault("success" if successes else "failure", {})[name] = successes + failures
    return same


def empty_verdicts(tallies: Iterable[Tally]) -> str | None:
    """Return what it means that all outcomes of a task type have the same verdict; None if they differ."""
    same = verdicts_all_the_same(tallies)
    if not same:
        return None
    what = "the same" if len(same) > 1 else next(iter(same))
    sums = {name: outcomes for each in same.values() for name, outcomes in each.items()}
    where = enumerated(list(sums)) if len(sums) <= _MAX_NAMED else count(len(sums), "task type")
    return (
        f"every verdict of {where} is {what} ({count(sum(sums.values()), 'outcome')}): nothing can be learned from "
        "that. If success only means that the call raised no error, let the host judge the result"
    )
