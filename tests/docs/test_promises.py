"""The page of promises: each is kept by a test that exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, ROOT, text_of

_PAGE = DOCS / "reference" / "promises.md"
_TEST = re.compile(r"`([\w/]+\.py)::(\w+)`")
_PROMISES = re.split(r"^- ", text_of(_PAGE).split("\n## ", 1)[1], flags=re.MULTILINE)[1:]


def _names(file: Path) -> set[str]:
    return {
        node.name
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
    } | {
        target.id
        for node in ast.parse(file.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


@pytest.mark.parametrize("promise", _PROMISES, ids=lambda promise: promise.split("\n", 1)[0][:60])
def test_every_promise_is_kept_by_a_test(promise: str) -> None:
    """Each promise names at least one test, and each test it names exists."""
    named = _TEST.findall(promise)
    assert named
    missing = [f"{path}::{name}" for path, name in named if not _has(ROOT / "tests" / path, name)]
    assert missing == []


def _has(file: Path, name: str) -> bool:
    return file.is_file() and name in _names(file)
