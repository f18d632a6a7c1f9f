"""The demo's world: models that succeed as often as they were measured to, at the prices they were sold at."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from modelperf_plugin.analysis.simulation.scenario import parse_scenario

SOURCES: Final = (
    "Success rates: the benchmark table in the README of github.com/openai/simple-evals (commit 0f2cf333).",
    "Prices: model_prices_and_context_window.json of github.com/BerriAI/litellm (commit 19a1f629).",
    "Made up: task types, tokens, durations, outages and timeouts.",
)
"""Where the figures of :data:`WORLD` come from, one sentence each, to be shown beside them."""

WORLD: Final = parse_scenario((files(__package__) / "world.toml").read_text(encoding="utf-8"), "world.toml")
"""Six kinds of work and six models; whether a task succeeds is drawn with the published rate, independently."""
