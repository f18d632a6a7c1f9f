"""The columns of the table of policies in policies.md, each beside the shipped scenario with the same events.

The table does not give the rates. Those of the scenarios were chosen so that ``random`` and plain Thompson sampling
(uniform priors, each task type alone) have the regret that the table gives for them, within a tenth; the benchmark
prints both beside the table's figures.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from random import Random
from typing import Final, NamedTuple

from modelperf_plugin.analysis.simulation.scenario import Scenario, read_scenario
from modelperf_plugin.analysis.simulation.world import Task


class TableRow(NamedTuple):
    """What the table says of a scenario: cumulative regret."""

    random: float
    """A model drawn at random."""
    thompson: float
    """Thompson sampling, each task type alone."""
    pooled: float
    """The bold row: pooling, one z per decision, model-level change detection."""
    undetected: float
    """The same with ε = .01 and without the change detection."""


@dataclass(frozen=True)
class TableColumn:
    """One column of the table."""

    name: str
    """The head of the column."""
    shipped: str
    """The name of the scenario."""
    table: TableRow
    """What the table says."""
    runs: int
    """Simulations that bring the standard error of the product's regret to about 3 %."""

    @cached_property
    def scenario(self) -> Scenario:
        """The scenario itself."""
        return read_scenario(self.shipped)

    def tasks(self, run: int) -> list[Task]:
        """Return the tasks of one simulation: the same for every policy."""
        return list(self.scenario.tasks(Random(f"rates/{self.name}/{run}")))


def regret(
    choose: Callable[[Task], str], learn: Callable[[Task, str, bool], None], column: TableColumn, run: int
) -> float:
    """Return the expected successes lost against the best model offered, over all tasks of one simulation.

    The same ``run`` has the same rates and the same luck for every policy.
    """
    luck = Random(f"luck/{column.name}/{run}")
    waiting: deque[tuple[Task, str, bool]] = deque()
    lost = 0.0
    for task in column.tasks(run):
        model_id = choose(task)
        rate = task.rates[model_id]
        lost += max(task.rates.values()) - rate
        waiting.append((task, model_id, luck.random() < rate))
        if len(waiting) > column.scenario.feedback_delay:
            learn(*waiting.popleft())
    return lost


def random_regret(column: TableColumn, run: int) -> float:
    """Return what a random choice is expected to lose in one simulation, exactly."""
    return sum(max(task.rates.values()) - sum(task.rates.values()) / len(task.rates) for task in column.tasks(run))


SCENARIOS: Final = (
    TableColumn("stationary, 8 models", "stationary", TableRow(370, 34, 27, 32), 300),
    TableColumn("best one drops halfway", "best-drops", TableRow(370, 132, 45, 115), 300),
    TableColumn("new best arrives", "best-arrives", TableRow(342, 41, 33, 33), 300),
    TableColumn("20 task types, related", "related", TableRow(272, 161, 61, 62), 100),
    TableColumn("near tie", "near-tie", TableRow(20, 13, 11, 12), 300),
    TableColumn("feedback 20 late", "late-feedback", TableRow(370, 38, 40, 42), 300),
    TableColumn("poor one becomes best", "poor-becomes-best", TableRow(355, 140, 90, 95), 300),
    TableColumn("4 of 8 offered", "four-of-eight", TableRow(286, 35, 26, 28), 300),
    TableColumn("all at once", "all-at-once", TableRow(861, 409, 144, 215), 30),
    TableColumn("drifting", "drifting", TableRow(452, 56, 46, 52), 300),
    TableColumn("20 types, unrelated", "unrelated", TableRow(357, 175, 137, 139), 50),
    TableColumn("30 models", "thirty-models", TableRow(423, 78, 58, 62), 100),
)
