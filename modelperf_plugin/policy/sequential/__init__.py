"""Sequential tests, valid after every outcome. They do not import each other."""

from modelperf_plugin.policy.sequential.change_detection import Alarm, ChangeWatch, shifted
from modelperf_plugin.policy.sequential.fall_detection import FallWatch, Probation
from modelperf_plugin.policy.sequential.two_sample_test import Rate, Side, TwoSampleTest, Verdict, verdict

__all__ = [
    "Alarm", "ChangeWatch", "FallWatch", "Probation", "Rate", "Side", "TwoSampleTest", "Verdict", "shifted", "verdict",
]  # fmt: skip
