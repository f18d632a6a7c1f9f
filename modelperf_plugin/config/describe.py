"""Every key of the configuration with type, default and meaning."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any, Final, NamedTuple, get_args

import tomli
from pydantic import BaseModel

from modelperf_plugin.config.messages import requirement
from modelperf_plugin.config.models import ModelConfig
from modelperf_plugin.config.schema import (
    PLAIN_SECTIONS,
    POLICY_SECTIONS,
    RULES_SECTION,
    Config,
    naming_key,
)
from modelperf_plugin.policy import AnyCostObjective, AnyDemotion, AnyExploration, AnyRanking
from modelperf_plugin.policy.strategy import Strategy

_UNIONS: Final = {
    "ranking": AnyRanking, "demotion": AnyDemotion, "cost": AnyCostObjective, "exploration": AnyExploration,
}  # fmt: skip


class Setting(NamedTuple):
    """One key of the TOML file."""

    keys: tuple[str, ...]
    strategy: str | None
    """The strategy it belongs to; None if it belongs to its section."""
    kind: str
    """The permitted values, in words."""
    default: Any
    """None if it has none."""
    description: str


@cache
def strategies(section: str) -> dict[str, type[Strategy]]:
    """Return the strategies of a policy section by name, the default one first."""
    union = get_args(get_args(_UNIONS[section])[0]) or (get_args(_UNIONS[section])[0],)
    named = {each.model_fields[naming_key(section)].default: each for each in union}
    default = default_strategy(section)
    return {default: named[default], **named}


def default_strategy(section: str) -> str:
    """Return the name of the default strategy of a policy section."""
    name: str = getattr(Config.model_fields[section].default, naming_key(section))
    return name


def plain_section(section: str) -> type[BaseModel]:
    """Return the model of a section without strategies."""
    return type(Config.model_fields[section].default)


@cache
def describe() -> tuple[Setting, ...]:
    """Return every key of the file by section; keys under a name (``models``, ``task_types``) once."""
    settings = [_setting(("mode",), None, Config, "mode")]
    for section in PLAIN_SECTIONS:
        plain = plain_section(section)
        settings += [_setting((section, key), None, plain, key) for key in plain.model_fields]
    for section in POLICY_SECTIONS:
        names = " | ".join(strategies(section))
        what = Config.model_fields[section].description or ""
        naming = naming_key(section)
        settings.append(Setting((section, naming), None, f"one of {names}", default_strategy(section), what))
        for name, model in strategies(section).items():
            settings += [_setting((section, key), name, model, key) for key in model.model_fields if key != naming]
    keys = [key for key in ModelConfig.model_fields if key != "budget"]
    settings += [_setting(("models", "NAME", key), None, ModelConfig, key) for key in keys]
    limits = plain_section("budget")
    settings += [_setting(("models", "NAME", "budget", key), None, limits, key) for key in limits.model_fields]
    others = Config.model_fields["federation"].description or ""
    settings.append(Setting(("federation",), None, "tables [[federation]]", None, others))
    own = Config.model_fields["task_types"].description or ""
    settings.append(Setting(("task_types",), None, 'tables [task_types."NAME".SECTION]', None, own))
    rules = Config.model_fields[RULES_SECTION].description or ""
    settings.append(Setting((RULES_SECTION,), None, 'rules "TASK TYPE" = { LABEL = PATTERN }', None, rules))
    return tuple(settings)


def meanings(rows: Iterable[tuple[str, Any, str]]) -> dict[str, str]:
    """Return the meaning of each setting of a configuration by its dotted path, under the strategies that it names."""
    values = {_keys_of(path): (path, value) for path, value, _ in rows}
    found = {}
    for keys, (path, _) in values.items():
        own = keys[2:] if keys[0] == "task_types" and len(keys) > 2 else keys
        naming = (*keys[: len(keys) - len(own)], own[0], naming_key(own[0]))
        strategy = values.get(naming, (None, None))[1]
        general = ("models", "NAME", *own[2:]) if own[0] == "models" else own
        found[path] = next(
            (each.description for each in describe() if each.keys == general and each.strategy in {None, strategy}), ""
        )
    return found


def _keys_of(path: str) -> tuple[str, ...]:
    """Return the keys of a dotted path as TOML has it."""
    keys, table = [], tomli.loads(f"{path} = 0")
    while isinstance(table, dict):
        ((key, table),) = table.items()
        keys.append(key)
    return tuple(keys)


def key_schema(model: type[BaseModel], key: str) -> dict[str, Any]:
    """Return the JSON Schema of one key."""
    schema: dict[str, Any] = _table(model)["properties"][key]
    return schema


@cache
def _table(model: type[BaseModel]) -> dict[str, Any]:
    schema = model.model_json_schema()
    return {"type": "object", "additionalProperties": False, "properties": schema["properties"]}


def _setting(keys: tuple[str, ...], strategy: str | None, model: type[BaseModel], key: str) -> Setting:
    field = model.model_fields[key]
    default = None if field.is_required() else field.default
    return Setting(keys, strategy, requirement(key_schema(model, key)), default, field.description or "")
