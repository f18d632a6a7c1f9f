"""Sources of configuration, each a layer: where they are found, and how they are laid over each other."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import tomli

from modelperf_plugin.config.describe import describe
from modelperf_plugin.config.schema import POLICY_SECTIONS
from modelperf_plugin.config.words import unknown_key
from modelperf_plugin.errors import Problem, brief

FILE_NAME: Final = "modelperf.toml"
PREFIX: Final = "MODELPERF_"
FILE_VARIABLE: Final = f"{PREFIX}CONFIG"

Path_ = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Layer:
    """What one source says."""

    label: str
    """How a person knows it: a file, "environment variable …", "flag"."""
    data: Mapping[str, Any]
    """In the shape of the TOML file."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where files are looked for."""

    cwd: Path
    """The working directory."""
    environ: Mapping[str, str]
    """The environment."""

    def candidates(self, explicit: Path | None) -> list[Path]:
        """Return the files that could be the project's, the one that wins first; existing or not."""
        if explicit is not None:
            return [explicit]
        folders = [self.cwd, *self.cwd.parents]
        return [folder / FILE_NAME for folder in folders] + [folder / "pyproject.toml" for folder in folders]

    def user_file(self) -> Path | None:
        """Return the file of the user, existing or not; None where there is no home."""
        base: str | None
        if sys.platform == "win32":  # pragma: no cover
            base = self.environ.get("APPDATA")
        elif sys.platform == "darwin":  # pragma: no cover
            base = f"{self.environ['HOME']}/Library/Application Support" if self.environ.get("HOME") else None
        else:
            home = self.environ.get("HOME")
            base = self.environ.get("XDG_CONFIG_HOME") or (f"{home}/.config" if home else None)
        return Path(base) / "modelperf" / FILE_NAME if base else None


def read_files(places: Places, explicit: Path | None, problems: list[Problem]) -> tuple[list[Layer], list[Path]]:
    """Return the layers of the files there are, lowest first, and their paths; what is wrong goes to ``problems``."""
    layers: list[Layer] = []
    files: list[Path] = []
    user = places.user_file()
    if user is not None and user.is_file():
        _add_file(user, None, layers, files, problems)
    if explicit is not None:
        _add_file(explicit, None, layers, files, problems)
        return layers, files
    for path in places.candidates(None):
        table = ("tool", "modelperf") if path.name == "pyproject.toml" else None
        if path.is_file() and _add_file(path, table, layers, files, problems):
            break
    return layers, files


def read_environment(environ: Mapping[str, str], problems: list[Problem]) -> list[Layer]:
    """Return one layer for each variable ``MODELPERF_SECTION__KEY``; what is wrong goes to ``problems``."""
    known = _environment_names()
    layers = []
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name == FILE_VARIABLE:
            continue
        path = known.get(name)
        if path is None:
            message = unknown_key(name, [*known, FILE_VARIABLE], "variable")
            problems.append(Problem(source="the environment", path=name, message=message))
            continue
        value = _parse_value(environ[name])
        for key in reversed(path):
            value = {key: value}
        layers.append(Layer(f"environment variable {name}", value))
    return layers


def lay_over(layers: list[Layer]) -> tuple[dict[str, Any], dict[Path_, str]]:
    """Return what the layers say together, higher ones last, and which label each value came from."""
    merged: dict[str, Any] = {}
    origins: dict[Path_, str] = {}
    for layer in layers:
        _merge(merged, layer.data, (), layer.label, origins)
    return merged, origins


def _merge(below: dict[str, Any], above: Mapping[str, Any], path: Path_, label: str, origins: dict[Path_, str]) -> None:
    strategy = above.get("strategy")
    if path and path[-1] in POLICY_SECTIONS and strategy is not None and strategy != below.get("strategy"):
        # another strategy has other keys: what lower layers said of this section does not apply to it
        below.clear()
        _forget(origins, path)
    for key, value in above.items():
        here = (*path, str(key))
        if isinstance(value, Mapping):
            if not isinstance(below.get(key), dict):
                _forget(origins, here)
                below[key] = {}
            if not value:
                origins[here] = label
            _merge(below[key], value, here, label, origins)
        else:
            _forget(origins, here)
            below[key] = value
            origins[here] = label


def _forget(origins: dict[Path_, str], path: Path_) -> None:
    for known in [known for known in origins if known[: len(path)] == path]:
        del origins[known]


def _add_file(
    path: Path, table: tuple[str, str] | None, layers: list[Layer], files: list[Path], problems: list[Problem]
) -> bool:
    """Read one file; return whether it has anything to say, if only that it is broken."""
    label = str(path)
    try:
        data: Any = tomli.loads(path.read_bytes().decode("utf-8"))
    except OSError as error:
        problems.append(Problem(source=label, path="", message=f"cannot be read: {error.strerror or error}"))
        return True
    except UnicodeDecodeError as error:
        problems.append(Problem(source=label, path="", message=f"is not UTF-8 text (byte {error.start})"))
        return True
    except tomli.TOMLDecodeError as error:
        problems.append(_syntax_problem(label, error))
        return True
    if table is not None:
        outer, inner = table
        data = data.get(outer, {}).get(inner) if isinstance(data.get(outer, {}), dict) else None
        if data is None:
            return False
        label = f"{label} [{outer}.{inner}]"
        if not isinstance(data, dict):
            problems.append(Problem(source=label, path="", message=f"must be a table, but got {brief(data)}"))
            return True
    files.append(path)
    _anchor_store(data, path.parent)
    layers.append(Layer(label, data))
    return True


def _syntax_problem(label: str, error: tomli.TOMLDecodeError) -> Problem:
    line, column = getattr(error, "lineno", None), getattr(error, "colno", None)
    if line is None:  # tomli before 2.3 says where in the message only
        return Problem(source=label, path="", message=f"is not TOML: {error}")
    return Problem(source=label, path=f"line {line}, column {column}", message=f"is not TOML: {error.msg}")


def _anchor_store(data: dict[str, Any], folder: Path) -> None:
    """Make a relative ``store.path`` of a file relative to that file."""
    store = data.get("store")
    path = store.get("path") if isinstance(store, dict) else None
    if isinstance(store, dict) and isinstance(path, str) and path and path != ":memory:" and "://" not in path:
        data["store"] = {**store, "path": os.path.normpath(folder / Path(path).expanduser())}


def _environment_names() -> dict[str, Path_]:
    """Return the path in the configuration for each variable that there is."""
    paths = {setting.keys for setting in describe() if setting.keys[0] != "task_types"}
    return {PREFIX + "__".join(path).upper(): path for path in paths}


def _parse_value(text: str) -> Any:
    """Return a TOML value, or the text itself where it is none: ``0.1``, ``true`` and ``apply`` all work."""
    try:
        return tomli.loads(f"value = {text}")["value"]
    except tomli.TOMLDecodeError:
        return text
