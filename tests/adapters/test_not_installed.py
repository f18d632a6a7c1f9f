"""An adapter whose framework is not installed says so in one line."""

from __future__ import annotations

import sys

import pytest

import modelperf_plugin as mp


@pytest.mark.parametrize(("adapter", "framework"), [("llm", "llm"), ("bub", "bub")])
def test_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch, adapter: str, framework: str) -> None:
    """The error is one of this package, and tells what to install."""
    monkeypatch.setitem(sys.modules, framework, None)
    monkeypatch.delitem(sys.modules, f"modelperf_plugin.adapters.{adapter}", raising=False)
    with pytest.raises(mp.ModelPerfError, match=rf'pip install "modelperf-plugin\[{adapter}\]"'):
        __import__(f"modelperf_plugin.adapters.{adapter}")
