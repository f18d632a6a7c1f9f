"""Plans: the order in which to try models until one solves the task, and when to stop.

For each model in turn the expected cost grows by Σq·c, and the weights q of the difficulties become q·(1 − p(u)), with
p(u) the chance of the model on a task of difficulty u: what is left is what all so far have failed. See
:mod:`modelperf_plugin.policy.difficulty`.

What a set of models leaves unsolved does not depend on their order, so the cheapest order of a set continues the
cheapest order of a smaller one. The search therefore looks at sets, not at orders. It is exact up to ``MAX_SETS`` sets
of one size; of more, it continues those that solve most, those that cost least, and those that do both.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from math import comb, inf
from operator import itemgetter, mul
from typing import Final, NamedTuple

from modelperf_plugin.policy.difficulty import Difficulty, Profile

MAX_SETS: Final = 60
"""Sets of models of one size that are continued."""
LOGITS_PER_STEP: Final = 1 / 64
"""Log-odds are rounded to this for profiles, so that they are found again: .002 in a chance at most."""
_MIN_WEIGHT: Final = 1e-3
"""Difficulties that are less likely do not matter to a plan."""

Order = tuple[int, ...]
"""Positions of models."""
Utility = Callable[[float, float], float]
"""What a chance to be solved at an expected cost is worth: more with the chance, less with the cost."""


class Setting(NamedTuple):
    """A task about to be tried: how many tries are left, and the difficulties that remain possible."""

    difficulty: Difficulty
    attempts: int
    max_usd: float
    """Maximum expected cost of all tries together."""
    start: int
    """The first node of the difficulty that matters."""
    weights: Profile
    """Probabilities of the nodes from there on."""
    tried: tuple[int, ...] = ()
    """The log-odds of the models that have failed, in steps."""

    @classmethod
    def of(
        cls, difficulty: Difficulty, attempts: int, tried: Sequence[float] = (), max_usd: float | None = None
    ) -> Setting:
        """Return the setting after models with the log-odds ``tried`` have failed."""
        keys = tuple(sorted([round(each / LOGITS_PER_STEP) for each in tried]))
        return _setting(difficulty, attempts, keys, inf if max_usd is None else max_usd)

    def is_near(self, other: Setting, spread: float) -> bool:
        """Return whether spread and failed models differ by ``spread`` at most."""
        return abs(self.difficulty.spread - other.difficulty.spread) <= spread and all(
            abs(one - two) * LOGITS_PER_STEP <= spread for one, two in zip(self.tried, other.tried, strict=True)
        )

    def failures(self, logits: Iterable[float]) -> list[Profile]:
        """Return the chance to fail at each node, of models with these log-odds on any task."""
        difficulty, _, _, start, weights, _ = self
        count = len(weights)
        return [_failures(difficulty, round(logit / LOGITS_PER_STEP), start, count) for logit in logits]


@lru_cache(maxsize=512)
def _setting(difficulty: Difficulty, attempts: int, tried: tuple[int, ...], max_usd: float) -> Setting:
    weights = difficulty.remaining([key * LOGITS_PER_STEP for key in tried])
    matters = [node for node, weight in enumerate(weights) if weight >= _MIN_WEIGHT]
    start, stop = matters[0], matters[-1] + 1
    total = sum(weights[start:stop])
    return Setting(difficulty, attempts, max_usd, start, tuple([each / total for each in weights[start:stop]]), tried)


@lru_cache(maxsize=8192)
def _failures(difficulty: Difficulty, key: int, start: int, count: int) -> Profile:
    profile = difficulty.profile(key * LOGITS_PER_STEP)
    return tuple([1.0 - chance for chance in islice(profile, start, start + count)])


class Result(NamedTuple):
    """What an order of tries gets."""

    order: Order
    solved: float
    cost: float


def walk(setting: Setting, logits: Sequence[float], order: Order) -> list[tuple[float, float]]:
    """Return for each try of ``order`` the chance that it is reached, and that it then solves the task."""
    left, mass = setting.weights, 1.0
    steps = []
    for failures in setting.failures([logits[position] for position in order]):
        left = tuple(map(mul, left, failures))
        after = sum(left)
        steps.append((mass, 1.0 - after / mass if mass > 0.0 else 0.0))
        mass = after
    return steps


def evaluate(setting: Setting, logits: Sequence[float], costs: Sequence[float], order: Order) -> Result:
    """Return the chance that ``order`` solves the task, and its expected cost."""
    _, mass, cost = _follow(setting, setting.failures(logits), costs, order)
    return Result(order, 1.0 - mass, cost)


def _follow(
    setting: Setting, failures: Sequence[Profile] | Mapping[int, Profile], costs: Sequence[float], order: Order
) -> tuple[Profile, float, float]:
    """Return what an order leaves: the weights of the nodes, their sum, and its expected cost."""
    left, mass, cost = setting.weights, 1.0, 0.0
    for position in order:
        cost += mass * costs[position]
        left = tuple(map(mul, left, failures[position]))
        mass = sum(left)
    return left, mass, cost


class Further(NamedTuple):
    """One more try after an order of tries."""

    chance: float
    """The chance that it solves what the others have failed."""
    solved: float
    """The chance that one of all solves the task."""
    cost: float
    """The expected cost of all."""


def furthers(
    setting: Setting, logits: Sequence[float], costs: Sequence[float], order: Order, positions: Sequence[int]
) -> list[Further]:
    """Return what one more try after ``order`` gets, for each of ``positions``."""
    failures = setting.failures(logits)
    left, mass, cost = _follow(setting, failures, costs, order)
    found = []
    for position in positions:
        after = sum(map(mul, left, failures[position]))
        chance = 1.0 - after / mass if mass > 0.0 else 0.0
        found.append(Further(chance, 1.0 - after, cost + mass * costs[position]))
    return found


def strongest(setting: Setting, logits: Sequence[float], positions: Sequence[int], first: Order = ()) -> Order:
    """Return the order that most likely solves the task: the best models first, after ``first``."""
    best_first = sorted(positions, key=logits.__getitem__, reverse=True)
    return (*first, *[each for each in best_first if each not in first])[: setting.attempts]


def by_rank(
    setting: Setting, logits: Sequence[float], costs: Sequence[float], positions: Sequence[int], first: Order = ()
) -> Order:
    """Return the ranked ``positions`` in their order, after ``first``, without those that are beyond the budget."""
    order = first
    for position in positions:
        longer = (*order, position)
        if len(order) == setting.attempts:
            break
        if position in order:
            continue
        if not order or setting.max_usd == inf or evaluate(setting, logits, costs, longer).cost <= setting.max_usd:
            order = longer
    return order


def matters(logits: Sequence[float], costs: Sequence[float], positions: Sequence[int], count: int) -> list[int]:
    """Return the models that can be part of a best plan of ``count`` tries, the best first.

    With as many others that are no worse and no more expensive, a model can be replaced in any plan.
    """
    kept: list[int] = []
    cheapest: list[float] = []
    for _, cost, position in sorted([(-logits[each], costs[each], n) for n, each in enumerate(positions)]):
        if len(cheapest) < count or cost < cheapest[-1]:
            kept.append(positions[position])
            insort(cheapest, cost)
            del cheapest[count:]
    return kept


def is_exact(setting: Setting, models: int, tries: int) -> bool:
    """Return whether the search for the best plan of so many further tries looks at every set of the models."""
    return setting.max_usd == inf and all(comb(models, size) <= MAX_SETS for size in range(1, tries))


_State = tuple[float, float, Order, Profile, float]
"""Chance that all fail, expected cost, order, the weights that are left, and a bound of the chance of longer plans."""
_Arm = tuple[int, float, Profile, int]
"""The bit of a model in the key of a set, its cost, its chance to fail at each node, and its position."""


def best_plan(
    setting: Setting, logits: Sequence[float], costs: Sequence[float], positions: Sequence[int],
    utility_of: Callable[[float], Utility], first: Order = (), usual: Order = (), earlier: Iterable[Order] = (),
) -> Order:  # fmt: skip
    """Return the order of at most ``setting.attempts`` of ``positions``, after ``first``, with the highest utility.

    ``utility_of`` takes the chance of the best models. ``usual`` is a good order for similar log-odds, which narrows
    the search. So do those that were good ``earlier`` if the search is exact: otherwise what is found would depend on
    them. At least one model is tried.
    """
    found = matters(logits, costs, positions, setting.attempts)
    tries = setting.attempts - len(first)
    exact = is_exact(setting, len(found), tries)
    known = ({usual, *earlier} if exact else {usual}) - {()}
    needed = [*{*found, *first}.union(*known)]
    failures = dict(zip(needed, setting.failures([logits[each] for each in needed]), strict=True))
    top = (*first, *[each for each in found if each not in first])[: setting.attempts]
    _, mass, cost = _follow(setting, failures, costs, top)
    reach = 1.0 - mass
    utility = utility_of(reach)
    floor = utility(reach, cost) if cost <= setting.max_usd else -inf
    for order in known - {top}:
        _, mass, cost = _follow(setting, failures, costs, order)
        if cost <= setting.max_usd:
            floor = max(floor, utility(1.0 - mass, cost))
    floor -= 1e-9 * (1.0 + abs(floor))
    left, mass, cost = _follow(setting, failures, costs, first)
    arms: list[_Arm] = [
        (1 << position, costs[position], failures[position], position) for position in found if position not in first
    ]
    most, best = utility(1.0 - mass, cost) if first else -inf, first
    level: dict[int, _State] = {0: (mass, cost, first, left, reach if exact else 1.0)}
    for tries_left in range(tries, 0, -1):
        if tries_left < tries:
            level = _within_reach(level, arms, utility, max(most, floor), tries_left, bounded=exact)
        if tries_left == 1:
            return _last_try(level, arms, setting, utility, max(most, floor)) or best or top[:1]
        level = _longer(level, arms, setting, utility, max(most, floor))
        for mass, cost, order, *_ in level.values():
            worth = utility(1.0 - mass, cost)
            if worth > most:
                most, best = worth, order
        if len(level) > MAX_SETS:
            level = _promising(level, utility)
    return best or top[:1]


def _within_reach(
    level: dict[int, _State], arms: Sequence[_Arm], utility: Utility, most: float, tries_left: int, *, bounded: bool
) -> dict[int, _State]:
    """Return the sets that would be worth more than ``most`` if the best models followed at the lowest price.

    If ``bounded``, the chance of the best models also bounds that of the longer plans that are looked at.
    """
    cheapest = min([price for _, price, _, _ in arms], default=0.0)
    found: dict[int, _State] = {}
    for taken, (mass, cost, order, left, _) in level.items():
        least = cost + mass * cheapest
        if utility(1.0, least) <= most:
            continue
        after, count = left, tries_left
        for bit, _, failures, _ in arms:
            if not taken & bit:
                count -= 1
                if not count:
                    break
                after = tuple(map(mul, after, failures))
        reach = 1.0 - sum(after if count else map(mul, after, failures))
        if utility(reach, least) > most:
            found[taken] = (mass, cost, order, left, reach if bounded else 1.0)
    return found


def _longer(
    level: dict[int, _State], arms: Sequence[_Arm], setting: Setting, utility: Utility, most: float
) -> dict[int, _State]:
    """Return every set with one more model, in its cheapest order; without those that cannot be worth ``most``."""
    found: dict[int, _State] = {}
    limit = setting.max_usd
    for taken, (mass, cost, order, left, reach) in level.items():
        for bit, price, failures, position in arms:
            if taken & bit:
                continue
            total = cost + mass * price
            key = taken | bit
            if key in found:
                known = found[key]
                if total < known[1]:
                    found[key] = (known[0], total, (*order, position), known[3], 1.0)
            elif total <= limit and utility(reach, total) > most:
                after = tuple(map(mul, left, failures))
                found[key] = (sum(after), total, (*order, position), after, 1.0)
    return found


def _last_try(level: dict[int, _State], arms: Sequence[_Arm], setting: Setting, utility: Utility, most: float) -> Order:
    """Return the order with one more model that is worth the most; () if none is worth more than ``most``."""
    best: Order = ()
    cheapest_first = sorted(arms, key=itemgetter(1))
    for taken, (mass, cost, order, left, reach) in level.items():
        for bit, price, failures, position in cheapest_first:
            total = cost + mass * price
            if taken & bit or total > setting.max_usd:
                continue
            if utility(reach, total) <= most:
                break
            worth = utility(1.0 - sum(map(mul, left, failures)), total)
            if worth > most:
                most, best = worth, (*order, position)
    return best


def _promising(level: dict[int, _State], utility: Utility) -> dict[int, _State]:
    part = MAX_SETS // 3
    keys = [
        (mass, cost, utility(1.0 - mass, cost), cost / max(1e-9, 1.0 - mass), key)
        for key, (mass, cost, *_) in level.items()
    ]
    kept = [each[4] for each in sorted(keys)[:part]]
    kept += [each[4] for each in sorted(keys, key=itemgetter(2), reverse=True)[:part]]
    kept += [each[4] for each in sorted(keys, key=itemgetter(3))[:part]]
    return {key: level[key] for key in kept}
