"""Candidates by canonical id inside, and by the names that the host gave outside."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from modelperf_plugin.values import NO_CONTEXT, Context, Decision, Exclusion, RankedModel, Ranking
from modelperf_plugin.values.names import CanonicalIds
from modelperf_plugin.values.recent import Recent

MAX_OFFERED: Final = 300
"""Approximate number of candidates whose canonical ids are kept."""


class Offer(NamedTuple):
    """The candidates of a host."""

    model_ids: tuple[str, ...]
    """Canonical ids, each once."""
    spelled: Mapping[str, str]
    """The name that the host gave, by canonical id, where it is another one."""
    repeated: tuple[Exclusion, ...]
    """Candidates that are another name of one before them."""

    @classmethod
    def of(cls, offered: Sequence[str], ids: CanonicalIds) -> Offer:
        """Return the offer of these candidates."""
        spelled: dict[str, str] = {}
        repeated: list[Exclusion] = []
        for name in offered:
            first = spelled.setdefault(ids.get(name, name), name)
            if first != name:
                repeated.append(Exclusion(name, f"another name of the candidate {first}"))
        others = {model_id: name for model_id, name in spelled.items() if model_id != name}
        return cls(tuple(spelled), others, tuple(repeated))

    def logged_and_answered(self, decision: Decision) -> tuple[Decision, Decision]:
        """Return a decision with the repeated candidates: by canonical ids, and by the names that the host gave."""
        answered = renamed(decision, self.spelled)
        if not self.repeated:
            return decision, answered
        logged = replace(decision, excluded=(*decision.excluded, *self.repeated))
        return logged, replace(answered, excluded=(*answered.excluded, *self.repeated))


class Offers:
    """The last offers, so that a choice takes a look-up each."""

    def __init__(self) -> None:
        self._known: Recent[tuple[str, ...], tuple[CanonicalIds, Offer]] = Recent(MAX_OFFERED)

    def of(self, offered: tuple[str, ...], ids: CanonicalIds) -> Offer:
        """Return the offer of these candidates with these aliases."""
        known = self._known.get(offered)
        if known is not None and known[0] is ids:
            return known[1]
        offer = Offer.of(offered, ids)
        self._known.put(offered, (ids, offer), len(offered))
        return offer


def canonical_context(context: Context, ids: CanonicalIds) -> Context:
    """Return what a host told about a task, with canonical ids."""
    if context is NO_CONTEXT:
        return context
    pin, current = context.pin, context.current_model
    if not ids.keys().isdisjoint((pin, current, *context.exclude)):
        context = replace(
            context,
            pin=pin if pin is None else ids.get(pin, pin),
            current_model=current if current is None else ids.get(current, current),
            exclude=frozenset([ids.get(name, name) for name in context.exclude]),
        )
    if isinstance(context.retry_of, Decision):
        context = replace(context, retry_of=renamed(context.retry_of, ids))
    return context


def as_logged(decision: Decision | str, ids: CanonicalIds) -> Decision | str:
    """Return a decision that a host passes back, with canonical ids."""
    return renamed(decision, ids) if isinstance(decision, Decision) else decision


def renamed(decision: Decision, names: Mapping[str, str]) -> Decision:
    """Return a decision with other names of its models; exclusions keep those of the reasons that they give."""
    if names.keys().isdisjoint((*decision.ranking.model_ids, *decision.tried)):
        return decision
    get, ranking, excluded, plan = names.get, decision.ranking, decision.excluded, decision.plan
    model_ids = tuple([get(each, each) for each in ranking.model_ids])
    return Decision(  # `replace` would take most of the time of a choice that is answered with other names
        order=tuple([get(each, each) for each in decision.order]),
        decision_id=decision.decision_id,
        task_type=decision.task_type,
        ranking=Ranking.deferred(model_ids, ranking.strategy, lambda: _rows(ranking.rows, names)),
        probabilities=decision.probabilities,
        reason=decision.reason,
        explored=decision.explored,
        excluded=excluded and tuple([each._replace(model_id=get(each.model_id, each.model_id)) for each in excluded]),
        policy_id=decision.policy_id,
        mode=decision.mode,
        created_at=decision.created_at,
        assignment=decision.assignment,
        plan=plan and tuple([step._replace(model_id=get(step.model_id, step.model_id)) for step in plan]),
        attempt=decision.attempt,
        tried=decision.tried and tuple(sorted([get(each, each) for each in decision.tried])),
        retry_of=decision.retry_of,
        basis=decision.basis,
    )


def _rows(rows: Iterable[RankedModel], names: Mapping[str, str]) -> list[RankedModel]:
    new = [(row, names.get(row.model_id, row.model_id)) for row in rows]
    return [row._replace(model_id=name, tally=row.tally._replace(model_id=name)) for row, name in new]
