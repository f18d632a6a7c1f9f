"""Sources of configuration, each a layer: where they are found, and how they are laid over each other."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import tomli

from modelperf_plugin.config.describe import Setting, default_strategy, describe
from modelperf_plugin.config.messages import removed_key, unknown_key
from modelperf_plugin.config.schema import NAMED_SECTIONS, POLICY_SECTIONS, naming_key
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
    if user is not None and _is_file(user):
        _add_file(user, layers, files, problems)
    if explicit is not None:
        _add_file(explicit, layers, files, problems)
        return layers, files
    for path in places.candidates(None):
        if _is_file(path) and _add_file(path, layers, files, problems):
            break
    return layers, files


def read_environment(environ: Mapping[str, str], problems: list[Problem]) -> list[Layer]:
    """Return one layer for each variable ``MODELPERF_SECTION__KEY``; what is wrong goes to ``problems``."""
    known = _environment_settings()
    layers = []
    # a strategy first: a key of it must not be taken for one of the strategy that it replaces
    for name in sorted(environ, key=lambda name: (not name.endswith(("__STRATEGY", "__OBJECTIVE")), name)):
        if not name.startswith(PREFIX) or name == FILE_VARIABLE:
            continue
        setting = known.get(name)
        if setting is None:
            removed = removed_key(name.removeprefix(PREFIX).lower().split("__"))
            message = removed or unknown_key(name, [*known, FILE_VARIABLE], "variable")
            problems.append(Problem(source="the environment", path=name, message=message))
            continue
        value = _parse_value(environ[name], is_text=setting.kind.startswith("text"))
        for key in reversed(setting.keys):
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
    if path and path[-1] in POLICY_SECTIONS and _names_another(above, below, path[-1]):
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


def _names_another(above: Mapping[str, Any], below: Mapping[str, Any], section: str) -> bool:
    naming = naming_key(section)
    lower = below.get(naming, default_strategy(section))
    return bool(above.get(naming, lower) != lower)


def _forget(origins: dict[Path_, str], path: Path_) -> None:
    for known in [known for known in origins if known[: len(path)] == path]:
        del origins[known]


def _add_file(path: Path, layers: list[Layer], files: list[Path], problems: list[Problem]) -> bool:
    """Read one file; return whether it has anything to say, if only that it is broken."""
    in_pyproject = path.name == "pyproject.toml"
    found = _parse(path, only_if_mentioned=in_pyproject)
    if isinstance(found, Problem):
        problems.append(found)
        return True
    label, data = str(path), found
    if in_pyproject:
        label, data = f"{path} [tool.modelperf]", _own_table(found)
    if data is None:
        return False
    if not isinstance(data, dict):
        problems.append(Problem(source=label, path="", message=f"must be a table, but got {brief(data)}"))
        return True
    files.append(path)
    _anchor_store(data, path.parent)
    _anchor_federation(data, path.parent)
    layers.append(Layer(label, data))
    return True


def _parse(path: Path, *, only_if_mentioned: bool) -> Any:
    """Return what is in a file, or the Problem with it; None for a file of somebody else that does not mention us."""
    label = str(path).replace("\0", "�")
    try:
        content = path.read_bytes()
        if only_if_mentioned and b"modelperf" not in content:
            return None
        return tomli.loads(content.decode("utf-8-sig"))
    except OSError as error:
        return Problem(source=label, path="", message=f"cannot be read: {error.strerror or error}")
    except UnicodeDecodeError as error:
        return Problem(source=label, path="", message=f"is not UTF-8 text (byte {error.start})")
    except tomli.TOMLDecodeError as error:
        return _syntax_problem(label, error)
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, a NUL in the path …
        return Problem(source=label, path="", message=f"cannot be used: {error}")


def _own_table(data: Any) -> Any:
    tool = data.get("tool") if isinstance(data, dict) else None
    return tool.get("modelperf") if isinstance(tool, dict) else None


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


def _anchor_federation(data: dict[str, Any], folder: Path) -> None:
    """Make relative paths of attached databases relative to the file that names them."""
    listed = data.get("federation")
    for each in listed if isinstance(listed, list) else []:
        if isinstance(each, dict) and isinstance(each.get("path"), str) and each["path"]:
            each["path"] = os.path.normpath(folder / Path(each["path"]).expanduser())


def _environment_settings() -> dict[str, Setting]:
    """Return what each variable that there is sets."""
    return {
        PREFIX + "__".join(setting.keys).upper(): setting
        for setting in describe()
        if setting.keys[0] not in NAMED_SECTIONS
    }


def _parse_value(text: str, *, is_text: bool) -> Any:
    """Return a TOML value, or the text itself where it is none: ``0.1``, ``true`` and ``apply`` all work."""
    try:
        value = tomli.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text
    return text if is_text and not isinstance(value, (str, list)) else value


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a folder that may not be searched
        return False
