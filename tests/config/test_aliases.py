"""Aliases: each says which model it means, or the configuration is refused."""

from __future__ import annotations

from typing import Any

import pytest

from modelperf_plugin.config import Config, ModelConfig, load
from modelperf_plugin.errors import ConfigError
from modelperf_plugin.policy import ABTest

AB_TEST = {"strategy": "ab_test", "incumbent": "a", "challenger": ["x", "b"]}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"models": {"a": {"aliases": ["b"]}, "b": {}}}, "models: 'b' is an alias of 'a', but has a table [models"),
        ({"models": {"a": {"aliases": ["x"]}, "b": {"aliases": ["x"]}}}, "models: 'x' is an alias of both 'a' and 'b'"),
        ({"models": {"a": {"aliases": ["a"]}}}, "models: 'a' is named twice in [models.\"a\"]"),
        ({"models": {"a": {"aliases": ["x", "x"]}}}, "models: 'x' is named twice in [models.\"a\"]"),
        ({"models": {"a": {"aliases": "x"}}}, "models.a.aliases: must be an array of model ids, but got 'x'"),
        ({"models": {"a": {"aliases": ["x\n"]}}}, "models.a.aliases: must be an array of model ids, but an alias"),
        (
            {"models": {"a": {"aliases": ["x"]}}, "exploration": AB_TEST},
            "[exploration] names 'a' twice, once by an alias",
        ),
        (
            {"models": {"a": {"aliases": ["x"]}}, "task_types": {"t": {"exploration": AB_TEST}}},
            '[task_types."t".exploration] names \'a\' twice, once by an alias',
        ),
    ],
)  # fmt: skip
def test_an_ambiguous_alias_is_one_error(settings: dict[str, Any], message: str) -> None:
    """An alias that is another model, is used twice or makes a test of one model is refused with one message."""
    with pytest.raises(ConfigError) as caught:
        load(settings)
    (problem,) = caught.value.problems
    assert message in str(problem)
    if "must be an array" not in message:
        with pytest.raises(ValueError, match=r"alias|twice"):
            Config.model_validate(settings)


def test_aliases_name_their_model() -> None:
    """They are shown with their source, and the sides of an A/B test become canonical while it stays the same test."""
    loaded = load({"models": {"a": {"aliases": ["x", "y z"]}}, "exploration": {**AB_TEST, "incumbent": "c"}})
    assert loaded.config.models == {"a": ModelConfig(aliases=("x", "y z"))}
    assert loaded.config.canonical_ids == {"x": "a", "y z": "a"}
    assert ("models.a.aliases", ["x", "y z"]) in [row[:2] for row in loaded.rows()]
    written, test = loaded.config.exploration, loaded.config.policy_for("t").exploration
    assert isinstance(written, ABTest)
    assert isinstance(test, ABTest)
    assert (test.incumbent, test.challengers) == ("c", ("a", "b"))
    assert test.fingerprint == written.fingerprint
