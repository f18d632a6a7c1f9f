"""The examples in docstrings are true."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import modelperf_plugin
from modelperf_plugin.errors import MissingExtraError

MODULES = sorted(
    each.name
    for each in pkgutil.walk_packages(modelperf_plugin.__path__, "modelperf_plugin.")
    if not each.name.endswith("__main__")
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_are_true(name: str) -> None:
    """Every example in the docstrings of a module gives what stands below it."""
    try:
        module = importlib.import_module(name)
    except (MissingExtraError, ModuleNotFoundError) as error:  # a framework is not installed
        if str(getattr(error, "name", "")).startswith("modelperf_plugin"):
            raise
        pytest.skip(str(error))
    assert doctest.testmod(module).failed == 0


def test_there_are_examples() -> None:
    """The formulas have examples with exact numbers."""
    assert doctest.testmod(importlib.import_module("modelperf_plugin.policy.intervals")).attempted > 0
