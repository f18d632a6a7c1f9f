"""Stores: where outcomes and tallies are kept. Knows no policy."""

from __future__ import annotations

from modelperf_plugin.store.base import CountedProblem, Entry, Finding, Store
from modelperf_plugin.store.opening import open_store

__all__ = ["CountedProblem", "Entry", "Finding", "Store", "open_store"]
