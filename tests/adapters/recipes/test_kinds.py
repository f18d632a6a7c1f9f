"""What each recipe records for every way in which a provider can fail: the table of errors at the end of the page."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pytest

import modelperf_plugin as mp
from tests.adapters.provider import Provider
from tests.adapters.recipes.page import UNTIDY, ask, names_of
from tests.recorder.world import verdicts

pytestmark = UNTIDY

KINDS: Final = {
    "good": "good", "rate_limit": "rate_limit", "quota": "unavailable", "unauthorized": "unavailable",
    "forbidden": "unavailable", "not_found": "unavailable", "gone": "unavailable", "server_error": "server_error",
    "unavailable": "server_error", "overloaded": "server_error", "bad_request": "caller_error",
    "unprocessable": "caller_error", "too_long": "context_overflow", "filtered": "refused", "filter": "refused",
    "reset": "network",
}  # fmt: skip
"""What a provider does, and the kind that it is."""
_LITELLM: Final = {"gone": "caller_error", "reset": "server_error"}
LIBRARIES: Final[dict[str, tuple[str, dict[str, str]]]] = {
    "openai": ("openai", {}),
    "instructor": ("instructor", {"filter": "other"}),
    "google-adk": ("google.adk", {**_LITELLM, "filter": "failed"}),
    "crewai": ("crewai", {**_LITELLM, "unprocessable": "other", "filter": "other"}),
    "smolagents": ("smolagents", {"filter": "failed"}),
    "haystack": ("haystack", {"filter": "failed"}),
    "dspy": ("dspy", {**_LITELLM, "filter": "other"}),
    "autogen": ("autogen_ext", {"filter": "failed"}),
    "agent-framework": ("agent_framework.openai", {"filter": "failed"}),
    "strands": ("strands", {"filter": "failed"}),
}
"""What each library is imported as, and where it says something else than the provider."""
ANSWERS: Final = {"instructor": '{"name": "Ada"}', "dspy": "[[ ## answer ## ]]\ngood\n\n[[ ## completed ## ]]"}


@pytest.mark.parametrize("heading", LIBRARIES)
def test_kinds(heading: str, provider: Provider, tmp_path: Path) -> None:
    """An error is recorded as what it is, with the exceptions that the page names."""
    module, exceptions = LIBRARIES[heading]
    pytest.importorskip(module)
    provider.answers["m"] = ANSWERS.get(heading, "good")
    names: dict[str, Any] = names_of(heading, ["m"])
    found = {}
    with asyncio.Runner() as runner:
        for behaviour in KINDS:
            provider.behaviours["m"] = behaviour
            with mp.ModelPerf({"mode": "observe"}, store=tmp_path / f"{behaviour}.db") as perf:
                names["perf"] = perf
                with suppress(Exception):  # of the library, or because the answer is empty
                    ask(runner, names)
                found[behaviour] = [verdict for _, verdict in verdicts(perf)]
    assert found == {behaviour: [kind] for behaviour, kind in {**KINDS, **exceptions}.items()}
