"""The JSON Schema of the file, which judges it as :func:`~modelperf_plugin.config.load` does, as far as it can.

It has no ``anyOf``: what validators say about one names no key. A policy section has the keys of all strategies, and a
condition for each strategy that refuses those of the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, Final

from pydantic import BaseModel

from modelperf_plugin.config.describe import default_strategy, key_schema, plain_section, strategies
from modelperf_plugin.config.models import ModelConfig
from modelperf_plugin.config.rules import SCHEMA
from modelperf_plugin.config.schema import (
    PLAIN_SECTIONS,
    POLICY_SECTIONS,
    RULES_SECTION,
    TASK_TYPE_SECTIONS,
    Config,
    naming_key,
)
from modelperf_plugin.config.sections import FEDERATED_COLUMNS, FederationConfig
from modelperf_plugin.values import MAX_ID_LENGTH

Schema = dict[str, Any]

_NAME: Final[Schema] = {
    "type": "string", "minLength": 1, "maxLength": MAX_ID_LENGTH,
    "pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f\\u2028\\u2029]*$",
}  # fmt: skip
_EXTRA: Final[dict[tuple[type[BaseModel], str], Schema]] = {
    (plain_section("store"), "path"): {"pattern": "^(sqlite:///|(?!.*://))"},
    (plain_section("store"), "url"): {"pattern": "^postgres(ql)?://"},
    (FederationConfig, "columns"): {"propertyNames": {"enum": list(FEDERATED_COLUMNS)}},
    (ModelConfig, "aliases"): {"items": _NAME},
}
"""What validators check beyond the types."""


@cache
def json_schema() -> Schema:
    """Return the JSON Schema (draft 2020-12) of the file; every key is optional."""
    fields = Config.model_fields
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "modelperf.toml",
        "description": "Configuration of modelperf_plugin.",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "mode": _key(Config, "mode"),
            **{section: {**_plain(section), "description": fields[section].description} for section in PLAIN_SECTIONS},
            **{section: _policy(section) for section in POLICY_SECTIONS},
            "models": {
                "type": "object",
                "description": fields["models"].description,
                "propertyNames": _NAME,
                "additionalProperties": _table(ModelConfig),
            },
            "federation": {
                "type": "array",
                "description": fields["federation"].description,
                "items": {**_table(FederationConfig), "required": ["path"]},
            },
            "task_types": {
                "type": "object",
                "description": fields["task_types"].description,
                "propertyNames": _NAME,
                "additionalProperties": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {section: _override(section) for section in TASK_TYPE_SECTIONS},
                },
            },
            RULES_SECTION: {**SCHEMA, "propertyNames": _NAME, "description": fields[RULES_SECTION].description},
        },
        "allOf": [condition for section in POLICY_SECTIONS for condition in _inheritance(section)],
    }


def _key(model: type[BaseModel], key: str) -> Schema:
    """Return the schema of one key, without what only says that it may be left out."""
    schema = key_schema(model, key)
    choices = [choice for choice in schema.get("anyOf", ()) if choice.get("type") != "null"]
    if choices:
        merged = {name: value for choice in choices for name, value in choice.items()}
        types = [choice["type"] for choice in choices]
        rest = {name: value for name, value in schema.items() if name not in {"anyOf", "default"}}
        schema = {**merged, "type": types[0] if len(types) == 1 else types, **rest}
        if "array" in types:  # an empty one is no choice, and neither is one twice
            schema |= {"minItems": 1, "uniqueItems": True}
    if "enum" in schema:  # the type says nothing more
        schema = {name: value for name, value in schema.items() if name != "type"}
    return {**schema, **_EXTRA.get((model, key), {})}


def _table(model: type[BaseModel]) -> Schema:
    own = {key: _plain(key) for key in model.model_fields if model is ModelConfig and key in PLAIN_SECTIONS}
    properties = {key: own[key] if key in own else _key(model, key) for key in model.model_fields}
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _plain(section: str) -> Schema:
    return _table(plain_section(section))


def _policy(section: str) -> Schema:
    """Return the schema of a policy section: the strategy that it names, or the default one, decides on its keys."""
    conditions = []
    for name, model in strategies(section).items():
        needed = [key for key, field in model.model_fields.items() if field.is_required()]
        is_named = _names(section, name, otherwise=name == default_strategy(section))
        conditions.append({"if": is_named, "then": {**_own_keys(section, name), "required": needed}})
    return {**_all_keys(section), "allOf": conditions, "description": Config.model_fields[section].description}


def _override(section: str) -> Schema:
    """Return the schema of an override: without a strategy of its own, the common section decides on its keys."""
    if section not in POLICY_SECTIONS:
        return _plain(section)
    conditions = [
        {"if": _names(section, name, otherwise=False), "then": _own_keys(section, name)} for name in strategies(section)
    ]
    return {**_all_keys(section), "allOf": conditions}


def _inheritance(section: str) -> Iterator[Schema]:
    """Yield a condition for each strategy that the common section may have, on the overrides of task types."""
    naming = naming_key(section)
    for name, model in strategies(section).items():
        needed = [key for key, field in model.model_fields.items() if field.is_required()]
        is_default = name == default_strategy(section)
        is_common: Schema = {"properties": {section: _names(section, name, otherwise=is_default)}}
        if not is_default:
            is_common["required"] = [section]
        without_own = {"if": {"not": {"required": [naming]}}, "then": _own_keys(section, name)}
        yield {"if": is_common, "then": _overrides(section, without_own)}
        if needed:
            own = {"if": _names(section, name, otherwise=False), "then": {"required": needed}}
            yield {"if": {"not": is_common}, "then": _overrides(section, own)}


def _overrides(section: str, schema: Schema) -> Schema:
    return {"properties": {"task_types": {"additionalProperties": {"properties": {section: schema}}}}}


def _names(section: str, name: str, *, otherwise: bool) -> Schema:
    """Return a schema that holds if a section names a strategy; ``otherwise`` is for one that names none."""
    naming = naming_key(section)
    return {"properties": {naming: {"const": name}}, "required": [] if otherwise else [naming]}


def _all_keys(section: str) -> Schema:
    """Return a table with the keys of all strategies; those that differ are described, and checked by conditions."""
    naming, properties = naming_key(section), dict[str, Schema]()
    for model in strategies(section).values():
        for key in model.model_fields:
            schema = _key(model, key)
            properties[key] = _common(properties.get(key, schema), schema)
    properties[naming] = {
        "enum": list(strategies(section)), "default": default_strategy(section),
        "description": Config.model_fields[section].description,
    }  # fmt: skip
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _common(one: Schema, other: Schema) -> Schema:
    if one == other:
        return one
    return {name: value for name, value in one.items() if name == "description" and other.get(name) == value}


def _own_keys(section: str, strategy: str) -> Schema:
    """Return a schema that refuses the keys of other strategies, and checks those that differ from theirs."""
    models = strategies(section)
    own, common = models[strategy], _all_keys(section)["properties"]
    differing = [key for key in own.model_fields if key != naming_key(section) and _key(own, key) != common[key]]
    foreign = sorted({key for model in models.values() for key in model.model_fields} - set(own.model_fields))
    schema: Schema = {"properties": {key: _key(own, key) for key in differing}}
    return {**schema, "propertyNames": {"not": {"enum": foreign}}} if foreign else schema
