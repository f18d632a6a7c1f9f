"""LiteLLM's adaptive router beside the product: the same tasks in the same order, and the same verdicts.

The adaptive router is its own class, ``AdaptiveRouter``, asked by ``pick_model``. It takes its verdicts from what users
write next, by regular expressions. The data have no conversations, so it gets the true verdict instead, by functions of
its own: ``SignalDelta`` (satisfaction or failure), ``_compute_bandit_delta`` and ``apply_delta``. Quality alone decides
(all costs are equal), and every model starts in the middle tier. It sorts prompts into seven fixed types. There are no
prompts either, so it runs twice: with all tasks of a set in one type, and with a type for each task type of the set,
more than it has. ``BENCH_SCALE`` and ``BENCH_OUTCOMES`` are as for the benchmark ``decisions``.
"""

from __future__ import annotations

import importlib
import os
import random
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from math import sqrt
from multiprocessing import get_context
from random import Random
from statistics import fmean, stdev
from typing import Any, Final, NamedTuple

from tests.benchmarks._peers import PRODUCT, ROUTERS, Router
from tests.benchmarks.decisions import CHANGED, OUTCOMES, PROCESSES, SCALE, TaskResults, before_and_after, core_of

ORDERS: Final = max(2, round(20 * SCALE))
SETS: Final = ("metr_runs_2025_01", "swebench_pro", "swebench_bash_only", "paretobandit_k4", "llmdrift_2023")
CHANGE: Final = "llmdrift_2023"
"""Its models change in the middle; what comes after that counts."""


class AdaptiveRouter:
    """LiteLLM's adaptive router, one for all task types or one for each."""

    def __init__(self, seed: int, *, per_task_type: bool) -> None:
        os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else the import downloads a price list
        folder = "litellm.router_strategy.adaptive_router."
        self._bandit: Any = importlib.import_module(folder + "bandit")
        self._signals: Any = importlib.import_module(folder + "signals")
        self._class: Any = importlib.import_module(folder + "adaptive_router").AdaptiveRouter
        self._types: Any = importlib.import_module("litellm.types.router")
        self._type = self._types.RequestType.CODE_GENERATION
        self._per_task_type = per_task_type
        self._routers: dict[str, Any] = {}
        random.seed(seed)  # it draws from the module's numbers

    def choose(self, task_type: str, candidates: Sequence[str]) -> str:
        """Return what ``pick_model`` picks."""
        key = task_type if self._per_task_type else ""
        if key not in self._routers:
            config = self._types.AdaptiveRouterConfig(available_models=list(candidates))
            self._routers[key] = self._class(key, config, model_to_prefs={}, model_to_cost={})
        try:
            self._routers[key].pick_model(self._type).send(None)  # it waits for nothing
        except StopIteration as picked:
            return str(picked.value)
        raise SystemExit("pick_model waits: the benchmark does not fit this version of LiteLLM")

    def learn(self, task_type: str, model_id: str, success: bool) -> None:
        """Add the verdict as ``record_turn`` adds its signals."""
        router = self._routers[task_type if self._per_task_type else ""]
        delta = self._signals.SignalDelta(satisfaction=int(success), failure=int(not success))
        cell = router.cell(self._type, model_id)
        router._cells[self._type, model_id] = self._bandit.apply_delta(cell, *router._compute_bandit_delta(delta))

    def close(self) -> None:
        """Do nothing."""


RIVALS: Final[Mapping[str, Callable[[int], Router]]] = {
    PRODUCT: ROUTERS[PRODUCT],
    "adaptive router, one type": lambda seed: AdaptiveRouter(seed, per_task_type=False),
    "adaptive router, a type for each": lambda seed: AdaptiveRouter(seed, per_task_type=True),
    "random": ROUTERS["random"],
}


class _Job(NamedTuple):
    source: str
    rival: str
    order: int


def main() -> None:
    """Print the success rates, and how far the product is ahead."""
    if not OUTCOMES.is_dir():
        print(f"skipped: {OUTCOMES} is not there (BENCH_OUTCOMES says where the outcomes are)")
        return
    try:
        version = importlib.import_module("importlib.metadata").version("litellm")
        AdaptiveRouter(0, per_task_type=False)
    except ImportError as error:
        print(f"skipped: {error} (the extra bench brings it)")
        return
    jobs = [_Job(*each) for each in product(SETS, RIVALS, range(ORDERS))]
    # a fresh interpreter for every process: forking after a library has started threads is not safe
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as executor:
        found: dict[tuple[str, str], list[float]] = {}
        for job, rate in zip(jobs, executor.map(_rate, jobs, chunksize=4), strict=True):
            found.setdefault((job.source, job.rival), []).append(rate)
    print(f"LiteLLM {version}: success rate in {ORDERS} orders of each set, ± standard error")
    print(f"{'':<34}" + "".join(f"{source:>20}" for source in SETS))
    for rival in RIVALS:
        print(f"{rival:<34}" + "".join(f"{_with_error(found[source, rival]):>20}" for source in SETS))
    print(f"{'best single model in hindsight':<34}" + "".join(f"{_best(source):>20.4f}" for source in SETS))
    for rival in list(RIVALS)[1:3]:
        ahead = [
            [ours - theirs for ours, theirs in zip(found[source, PRODUCT], found[source, rival], strict=True)]
            for source in SETS
        ]
        print(
            f"{'ahead of ' + rival.removeprefix('adaptive '):<34}"
            + "".join(f"{_with_error(e, '+'):>20}" for e in ahead)
        )
    sizes = (f"{source} {len(_models(source))} models × {len(_parts(source)[1])}" for source in SETS)
    print(f"({'; '.join(sizes)} tasks; of {CHANGE} those after the change)")


def _with_error(values: Sequence[float], sign: str = "") -> str:
    return f"{fmean(values):{sign}.4f} ± {stdev(values) / sqrt(len(values)):.4f}"


def _models(source: str) -> tuple[str, ...]:
    return tuple(CHANGED) if source == CHANGE else core_of(source)[0]


def _parts(source: str) -> tuple[list[TaskResults], list[TaskResults]]:
    """Return the tasks that come first and do not count, and those that do."""
    return before_and_after() if source == CHANGE else ([], core_of(source)[1])


def _best(source: str) -> float:
    counting = _parts(source)[1]
    return max(fmean(each.successes[model] for each in counting) for model in _models(source))


def _rate(job: _Job) -> float:
    """Return the success rate of a new rival; all rivals meet the same orders."""
    rng = Random(f"adaptive/{job.source}/{job.order}")
    first, counting = (rng.sample(part, len(part)) for part in _parts(job.source))
    models, got = _models(job.source), []
    rival = RIVALS[job.rival](rng.getrandbits(32))
    for task_type, successes in (*first, *counting):
        model_id = rival.choose(task_type, models)
        rival.learn(task_type, model_id, successes[model_id])
        got.append(successes[model_id])
    rival.close()
    return fmean(got[len(first) :])


if __name__ == "__main__":
    main()
