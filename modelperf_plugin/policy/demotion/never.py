"""No demotion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from modelperf_plugin.policy.demotion.base import Unwatched
from modelperf_plugin.values import Tally


class NeverDemote(Unwatched):
    """No model is demoted; the ranking alone decides."""

    strategy: Literal["never"] = "never"

    def __call__(self, tallies: Sequence[Tally], in_force: Mapping[str, str] | None = None) -> list[str | None]:  # noqa: ARG002
        return [None] * len(tallies)
