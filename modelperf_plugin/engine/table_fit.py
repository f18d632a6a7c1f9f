"""Fits the pool to a whole store, in steps so small that a choice or a record can take one along."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from typing import Final

from modelperf_plugin.config import Config
from modelperf_plugin.engine.merged_costs import MergedCosts
from modelperf_plugin.engine.weighing import VoidRows, WeighedCounts
from modelperf_plugin.policy.cost.base import ExpectedCost
from modelperf_plugin.policy.difficulty import Difficulty
from modelperf_plugin.policy.pooling import (
    NO_LATER,
    SWEEPS,
    Cell,
    Equivalent,
    FitRow,
    LaterRow,
    ModelPrior,
    PackedRows,
    Pool,
    RowSums,
    SpreadFit,
    TaskBeliefs,
)
from modelperf_plugin.store import Prior
from modelperf_plugin.store.exchange_roles import MergedExperience
from modelperf_plugin.store.roles import Tallies
from modelperf_plugin.text import has_later_tries
from modelperf_plugin.values import NANO_USD, Tally, most_sets

STEP_PAIRS: Final = 40
LARGE_TABLE_STEP_PAIRS: Final = 24
"""Up to this many pairs are read at once, fewer if their history is long."""
SMALL_TABLE_CELLS: Final = 1000
"""A larger table is fitted in smaller steps, because there are more of them to take."""
DAYS_PER_CELL: Final = 8
"""Reading this many rows of the daily roll-up takes as long as fitting a cell."""
CELLS_PER_SET: Final = 2
"""Deriving what the later tries after one set of failed models say takes as long as fitting so many cells, and so does
asking them for the spread of difficulty."""
FEW_SETS: Final = 96
"""What later tries say is derived whenever beliefs are, in a row with up to so many sets, and else by passes only."""
STEP_CELLS: Final = 12
"""Starting a step takes as long as fitting this many cells."""
STEP_MODELS: Final = 256
"""So many models are revised at once, which takes as long as fitting a quarter as many cells."""

FIRST_STEPS: Final = 64
"""During a first pass, beliefs are derived again after 1, 2, 4, 8 … steps, and then every this many steps."""

OnRow = Callable[[str, WeighedCounts, Mapping[str, Cell]], None]


class TableFit:
    """The pool of a store, and where the pass over its rows is. For one thread at a time."""

    def __init__(
        self,
        tallies: Tallies,
        merged: MergedExperience,
        config: Callable[[], Config],
        today: Callable[[], int],
        on_row: OnRow,
    ) -> None:
        """Fit these roles of a store; ``today`` returns days since the Unix epoch.

        ``on_row`` is called with the weights and the cells of each row that a pass visits.
        """
        self._store = tallies
        self._elsewhere = merged
        self._config = config
        self._today = today
        self._on_row = on_row
        self.pool = Pool()
        self._spread = SpreadFit()
        self._equivalents = PackedRows(len(Equivalent._fields))
        """What later tries say, so that it is not derived again by every choice."""
        self.outcomes = 0
        """Outcomes of all rows, as of the last pass."""
        self.complete = False
        """Whether a pass has ended since the start."""
        self.is_under_way = False
        """Whether a pass has begun and not ended."""
        self.model_costs: dict[str, ExpectedCost] = {}
        """The mean cost of a task with each model, over all task types visited, else as configured or merged."""
        self._costs, self._merged_costs = RowSums(), MergedCosts()
        self._voids = VoidRows()
        self._merged: tuple[float, ...] = ()
        self._saved_models = self._first_steps = 0
        self._pairs = 0
        self._steps = self._pass()
        self.reconfigure()

    @property
    def is_small(self) -> bool:
        """Whether the table is small, as far as it has been read."""
        return self._pairs <= SMALL_TABLE_CELLS

    @property
    def _step_pairs(self) -> int:
        return STEP_PAIRS if self.is_small else LARGE_TABLE_STEP_PAIRS

    def resume(self, rows: Iterable[FitRow]) -> None:
        """Begin with the fit of an earlier process; raise InvalidValueError if ``rows`` are not one."""
        self.pool = Pool.from_rows(rows, self.pool.priors)
        self._spread = SpreadFit(self.pool.log_spread)

    def rows(self, most: int | None = None) -> list[FitRow]:
        """Return the fit for a later process: that of all models, or of ``most`` of them, in turn."""
        models = self.pool.model_ids()
        if most is not None and most < len(models):
            start = self._saved_models % len(models)
            self._saved_models += most
            models = (models[start:] + models[:start])[:most]
        return list(self.pool.rows(models))

    def reconfigure(self) -> None:
        """Use the configuration in force; what is fitted already stays until its row is visited again."""
        config = self._config()
        self.pool.priors = {
            model_id: ModelPrior.of(model.prior_success, model.prior_strength)
            for model_id, model in config.models.items()
            if model.prior_success is not None
        }
        self._voids.expire()
        self.model_costs.clear()
        self._set_costs({*self._costs.totals, *config.models, *self._merged_costs})

    def notices_merge(self) -> bool:
        """Return whether other projects' tallies were merged or removed since the last call."""
        before, self._merged = self._merged, self._elsewhere.version()
        if before != self._merged:
            self._merged_costs = MergedCosts()
        return before != self._merged

    def advance(self, cells: int, passes: int) -> int:
        """Go on with the pass for about as long as fitting ``cells`` cells takes; return how many ``passes`` ended.

        No more of them than ``passes`` do.
        """
        ended = 0
        while cells > 0 and ended < passes:
            cost = next(self._steps, None)
            if cost is None:
                ended += 1
                self._steps = self._pass()
            else:
                cells -= cost
                self._count_step()
        return ended

    def weigh(self, task_types: Iterable[str], tallies: Iterable[Tally]) -> WeighedCounts:
        """Return the weights of the tallies of some task types, as of today."""
        priors: list[Prior] = []
        if any(self._merged):
            names = list(task_types)
            priors = self._elsewhere.priors((min(names), max(names))) if names else []
            self._merged_costs.take(priors)
        return WeighedCounts(self._config(), self._store, tallies, self._today(), priors)

    def weigh_row(self, task_type: str, tallies: Mapping[str, Tally]) -> WeighedCounts:
        """Return the weights of one row; it is visited unless that was done today and the table is large."""
        known = None if self.is_small or any(self._merged) else self._voids.get(task_type)
        if known is not None:
            return WeighedCounts(self._config(), self._store, (), self._today(), known=known)
        weighed = self.weigh([task_type], tallies.values())
        row = weighed.row(task_type, tallies)
        if has_later_tries(tallies.values()):
            row = self.beliefs(task_type, tallies, weighed).cells
        self.visit(task_type, tallies, row)
        self._keep(task_type, tallies, weighed)
        return weighed

    def difficulty(self, task_type: str) -> Difficulty:
        """Return how much the tasks of a type differ in difficulty, as far as later tries have shown."""
        return self._spread.difficulty(task_type)

    def later(self, task_type: str, tallies: Mapping[str, Tally], weighed: WeighedCounts) -> LaterRow:
        """Return the weighed later tries of a row."""
        if not has_later_tries(tallies.values()):
            return NO_LATER
        sets = self._store.later(task_type)
        most = most_sets(len(sets))
        return {
            model_id: weighed.later(tally, sets[model_id], most)
            for model_id, tally in tallies.items()
            if model_id in sets
        }

    def beliefs(
        self, task_type: str, tallies: Mapping[str, Tally], weighed: WeighedCounts, *, derive: bool = True
    ) -> TaskBeliefs:
        """Return the beliefs about a row from its counts; ``derive`` what later tries say unless it is known."""
        later = self.later(task_type, tallies, weighed)
        row = weighed.row(task_type, tallies)
        are_few = sum(map(len, later.values())) <= FEW_SETS
        numbers = {} if are_few else self._equivalents.get(task_type)
        known = {model_id: Equivalent(*each) for model_id, each in numbers.items()}
        sweeps = (SWEEPS if are_few else 1) if derive else 0
        beliefs = TaskBeliefs(self.pool, task_type, row, later, self.difficulty(task_type), known, sweeps)
        if sweeps and not known:
            self.keep(task_type, beliefs)
        return beliefs

    def keep(self, task_type: str, beliefs: TaskBeliefs) -> None:
        """Keep what is known of the later tries of a row, if there are many."""
        self._equivalents.put(task_type, beliefs.known if beliefs.sets > FEW_SETS else {})

    def visit(
        self, task_type: str, tallies: Mapping[str, Tally], row: Mapping[str, Cell], *, in_pass: bool = False
    ) -> None:
        """Take in a row as it is now: its tallies and, weighed, its cells."""
        self.pool.visit(task_type, row, in_pass=in_pass)
        costs = {
            model_id: (float(tally.total_cost_nano_usd), float(tally.priced))
            for model_id, tally in tallies.items()
            if tally.priced
        }
        if costs or task_type in self._costs:
            self._set_costs(self._costs.replace(task_type, costs))

    def _count_step(self) -> None:
        """Have beliefs derived again during a first pass, as often as there is much that is new."""
        if not self.complete:
            self._first_steps += 1
            if self._first_steps & (self._first_steps - 1) == 0 or self._first_steps % FIRST_STEPS == 0:
                self.pool.edition += 1

    def _pass(self) -> Iterator[int]:
        """Visit every row once, then every model; each step yields how many cells could be fitted in its time."""
        self.is_under_way = True
        self.pool.begin_pass()
        outcomes, after, pairs, read = 0, "", self._step_pairs, 0
        while page := self._store.page(after, pairs):
            tallies = [tally for row in page.values() for tally in row.values()]
            days = yield from self._visit_page(page, tallies)
            outcomes += sum([tally.samples for tally in tallies])
            read += len(tallies)
            self._pairs = max(self._pairs, read)
            after = max(page)
            yield STEP_CELLS + len(tallies) + days // DAYS_PER_CELL
            pairs = max(1, round(self._step_pairs / (1 + days / len(tallies) / DAYS_PER_CELL)))
        last = (0, "")
        while any(self._merged) and (named := self._elsewhere.task_types(last, STEP_PAIRS // 4)):
            others: dict[str, Mapping[str, Tally]] = {
                task_type: {} for _, task_type in named if not self._store.of(task_type)
            }
            yield from self._visit_page(others, [])
            last = named[-1]
            yield STEP_CELLS + STEP_PAIRS
        models = self.pool.model_ids()
        for start in range(0, len(models), STEP_MODELS):
            self.pool.revise(models[start : start + STEP_MODELS])
            yield min(STEP_MODELS, len(models)) // 4
        self.pool.end_pass()
        if any(self._merged):
            self._set_costs(self._merged_costs.rescale(self.model_costs))
        if self._spread.end_pass():
            self.pool.edition += 1
        self.pool.log_spread = self._spread.log_spread
        self.outcomes, self._pairs = outcomes, read
        self.complete, self.is_under_way = True, False

    def _visit_page(self, page: Mapping[str, Mapping[str, Tally]], tallies: list[Tally]) -> Generator[int, None, int]:
        """Visit some rows; return how many rows of the daily roll-up were read.

        Those with later tries come last: they take steps of their own, between which anything may change.
        """
        weighed = self.weigh(page, tallies)
        with_later = self._visit_first_tries(page, weighed)
        days, cost, is_current = weighed.days, 0, True
        for task_type in with_later:
            models = page[task_type]
            if not is_current:
                models, weighed = self._read(task_type)
            beliefs = self.beliefs(task_type, models, weighed, derive=False)
            cost, is_whole = cost + beliefs.sets, True
            for step in self._derive(task_type, beliefs):
                cost += step
                if cost >= STEP_CELLS:
                    yield cost
                    cost, is_current, is_whole = 0, False, False
            if not is_whole:
                if beliefs.sets > FEW_SETS:
                    yield STEP_CELLS + cost
                    cost = 0
                models, weighed = self._read(task_type)
                beliefs = self.beliefs(task_type, models, weighed)
                cost += beliefs.sets
            self._visit_in_pass(task_type, models, weighed, beliefs.cells)
            if beliefs.sets > FEW_SETS:
                yield cost
                cost, is_current = 0, False
        if cost:
            yield cost
        return days

    def _visit_first_tries(self, page: Mapping[str, Mapping[str, Tally]], weighed: WeighedCounts) -> list[str]:
        """Visit the rows without later tries; return the task types of the others."""
        with_later = []
        for task_type, models in page.items():
            if has_later_tries(models.values()):
                with_later.append(task_type)
            else:
                self._spread.forget(task_type)
                self._equivalents.put(task_type, {})
                self._visit_in_pass(task_type, models, weighed, weighed.row(task_type, models))
        return with_later

    def _visit_in_pass(
        self, task_type: str, tallies: Mapping[str, Tally], weighed: WeighedCounts, row: Mapping[str, Cell]
    ) -> None:
        self.visit(task_type, tallies, row, in_pass=True)
        self._keep(task_type, tallies, weighed)
        self._on_row(task_type, weighed, row)

    def _read(self, task_type: str) -> tuple[Mapping[str, Tally], WeighedCounts]:
        tallies = self._store.of(task_type)
        return tallies, self.weigh([task_type], tallies.values())

    def _derive(self, task_type: str, beliefs: TaskBeliefs) -> Iterator[int]:
        """Derive what the later tries of a row say, about its models and about difficulty; yield costs, in cells."""
        for _ in range(1 if beliefs.known else SWEEPS):
            for sets in beliefs.revise():
                yield CELLS_PER_SET * sets
        for sets in self._spread.steps(task_type, beliefs):
            yield CELLS_PER_SET * sets
        self.keep(task_type, beliefs)

    def _keep(self, task_type: str, tallies: Mapping[str, Tally], weighed: WeighedCounts) -> None:
        """Keep the void counts of a row for the rest of the day."""
        if tallies and not any(self._merged):
            self._voids.put(task_type, weighed.voids(tallies.values()))

    def _set_costs(self, model_ids: Iterable[str]) -> None:
        configured = self._config().models
        for model_id in model_ids:
            known = self._merged_costs.get(model_id)
            cost, outcomes = self._costs.totals.get(model_id, (0.0, 0.0))
            if outcomes:
                known = ExpectedCost(cost / NANO_USD / outcomes, "model", round(outcomes))
            elif (model := configured.get(model_id)) is not None and model.cost_usd is not None:
                known = ExpectedCost(model.cost_usd, "configured")
            if known is None:
                self.model_costs.pop(model_id, None)
            else:
                self.model_costs[model_id] = known
