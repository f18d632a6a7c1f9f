"""What is learned from all tallies together; kept in memory, and updated with each outcome."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Final

from modelperf_plugin.config import Config
from modelperf_plugin.engine.costs import Costs
from modelperf_plugin.engine.lateness import unless_late
from modelperf_plugin.engine.pending import Pending
from modelperf_plugin.engine.table_fit import SMALL_TABLE_CELLS, TableFit
from modelperf_plugin.engine.task_knowledge import TaskKnowledge
from modelperf_plugin.engine.weighing import WeighedCounts
from modelperf_plugin.errors import InvalidValueError, StoreBusyError
from modelperf_plugin.policy.belief import Belief
from modelperf_plugin.policy.cost.base import ModelCosts, PairCosts
from modelperf_plugin.policy.difficulty import Difficulty
from modelperf_plugin.policy.pooling import Cell, FitRow
from modelperf_plugin.store.exchange_roles import MergedExperience
from modelperf_plugin.store.local import local_read
from modelperf_plugin.store.roles import Tallies
from modelperf_plugin.values import DAY_MS, Tally
from modelperf_plugin.values.locks import first, is_held_here
from modelperf_plugin.values.recent import Recent

REFIT_OUTCOMES: Final = 25
"""A pass begins after this many outcomes, sooner at the start."""
CONTINUE_OUTCOMES: Final = 8
"""A pass that has begun continues after this many."""
EARLY_OUTCOMES: Final = 100
"""Up to this many outcomes, a choice advances the fit as soon as it is due."""
PATIENCE: Final = 2
"""Later a choice leaves that to recording calls, unless this many times as many outcomes are new."""
FIRST_CELLS, FIRST_PASSES = 1024, 12
"""Cells and passes of the first choice: passes make the fit converge, and a small table takes them all at once."""
SMALL_CELLS, SLICE_PASSES = 64, 2
"""Cells and passes of any other call while the table is small, where every outcome matters."""
SLICE_CELLS: Final = 32
"""Cells of a slice of a large table. A count, not a time: seeded runs are repeatable."""
DUE_SLICES: Final = 4
"""When the fit of a large table is due, this many calls advance it by a slice; the first visits the new rows."""
HURRY_SLICES: Final = 16
"""After a change of a model, of the configuration or of the day, this many choices in a row advance the fit."""
MAX_CELLS: Final = SMALL_TABLE_CELLS + 100
"""Minimum number of cells whose beliefs are kept, of the task types used last; at most twice as many are. A small table
is kept as a whole, or each look at all of its task types would read their counts again."""
MAX_NEW_ROWS: Final = 64
"""Up to this many rows with new outcomes wait to be visited before the others."""
NEW_CELLS: Final = 64
"""Approximate number of their cells that one call visits."""
REVISED: Final = -1
"""The edition of beliefs that a pass has found to be out of date."""
SECONDS_PER_DAY: Final = DAY_MS // 1000


class Learner:
    """Keeps the beliefs of each task type, and the fit behind them. Any thread may call any method.

    No call waits for more than a slice of the fit: a choice or record that finds it due advances it a little.
    """

    def __init__(
        self,
        tallies: Tallies,
        merged: MergedExperience,
        config: Callable[[], Config] = Config,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Learn from these roles of a store; ``now`` returns seconds since the Unix epoch."""
        self._now = now
        self._lock = threading.RLock()
        self._today = 0
        self._doubtful = False
        """Whether a thread changes the fit or, while it is not locked, has been interrupted."""
        self._tasks: Recent[str, TaskKnowledge] = Recent(MAX_CELLS)
        self._new_rows: dict[str, None] = {}
        self._visited_rows: list[str] = []
        self._new = self._hurry = self._slices = 0
        self._first = True
        self._costs = Costs(tallies, config, lambda: self._today)
        self._new_fit = partial(TableFit, tallies, merged, config, lambda: self._today, self._on_row)
        self._fit = self._new_fit()
        self.pending = Pending()

    @property
    def model_costs(self) -> ModelCosts:
        """The mean cost of a task with each model, over all task types."""
        return self._fit.model_costs

    def costs(self, task_type: str, tallies: Mapping[str, Tally]) -> PairCosts:
        """Return what is known of the costs of ``task_type``, whose tallies are ``tallies``."""
        with self._lock:
            return self._costs.for_decision(task_type, tallies, self._fit.model_costs)

    @property
    def is_behind(self) -> bool:
        """Whether slices of the fit are left that were due."""
        return self._slices > 0

    def difficulty(self, task_type: str) -> Difficulty:
        """Return how much the tasks of ``task_type`` differ in difficulty, as far as later tries have shown."""
        return self._fit.difficulty(task_type)

    def know(
        self, task_type: str, tallies: Mapping[str, Tally], candidates: Iterable[str], *, advance: bool = True
    ) -> Mapping[str, Belief]:
        """Return the posteriors of at least ``candidates`` on ``task_type``, whose tallies are ``tallies``.

        The mapping is the same object as long as none of them has changed. With ``advance`` the fit advances if it
        is due.
        """
        if self._doubtful:
            self._recover()
        with self._lock:
            task = self._tasks.get(task_type)
            advance = advance and local_read() is None  # that reads
            if task is None or task.tallies is not tallies or not self._is_settled(task, advance=advance):
                self._doubtful = True
                try:
                    task = self._current(task_type, tallies, advance=advance)
                except Exception:
                    self._doubtful = False
                    raise
                self._doubtful = False
            return task.know(candidates)

    def beliefs_of(self, model_id: str) -> dict[str, Belief]:
        """Return the posteriors of one model on the task types in use that have outcomes of it."""
        with self._lock:
            tasks = [(task_type, self._tasks.get(task_type)) for task_type in self._tasks]
            return {
                task_type: task.know([model_id])[model_id]
                for task_type, task in tasks
                if task is not None and model_id in task.tallies
            }

    def fit_rows(self, most: int | None = None) -> list[FitRow]:
        """Return the fit, for a later process to resume: that of all models, or of ``most`` of them, in turn."""
        with self._lock:
            return self._fit.rows(most)

    def resume(self, rows: Iterable[FitRow]) -> None:
        """Begin with the fit of an earlier process; raise InvalidValueError if ``rows`` are not one."""
        self._change(lambda: self._fit.resume(rows))

    def reset(self) -> None:
        """Discard all that depends on weights: a model or a setting has changed."""
        self._change(self._reset)

    def forget(self, task_type: str) -> None:
        """Discard what depends on the counts of a task type, which may be lower than before."""
        self._change(lambda: self._tasks.discard(task_type))

    @property
    def is_due(self) -> bool:
        """Whether a choice would advance the fit."""
        return self._wants_to_advance()

    def advance_if_due(self) -> None:
        """Advance the fit in the place of choices."""
        if self.is_due:
            self._change(self._advance_as_choices_do)

    def refit_if_due(self) -> bool:
        """Take a slice of the fit if enough outcomes are new, after an outcome was recorded; return whether it did."""
        if not self.is_behind and not self._is_new(1):
            return False
        self._change(self._refit)
        return True

    def _change(self, action: Callable[[], None]) -> None:
        """Run ``action``, which changes the fit in several steps; :meth:`know` does the same, a little faster."""
        if self._doubtful:
            self._recover()
        with self._lock:
            self._doubtful = True
            try:
                action()
            except Exception:
                self._doubtful = False
                raise
            self._doubtful = False

    def _recover(self) -> None:
        """Wait for the thread that changes the fit; if it was interrupted, start over from the sums that it left.

        Raises:
            StoreBusyError: it is this thread: a signal handler has interrupted it, and asks.
        """
        if is_held_here(self._lock):
            raise StoreBusyError("what was learned is being updated by the code that was interrupted for this")
        with self._lock:
            if self._doubtful:
                fit = self._new_fit()
                with suppress(InvalidValueError):
                    fit.resume(self._fit.rows())
                self._tasks.clear()
                self._fit, self._new_rows, self._doubtful = fit, {}, False

    def _reset(self) -> None:
        self._tasks.clear()
        self._costs.expire()
        self._fit.reconfigure()
        self._hurry = HURRY_SLICES

    def _refit(self) -> None:
        self._advance()
        self._prepare(self._visited_rows)

    def _is_settled(self, task: TaskKnowledge, *, advance: bool) -> bool:
        """Return whether the beliefs of a task type whose tallies have not changed can be used as they are."""
        if task.edition != self._fit.pool.edition or self._today != self._day():
            return False
        return not (advance and self._wants_to_advance())

    def _current(self, task_type: str, tallies: Mapping[str, Tally], *, advance: bool) -> TaskKnowledge:
        """Return the beliefs of a task type as of ``tallies`` and of the fit, advanced if it is due."""
        if self._today != self._day():
            self._today = self._day()  # all outcomes are a day older: weigh them again
            self._reset()
        task = self._tasks.get(task_type)
        if task is not None and task.tallies is not tallies:
            self._update(task_type, task, tallies)
        # beliefs from many sets of failed models: a call either advances the fit or derives them from it
        turns = task is not None and task.takes_turns
        is_current = task is not None and task.edition == self._fit.pool.edition
        if advance and self._wants_to_advance() and (is_current or not turns):
            self._advance_as_choices_do()
            task = self._tasks.get(task_type)
            is_current = turns or (task is not None and task.edition == self._fit.pool.edition)
        if task is None or not is_current:
            task = self._renew(task_type, tallies, task)
        return task

    def _advance_as_choices_do(self) -> None:
        if self._first:
            self._first = False
            self._go_on(FIRST_CELLS, FIRST_PASSES)
        else:
            self._advance()

    def _day(self) -> int:
        return int(self._now() // SECONDS_PER_DAY)

    def _wants_to_advance(self) -> bool:
        patience = 1 if self._fit.outcomes < EARLY_OUTCOMES else PATIENCE
        return not self._fit.complete or self._hurry > 0 or self._is_new(patience)

    def _is_new(self, factor: int) -> bool:
        most = CONTINUE_OUTCOMES if self._fit.is_under_way else REFIT_OUTCOMES
        return self._new >= factor * max(1, min(most, self._fit.outcomes // 4))

    def _update(self, task_type: str, task: TaskKnowledge, tallies: Mapping[str, Tally]) -> None:
        new = task.update(tallies)
        if new:
            self._new += new
            if len(self._new_rows) < MAX_NEW_ROWS:
                self._new_rows[task_type] = None

    def _advance(self) -> None:
        """Go on with the fit: at once with what is due in a small table, by a slice of it in a large one."""
        if self._fit.is_small:
            self._go_on(SMALL_CELLS, SLICE_PASSES)
        else:
            self._take_slice()

    def _go_on(self, cells: int, passes: int) -> None:
        """Visit the rows with new outcomes, and continue the pass."""
        self._begin()
        self._new = self._slices = 0
        self._visit_new_rows(SMALL_TABLE_CELLS)
        self._fit.advance(cells, passes)

    def _take_slice(self) -> None:
        """Visit rows with new outcomes or, if there are none or the last slice has, continue the pass."""
        self._begin()
        is_first = not self._slices
        if is_first:
            self._new, self._slices = 0, DUE_SLICES
        self._slices -= 1
        if is_first and self._visit_new_rows(NEW_CELLS):
            return
        if self._fit.advance(SLICE_CELLS, SLICE_PASSES) == SLICE_PASSES:
            self._slices = 0  # a small table: the rest would only repeat it

    def _begin(self) -> None:
        if self._fit.notices_merge():
            self._reset()
        self._hurry = max(0, self._hurry - 1)

    def _visit_new_rows(self, cells: int) -> bool:
        """Visit rows with new outcomes, about ``cells`` of them; return False if there are none."""
        self._visited_rows = []
        while self._new_rows and cells > 0:
            task_type = first(self._new_rows, "")
            self._new_rows.pop(task_type, None)
            task = self._tasks.get(task_type)
            if task is not None:
                self._fit.keep(task_type, task.beliefs)
                self._fit.visit(task_type, task.tallies, task.row)
                self._visited_rows.append(task_type)
                cells -= len(task.row)
        return bool(self._visited_rows)

    def _renew(self, task_type: str, tallies: Mapping[str, Tally], before: TaskKnowledge | None) -> TaskKnowledge:
        """Derive the beliefs of a task type from the newest fit; keep them if there is anything to keep."""
        if before is None:
            unread: WeighedCounts | None = None
            weighed = unless_late(lambda: self._fit.weigh_row(task_type, tallies), unread)
            if weighed is None:  # for this choice only
                return TaskKnowledge(self._fit, task_type, tallies, self._fit.weigh((), ()))
        else:
            weighed = before.weighed
            if before.edition != REVISED:
                self._fit.keep(task_type, before.beliefs)
        task = TaskKnowledge(self._fit, task_type, tallies, weighed)
        if task.row:
            self._tasks.put(task_type, task, 1 + len(task.row))
        return task

    def _prepare(self, task_types: Iterable[str]) -> None:
        """Renew the beliefs of these task types now, so that the next choice need not, unless that takes long."""
        cells = 0
        for task_type in task_types:
            task = self._tasks.get(task_type)
            if task is not None and task.edition != self._fit.pool.edition and not task.takes_turns:
                cells += len(task.row)
                if cells > SLICE_CELLS:
                    return
                self._renew(task_type, task.tallies, task).know(task.known)

    def _on_row(self, task_type: str, weighed: WeighedCounts, row: Mapping[str, Cell]) -> None:
        """Take over the weights that a pass has read: outcomes may be recorded late, under an earlier day."""
        task = self._tasks.get(task_type)
        if task is not None and row != task.row and not task.beliefs.resembles(row):
            task.weighed = weighed
            task.edition = REVISED
