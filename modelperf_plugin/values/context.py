"""What a host may tell about one task besides its type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from modelperf_plugin.errors import InvalidValueError
from modelperf_plugin.values.ids import check_amount, check_id, check_ids


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a host may tell about one task besides its type; unknown keys are ignored."""

    pin: str | None = None
    """Use this model regardless of the policy; it must be one of the candidates."""
    unit_id: str | None = None
    """Whom or what the task is for (a user, a repository): in an A/B test one unit always gets the same side."""
    exclude: frozenset[str] = frozenset()
    """Models not to use, for example because this task has already tried them."""
    max_cost_usd: float | None = None
    """Maximum cost of this task in US dollars, compared with each model's mean cost on this task type."""

    @property
    def plain(self) -> bool:
        """Whether it affects neither the permitted candidates nor their ranking."""
        return self.pin is None and not self.exclude and self.max_cost_usd is None

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any] | None) -> Context:
        """Read the four keys from ``mapping``.

        Raises:
            InvalidValueError: one of them is not usable.
        """
        if mapping is None:
            return NO_CONTEXT
        if not isinstance(mapping, Mapping):
            raise InvalidValueError("context", "a mapping or None", mapping)
        if not mapping:
            return NO_CONTEXT
        pin, unit_id = mapping.get("pin"), mapping.get("unit_id")
        exclude, max_cost_usd = mapping.get("exclude"), mapping.get("max_cost_usd")
        return cls(
            pin=None if pin is None else check_id("context['pin']", pin),
            unit_id=None if unit_id is None else check_id("context['unit_id']", unit_id),
            exclude=frozenset() if exclude is None else frozenset(check_ids("context['exclude']", exclude)),
            max_cost_usd=None if max_cost_usd is None else check_amount("context['max_cost_usd']", max_cost_usd),
        )


NO_CONTEXT: Final = Context()
