"""The errors of this package: one tree, drawn once.

::

    ModelPerfError
    ├── InvalidValueError     (also a ValueError)
    ├── ConfigError
    ├── RegistrationError
    ├── OutcomesFileError
    ├── MissingExtraError
    ├── HostCodeError
    └── StoreError
        ├── StoreBusyError
        ├── StoreVersionError
        ├── StoreOutdatedError
        ├── NotATrackerError
        └── StoreFailedError
            └── StoreDamagedError

None of them reaches a host through a hook: a hook logs the error, counts it and answers None.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final

_HARMLESS: Final = frozenset({type(None), bool, int, float, complex, Decimal, date, datetime, time, timedelta})
"""Types whose values cannot hold a prompt or an answer."""
_NOUNS: Final[dict[type, tuple[str, str]]] = {
    str: ("text", "character"),
    bytes: ("bytes", "byte"),
    bytearray: ("bytes", "byte"),
    list: ("a list", "item"),
    tuple: ("a tuple", "item"),
    set: ("a set", "item"),
    frozenset: ("a set", "item"),
    dict: ("a mapping", "key"),
}


class ModelPerfError(Exception):
    """Base class of the errors of this package; all can be copied and pickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Restored from message and attributes, bypassing __init__ and its other arguments.
        return _restore, (type(self), self.args), self.__dict__


class InvalidValueError(ModelPerfError, ValueError):
    """An argument is invalid; the message names the field, the requirement and what was received.

    A host may pass a prompt or an answer by mistake, and it logs its errors. Of a value that can hold text, the error
    therefore keeps only type and length, unless an operator typed it (``typed=True``).

    Attributes:
        field: the argument or key, for example ``"cost_usd"``.
        requirement: the rule it breaks, for example ``"a finite number ≥ 0"``.
        value: the rejected value, or an :class:`Undisclosed` in its place.
    """

    def __init__(self, field: str, requirement: str, value: Any, *, typed: bool = False) -> None:
        self.field = field
        self.requirement = requirement
        self.value = value if typed else disclosed(value)
        super().__init__(f"{field} must be {requirement}, but got {brief(self.value)}")


@dataclass(frozen=True, slots=True)
class Undisclosed:
    """Stands for a value that is neither kept nor logged, because a host's text may be in it."""

    description: str
    """Its type and length."""

    def __repr__(self) -> str:
        return self.description


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One problem of a configuration."""

    source: str
    """The file, environment variable or argument."""
    path: str
    """Dotted path of the key, or ``line 3, column 7``; empty for the source as a whole."""
    message: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.source, self.path, self.message) if part)


class ConfigError(ModelPerfError):
    """A configuration is invalid; all its problems are reported at once.

    Attributes:
        problems: in the order of the sources.
    """

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in problems))


class RegistrationError(ModelPerfError):
    """The plugin cannot be registered with this host."""


class OutcomesFileError(ModelPerfError):
    """A file of recorded outcomes is invalid; the message names file, line and remedy.

    Attributes:
        path: the file.
        line: line number from 1, or None for the file as a whole.
    """

    def __init__(self, path: str, line: int | None, message: str) -> None:
        self.path = path
        self.line = line
        super().__init__(f"{path}: {message}" if line is None else f"{path}, line {line}: {message}")


class MissingExtraError(ModelPerfError):
    """A required library is not installed; the message names the extra to install."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f'install the extra {extra} for {what}: pip install "modelperf-plugin[{extra}]"')


class HostCodeError(ModelPerfError):
    """A function of the host failed, such as its clock or its meter provider; ours works without it."""

    def __init__(self, what: str, error: Exception, instead: str) -> None:
        super().__init__(f"{what} raised {type(error).__name__}: {instead}")


class StoreError(ModelPerfError):
    """The store could not be opened, read or written; nothing was written partially."""


class StoreBusyError(StoreError):
    """Another process kept the store locked for longer than the deadline."""


class StoreVersionError(StoreError):
    """The file was written by a newer version of this package; it was not changed."""


class StoreOutdatedError(StoreError):
    """The file was written by an older version and cannot be migrated, because it is opened read-only."""


class NotATrackerError(StoreError):
    """The file is a database of another program; it was not changed."""


class StoreFailedError(StoreError):
    """The database is temporarily unusable, for example because the disk is full; recording continues without it.

    Attributes:
        receipt: the id under which a batch with what was to be recorded is ingested only if it is not stored after all;
            None if it is not stored for sure.
    """

    receipt: str | None = None


class StoreDamagedError(StoreFailedError):
    """The file is damaged or not a database; it was not changed, and is used again once it is repaired."""


def _restore(kind: type[ModelPerfError], args: tuple[Any, ...]) -> ModelPerfError:
    return kind.__new__(kind, *args)


def within(place: str, error: InvalidValueError) -> InvalidValueError:
    """Return the same error for a field of ``place``."""
    return InvalidValueError(f"{place}: {error.field}", error.requirement, error.value, typed=True)


def brief(value: Any, limit: int = 80) -> str:
    """Return ``repr(value)``, truncated to ``limit`` characters; a value whose ``repr`` fails is named by its type."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - a message about a bad value must not fail on it
        return f"<{type(value).__name__}>"
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def disclosed(value: Any) -> Any:
    """Return ``value`` if it cannot hold text of a host, else its type and length as an :class:`Undisclosed`."""
    kind = type(value)
    if kind in _HARMLESS or kind is Undisclosed:
        return value
    noun = next((noun for known, noun in _NOUNS.items() if issubclass(kind, known)), None)
    if noun is None:
        return Undisclosed(f"a value of type {kind.__name__}")
    try:
        size = len(value)
    except Exception:  # noqa: BLE001 - a subclass of the host's may fail here
        return Undisclosed(f"a value of type {kind.__name__}")
    what, unit = noun
    return Undisclosed(f"{what} of {size:,} {unit}{'' if size == 1 else 's'}" if size else f"{what} of no {unit}s")
