"""A simulated world: models that succeed as often as they were measured to, at the prices they were sold at.

What is published:

- How often each model succeeds at each kind of work is the result of one benchmark, from the table in the
  README of openai/simple-evals at commit 0f2cf33303b9f20bc2db18f04a2fefdf69bb0dd8 (MIT). The models were not
  all measured alike (newer ones on MATH-500 in place of MATH; Claude 3.5 Sonnet as reported, its prompt
  unknown), and the F1 score of DROP is read as a rate like the others: good enough to learn in, not to compare
  models by.
- Prices are those of ``model_prices_and_context_window.json`` in BerriAI/litellm at commit
  19a1f629eb6fafde70968ef4815463eb08143aac (MIT), without caching or batches.

What is made up: the names of the task types, how many tokens and seconds a task takes, and how often a
provider fails or a time limit is hit. Whether one task succeeds is drawn with the published rate,
independently of all others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp, log
from random import Random
from types import MappingProxyType
from typing import Final

from modelperf_plugin.errors import InvalidValueError
from modelperf_plugin.values import ErrorKind, Outcome

SOURCES: Final = (
    "Success rates: the benchmark table in the README of github.com/openai/simple-evals (commit 0f2cf333).",
    "Prices: model_prices_and_context_window.json of github.com/BerriAI/litellm (commit 19a1f629).",
    "Made up: task types, tokens, durations, outages and timeouts.",
)
"""Where the figures of :data:`WORLD` come from, one sentence each, to be shown beside them."""

_OUTAGES: Final[tuple[ErrorKind, ...]] = ("rate_limit", "server_error")
_SPREAD: Final = 0.5
"""Standard deviation of the logarithm of a token count."""
_RUNAWAY: Final = 4
"""How many times as many tokens are written before the time limit stops a model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedTaskType:
    """One class of work, under the name that an orchestrator would give it."""

    benchmark: str
    """The benchmark whose results are its success rates."""
    input_tokens: int
    """Median tokens read."""
    output_tokens: int
    """Median tokens written by a model that does not reason at length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedModel:
    """One model."""

    success: Mapping[str, float]
    """For each benchmark the share of its tasks that the model solved, 0 to 1."""
    input_usd: float
    """Price of a million tokens read, in US dollars."""
    output_usd: float
    """Price of a million tokens written, in US dollars."""
    verbosity: float = 1.0
    """How many times as many tokens it writes, thinking included."""
    tokens_per_second: float = 80.0
    """How fast it writes."""

    def cost_usd(self, input_tokens: float, output_tokens: float) -> float:
        """Return the price of one call in US dollars."""
        return (input_tokens * self.input_usd + output_tokens * self.output_usd) / 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Models, task types and what happens when one meets the other."""

    task_types: Mapping[str, SimulatedTaskType]
    """The classes of work, by name; every one is equally frequent."""
    models: Mapping[str, SimulatedModel]
    """The models, by model id."""
    outage_share: float = 0.01
    """Share of the calls that fail because the provider does."""
    timeout_share: float = 0.05
    """Share of the failures that are due to the time limit."""

    def expected_success(self, task_type: str, model_id: str) -> float:
        """Return how likely the model is to succeed, provided its provider does not fail."""
        task, model = self._find(task_type, model_id)
        return model.success[task.benchmark]

    def expected_cost_usd(self, task_type: str, model_id: str) -> float:
        """Return what one task costs on average in US dollars, provided the provider does not fail."""
        task, model = self._find(task_type, model_id)
        timeouts = self.timeout_share * (1 - model.success[task.benchmark])
        written = task.output_tokens * model.verbosity * (1 + (_RUNAWAY - 1) * timeouts)
        # the mean of a log-normal variable is its median times exp(σ²/2)
        return exp(_SPREAD**2 / 2) * model.cost_usd(task.input_tokens, written)

    def best_model(self, task_type: str) -> str:
        """Return the model that is most likely to succeed."""
        return max(self.models, key=lambda model_id: self.expected_success(task_type, model_id))

    def best_single_model(self, counts: Mapping[str, int] | None = None) -> str:
        """Return the model that is most likely to succeed over all task types.

        ``counts`` says how often each task type occurs; without it they are equally frequent.
        """
        weights = dict.fromkeys(self.task_types, 1) if counts is None else counts
        return max(
            self.models,
            key=lambda model_id: sum(
                weight * self.expected_success(name, model_id) for name, weight in weights.items()
            ),
        )

    def run_task(self, rng: Random, task_type: str, model_id: str) -> Outcome:
        """Return what happens when the model tries one task of this type, drawn from ``rng``."""
        task, model = self._find(task_type, model_id)
        if rng.random() < self.outage_share:
            seconds = round(rng.uniform(0.2, 5.0), 3)
            return Outcome(success=False, duration_seconds=seconds, error_kind=rng.choice(_OUTAGES))
        success = rng.random() < model.success[task.benchmark]
        timeout = not success and rng.random() < self.timeout_share
        read = _tokens(rng, task.input_tokens)
        written = _tokens(rng, task.output_tokens * model.verbosity * (_RUNAWAY if timeout else 1))
        return Outcome(
            success=success,
            timeout=timeout,
            tokens_used=read + written,
            cost_usd=model.cost_usd(read, written),
            duration_seconds=round(0.5 + written / model.tokens_per_second, 3),
        )

    def _find(self, task_type: str, model_id: str) -> tuple[SimulatedTaskType, SimulatedModel]:
        if task_type not in self.task_types:
            raise InvalidValueError("task_type", f"one of {', '.join(self.task_types)}", task_type)
        if model_id not in self.models:
            raise InvalidValueError("model_id", f"one of {', '.join(self.models)}", model_id)
        return self.task_types[task_type], self.models[model_id]


def _tokens(rng: Random, median: float) -> int:
    return max(1, round(rng.lognormvariate(log(median), _SPREAD)))


_BENCHMARKS: Final = ("GPQA", "MATH", "HumanEval", "MGSM", "DROP", "SimpleQA")
_THINKING: Final = 6.0
"""How many times as many tokens a reasoning model writes (made up)."""


def _model(percent: tuple[float, ...], usd: tuple[float, float], verbosity: float = 1.0) -> SimulatedModel:
    """Return a model that solves ``percent`` of each benchmark, for ``usd`` a million tokens (in, out)."""
    success = {name: share / 100 for name, share in zip(_BENCHMARKS, percent, strict=True)}
    return SimulatedModel(success=MappingProxyType(success), input_usd=usd[0], output_usd=usd[1], verbosity=verbosity)


WORLD: Final = World(
    task_types=MappingProxyType(
        {
            "write-code": SimulatedTaskType(benchmark="HumanEval", input_tokens=400, output_tokens=300),
            "solve-math": SimulatedTaskType(benchmark="MATH", input_tokens=250, output_tokens=500),
            "multilingual-math": SimulatedTaskType(benchmark="MGSM", input_tokens=250, output_tokens=250),
            "graduate-science": SimulatedTaskType(benchmark="GPQA", input_tokens=350, output_tokens=600),
            "read-document": SimulatedTaskType(benchmark="DROP", input_tokens=1500, output_tokens=100),
            "recall-facts": SimulatedTaskType(benchmark="SimpleQA", input_tokens=100, output_tokens=60),
        }
    ),
    models=MappingProxyType(
        {
            "o3": _model((82.8, 97.8, 87.4, 92.3, 80.6, 49.4), (2.0, 8.0), _THINKING),
            "o4-mini": _model((77.6, 97.5, 97.3, 93.7, 77.7, 20.2), (1.1, 4.4), _THINKING),
            "gpt-4.5-preview": _model((69.5, 87.1, 88.6, 86.9, 83.4, 62.5), (75.0, 150.0)),
            "claude-3-5-sonnet": _model((59.4, 71.1, 92.0, 91.6, 87.1, 28.9), (3.0, 15.0)),
            "gpt-4.1-mini": _model((65.0, 81.4, 93.8, 88.2, 81.0, 16.8), (0.4, 1.6)),
            "gpt-4.1-nano": _model((50.3, 62.3, 87.0, 73.0, 82.2, 7.6), (0.1, 0.4)),
        }
    ),
)
"""Six kinds of work and six models, of which none is the best at everything.

The prices are of ``o3``, ``o4-mini``, ``gpt-4.5-preview-2025-02-27``, ``claude-3-5-sonnet-20240620``,
``gpt-4.1-mini`` and ``gpt-4.1-nano``.
"""
