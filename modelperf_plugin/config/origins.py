"""Where each value of a configuration comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tomli
from pydantic import BaseModel

from modelperf_plugin.config.layers import KeyPath
from modelperf_plugin.config.messages import quoted_path
from modelperf_plugin.config.schema import Config


def origins_by_path(config: Config, origins: dict[KeyPath, str]) -> dict[str, str]:
    """Return the source of each value; a task type inherits those of its section."""
    by_path: dict[str, str] = {}
    for path in _leaves(config, ()):
        source = origins.get(path)
        if source is None and path[0] == "task_types" and len(path) > 3:  # task_types, NAME, section, key
            source = origins.get(path[2:])
        by_path[quoted_path(path)] = source or "default"
    return by_path


def _leaves(value: Any, path: KeyPath) -> list[KeyPath]:
    """Return the paths of all values that are set.

    Not by ``model_dump``: pydantic turns an interrupt of a function that it calls into an error of its own.
    """
    if isinstance(value, BaseModel):
        value = {name: getattr(value, name) for name in type(value).model_fields}
    if not isinstance(value, Mapping):
        return [path]
    return [leaf for key, below in value.items() if below is not None for leaf in _leaves(below, (*path, key))]


def value_at(path: str, values: Any) -> Any:
    """Return the value at a dotted path, whose keys may be quoted as in TOML."""
    keys: Any = tomli.loads(f"{path} = 0")
    while keys:
        ((key, keys),) = keys.items()
        values = values[key]
    return values
