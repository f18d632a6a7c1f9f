"""Roles are narrow, and a store without one of their methods does not type-check."""

from __future__ import annotations

import ast
import inspect
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Protocol

import pytest

import modelperf_plugin
from modelperf_plugin.store import exchange_roles, roles

PACKAGE = Path(modelperf_plugin.__file__).parent


def test_no_role_has_more_than_eight_methods() -> None:
    """A role that grows is two roles."""
    known = [*vars(roles).values(), *vars(exchange_roles).values()]
    protocols = [each for each in known if inspect.isclass(each) and Protocol in each.__bases__]
    assert {roles.Tallies, roles.DecisionLog, roles.Demotions, roles.Connection} <= set(protocols)
    for role in protocols:
        assert len([name for name in vars(role) if not name.startswith("_")]) <= 8, role


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "role", "method"),
    [
        ("sqlite/demotions.py", "SqliteDemotions", "end"),
        ("fallback/store.py", "FallbackDecisionLog", "after"),
        ("attached.py", "TalliesWithAttached", "faded"),
    ],
)
def test_a_missing_method_is_a_type_error(tmp_path: Path, module: str, role: str, method: str) -> None:
    """Without it mypy rejects the place where the store is put together."""
    pytest.importorskip("mypy", reason="mypy is part of the extra dev")
    package = tmp_path / "modelperf_plugin"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    _delete_method(package / "store" / module, role, method)
    result = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", "-p", "modelperf_plugin.store"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 1, result.stderr
    assert f'"{role}"' in result.stdout
    assert method in result.stdout


def _delete_method(module: Path, role: str, method: str) -> None:
    source = module.read_text(encoding="utf-8")
    (found,) = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef) and node.name == role]
    (function,) = [node for node in found.body if isinstance(node, ast.FunctionDef) and node.name == method]
    lines = source.splitlines(keepends=True)
    module.write_text("".join(lines[: function.lineno - 1] + lines[function.end_lineno :]), encoding="utf-8")
