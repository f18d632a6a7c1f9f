"""Sequential tests: evidence that may be looked at after every outcome. Siblings that do not know each other."""

from __future__ import annotations

from modelperf_plugin.policy.sequential.change import Alarm, ChangeWatch, shifted
from modelperf_plugin.policy.sequential.fall import FallWatch, Probation
from modelperf_plugin.policy.sequential.versus import Rate, Side, Verdict, Versus, verdict

__all__ = [
    "Alarm",
    "ChangeWatch",
    "FallWatch",
    "Probation",
    "Rate",
    "Side",
    "Verdict",
    "Versus",
    "shifted",
    "verdict",
]
