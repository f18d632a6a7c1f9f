"""The configuration file that ``modelperf init`` writes: every key with its default and an explanation."""

from __future__ import annotations

import json
import textwrap
from datetime import date
from typing import Any, Final

from modelperf_plugin.config.describe import Setting, default_strategy, describe, strategies
from modelperf_plugin.config.schema import NAMED_SECTIONS, naming_key

_URL = '"postgresql://modelperf@db.example.org/modelperf"'
SCHEMA_FILE: Final = "modelperf.schema.json"
"""The JSON Schema that editors find beside the file."""
_HEAD = f"""\
#:schema ./{SCHEMA_FILE}
# Configuration of modelperf_plugin. Every value below is the default: change what you want, delete the rest.
# The file is reloaded when it changes; `modelperf config check` validates it.
"""
_TAIL = """
# What is known about a model beforehand: its other names, its expected success rate on an average task
# type, the weight of that in outcomes, and the cost of a task if no host reports any or since a day.
#
# [models."model-id"]
# aliases = ["provider/model-id", "model-id-2026-01-31"]
# prior_success = 0.8
# prior_strength = 10
# cost_usd = 0.02
# cost_since = 2026-11-01
#
# [models."model-id".budget]
# usd = 5.0

# Other programs' tables of outcomes (SQLite) that count as evidence without being copied.
# The columns are only needed if the schema of the table is not recognised.
#
# [[federation]]
# path = "other.db"
# table = "llm_task_outcomes"
# columns = { task_type = "kind", model_id = "model", success = "ok" }

# Any policy section can differ for one task type. Keys that are not set here keep their values from above.
#
# [task_types."plan-slice".demotion]
# threshold = 0.5

# Task types for frameworks that have none, by the tags and metadata of a call: the first rule whose
# conditions all hold counts. * and ? are wildcards, arrays hold alternatives. Try rules out with
# `modelperf config task-type`.
#
# [task_type_rules]
# "code-review" = { tag = "review" }
# "nightly-sql" = { job = "nightly-*", team = ["data", "bi"] }
"""


def template() -> str:
    """Return the commented TOML, which loads to exactly the defaults."""
    lines = [_HEAD]
    for setting in describe():
        section, *rest = setting.keys
        if section == "mode":
            lines += [_comment(setting.description), f"mode = {_toml(setting.default)}"]
        elif section not in NAMED_SECTIONS and setting.strategy is None:
            is_head = rest == [naming_key(section)]
            lines += _section_head(section, setting) if is_head else _plain(section, rest[0], setting, lines)
        elif setting.strategy is not None:
            lines += _strategy_key(section, rest[0], setting)
    return "\n".join(lines) + "\n" + _TAIL


def _plain(section: str, key: str, setting: Setting, lines: list[str]) -> list[str]:
    head = [] if f"[{section}]" in lines else ["", f"[{section}]"]
    # a path in a file is relative to it, but the default is relative to the working directory: left unset
    off = "# " if (section, key) == ("store", "path") or setting.default is None else ""
    examples = {"a number": "20.0", "a whole number": "365"}
    unset = next((example for kind, example in examples.items() if setting.kind.startswith(kind)), _URL)
    value = unset if setting.default is None else _toml(setting.default)
    return [*head, _comment(setting.description), f"{off}{key} = {value}"]


def _section_head(section: str, setting: Setting) -> list[str]:
    head = ["", f"[{section}]", _comment(setting.description)]
    for name, model in strategies(section).items():
        summary = (model.__doc__ or "").strip().split("\n\n")[0]
        head.append(_comment(f"{name}: {' '.join(summary.split())}"))
    return [*head, f"{naming_key(section)} = {_toml(setting.default)}"]


def _strategy_key(section: str, key: str, setting: Setting) -> list[str]:
    in_force = setting.strategy == default_strategy(section)
    examples = {"text": '"model-id"', "a whole number": "1000"}
    unset = next((example for kind, example in examples.items() if setting.kind.startswith(kind)), "0.5")
    value = unset if setting.default is None else _toml(setting.default)
    off = "" if in_force and setting.default is not None else "# "
    note = setting.description if in_force else f"({setting.strategy}) {setting.description}"
    return [_comment(note), f"{off}{key} = {value}"]


def _comment(text: str) -> str:
    return textwrap.fill(text, width=100, initial_indent="# ", subsequent_indent="#   ")


def _toml(value: Any) -> str:
    return str(value) if isinstance(value, date) else json.dumps(value, ensure_ascii=False)
