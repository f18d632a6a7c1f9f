"""From sources to a configuration; every problem of every source is reported at once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from modelperf_plugin.config.describe import default_strategy, key_schema, plain_section, strategies
from modelperf_plugin.config.layers import (
    FILE_VARIABLE,
    KeyPath,
    Layer,
    SearchPath,
    merge_layers,
    read_environment,
    read_files,
)
from modelperf_plugin.config.messages import (
    quoted_path,
    removed_key,
    requirement,
    unknown_key,
    unquoted_name,
    wrong_value,
)
from modelperf_plugin.config.models import ModelConfig, ambiguous_names
from modelperf_plugin.config.origins import origins_by_path, value_at
from modelperf_plugin.config.rules import problems_of
from modelperf_plugin.config.schema import (
    PLAIN_SECTIONS,
    POLICY_SECTIONS,
    RULES_SECTION,
    TASK_TYPE_SECTIONS,
    Config,
    TaskTypeConfig,
    naming_key,
)
from modelperf_plugin.config.sections import FederationConfig
from modelperf_plugin.errors import ConfigError, InvalidValueError, Problem, brief
from modelperf_plugin.paths import NO_HOME, expanded, unreachable
from modelperf_plugin.values import check_id

ConfigSource = str | os.PathLike[str] | Config | Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A configuration and its sources."""

    config: Config
    origins: Mapping[str, str] = field(default_factory=dict)
    """The source of every value by its dotted path: a file, a variable, "default" …"""
    files: tuple[Path, ...] = ()
    watched: tuple[Path, ...] = ()
    """The files whose change, creation or deletion may change the configuration."""

    @property
    def names_store(self) -> bool:
        """Whether a store is configured, in whatever way."""
        return self.config.store.url is not None or self.origins["store.path"] != "default"

    def rows(self) -> list[tuple[str, Any, str]]:
        """Return dotted path, plain JSON value and source of every setting."""
        values = self.config.model_dump(mode="json")
        return [(path, value_at(path, values), origin) for path, origin in self.origins.items()]


def load(
    config: ConfigSource = None, *, flags: Mapping[str, Any] | None = None, cwd: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> LoadedConfig:  # fmt: skip
    """Read a configuration.

    Args:
        config: a path; a Config or a mapping in the shape of the TOML, used as it is; or None to search for files.
        flags: settings from the command line, in the shape of the TOML; they override everything.
        cwd: where to search for files; by default the working directory.
        environ: the environment; by default that of the process.

    With a path or None, sources are merged in this order of precedence: flags; environment variables
    ``MODELPERF_*``; the project's file (``config``, or the file named by ``MODELPERF_CONFIG``, or the nearest
    ``modelperf.toml``, or ``[tool.modelperf]`` in the nearest ``pyproject.toml`` that has it); the user's file;
    the defaults.

    Raises:
        ConfigError: with every problem of every source.
    """
    if not isinstance(config, (str, os.PathLike, Config, Mapping, type(None))):
        message = f"must be a path, a Config, a mapping or None, but got {brief(config)}"
        raise ConfigError([Problem(source="config", path="", message=message)])
    overrides = [Layer("flag", flags)] if flags else []
    if isinstance(config, Config):
        if not overrides:
            return LoadedConfig(config, origins_by_path(config, {}))
        config = config.model_dump(exclude_none=True)
    problems: list[Problem] = []
    if isinstance(config, Mapping):
        return _build([Layer("the given configuration", config), *overrides], problems, (), ())
    search_path = SearchPath(cwd or working_directory(), os.environ if environ is None else environ)
    named = config if config is not None else search_path.environ.get(FILE_VARIABLE) or None
    explicit = None if named is None else _explicit(search_path, named)
    layers, files = read_files(search_path, explicit, problems)
    layers += read_environment(search_path.environ, problems)
    user = search_path.user_file()
    watched = (*search_path.project_files(explicit), *([] if user is None else [user]))
    return _build([*layers, *overrides], problems, tuple(files), watched)


def _explicit(search_path: SearchPath, named: str | os.PathLike[str]) -> Path:
    path = expanded(named)
    if unreachable(path) == NO_HOME:
        raise ConfigError([Problem(source=str(path), path="", message=f"cannot be read: {NO_HOME}")])
    return search_path.cwd / path


def working_directory() -> Path:
    """Return the working directory, or the root if it has been deleted."""
    try:
        return Path.cwd()
    except OSError:
        return Path("/")


def _build(
    layers: list[Layer], problems: list[Problem], files: tuple[Path, ...], watched: tuple[Path, ...]
) -> LoadedConfig:
    merged, origins = merge_layers(layers)
    validator = _Validator(origins, layers[-1].label if layers else "the defaults", problems)
    config = validator.config(merged)
    if validator.problems or config is None:
        raise ConfigError(validator.problems)
    return LoadedConfig(config, origins_by_path(config, origins), files, watched)


class _Validator:
    """Turns a merged mapping into a Config and collects its problems."""

    def __init__(self, origins: dict[KeyPath, str], fallback: str, problems: list[Problem]) -> None:
        self.origins = origins
        self.fallback = fallback
        self.problems = problems
        self.incomplete = bool(problems)  # an unreadable file may have named the strategy that keys belong to

    def config(self, merged: dict[str, Any]) -> Config | None:
        """Return the configuration, or None if it has problems."""
        values: dict[str, Any] = {}
        for key, value in merged.items():
            if key not in Config.model_fields:
                self.note((str(key),), unknown_key(str(key), Config.model_fields))
            elif key in POLICY_SECTIONS:
                values[key] = self.strategy(key, (key,), value, {})
            elif key in PLAIN_SECTIONS:
                values[key] = self.section(plain_section(key), (key,), value)
            elif key == "models":
                values[key] = self.models(value, merged.get("budget"))
            elif key == "federation":
                values[key] = self.federation(value)
            elif key == RULES_SECTION:
                values[key] = self.rules(value)
            elif key != "task_types":
                values[key] = value
        if "task_types" in merged:
            values["task_types"] = self.task_types(merged["task_types"], _inherited(merged, values))
        config: Config | None = self.validated(Config, (), {k: v for k, v in values.items() if v is not None})
        return config

    def models(self, value: Any, budget: Any) -> dict[str, ModelConfig] | None:
        """Check the tables of single models, whose budgets inherit from the common ``budget``."""
        if not isinstance(value, dict):
            self.note(("models",), 'must be a table of tables, [models."NAME"]')
            return None
        checked = {
            name: self.model(("models", str(name)), table, budget if isinstance(budget, dict) else {})
            for name, table in value.items()
            if self.is_usable_name("a model", ("models", str(name)), name)
        }
        models = {name: model for name, model in checked.items() if model is not None}
        problems = ambiguous_names(models)
        for problem in problems:
            self.note(("models",), problem)
        return None if problems else models

    def model(self, path: KeyPath, table: Any, common: Mapping[str, Any]) -> Any:
        """Check the table of one model, and the table of its budget in it."""
        if not isinstance(table, dict) or "budget" not in table:
            return self.section(ModelConfig, path, table)
        rest = {key: value for key, value in table.items() if key != "budget"}
        own, budget = self.section(ModelConfig, path, rest), table["budget"]
        merged = {**common, **budget} if isinstance(budget, dict) else budget
        checked = self.section(plain_section("budget"), (*path, "budget"), merged)
        return own and own.model_copy(update={"budget": checked})

    def is_usable_name(self, what: str, path: KeyPath, name: Any) -> bool:
        """Return whether ``name`` can name a model or task type, after noting why not."""
        try:
            check_id(what, name)
        except InvalidValueError as error:
            self.note(path, f"{what} must be {error.requirement}, but got {brief(name)}")
            return False
        return True

    def federation(self, value: Any) -> list[FederationConfig]:
        """Check the attached tables."""
        if not isinstance(value, list):
            self.note(("federation",), "must be an array of tables, [[federation]]")
            return []
        checked = (self.section(FederationConfig, ("federation", str(n)), each) for n, each in enumerate(value, 1))
        return [each for each in checked if each is not None]

    def rules(self, value: Any) -> dict[str, Any] | None:
        """Check the rules that name task types."""
        if not isinstance(value, dict):
            self.note((RULES_SECTION,), 'must be a table of rules such as "TASK TYPE" = { tag = "review" }')
            return None
        problems = list(problems_of(value))
        for path, message in problems:
            self.note((RULES_SECTION, *path), message)
        return None if problems else value

    def task_types(self, value: Any, common: dict[str, Any]) -> dict[str, TaskTypeConfig] | None:
        """Check the overrides, each section merged with the common one."""
        if not isinstance(value, dict):
            self.note(("task_types",), 'must be a table of tables, [task_types."NAME".SECTION]')
            return None
        checked: dict[str, TaskTypeConfig] = {}
        for name, sections in value.items():
            path = ("task_types", str(name))
            if not self.is_usable_name("a task type", path, name) or not self.is_table(path, sections):
                continue
            own: dict[str, Any] = {}
            for section, table in sections.items():
                if section in POLICY_SECTIONS:
                    own[section] = self.strategy(section, (*path, section), table, common.get(section, {}))
                elif section in TASK_TYPE_SECTIONS:
                    merged = {**common.get(section, {}), **table} if isinstance(table, dict) else table
                    own[section] = self.section(plain_section(section), (*path, section), merged)
                else:
                    here = (*path, str(section))
                    message = unquoted_name(here, table, Config.model_fields)
                    self.note(here, message or unknown_key(str(section), TASK_TYPE_SECTIONS, "section of a task type"))
            checked[name] = TaskTypeConfig(**own)
        return checked

    def is_table(self, path: KeyPath, value: Any) -> bool:
        """Return whether ``value`` is a table, after noting if it is not."""
        if not isinstance(value, dict):
            self.note(path, wrong_value({"type": "object"}, value))
        return isinstance(value, dict)

    def strategy(self, section: str, path: KeyPath, table: Any, below: dict[str, Any]) -> Any:
        """Check one policy section, merged with ``below`` unless it names another strategy."""
        if not self.is_table(path, table):
            return None
        naming = naming_key(section)
        lower = below.get(naming, default_strategy(section))
        name = table.get(naming, lower)
        models = strategies(section)
        if not isinstance(name, str) or name not in models:
            if naming not in table:  # already noted where it is named
                return None
            self.note((*path, naming), unknown_key(str(name), models, f"{naming} {name!r}"))
            return None
        model = models[name]
        for key in table.keys() - model.model_fields.keys():
            others = any(key in other.model_fields for other in models.values())
            if not (self.incomplete and others):
                self.note((*path, str(key)), _foreign_key(str(key), naming, name, models))
        inherited = {key: value for key, value in below.items() if name == lower and key in model.model_fields}
        own = {key: value for key, value in table.items() if key in model.model_fields}
        lacking = {key: below[key] for key in inherited if key not in own and model.model_fields[key].is_required()}
        checked = self.validated(model, path, {**lacking, **own, naming: name})
        if checked is None or not inherited:
            return checked
        try:
            return model.model_validate({**inherited, **own, naming: name})
        except ValidationError:
            return self.validated(model, path, {**inherited, **own, naming: name}) if not self.problems else None

    def section(self, model: type[BaseModel], path: KeyPath, table: Any) -> Any:
        """Check one plain section."""
        if not self.is_table(path, table):
            return None
        for key in table.keys() - model.model_fields.keys():
            here = (*path, str(key))
            message = removed_key(here) or unquoted_name(here, table[key], model.model_fields)
            self.note(here, message or unknown_key(str(key), model.model_fields))
        return self.validated(model, path, {key: value for key, value in table.items() if key in model.model_fields})

    def validated(self, model: type[BaseModel], path: KeyPath, values: dict[str, Any]) -> Any:
        """Return a ``model`` of ``values``, or None after noting their problems."""
        try:
            return model.model_validate(values)
        except ValidationError as error:
            for each in error.errors(include_url=False):
                keys = tuple(str(key) for key in each["loc"])
                context = each.get("ctx", {}).get("error")
                if each["type"] == "missing":
                    self.note((*path, *keys), f"is required: {requirement(key_schema(model, keys[0]))}")
                elif context is not None or not keys:
                    self.note((*path, *keys), str(context) if context is not None else each["msg"])
                else:
                    self.note((*path, *keys), wrong_value(key_schema(model, keys[0]), each["input"]))
            return None

    def note(self, path: KeyPath, message: str) -> None:
        """Add a problem, with the source of its key."""
        below = (label for known, label in self.origins.items() if known[: len(path)] == path)
        above = (self.origins[path[:end]] for end in range(len(path), 0, -1) if path[:end] in self.origins)
        source = next(below, None) or next(above, self.fallback)
        self.problems.append(Problem(source=source, path=quoted_path(path), message=message))


def _inherited(merged: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the sections of task types inherit from the common ones."""
    common = {section: merged[section] for section in POLICY_SECTIONS if isinstance(merged.get(section), dict)}
    for section in TASK_TYPE_SECTIONS:
        if section in PLAIN_SECTIONS and (checked := values.get(section)) is not None:
            common[section] = checked.model_dump(exclude_unset=True)
    return common


def _foreign_key(key: str, naming: str, name: str, models: Mapping[str, type[BaseModel]]) -> str:
    owners = [other for other, model in models.items() if key in model.model_fields]
    if owners:
        return f"is a key of {naming} {' and '.join(owners)}, but the {naming} here is {name}"
    return unknown_key(str(key), models[name].model_fields, f"key of {naming} {name}")
