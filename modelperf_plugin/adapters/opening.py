"""The engine of a program that people run in many directories: one store for all of them, unless one is configured."""

from __future__ import annotations

from pathlib import Path

from modelperf_plugin.config import load
from modelperf_plugin.engine.core import ModelPerf
from modelperf_plugin.errors import StoreError
from modelperf_plugin.log import logger


def engine_with(default_store: Path) -> ModelPerf:
    """Return an engine with the configured store, or else with ``default_store``.

    The program works without a store: then its models are used in their order.

    Raises:
        ConfigError: the configuration is invalid.
    """
    store = None if load().names_store else default_store
    try:
        return ModelPerf(store=store)
    except StoreError as error:
        logger.error("answers are not recorded: %s", error)
        return ModelPerf({"mode": "off"}, store=":memory:")
