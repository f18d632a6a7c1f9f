"""The configuration describes itself: template, JSON Schema and list of keys agree with the models."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import tomli

from modelperf_plugin.config import (
    POLICY_SECTIONS,
    Config,
    ModelConfig,
    describe,
    json_schema,
    load,
    naming_key,
    strategies,
    template,
)
from modelperf_plugin.config.describe import meanings
from modelperf_plugin.policy import DemoteByEvidence
from modelperf_plugin.policy.budget import Budget


def test_the_template_is_the_defaults(tmp_path: Path) -> None:
    """What ``modelperf init`` writes loads to exactly the defaults, and no line is longer than 110 characters."""
    file = tmp_path / "modelperf.toml"
    file.write_text(template(), encoding="utf-8")
    assert load(file, cwd=tmp_path, environ={}).config == Config()
    assert max(len(line) for line in template().splitlines()) <= 110


def test_the_template_names_every_key_and_strategy() -> None:
    """No key and no strategy is missing from the template."""
    text = template()
    for setting in describe():
        assert f"{setting.keys[-1]} =" in text or f"# [{setting.keys[-1]}" in text or setting.keys == ("federation",)
        assert setting.description
    for section in POLICY_SECTIONS:
        assert all(f"# {name}: " in text for name in strategies(section))


def test_the_commented_lines_of_the_template_are_toml() -> None:
    """Uncommenting the examples of an override and of a model gives a file that loads."""
    tail = template()[template().index('# [models."model-id"') :]
    examples = [line for line in tail.splitlines() if line.startswith("# [") or " = " in line]
    config = load(tomli.loads("\n".join(line.removeprefix("# ") for line in examples))).config
    assert config.policy_for("plan-slice").demotion == DemoteByEvidence(threshold=0.5)
    known = ModelConfig(
        aliases=("provider/model-id", "model-id-2026-01-31"), prior_success=0.8, prior_strength=10.0, cost_usd=0.02,
        cost_since=date(2026, 11, 1), budget=Budget(usd=5.0),
    )  # fmt: skip
    assert config.models == {"model-id": known}
    assert config.rules.task_type_for({"job": "nightly-1", "team": "bi"}) == "nightly-sql"


def test_the_schema_is_json_and_closed() -> None:
    """The JSON Schema can be written as JSON; every table of it refuses unknown keys."""
    schema = json.loads(json.dumps(json_schema()))

    def tables(node: Any) -> list[dict[str, Any]]:
        if isinstance(node, list):
            return [table for each in node for table in tables(each)]
        if not isinstance(node, dict):
            return []
        here = [node] if node.get("type") == "object" and "properties" in node else []
        return here + [table for each in node.values() for table in tables(each)]

    assert schema["$schema"].endswith("2020-12/schema")
    found = tables(schema)
    assert len(found) > 8
    assert all(table["additionalProperties"] is False for table in found)


@pytest.mark.parametrize("section", POLICY_SECTIONS)
def test_every_strategy_is_its_own_configuration(section: str) -> None:
    """Each strategy can be named alone in its section, apart from keys without a default."""
    for name, model in strategies(section).items():
        needed = {key: 1.0 for key, field in model.model_fields.items() if field.is_required()}
        assert set(needed) <= {"usd_per_success"}
        loaded = load({section: {naming_key(section): name, **needed}}).config
        assert getattr(loaded, section) == model(**needed)


def test_every_setting_of_a_configuration_has_a_meaning() -> None:
    """That of the strategy that is in force there: of task types and models, too, whatever their names."""
    config = {
        "ranking": {"strategy": "success_rate", "min_samples": 5},
        "models": {'a.b "c"': {"cost_usd": 0.1, "budget": {"usd": 2}}},
        "task_types": {"d e.f": {"exploration": {"strategy": "epsilon_greedy"}, "budget": {"usd": 1}}},
    }
    rows = load(config).rows()
    found = meanings(rows)
    assert [path for path, _, _ in rows if not found[path]] == []
    described = {(each.keys, each.strategy): each.description for each in describe()}
    assert found["ranking.min_samples"] == described[("ranking", "min_samples"), "success_rate"]
    epsilon = 'task_types."d e.f".exploration.epsilon'
    assert found[epsilon] == described[("exploration", "epsilon"), "epsilon_greedy"]
