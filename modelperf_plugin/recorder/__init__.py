"""Runs the calls of a host: chooses a model, falls back, and records every try. Uses the standard library only."""

from modelperf_plugin.recorder.classifying import classify
from modelperf_plugin.recorder.task import Attempt, Task
from modelperf_plugin.recorder.usage import tokens_of

__all__ = ["Attempt", "Task", "classify", "tokens_of"]
