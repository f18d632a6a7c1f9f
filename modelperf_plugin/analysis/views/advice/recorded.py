"""Findings about what hosts report: verdicts, outcomes, costs and names."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Final

from modelperf_plugin.analysis.views.advice.values import Advice, Facts, key, unknown
from modelperf_plugin.analysis.views.hints import likely_twins, verdicts_all_the_same
from modelperf_plugin.analysis.views.task_type_names import ids_as_task_types, same_task_types
from modelperf_plugin.policy.intervals import wilson_interval
from modelperf_plugin.text import count, enumerated, percent, span
from modelperf_plugin.values import Tally

MIN_OVERDUE_SHARE: Final = 0.1
"""Share of decisions without an outcome that is surely exceeded before it is a finding."""
MIN_DECISIONS: Final = 50
MIN_UNPRICED: Final = 30
"""Outcomes of a model without a cost from which that is a finding."""
MIN_PRICED_SHARE: Final = 0.9
MIN_OUTCOMES_OF_ONE: Final = 500
"""Outcomes from which a single task type with a name that says nothing is a finding."""
_GENERIC: Final = frozenset(
    {"agent", "ai", "chat", "completion", "default", "general", "generate", "llm", "main", "prompt", "task", "unknown"}
)
_MAX_NAMED: Final = 5


def empty_verdicts(facts: Facts) -> Iterator[Advice]:
    """Yield a finding if all verdicts of a task type are the same; see :func:`hints.verdicts_all_the_same`."""
    for verdict, sums in verdicts_all_the_same(facts.tallies).items():
        names = tuple(sums)
        yield Advice(
            kind="verdicts",
            task_types=names,
            finding=f"every verdict of {_named(names)} is {verdict}, so no model can be told from another",
            evidence=f"{count(sum(sums.values()), 'outcome')}, outages and the caller's own errors left out",
            change="let the host judge the result (tests, a checker, a score), not only that the call raised no error",
            effect=unknown("nothing is known about the difference between the models"),
        )


def unreported(facts: Facts) -> Iterator[Advice]:
    """Yield task types of which surely more than a tenth of the decisions got no outcome within an hour."""
    for task in facts.tasks:
        due = task.overdue + task.with_outcome
        if due < MIN_DECISIONS:
            continue
        interval = wilson_interval(task.overdue, due)
        if interval[0] > MIN_OVERDUE_SHARE:
            yield Advice(
                kind="reports",
                task_types=(task.task_type,),
                finding=f"{percent(task.overdue / due)} of the decisions for {task.task_type} are never reported",
                evidence=f"{task.overdue:,} of {count(due, 'decision')} of the last {facts.days} days are older than "
                f"an hour and have no outcome (95 % interval {span(interval)})",
                change="report every attempt with `decision=decision`, failures, timeouts and cancelled ones included",
                effect=unknown("what is missing may be mostly failures, which favours the models that lose them"),
            )


def missing_costs(facts: Facts) -> Iterator[Advice]:
    """Yield models without costs where others have them: surely forgotten, unless they cost nothing.

    A model with a configured cost is left out, and so is a store without any cost: there money may not matter.
    """
    sums: dict[str, tuple[int, int]] = {}
    for tally in facts.tallies:
        samples, priced = sums.get(tally.model_id, (0, 0))
        sums[tally.model_id] = samples + _answered(tally), priced + tally.priced
    if not any(priced for _, priced in sums.values()):
        return
    for model_id, (samples, priced) in sums.items():
        configured = facts.config.models.get(model_id)
        is_known = configured is not None and configured.cost_usd is not None
        if is_known or samples < MIN_UNPRICED or priced >= MIN_PRICED_SHARE * samples:
            continue
        yield Advice(
            kind="costs",
            models=(model_id,),
            finding=f"{percent(1 - priced / samples)} of the outcomes of {model_id} have no cost",
            evidence=f"{samples - priced:,} of {count(samples, 'outcome')}, outages left out; other models have costs",
            change="report `cost_usd` with every outcome"
            + ("" if priced else ", or write what a task costs: 0.0 if the model costs nothing"),
            toml=None if priced else f"[models.{key(model_id)}]\ncost_usd = 0.0",
            effect=unknown("without costs neither savings nor a cost objective know this model"),
        )


def _answered(tally: Tally) -> int:
    return max(tally.priced, tally.samples - tally.outages - tally.caller_errors)


def ids(facts: Facts) -> Iterator[Advice]:
    """Yield a finding if task types are ids; see :func:`ids_as_task_types`."""
    found = ids_as_task_types(facts.tallies)
    if found is not None:
        yield Advice(
            kind="task_types",
            finding="task types seem to be ids: nothing can be learned about a task that never comes again",
            evidence=f"{found.ids:,} of {count(found.total, 'task type')} have one or two outcomes and look like ids, "
            f"for example {found.example}",
            change="pass the kind of work as `task_type`, and the id as `unit_id` in the context",
            effect=unknown("no two outcomes are about the same kind of work"),
        )


def spellings(facts: Facts) -> Iterator[Advice]:
    """Yield task types whose names differ by case and separators alone; see :func:`same_task_types`."""
    for names in same_task_types(facts.tallies):
        kept, *others = names
        yield Advice(
            kind="task_types",
            task_types=names,
            finding=f"{enumerated(names)} seem to be one task type",
            evidence="the names differ only in case and separators",
            change=f"let the hosts use one name, then merge what was learned: {kept} has the most outcomes",
            command="; ".join(f"modelperf rename task-type {shlex.quote(each)} {shlex.quote(kept)}" for each in others),
            effect=unknown(
                "outcomes under several names are weaker evidence than under one, but the counts do not say by how much"
            ),
        )


def single(facts: Facts) -> Iterator[Advice]:
    """Yield a finding if all outcomes are of one task type with a name that says nothing, such as ``default``."""
    names = {tally.task_type for tally in facts.tallies}
    outcomes = sum(tally.samples for tally in facts.tallies)
    if len(names) == 1 and outcomes >= MIN_OUTCOMES_OF_ONE and (name := min(names)).casefold() in _GENERIC:
        yield Advice(
            kind="task_types",
            task_types=(name,),
            finding=f"all work has one task type, {name}: which model is good at what cannot be learned",
            evidence=f"{count(outcomes, 'outcome')}, all of {name}",
            change="pass the kind of work as `task_type`, or let rules name it by the labels of a call",
            toml='[task_type_rules]\n"code-review" = { tag = "review" }',
            effect=unknown("the outcomes do not say of which kind of work they are"),
        )


def aliases(facts: Facts) -> Iterator[Advice]:
    """Yield names that may belong to one model and are not aliases yet; see :func:`likely_twins`."""
    counts: dict[str, int] = {}
    for tally in facts.tallies:
        counts[tally.model_id] = counts.get(tally.model_id, 0) + tally.samples
    known = facts.config.canonical_ids
    for names in likely_twins(name for name in counts if name not in known):
        kept, *others = sorted(names, key=lambda name: (-counts[name], name))
        former = facts.config.models.get(kept)
        listed = [*(former.aliases if former is not None else ()), *others]
        yield Advice(
            kind="aliases",
            models=(kept, *others),
            finding=f"{enumerated([repr(name) for name in (kept, *others)])} may be one model",
            evidence="the names differ in spelling, provider or the date of a snapshot; outcomes are counted apart: "
            + ", ".join(f"{counts[name]:,} of {name}" for name in (kept, *others)),
            change="if it is one model, count them together",
            toml=f"[models.{key(kept)}]\naliases = [{', '.join(map(key, listed))}]",
            effect=unknown("it depends on whether they are one model"),
        )


def _named(names: tuple[str, ...]) -> str:
    return enumerated(names) if len(names) <= _MAX_NAMED else count(len(names), "task type")
