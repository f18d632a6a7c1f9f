"""Files of recorded outcomes of several models on the same instances.

A CSV file, plain or gzipped, with one row per (instance, model). The columns ``instance_id``, ``task_type``,
``model_id`` and ``success`` or ``score`` (from 0 to 1) are required; ``timeout``, ``tokens_used``, ``cost_usd`` and
``timestamp`` are optional; all others are ignored. An empty value is unknown. A time without an offset is in UTC.

The log of a router is not such a file: it has one outcome per task, so another choice cannot be looked up.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from os import PathLike, fspath
from pathlib import Path
from typing import Final, NamedTuple, Self

from modelperf_plugin.errors import InvalidValueError, OutcomesFileError, brief
from modelperf_plugin.exchange.lines import read_lines
from modelperf_plugin.exchange.parsing import parse_flag, parse_moment, parse_number
from modelperf_plugin.values import Outcome, check_id, check_ids

REQUIRED: Final = ("instance_id", "task_type", "model_id")
VERDICTS: Final = ("success", "score")
"""At least one of these is required, too."""
MAX_CHARACTERS: Final = 1 << 28
"""Of a file, decompressed: all its outcomes are held in memory."""


class Instance(NamedTuple):
    """One task, and the outcome of every model that tried it."""

    instance_id: str
    """Unique in its file."""
    task_type: str
    outcomes: Mapping[str, Outcome]
    """By model id."""

    @property
    def candidates(self) -> Sequence[str]:
        """The models with a known outcome."""
        return list(self.outcomes)

    @property
    def started(self) -> datetime | None:
        """The earliest known time of its outcomes, or None."""
        return min((each.timestamp for each in self.outcomes.values() if each.timestamp), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeData:
    """Instances with their outcomes, in the order of the file."""

    source: str
    """The file, for messages and reports."""
    instances: tuple[Instance, ...]
    """Each with one outcome or more."""
    duplicates: int = 0
    """Rows skipped because an earlier one has the same instance and model."""
    unknown: int = 0
    """Rows skipped because they have neither success nor score."""

    @property
    def models(self) -> tuple[str, ...]:
        """Every model with an outcome, sorted by name."""
        return tuple(sorted({model_id for each in self.instances for model_id in each.outcomes}))

    @property
    def task_types(self) -> tuple[str, ...]:
        """Every task type, sorted by name."""
        return tuple(sorted({each.task_type for each in self.instances}))

    @property
    def outcomes(self) -> int:
        return sum(len(each.outcomes) for each in self.instances)

    @property
    def graded(self) -> int:
        """Number of outcomes with a score."""
        return sum(outcome.score is not None for each in self.instances for outcome in each.outcomes.values())

    def passing(self, pass_score: float) -> Self:
        """Return these instances; outcomes with a score alone are successes from ``pass_score`` on."""
        if not self.graded:
            return self
        instances = []
        for each in self.instances:
            outcomes = {model_id: outcome.passing(pass_score) for model_id, outcome in each.outcomes.items()}
            instances.append(each._replace(outcomes=outcomes))
        return replace(self, instances=tuple(instances))

    def dense_core(self, models: Sequence[str] | None = None) -> Self:
        """Return the part in which every model has an outcome for every instance.

        With ``models``, those models and their common instances. Without, as many outcomes as possible by leaving out
        the models with the fewest, down to two models.

        Raises:
            InvalidValueError: one of ``models`` is not in the data, or they (or any two) have no common instance.
        """
        chosen = self._densest_models() if models is None else self._check_models(models)
        core = tuple(
            each._replace(outcomes={model_id: each.outcomes[model_id] for model_id in chosen})
            for each in self.instances
            if each.outcomes.keys() >= set(chosen)
        )
        if len(chosen) < 2 or not core:
            requirement = "outcomes of at least two models for the same instance"
            raise InvalidValueError(self.source, requirement, list(chosen), typed=True)
        return replace(self, instances=core)

    def _densest_models(self) -> tuple[str, ...]:
        """Return the models with the most outcomes, as many as maximise models × common instances."""
        coverage = Counter(model_id for each in self.instances for model_id in each.outcomes)
        by_coverage = sorted(coverage, key=lambda model_id: (-coverage[model_id], model_id))
        rank = {model_id: position for position, model_id in enumerate(by_coverage)}
        # An instance counts for every n that ends before the first model it lacks.
        ranks = (sorted(map(rank.__getitem__, each.outcomes)) for each in self.instances)
        complete = Counter(map(_unbroken, ranks))
        best, size, common = 2, 0, 0
        for length in range(len(by_coverage), 1, -1):
            common += complete[length]
            if length * common > size:
                best, size = length, length * common
        return tuple(by_coverage[:best])

    def _check_models(self, models: Sequence[str]) -> tuple[str, ...]:
        chosen, known = check_ids("models", models), self.models
        for model_id in chosen:
            if model_id not in known:
                requirement = f"among those of {self.source} ({', '.join(known)})"
                raise InvalidValueError("models", requirement, model_id, typed=True)
        return chosen


def read_outcomes(path: str | PathLike[str]) -> OutcomeData:
    """Read a file of recorded outcomes. The first of two rows for the same instance and model counts.

    Raises:
        OutcomesFileError: the file cannot be read or is not in this format; the message names the line.
    """
    name = fspath(path)
    instances: dict[str, Instance] = {}
    outcomes: dict[str, dict[str, Outcome]] = {}
    duplicates = unknown = 0
    with closing(_rows(name)) as rows:
        for line, row in rows:
            try:
                instance_id, task_type, model_id = (check_id(column, row[column]) for column in REQUIRED)
                outcome = _outcome(row)
            except InvalidValueError as error:
                raise OutcomesFileError(name, line, str(error)) from None
            known = outcomes.setdefault(instance_id, {})
            instance = instances.setdefault(instance_id, Instance(instance_id, task_type, known))
            if instance.task_type != task_type:
                both = f"{brief(instance.task_type)} above and {brief(task_type)} here"
                raise OutcomesFileError(name, line, f"instance {brief(instance_id)} has two task types: {both}")
            if outcome is None:
                unknown += 1
            elif known.setdefault(model_id, outcome) is not outcome:
                duplicates += 1
    tried = tuple(instance for instance in instances.values() if instance.outcomes)
    if not tried:
        raise OutcomesFileError(name, None, "holds no outcome with a known success or score")
    return OutcomeData(source=name, instances=tried, duplicates=duplicates, unknown=unknown)


def _unbroken(positions: Sequence[int]) -> int:
    """Return the length of the prefix 0, 1, 2 … of the sorted ``positions``."""
    return next((count for count, position in enumerate(positions) if count != position), len(positions))


def _rows(name: str) -> Generator[tuple[int, dict[str, str]]]:
    """Yield each row under its line number, as a dict of its columns."""
    with closing(read_lines(Path(name), limit=MAX_CHARACTERS, pipes=True)) as lines:
        reader = csv.reader(lines, strict=True)
        try:
            header = [column.strip() for column in next(filter(_is_filled, reader), [])]
            if not header:
                raise OutcomesFileError(name, None, "is empty; a file of outcomes starts with a line of column names")
            _check_header(name, header)
            for values in reader:
                if not values:
                    continue
                if len(values) != len(header):
                    count = f"has {len(values)} values, but the first line names {len(header)} columns"
                    raise OutcomesFileError(name, reader.line_num, count)
                yield reader.line_num, dict(zip(header, values, strict=True))
        except csv.Error as error:
            raise OutcomesFileError(name, reader.line_num, f"is not CSV ({error})") from error


def _is_filled(values: Sequence[str]) -> bool:
    return any(value.strip() for value in values)


def _check_header(name: str, header: list[str]) -> None:
    missing = [column for column in REQUIRED if column not in header]
    if not any(column in header for column in VERDICTS):
        missing.append(" or ".join(VERDICTS))
    if missing:
        message = f"must name the columns, but {', '.join(missing)} is not among {brief(', '.join(header))}"
        raise OutcomesFileError(name, 1, message)
    twice = [column for column, count in Counter(header).items() if column and count > 1]
    if twice:
        raise OutcomesFileError(name, 1, f"names the column {twice[0]} twice")


def _outcome(row: Mapping[str, str]) -> Outcome | None:
    """Return the outcome of a row, or None if neither its success nor its score is known.

    Raises:
        InvalidValueError: a value is not usable.
    """
    success, score = parse_flag("success", row.get("success")), parse_number("score", row.get("score"))
    unknown = success is None and score is None
    outcome = Outcome(
        success=False if unknown else success,  # type: ignore[arg-type]  # without it, the score decides
        score=score,
        timeout=bool(parse_flag("timeout", row.get("timeout"))),
        tokens_used=parse_number("tokens_used", row.get("tokens_used")) or 0,  # type: ignore[arg-type]  # Outcome refuses 1.5
        cost_usd=parse_number("cost_usd", row.get("cost_usd")) or 0.0,
        timestamp=parse_moment("timestamp", row.get("timestamp")),
    )
    return None if unknown else outcome
