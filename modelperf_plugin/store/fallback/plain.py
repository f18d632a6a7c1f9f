"""Records as plain JSON values, and back: by the type hints of their fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints


def to_plain(value: Any) -> Any:
    """Return named tuples, dataclasses and collections as lists, mappings as lists of pairs."""
    if is_dataclass(value):
        return [to_plain(getattr(value, field.name)) for field in fields(value)]
    if isinstance(value, Mapping):
        return [[to_plain(key), to_plain(each)] for key, each in value.items()]
    if isinstance(value, tuple | list):
        return [to_plain(each) for each in value]
    return value


def from_plain(kind: Any, value: Any) -> Any:  # noqa: PLR0911 - one for each kind of value
    """Return the value of type ``kind`` that :func:`to_plain` has made ``value`` of.

    Raises:
        ValueError: it is none.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in {Union, UnionType}:
        wanted = [each for each in arguments if each is not NoneType]
        return None if value is None else from_plain(wanted[0], value)
    if origin is Literal:
        return _checked(value, value in arguments)
    if kind is float:
        return float(_checked(value, isinstance(value, int | float)))
    if isinstance(kind, type) and kind in {str, int, bool}:
        return _checked(value, type(value) is kind)
    items: list[Any] = _checked(value, isinstance(value, list))
    if origin in {list, tuple}:
        if origin is list or arguments[1:] == (...,):
            return origin(from_plain(arguments[0], each) for each in items)
        return tuple(from_plain(each, item) for each, item in zip(arguments, items, strict=True))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {from_plain(arguments[0], key): from_plain(arguments[1], each) for key, each in items}
    hints = _hints(kind)
    return kind(**{name: from_plain(hint, each) for (name, hint), each in zip(hints.items(), items, strict=True)})


def _checked(value: Any, is_right: bool) -> Any:
    if not is_right:
        raise ValueError(f"unexpected {value!r}")
    return value


@cache
def _hints(kind: Any) -> dict[str, Any]:
    names = [field.name for field in fields(kind)] if is_dataclass(kind) else kind._fields
    hints = get_type_hints(kind)
    return {name: hints[name] for name in names}
