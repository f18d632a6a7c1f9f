"""Sources of configuration, one layer each: where they are found, and how they are merged."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import tomli

from modelperf_plugin.config.describe import default_strategy, describe
from modelperf_plugin.config.messages import removed_key, unknown_key
from modelperf_plugin.config.schema import NAMED_SECTIONS, POLICY_SECTIONS, RULES_SECTION, naming_key
from modelperf_plugin.errors import Problem, brief
from modelperf_plugin.files import read_regular
from modelperf_plugin.paths import NO_HOME, expanded, unreachable
from modelperf_plugin.store.urls import PLACES_OF_PASSWORDS, has_password

FILE_NAME: Final = "modelperf.toml"
PREFIX: Final = "MODELPERF_"
FILE_VARIABLE: Final = f"{PREFIX}CONFIG"
MAX_FILE_BYTES: Final = 1_000_000
"""A larger file is not a configuration."""

KeyPath = tuple[str, ...]
"""The keys that lead to a value, outermost first."""
_POSITION: Final = re.compile(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Layer:
    """The settings from one source."""

    label: str
    """Shown to people: a file, "environment variable …", "flag"."""
    data: Mapping[str, Any]
    """In the shape of the TOML file."""


@dataclass(frozen=True, slots=True)
class SearchPath:
    """Where configuration files are looked for."""

    cwd: Path
    environ: Mapping[str, str]

    def project_files(self, explicit: Path | None) -> list[Path]:
        """Return the possible files of the project, highest precedence first, whether they exist or not."""
        if explicit is not None:
            return [explicit]
        folders = [self.cwd, *self.cwd.parents]
        return [folder / FILE_NAME for folder in folders] + [folder / "pyproject.toml" for folder in folders]

    def user_file(self) -> Path | None:
        """Return the file of the user, whether it exists or not; None without a home directory."""
        base: str | None
        if sys.platform == "win32":  # pragma: no cover
            base = self.environ.get("APPDATA")
        elif sys.platform == "darwin":  # pragma: no cover
            home = self.environ.get("HOME")
            base = f"{home}/Library/Application Support" if home else None
        else:
            home = self.environ.get("HOME")
            base = self.environ.get("XDG_CONFIG_HOME") or (f"{home}/.config" if home else None)
        # relative ones are ignored, as the XDG specification demands
        return Path(base) / "modelperf" / FILE_NAME if base and Path(base).is_absolute() else None


def read_files(
    search_path: SearchPath, explicit: Path | None, problems: list[Problem]
) -> tuple[list[Layer], list[Path]]:
    """Return the layers of the existing files, lowest first, and their paths; errors are added to ``problems``."""
    layers: list[Layer] = []
    files: list[Path] = []
    user = search_path.user_file()
    if user is not None and _is_file(user):
        _add_file(user, layers, files, problems)
    if explicit is not None:
        _add_file(explicit, layers, files, problems)
        return layers, files
    for path in search_path.project_files(None):
        if _is_file(path) and _add_file(path, layers, files, problems):
            break
    return layers, files


def read_environment(environ: Mapping[str, str], problems: list[Problem]) -> list[Layer]:
    """Return a layer for each variable ``MODELPERF_SECTION__KEY``; errors are added to ``problems``."""
    settings = [setting for setting in describe() if setting.keys[0] not in NAMED_SECTIONS]
    known = {PREFIX + "__".join(setting.keys).upper(): setting for setting in settings}
    layers = []
    # strategies first: changing one drops the keys of the strategy it replaces
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


def merge_layers(layers: list[Layer]) -> tuple[dict[str, Any], dict[KeyPath, str]]:
    """Return the merged settings of the layers, lowest first, and the label that each value came from."""
    merged: dict[str, Any] = {}
    origins: dict[KeyPath, str] = {}
    for layer in layers:
        _merge(merged, layer.data, (), layer.label, origins)
    return merged, origins


def _merge(
    below: dict[str, Any], above: Mapping[str, Any], path: KeyPath, label: str, origins: dict[KeyPath, str]
) -> None:
    is_other_strategy = path and path[-1] in POLICY_SECTIONS and _changes_strategy(above, below, path[-1])
    if is_other_strategy or path == (RULES_SECTION,):
        # another strategy has other keys: those of lower layers do not apply to it; and rules have one order
        below.clear()
        _drop_origins(origins, path)
    for key, value in above.items():
        here = (*path, str(key))
        if isinstance(value, Mapping):
            if not isinstance(below.get(key), dict):
                _drop_origins(origins, here)
                below[key] = {}
            if not value:
                origins[here] = label
            _merge(below[key], value, here, label, origins)
        else:
            _drop_origins(origins, here)
            below[key] = value
            origins[here] = label


def _changes_strategy(above: Mapping[str, Any], below: Mapping[str, Any], section: str) -> bool:
    naming = naming_key(section)
    lower = below.get(naming, default_strategy(section))
    return bool(above.get(naming, lower) != lower)


def _drop_origins(origins: dict[KeyPath, str], path: KeyPath) -> None:
    for known in [known for known in origins if known[: len(path)] == path]:
        del origins[known]


def _add_file(path: Path, layers: list[Layer], files: list[Path], problems: list[Problem]) -> bool:
    """Read one file; return whether it holds our configuration, possibly broken."""
    in_pyproject = path.name == "pyproject.toml"
    content = _parse(path, only_if_mentioned=in_pyproject)
    if isinstance(content, Problem):
        problems.append(content)
        return True
    label, data = str(path), content
    if in_pyproject:
        tool = content.get("tool") if isinstance(content, dict) else None
        label, data = f"{path} [tool.modelperf]", tool.get("modelperf") if isinstance(tool, dict) else None
    if data is None:
        return False
    if not isinstance(data, dict):
        problems.append(Problem(source=label, path="", message=f"must be a table, but got {brief(data)}"))
        return True
    files.append(path)
    _refuse_password(data, label, problems)
    _anchor_store(data, path.parent)
    _anchor_federation(data, path.parent)
    layers.append(Layer(label, data))
    return True


def _parse(path: Path, *, only_if_mentioned: bool) -> Any:
    """Return the content of a file, or the Problem with it; None for a foreign file that does not mention us."""
    label = str(path).replace("\0", "�")
    text = ""
    try:
        content = read_regular(path, MAX_FILE_BYTES)
        if only_if_mentioned and b"modelperf" not in content:
            return None
        text = content.decode("utf-8-sig")
        return tomli.loads(text)
    except OSError as error:
        return Problem(source=label, path="", message=f"cannot be read: {error.strerror or error}")
    except UnicodeDecodeError as error:
        return Problem(source=label, path="", message=f"is not UTF-8 text (byte {error.start})")
    except tomli.TOMLDecodeError as error:
        return _syntax_problem(label, text, error)
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, a NUL in the path …
        return Problem(source=label, path="", message=f"cannot be used: {error}")


def _syntax_problem(label: str, text: str, error: tomli.TOMLDecodeError) -> Problem:
    match = _POSITION.fullmatch(str(error))  # tomli before 2.3 gives the position in the message only
    if match is None:
        return Problem(source=label, path="", message=f"is not TOML: {error}")
    end = text.count("\n") + 1, len(text) - text.rfind("\n")
    line, column = match.group(2, 3) if match.group(2) else end
    return Problem(source=label, path=f"line {line}, column {column}", message=f"is not TOML: {match.group(1)}")


def _refuse_password(data: dict[str, Any], label: str, problems: list[Problem]) -> None:
    """Note a URL with a password in a file, which others may read, and remove it."""
    store = data.get("store")
    url = store.get("url") if isinstance(store, dict) else None
    if isinstance(store, dict) and isinstance(url, str) and has_password(url):
        message = f"must not hold a password: that belongs into {PLACES_OF_PASSWORDS}"
        problems.append(Problem(source=label, path="store.url", message=message))
        data["store"] = {key: value for key, value in store.items() if key != "url"}


def _anchor_store(data: dict[str, Any], folder: Path) -> None:
    """Make a relative ``store.path`` of a file relative to that file."""
    store = data.get("store")
    path = store.get("path") if isinstance(store, dict) else None
    if isinstance(store, dict) and isinstance(path, str) and path and path != ":memory:" and "://" not in path:
        data["store"] = {**store, "path": _anchored(folder, path)}


def _anchor_federation(data: dict[str, Any], folder: Path) -> None:
    """Make relative paths of attached databases relative to the file that names them."""
    listed = data.get("federation")
    for each in listed if isinstance(listed, list) else []:
        if isinstance(each, dict) and isinstance(each.get("path"), str) and each["path"]:
            each["path"] = _anchored(folder, each["path"])


def _anchored(folder: Path, path: str) -> str:
    place = expanded(path)
    return str(place) if unreachable(place) == NO_HOME else os.path.normpath(folder / place)


def _parse_value(text: str, *, is_text: bool) -> Any:
    """Return the TOML value, or the text itself if it is not TOML: ``0.1``, ``true`` and ``apply`` all work."""
    try:
        value = tomli.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text
    return text if is_text and not isinstance(value, (str, list)) else value


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a folder without search permission
        return False
