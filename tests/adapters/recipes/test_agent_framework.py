"""The recipe for agent-framework."""

from __future__ import annotations

import pytest

import modelperf_plugin as mp
from tests.adapters.provider import Provider
from tests.adapters.recipes.page import UNTIDY, check

pytestmark = UNTIDY


def test_the_recipe_works_as_printed(perf: mp.ModelPerf, provider: Provider) -> None:
    """A model that fails, one that hangs and one that answers are recorded as such, and the answer is returned."""
    pytest.importorskip("agent_framework.openai")
    check("agent-framework", perf, provider)
