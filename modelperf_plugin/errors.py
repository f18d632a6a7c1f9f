"""The errors of this package: one tree, drawn once.

::

    ModelPerfError
    ├── InvalidValueError     (also a ValueError)
    ├── ConfigError
    ├── RegistrationError
    ├── OutcomesFileError
    ├── MissingExtraError
    └── StoreError
        ├── StoreBusyError
        ├── StoreVersionError
        ├── StoreOutdatedError
        ├── NotATrackerError
        └── StoreFailedError
            └── StoreDamagedError

Nothing in here reaches a host through a hook: a hook logs the error, counts it and answers None.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


class ModelPerfError(Exception):
    """Base of every error that this package raises on purpose; all can be copied and pickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        # From its message and attributes, past __init__: that takes what the message is made of.
        return _restore, (type(self), self.args), self.__dict__


class InvalidValueError(ModelPerfError, ValueError):
    """A value handed in is not usable; the message names the field, the rule and the value given.

    Attributes:
        field: the argument or key at fault, for example ``"cost_usd"``.
        requirement: what was asked for, for example ``"a finite number ≥ 0"``.
        value: what was given.
    """

    def __init__(self, field: str, requirement: str, value: Any) -> None:
        self.field = field
        self.requirement = requirement
        self.value = value
        super().__init__(f"{field} must be {requirement}, but got {brief(value)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing wrong with a configuration."""

    source: str
    """The file, environment variable or argument it was read from."""
    path: str
    """Where in it: the dotted path of the key, or ``line 3, column 7``; empty for the source as a whole."""
    message: str
    """What is wrong and what to do."""

    def __str__(self) -> str:
        return ": ".join(part for part in (self.source, self.path, self.message) if part)


class ConfigError(ModelPerfError):
    """A configuration is not usable; every problem found in it is reported at once.

    Attributes:
        problems: what is wrong, in the order of the sources.
    """

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in problems))


class RegistrationError(ModelPerfError):
    """The plugin cannot be registered with this host."""


class OutcomesFileError(ModelPerfError):
    """A file of recorded outcomes is not usable; the message names the file, the line and what to do.

    Attributes:
        path: the file.
        line: the line at fault, counted from 1, or None for the file as a whole.
    """

    def __init__(self, path: str, line: int | None, message: str) -> None:
        self.path = path
        self.line = line
        super().__init__(f"{path}: {message}" if line is None else f"{path}, line {line}: {message}")


class MissingExtraError(ModelPerfError):
    """Something needs a library that is not installed; the message names the extra that brings it."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f'for {what} an extra is needed: pip install "modelperf-plugin[{extra}]"')


class StoreError(ModelPerfError):
    """The store could not be opened, read or written; nothing half-written stays behind."""


class StoreBusyError(StoreError):
    """Another process kept the store locked for longer than the deadline."""


class StoreVersionError(StoreError):
    """The file was written by a newer version of this package; it was left alone."""


class StoreOutdatedError(StoreError):
    """The file was written by an older version, and is to be read without being brought up to date."""


class NotATrackerError(StoreError):
    """The file is a database of another program; it was left alone."""


class StoreFailedError(StoreError):
    """The database cannot be used for now: not opened, not written, no room. A tracker goes on without it."""


class StoreDamagedError(StoreFailedError):
    """The database is damaged, or no database at all; it was left alone, and works again when it is repaired."""


def _restore(kind: type[ModelPerfError], args: tuple[Any, ...]) -> ModelPerfError:
    return kind.__new__(kind, *args)


def brief(value: Any, limit: int = 80) -> str:
    """Return ``repr(value)``, cut to ``limit`` characters: values come from elsewhere and may be huge.

    A value whose ``repr`` fails is named by its type.
    """
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - a message about a bad value must not fail on it
        return f"<{type(value).__name__}>"
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
