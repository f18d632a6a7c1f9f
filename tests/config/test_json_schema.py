"""The JSON Schema: editors judge a file as ``config check`` does, and name what is wrong."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest
import tomli

from modelperf_plugin.config import json_schema, load, template
from modelperf_plugin.errors import ConfigError

jsonschema = pytest.importorskip("jsonschema")

VALID = [
    "",
    'mode = "off"',
    "[ranking]\nmin_samples = 5",
    '[ranking]\nstrategy = "success_rate"\nmin_samples = 5',
    '[demotion]\nstrategy = "never"',
    "[demotion]\nthreshold = 0.5",
    '[demotion]\nstrategy = "success_rate"\nthreshold = 0.5',
    "[exploration]\nfloor = 0",
    '[exploration]\nstrategy = "epsilon_greedy"\nepsilon = 1',
    '[exploration]\nstrategy = "ab_test"\nchallenger = "a"',
    '[exploration]\nstrategy = "ab_test"\nincumbent = "a"\nchallenger = ["b", "c"]\nmax_samples = 500',
    '[cost]\nobjective = "value"\nusd_per_success = 2',
    '[cost]\nobjective = "cheapest_within"\nmargin = 0',
    '[store]\npath = "x.db"\ndurability = "full"\nretention_days = 30',
    '[store]\npath = ":memory:"',
    '[store]\npath = "sqlite:///x.db"',
    '[store]\nurl = "postgresql://db/x"',
    '[models."gpt-4.1"]\naliases = ["a", "b"]\nprior_success = 0.5\ncost_usd = 1\ncost_since = 2026-11-01',
    '[models.a.budget]\nusd = 5\nper = "day"',
    "[budget]\nusd = 10.5",
    "[retries]\nattempts = 3",
    '[[federation]]\npath = "o.db"\ncolumns = { task_type = "kind" }',
    '[task_types."plan slice".demotion]\nthreshold = 0.8',
    '[demotion]\nstrategy = "success_rate"\n[task_types.a.demotion]\nmin_samples = 9',
    '[task_types.a.demotion]\nstrategy = "success_rate"\nmin_samples = 9',
    '[cost]\nobjective = "value"\nusd_per_success = 2\n[task_types.a.cost]\nobjective = "value"',
    '[cost]\nobjective = "value"\nusd_per_success = 2\n[task_types.a.cost]\nusd_per_success = 3',
    '[task_types.a.cost]\nobjective = "value"\nusd_per_success = 2',
    "[task_types.a.budget]\nusd = 1",
    '[task_type_rules]\nreview = { tag = "r*" }',
    '[task_type_rules]\nx = [{ a = [1, true, "b"] }, { c = 1.5 }]',
    "[drift]\nhalf_life_days = 30\ndetect = false",
    "[log]\nshare = 0",
    "[availability]\npause_seconds = 1",
]

INVALID = {
    "mde = 'off'": "mde",
    'mode = "of"': "of",
    "mode = 1": "mode",
    "ranking = 1": "ranking",
    "[rankng]\nmin_samples = 1": "rankng",
    "[ranking]\nmin_sampels = 3": "min_sampels",
    "[ranking]\nmin_samples = 0": "min_samples",
    "[ranking]\nmin_samples = 1.5": "min_samples",
    '[ranking]\nmin_samples = "3"': "min_samples",
    '[ranking]\nstrategy = "success_rate"\npooled = true': "pooled",
    '[ranking]\nstrategy = "posteriour"': "posteriour",
    "[demotion]\ntreshold = 0.5": "treshold",
    "[demotion]\nmin_samples = 3": "min_samples",
    '[demotion]\nstrategy = "never"\nthreshold = 0.5': "threshold",
    "[demotion]\nthreshold = 1.5": "threshold",
    '[demotion]\nstrategy = "success_rate"\nmargin = 0.2': "margin",
    "[exploration]\nepsilon = 0.1": "epsilon",
    '[exploration]\nstrategy = "epsilon_greedy"\nepsilon = 2': "epsilon",
    '[exploration]\nstrategy = "ab_test"\nchallenger = []': "challenger",
    '[exploration]\nstrategy = "ab_test"\nchallenger = ["a", "a"]': "challenger",
    '[exploration]\nstrategy = "ab_test"\nchallenger = 1': "challenger",
    '[cost]\nobjective = "value"': "usd_per_success",
    "[cost]\nmargin = 0.1": "margin",
    '[cost]\nobjective = "cheapest_within"\nusd_per_success = 1': "usd_per_success",
    '[store]\npath = ""': "path",
    '[store]\npath = "http://x"': "path",
    '[store]\nurl = "x.db"': "url",
    "[store]\nacknowledge = 1": "acknowledge",
    '[store]\ndurability = "ful"': "durability",
    "[store]\nretention_days = 0": "retention_days",
    "[models.gpt-4.1]\ncost_usd = 1": "1",
    '[models.a]\naliases = "b"': "aliases",
    '[models.a]\naliases = [""]': "aliases",
    "[models.a]\nprior_succes = 0.5": "prior_succes",
    "[models.a]\ncost_usd = -1": "cost_usd",
    '[models.""]\ncost_usd = 1': "",
    "[models.a.budget]\nusd = 0": "usd",
    "[models.a.budget]\nuds = 1": "uds",
    "[budget]\nper = 5": "per",
    "[[federation]]\ntable = 't'": "path",
    '[[federation]]\npath = "o.db"\ncolumns = { kind = "k" }': "kind",
    "[federation]\npath = 'o'": "federation",
    "[task_types.a.demotoin]\nthreshold = 0.8": "demotoin",
    "[task_types.a.demotion]\nmin_samples = 9": "min_samples",
    '[task_types.a.demotion]\nstrategy = "never"\nthreshold = 0.1': "threshold",
    "[task_types.a.demotion]\nthreshold = 2": "threshold",
    '[demotion]\nstrategy = "success_rate"\n[task_types.a.demotion]\nmargin = 0.1': "margin",
    '[task_types.a.cost]\nobjective = "value"': "usd_per_success",
    "[task_types.a]\nretries = 1": "retries",
    "[task_types.a.store]\npath = 'x'": "store",
    '[task_type_rules]\nx = { tags = "y" }': "tags",
    "[task_type_rules]\nx = {}": "x",
    "[task_type_rules]\nx = 1": "x",
    '[task_type_rules]\nx = { a = "" }': "a",
    "[drift]\ndetect = 1": "detect",
    "[log]\nshare = 2": "share",
    "[retries]\nattempts = 0": "attempts",
}


def errors(text: str) -> list[Any]:
    """Return what a validator finds wrong in a file; it sees dates as text, as editors do."""
    plain = json.loads(json.dumps(tomli.loads(text), default=date.isoformat))
    return list(jsonschema.Draft202012Validator(json_schema()).iter_errors(plain))


def test_the_schema_is_a_schema() -> None:
    """Validators accept it, and it accepts the file that init writes."""
    jsonschema.Draft202012Validator.check_schema(json_schema())
    assert errors(template()) == []


@pytest.mark.parametrize("text", VALID)
def test_what_the_plugin_accepts_is_valid(text: str) -> None:
    """An editor underlines nothing in a file that is in order."""
    load(tomli.loads(text))
    assert [error.message for error in errors(text)] == []


@pytest.mark.parametrize(("text", "key"), INVALID.items())
def test_what_the_plugin_refuses_is_invalid(text: str, key: str) -> None:
    """An editor names the key or the value that ``config check`` complains about, once."""
    with pytest.raises(ConfigError):
        load(tomli.loads(text))
    found = [(error.message, [str(part) for part in error.absolute_path]) for error in errors(text)]
    assert len(found) == 1
    ((message, path),) = found
    assert f"'{key}'" in message or key in path
    assert "any of the schemas" not in message
