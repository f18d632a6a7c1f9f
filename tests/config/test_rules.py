"""Rules name the task type of a call by its labels; each mistake in them has one message."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tomli
from hypothesis import given
from hypothesis import strategies as st

from modelperf_plugin.config import Config, json_schema, load
from modelperf_plugin.config.rules import TaskTypeRules
from modelperf_plugin.errors import ConfigError, InvalidValueError
from tests.config.test_load import problems_of

RULES = tomli.loads("""
"code-review" = { tag = "review" }
"nightly-sql" = { job = "nightly-*", team = ["data", "bi"] }
"support" = [{ tag = "support" }, { agent = "helpdesk", internal = false, level = 3 }]
"odd" = { file = "[a]?.py" }
"any-job" = { job = "*" }
""")


@pytest.mark.parametrize(
    ("labels", "task_type"),
    [
        (["review"], "code-review"),
        (("urgent", "review"), "code-review"),
        ({"tags": ["review"]}, "code-review"),
        ({"tag": "review"}, "code-review"),
        ({"tag": "a", "tags": {"review"}}, "code-review"),
        (["Review"], None),
        (["reviews"], None),
        ({"job": "nightly-7", "team": "bi"}, "nightly-sql"),
        ({"job": "nightly-7", "team": ["x", "data"]}, "nightly-sql"),
        ({"job": "nightly-7", "team": "x"}, "any-job"),
        ({"team": "data"}, None),
        ({"tags": "support", "job": "hourly"}, "support"),
        ({"agent": "helpdesk", "internal": False, "level": 3.0}, "support"),
        ({"agent": "helpdesk", "internal": "false", "level": "3"}, "support"),
        ({"agent": "helpdesk", "internal": 0, "level": 3}, None),
        ({"file": "[a]b.py"}, "odd"),
        ({"file": "ab.py"}, None),
        ({"job": "two\nlines"}, "any-job"),
        ({"job": "x" * 513}, None),
        ({"job": None}, None),
        ({"job": {"name": "x"}}, None),
        ({"job": [["x"], {}, None]}, None),
        ({"job": object()}, None),
        ({1: 2, "job": 10**5000}, None),
        ([], None),
        ({}, None),
        (None, None),
        ([None, 1], None),
        ({"tags": ["review"], "modelperf_task_type": "mine"}, "mine"),
        ({"tags": ["review"], "modelperf_task_type": None}, "code-review"),
    ],
)
def test_the_first_rule_that_holds_counts(labels: Any, task_type: str | None) -> None:
    """All conditions must hold, one of several alternatives suffices, and only tags and metadata are looked at."""
    assert load({"task_type_rules": RULES}).config.rules.task_type_for(labels) == task_type


@pytest.mark.parametrize(
    "labels", ["review", b"review", 3, {"modelperf_task_type": ""}, {"modelperf_task_type": ["a"]}]
)
def test_what_are_no_labels_is_said(labels: Any) -> None:
    """A single text is not a list of tags, and an explicit task type must be one."""
    with pytest.raises(InvalidValueError, match=r"^(labels|modelperf_task_type) must be "):
        TaskTypeRules({}).task_type_for(labels)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), lambda each: st.dictionaries(st.text(), each)))
def test_no_label_of_others_is_an_error(value: Any) -> None:
    """Whatever a framework keeps in its metadata, a rule holds or does not."""
    assert TaskTypeRules(RULES).task_type_for({"job": [value], "tags": value}) in {*RULES, None}


WRONG = "must be text of 1 to 512 characters, a number, true or false, or an array of these, but got "
TABLE = 'must be a table of conditions such as { tag = "review" }, or an array of such tables, but got '
EMPTY = 'must have at least one condition, such as { tag = "review" }'


@pytest.mark.parametrize(
    ("rules", "path", "message"),
    [
        (3, "task_type_rules", 'must be a table of rules such as "TASK TYPE" = { tag = "review" }'),
        ({"a": 3}, "task_type_rules.a", f"{TABLE}3"),
        ({"a": "x"}, "task_type_rules.a", f"{TABLE}'x'"),
        ({"a": [1]}, "task_type_rules.a", f"{TABLE}[1]"),
        ({"a": {}}, "task_type_rules.a", EMPTY),
        ({"a": []}, "task_type_rules.a", EMPTY),
        ({"a": [{"tag": "x"}, {}]}, "task_type_rules.a", EMPTY),
        ({"": {"tag": "x"}}, 'task_type_rules.""', "a task type must be 1 to 512 characters long, but got ''"),
        ({"a": {"": "x"}}, 'task_type_rules.a.""', "the name of a label must be text, but got ''"),
        (
            {"a": {"tags": "x"}},
            "task_type_rules.a.tags",
            "unknown condition; did you mean tag? It holds if one of the tags matches",
        ),
        (
            {"code": {"review": {"tag": "x"}}},
            "task_type_rules.code.review",
            'a task type whose name contains a dot must be quoted: [task_type_rules."code.review"]',
        ),
        ({"a": {"job": ""}}, "task_type_rules.a.job", f"{WRONG}''"),
        ({"a": {"job": []}}, "task_type_rules.a.job", f"{WRONG}[]"),
        ({"a": {"job": ["x", []]}}, "task_type_rules.a.job", f"{WRONG}['x', []]"),
        ({"a": {"job": float("nan")}}, "task_type_rules.a.job", f"{WRONG}nan"),
        ({"a": {"job": "x" * 513}}, "task_type_rules.a.job", WRONG),
    ],
)
def test_each_mistake_has_one_message(rules: Any, path: str, message: str) -> None:
    """A mistake is one problem, with its path and what to write instead; all are reported at once."""
    ((found_path, found_message),) = problems_of({"task_type_rules": rules})
    assert found_path == path
    assert found_message.startswith(message)


def test_a_config_made_in_python_is_checked_too() -> None:
    """The same mistakes are errors of ``Config(task_type_rules=…)``, and a copy has its own rules."""
    with pytest.raises(ValueError, match="at least one condition"):
        Config(task_type_rules={"a": {}})
    config = Config(task_type_rules={"a": {"tag": "x"}})
    assert config.rules.task_type_for(["x"]) == "a"
    assert config.model_copy(update={"task_type_rules": {}}).rules.task_type_for(["x"]) is None
    assert load(config).config == load(config, flags={"mode": "off"}).config.model_copy(update={"mode": "apply"})


def test_the_rules_of_a_stronger_source_replace_all(tmp_path: Path) -> None:
    """Rules have one order, so those of two files are never mixed; ``config show`` names the file."""
    user = tmp_path / "home/.config/modelperf/modelperf.toml"
    user.parent.mkdir(parents=True)
    user.write_text('[task_type_rules]\n"b" = { tag = "x" }\n"a" = { tag = "x", job = "y" }\n')
    own = tmp_path / "modelperf.toml"
    own.write_text('[task_type_rules]\n"a" = { tag = "x" }\n')
    loaded = load(cwd=tmp_path, environ={"HOME": str(tmp_path / "home")})
    assert loaded.config.task_type_rules == {"a": {"tag": "x"}}
    assert ("task_type_rules.a.tag", "x", str(own)) in loaded.rows()
    own.unlink()
    assert load(cwd=tmp_path, environ={"HOME": str(tmp_path / "home")}).config.rules.task_type_for(["x"]) == "b"


def test_rules_change_no_policy() -> None:
    """The fingerprint of a policy is the same with and without rules."""
    with_rules = load({"task_type_rules": RULES}).config
    assert with_rules.policy_for("support").policy_id == Config().policy_for("support").policy_id


def test_the_schema_has_rules() -> None:
    """The JSON Schema describes a rule as a table of patterns or an array of such tables, none of them empty."""
    rule = json.loads(json.dumps(json_schema()))["properties"]["task_type_rules"]["additionalProperties"]
    assert rule["type"] == ["object", "array"]
    assert rule["items"]["additionalProperties"] == rule["additionalProperties"]
    assert rule["minProperties"] == rule["items"]["minProperties"] == rule["minItems"] == 1


def test_a_syntax_error_elsewhere_is_the_only_problem(tmp_path: Path) -> None:
    """A file that is not TOML is one problem; rules do not add to it."""
    own = tmp_path / "modelperf.toml"
    own.write_text('[task_type_rules]\n"a" = { tag = }\n')
    with pytest.raises(ConfigError) as caught:
        load(own, environ={})
    assert len(caught.value.problems) == 1
