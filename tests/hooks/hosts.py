"""Small hosts for the tests of the hooks."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy
import pytest

from modelperf_plugin.engine.core import ModelPerf
from modelperf_plugin.store import open_store

PASSES_DEFAULTS = tuple(int(part) for part in pluggy.__version__.split(".")[:2]) >= (1, 7)
"""Whether this pluggy passes on the arguments that have a default in the host's specification."""

CANDIDATES = ["gpt-4o", "claude-opus", "llama-70b"]
WITH_SUCCESS = {"success": True}


def declare(
    pm: pluggy.PluginManager, *specs: Callable[..., Any], first: bool = True, historic: bool = False
) -> pluggy.PluginManager:
    """Declare functions as hooks of a host; ``select_model`` wants one answer if ``first``."""
    namespace = ModuleType("host")
    for spec in specs:
        mark = pluggy.HookspecMarker(pm.project_name)
        firstresult = first and spec.__name__ == "select_model"
        setattr(namespace, spec.__name__, mark(firstresult=firstresult, historic=historic)(spec))
    pm.add_hookspecs(namespace)
    return pm


def choose(pm: pluggy.PluginManager, **changed: Any) -> Any:
    """Ask a host's plugins for a model, with usable arguments but for those ``changed``."""
    return pm.hook.select_model(**{"task_type": "plan", "candidates": CANDIDATES, "context": None} | changed)


def complete(pm: pluggy.PluginManager, **changed: Any) -> Any:
    """Tell a host's plugins of an outcome, with usable arguments but for those ``changed``."""
    arguments = {"task_type": "plan", "model_id": "gpt-4o", "outcome": WITH_SUCCESS, "decision": None}
    return pm.hook.on_task_complete(**arguments | changed)


def samples(engine: ModelPerf, task_type: str = "plan") -> dict[str, int]:
    """Return how many outcomes of ``task_type`` each model has."""
    return {model_id: tally.samples for model_id, tally in engine.store.tallies.of(task_type).items()}


def is_sound(path: Path) -> bool:
    """Return whether tallies and roll-up of the file at ``path`` are the aggregate of its events."""
    store = open_store(path)
    try:
        return all(finding.ok for finding in store.maintenance.check())
    finally:
        store.close()


def count_rows(path: Path, relation: str) -> int:
    """Return how many rows another program sees in a relation of the file at ``path``."""
    connection = sqlite3.connect(path)
    try:
        (count,) = connection.execute(f"SELECT count(*) FROM {relation}").fetchone()
        return int(count)
    finally:
        connection.close()


def errors_logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the errors that the plugin has logged."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.name == "modelperf_plugin" and record.levelno >= logging.ERROR
    ]


def warnings_logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the warnings that the plugin has logged."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.name == "modelperf_plugin" and record.levelno == logging.WARNING
    ]
