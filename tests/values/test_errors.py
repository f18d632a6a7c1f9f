"""The error tree: one root, messages for people, and pickling."""

from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Iterator

import pytest

from modelperf_plugin import errors
from modelperf_plugin.errors import (
    ConfigError,
    HostCodeError,
    InvalidValueError,
    MissingExtraError,
    ModelPerfError,
    NotATrackerError,
    OutcomesFileError,
    Problem,
    RegistrationError,
    StoreBusyError,
    StoreDamagedError,
    StoreError,
    StoreFailedError,
    StoreOutdatedError,
    StoreVersionError,
    brief,
)

PROBLEMS = [
    Problem(source="modelperf.toml", path="ranking.min_samples", message="must be ≥ 1, but got 0"),
    Problem(source="modelperf.toml", path="", message="is empty"),
]
SAMPLES = [
    ModelPerfError("anything"),
    InvalidValueError("cost_usd", "a finite number ≥ 0", -1.5),
    ConfigError(PROBLEMS),
    RegistrationError("this host has no such hook"),
    OutcomesFileError("outcomes.csv", 3, "the column success is missing"),
    MissingExtraError("Parquet files", "parquet"),
    HostCodeError("the host's clock", OSError("no clock"), "the machine's time is used"),
    StoreError("the disk is full"),
    StoreBusyError("locked for 5 s"),
    StoreVersionError("version 9"),
    NotATrackerError("another program's file"),
    StoreOutdatedError("version 2"),
    StoreFailedError("no room"),
    StoreDamagedError("a page is broken"),
]


class Rude:
    """A value that cannot even be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


def in_module() -> Iterator[type[Exception]]:
    """Yield every error class that the module defines."""
    for value in vars(errors).values():
        if isinstance(value, type) and issubclass(value, Exception):
            yield value


def test_there_is_one_tree_and_it_is_drawn_as_it_is() -> None:
    """The tree in the module docstring shows every error below its base class."""
    drawn: dict[str, str] = {}
    branch: list[tuple[int, str]] = []
    for indent, name in re.findall(r"^([ │├└─]*)(\w+Error)\b", errors.__doc__ or "", re.MULTILINE):
        branch = [each for each in branch if each[0] < len(indent)]
        drawn[name] = branch[-1][1] if branch else "Exception"
        branch.append((len(indent), name))
    assert drawn == {kind.__name__: kind.__bases__[0].__name__ for kind in in_module()}
    assert issubclass(InvalidValueError, ValueError)


def test_every_error_has_a_sample_here() -> None:
    """An error added to the tree is also added to the tests of how errors travel."""
    assert {type(sample) for sample in SAMPLES} == set(in_module())


@pytest.mark.parametrize("error", SAMPLES, ids=lambda error: type(error).__name__)
def test_errors_survive_pickling_and_copying(error: ModelPerfError) -> None:
    """An error raised in a worker process arrives with its type, message, attributes and notes."""
    error = copy.copy(error)
    error.add_note("while recording")
    arrived = [pickle.loads(pickle.dumps(error, protocol)) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]  # noqa: S301
    for each in [*arrived, copy.copy(error), copy.deepcopy(error)]:
        assert type(each) is type(error)
        assert (str(each), each.args, vars(each)) == (str(error), error.args, vars(error))
        assert repr(each) == repr(error)


def test_an_invalid_value_names_field_rule_and_value() -> None:
    """The message can be acted on without the code, the attributes without parsing the message."""
    error = InvalidValueError("min_samples", "≥ 1", 0)
    assert str(error) == "min_samples must be ≥ 1, but got 0"
    assert (error.field, error.requirement, error.value) == ("min_samples", "≥ 1", 0)


def test_a_configuration_error_shows_every_problem() -> None:
    """One line for each in order: source, path and message, without empty parts."""
    error = ConfigError(PROBLEMS)
    assert str(error) == ("modelperf.toml: ranking.min_samples: must be ≥ 1, but got 0\nmodelperf.toml: is empty")
    assert error.problems == tuple(PROBLEMS)


def test_an_outcomes_file_error_says_where() -> None:
    """File and line come first, as editors and terminals know how to follow them."""
    assert str(OutcomesFileError("a.csv", 3, "no success")) == "a.csv, line 3: no success"
    assert str(OutcomesFileError("a.csv", None, "is empty")) == "a.csv: is empty"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("gpt-4o", "'gpt-4o'"),
        ("x" * 78, f"'{'x' * 78}'"),
        ("x" * 79, f"'{'x' * 78}…"),
        ([0] * 10_000, f"[{'0, ' * 26}…"),
        ("a\nb", r"'a\nb'"),
        ("\ud800", r"'\ud800'"),
        (Rude(), "<Rude>"),
        ([Rude()], "<list>"),
    ],
)
def test_a_value_is_shown_in_80_characters(value: object, shown: str) -> None:
    """A message never grows with the value, breaks its line, or fails because the value cannot be shown."""
    assert brief(value) == shown
    assert len(brief(value)) <= 80
