"""Sequential tests, valid after every outcome, and what they expect of later tries. They do not import each other."""

from modelperf_plugin.policy.sequential.change_detection import Alarm, ChangeWatch, shifted
from modelperf_plugin.policy.sequential.fall_detection import FallWatch, Probation
from modelperf_plugin.policy.sequential.later_tries import LaterTry, later_try
from modelperf_plugin.policy.sequential.sample_ratio import Reported, SampleRatio, excess, sample_ratio
from modelperf_plugin.policy.sequential.two_sample_test import Rate, Side, TwoSampleTest, Verdict, verdict

__all__ = [
    "Alarm",
    "ChangeWatch",
    "FallWatch",
    "LaterTry",
    "Probation",
    "Rate",
    "Reported",
    "SampleRatio",
    "Side",
    "TwoSampleTest",
    "Verdict",
    "excess",
    "later_try",
    "sample_ratio",
    "shifted",
    "verdict",
]
