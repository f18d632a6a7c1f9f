"""The stores of the dashboard's other tests."""

from __future__ import annotations

from tests.dashboard.conftest import engine, filled, odd, retried, retrying

__all__ = ["engine", "filled", "odd", "retried", "retrying"]
