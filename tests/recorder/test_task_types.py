"""Task types by rules: the method of the engine, and its rules while a host runs."""

from __future__ import annotations

import os
from pathlib import Path
from time import sleep

import pytest

import modelperf_plugin as mp
from modelperf_plugin.errors import InvalidValueError


def test_labels_name_the_task_type(path: Path) -> None:
    """The first rule that holds counts, then the default."""
    rules = {"code-review": {"tag": "review"}, "sql": {"job": "nightly-*"}}
    with mp.ModelPerf({"task_type_rules": rules}, store=path) as perf:
        assert perf.task_type_for(["review"]) == "code-review"
        assert perf.task_type_for({"job": "nightly-1"}, default="node") == "sql"
        assert perf.task_type_for({"job": "hourly"}, default="node") == "node"
        assert perf.task_type_for(None) == "default"
        with pytest.raises(InvalidValueError, match=r"^labels must be a list of tags"):
            perf.task_type_for("review")
        with pytest.raises(InvalidValueError, match=r"^default must be"):
            perf.task_type_for([], default="")


def test_changed_rules_apply_while_the_host_runs(tmp_path: Path) -> None:
    """A new version of the file applies within seconds; a version with a mistake has no effect."""
    file = tmp_path / "modelperf.toml"
    file.write_text('[task_type_rules]\n"a" = { tag = "x" }\n')
    with mp.ModelPerf(file, store=":memory:") as perf:
        assert perf.task_type_for(["x"]) == "a"
        for text, expected in (('"b" = { tag = "x" }', "b"), ('"c" = { tag = "" }', "b"), ('"d" = { tag = "x" }', "d")):
            replacement = tmp_path / "next.toml"
            replacement.write_text(f"[task_type_rules]\n{text}\n")
            os.replace(replacement, file)  # noqa: PTH105 - a file in one step, as editors write it
            sleep(1.1)
            assert perf.task_type_for(["x"]) == expected
