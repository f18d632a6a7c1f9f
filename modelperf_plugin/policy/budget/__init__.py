"""Budgets: how much may be spent in a period, and what money costs so that it lasts."""

from modelperf_plugin.policy.budget.menu import FREE, Menu, Price, cheapest_usd, price_of_money
from modelperf_plugin.policy.budget.outlook import Outlook, Spent, outlook
from modelperf_plugin.policy.budget.pacing import (
    Pace,
    assumed_usd,
    is_ahead,
    is_ample,
    pace,
    refused,
    usd_for_trials,
)
from modelperf_plugin.policy.budget.settings import Budget, Period, Then, window_start_ms

__all__ = [
    "FREE", "Budget", "Menu", "Outlook", "Pace", "Period", "Price", "Spent", "Then", "assumed_usd", "cheapest_usd",
    "is_ahead", "is_ample", "outlook", "pace", "price_of_money", "refused", "usd_for_trials",
    "window_start_ms",
]  # fmt: skip
