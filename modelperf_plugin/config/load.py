"""From sources to a configuration: everything that is wrong is reported at once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomli
from pydantic import BaseModel, ValidationError

from modelperf_plugin.config.describe import default_strategy, key_schema, plain_section, strategies
from modelperf_plugin.config.layers import FILE_VARIABLE, Layer, Places, lay_over, read_environment, read_files
from modelperf_plugin.config.messages import quoted_path, removed_key, requirement, unknown_key, wrong_value
from modelperf_plugin.config.schema import (
    PLAIN_SECTIONS,
    POLICY_SECTIONS,
    Config,
    FederationConfig,
    ModelConfig,
    TaskTypeConfig,
    naming_key,
)
from modelperf_plugin.errors import ConfigError, InvalidValueError, Problem, brief
from modelperf_plugin.values import check_id

ConfigSource = str | os.PathLike[str] | Config | Mapping[str, Any] | None
_Keys = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A configuration, and where it came from."""

    config: Config
    """What is in force."""
    origins: Mapping[str, str] = field(default_factory=dict)
    """For every value in force, by its dotted path, the source it came from: a file, a variable, "default" …"""
    files: tuple[Path, ...] = ()
    """The files that were read."""
    watched: tuple[Path, ...] = ()
    """The files whose change, appearance or disappearance may change the configuration."""

    def rows(self) -> list[tuple[str, Any, str]]:
        """Return every value in force as a plain JSON value: its dotted path, itself, and where it came from."""
        values = self.config.model_dump(mode="json")
        return [(path, _value_at(path, values), origin) for path, origin in self.origins.items()]


def load(
    config: ConfigSource = None,
    *,
    flags: Mapping[str, Any] | None = None,
    cwd: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> LoadedConfig:
    """Read a configuration.

    Args:
        config: a path; a Config or a mapping in the shape of the TOML, which are taken as they are; or None to
            look for files.
        flags: what the command line says, in the shape of the TOML; it wins over everything.
        cwd: where to look for files; by default the working directory.
        environ: the environment; by default the process's.

    With a path or None, sources are laid over each other, the first wins: flags, environment variables
    ``MODELPERF_*``, the project's file (the path given, or named by ``MODELPERF_CONFIG``, or the nearest
    ``modelperf.toml``, or ``[tool.modelperf]`` in the nearest ``pyproject.toml`` that has it), the user's
    file, the defaults.

    Raises:
        ConfigError: with every problem of every source.
    """
    if not isinstance(config, (str, os.PathLike, Config, Mapping, type(None))):
        message = f"must be a path, a Config, a mapping or None, but got {brief(config)}"
        raise ConfigError([Problem(source="config", path="", message=message)])
    over = [Layer("flag", flags)] if flags else []
    if isinstance(config, Config):
        if not over:
            return LoadedConfig(config, _origins(config, {}))
        config = config.model_dump(exclude_none=True)
    problems: list[Problem] = []
    if isinstance(config, Mapping):
        layers = [Layer("the configuration given", config), *over]
        return _build(layers, problems, (), ())
    places = Places(cwd or working_directory(), os.environ if environ is None else environ)
    named = config if config is not None else places.environ.get(FILE_VARIABLE) or None
    explicit = None if named is None else places.cwd / Path(named).expanduser()
    layers, files = read_files(places, explicit, problems)
    layers += read_environment(places.environ, problems)
    user = places.user_file()
    watched = (*places.candidates(explicit), *([] if user is None else [user]))
    return _build([*layers, *over], problems, tuple(files), watched)


def working_directory() -> Path:
    """Return where files are looked for."""
    try:
        return Path.cwd()
    except FileNotFoundError:  # somebody has deleted it: then there is no project to look for
        return Path("/")


def _build(
    layers: list[Layer], problems: list[Problem], files: tuple[Path, ...], watched: tuple[Path, ...]
) -> LoadedConfig:
    merged, origins = lay_over(layers)
    check = _Check(origins, layers[-1].label if layers else "the defaults", problems)
    config = check.config(merged)
    if check.problems or config is None:
        raise ConfigError(check.problems)
    return LoadedConfig(config, _origins(config, origins), files, watched)


class _Check:
    """Turns a merged mapping into a Config and collects what is wrong with it."""

    def __init__(self, origins: dict[_Keys, str], fallback: str, problems: list[Problem]) -> None:
        self.origins = origins
        self.fallback = fallback
        self.problems = problems
        self.incomplete = bool(problems)  # a file that cannot be read may have named the strategy of somebody's keys

    def config(self, merged: dict[str, Any]) -> Config | None:
        """Return the configuration, or None if anything is wrong with it."""
        values: dict[str, Any] = {}
        for key, value in merged.items():
            if key not in Config.model_fields:
                self.note((str(key),), unknown_key(str(key), Config.model_fields))
            elif key in POLICY_SECTIONS:
                values[key] = self.strategy(key, (key,), value, {})
            elif key in PLAIN_SECTIONS:
                values[key] = self.section(plain_section(key), (key,), value)
            elif key == "models":
                values[key] = self.models(value)
            elif key == "federation":
                values[key] = self.federation(value)
            elif key == "task_types":
                continue
            else:
                values[key] = value
        plain = {section: merged[section] for section in POLICY_SECTIONS if isinstance(merged.get(section), dict)}
        if "task_types" in merged:
            values["task_types"] = self.task_types(merged["task_types"], plain)
        config: Config | None = self.validated(Config, (), {k: v for k, v in values.items() if v is not None})
        return config

    def models(self, given: Any) -> dict[str, ModelConfig] | None:
        """Check what is said of single models."""
        if not isinstance(given, dict):
            self.note(("models",), 'must be a table of tables, [models."NAME"]')
            return None
        found: dict[str, ModelConfig] = {}
        for name, value in given.items():
            path = ("models", str(name))
            try:
                check_id("a model", name)
            except InvalidValueError as error:
                self.note(path, str(error))
                continue
            checked = self.section(ModelConfig, path, value)
            if checked is not None:
                found[name] = checked
        return found

    def federation(self, given: Any) -> list[FederationConfig]:
        """Check the tables that are attached."""
        if not isinstance(given, list):
            self.note(("federation",), "must be an array of tables, [[federation]]")
            return []
        checked = (self.section(FederationConfig, ("federation", str(n)), each) for n, each in enumerate(given, 1))
        return [each for each in checked if each is not None]

    def task_types(self, given: Any, common: dict[str, Any]) -> dict[str, TaskTypeConfig] | None:
        """Check the overrides, each section laid over the common one."""
        if not isinstance(given, dict):
            self.note(("task_types",), 'must be a table of tables, [task_types."NAME".SECTION]')
            return None
        found: dict[str, TaskTypeConfig] = {}
        for name, sections in given.items():
            path = ("task_types", str(name))
            try:
                check_id("a task type", name)
            except InvalidValueError as error:
                self.note(path, str(error))
                continue
            if not isinstance(sections, dict):
                self.note(path, wrong_value({"type": "object"}, sections))
                continue
            own: dict[str, Any] = {}
            for section, value in sections.items():
                if section in POLICY_SECTIONS:
                    own[section] = self.strategy(section, (*path, section), value, common.get(section, {}))
                else:
                    self.note(
                        (*path, str(section)), unknown_key(str(section), POLICY_SECTIONS, "section of a task type")
                    )
            found[name] = TaskTypeConfig(**own)
        return found

    def strategy(self, section: str, path: _Keys, given: Any, below: dict[str, Any]) -> Any:
        """Check one policy section, laid over ``below`` unless it names another strategy."""
        if not isinstance(given, dict):
            self.note(path, wrong_value({"type": "object"}, given))
            return None
        naming = naming_key(section)
        lower = below.get(naming, default_strategy(section))
        name = given.get(naming, lower)
        models = strategies(section)
        if not isinstance(name, str) or name not in models:
            if naming not in given:  # said where it stands
                return None
            self.note((*path, naming), unknown_key(str(name), models, f"{naming} {name!r}"))
            return None
        model = models[name]
        for key in given.keys() - model.model_fields.keys():
            others = any(key in other.model_fields for other in models.values())
            if not (self.incomplete and others):
                self.note((*path, str(key)), _foreign_key(str(key), naming, name, models))
        inherited = {key: value for key, value in below.items() if name == lower and key in model.model_fields}
        own = {key: value for key, value in given.items() if key in model.model_fields}
        lacking = {key: below[key] for key in inherited if key not in own and model.model_fields[key].is_required()}
        checked = self.validated(model, path, {**lacking, **own, naming: name})
        if checked is None or not inherited:
            return checked
        try:
            return model.model_validate({**inherited, **own, naming: name})
        except ValidationError:
            return self.validated(model, path, {**inherited, **own, naming: name}) if not self.problems else None

    def section(self, model: type[BaseModel], path: _Keys, given: Any) -> Any:
        """Check one plain section."""
        if not isinstance(given, dict):
            self.note(path, wrong_value({"type": "object"}, given))
            return None
        for key in given.keys() - model.model_fields.keys():
            here = (*path, str(key))
            self.note(here, removed_key(here) or unknown_key(str(key), model.model_fields))
        return self.validated(model, path, {key: value for key, value in given.items() if key in model.model_fields})

    def validated(self, model: type[BaseModel], path: _Keys, values: dict[str, Any]) -> Any:
        """Return a ``model`` of ``values``, or None after noting everything that is wrong with them."""
        try:
            return model.model_validate(values)
        except ValidationError as error:
            for each in error.errors(include_url=False):
                keys = tuple(str(key) for key in each["loc"])
                context = each.get("ctx", {}).get("error")
                if each["type"] == "missing":
                    self.note((*path, *keys), f"is missing: {requirement(key_schema(model, keys[0]))} is needed")
                elif context is not None or not keys:
                    self.note((*path, *keys), str(context) if context is not None else each["msg"])
                else:
                    self.note((*path, *keys), wrong_value(key_schema(model, keys[0]), each["input"]))
            return None

    def note(self, path: _Keys, message: str) -> None:
        """Add a problem, with the source its key came from."""
        below = (label for known, label in self.origins.items() if known[: len(path)] == path)
        above = (self.origins[path[:end]] for end in range(len(path), 0, -1) if path[:end] in self.origins)
        source = next(below, None) or next(above, self.fallback)
        self.problems.append(Problem(source=source, path=quoted_path(path), message=message))


def _foreign_key(key: str, naming: str, name: str, models: Mapping[str, type[BaseModel]]) -> str:
    owners = [other for other, model in models.items() if key in model.model_fields]
    if owners:
        return f"is a key of {naming} {' and '.join(owners)}, but the {naming} here is {name}"
    return unknown_key(str(key), models[name].model_fields, f"key of {naming} {name}")


def _origins(config: Config, given: dict[_Keys, str]) -> dict[str, str]:
    """Return where each value in force comes from; one that a task type shares with its section, from there."""
    found: dict[str, str] = {}
    for path in _leaves(config.model_dump(exclude_none=True), ()):
        source = given.get(path)
        if source is None and path[0] == "task_types" and len(path) > 3:  # task_types, NAME, section, key
            source = given.get(path[2:])
        found[quoted_path(path)] = source or "default"
    return found


def _leaves(value: Any, path: _Keys) -> list[_Keys]:
    if not isinstance(value, dict):
        return [path]
    return [leaf for key, below in value.items() for leaf in _leaves(below, (*path, key))]


def _value_at(path: str, values: Any) -> Any:
    """Return the value at a dotted path, in which a key may be quoted as in TOML."""
    keys: Any = tomli.loads(f"{path} = 0")
    while keys:
        ((key, keys),) = keys.items()
        values = values[key]
    return values
