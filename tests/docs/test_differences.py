"""The differences that pages show: a program before it learns, and after."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, ROOT, Block, blocks_of, name_of

MOST_CHANGED = 10
"""How many lines of an existing program may change."""
PAGES = [page for page in sorted((DOCS / "how-to" / "frameworks").glob("*.md")) if page.name != "recipes.md"]


def differences(page: Path) -> list[Block]:
    """Return the differences of a page."""
    return [block for block in blocks_of(page) if block.language == "diff"]


def side(block: Block, mark: str) -> str:
    """Return one side of a difference, the one whose own lines begin with ``mark``."""
    return "\n".join(line[1:] for line in block.text.splitlines() if line[:1] in {mark, " ", ""})


def offered_by(adapter: str) -> list[str]:
    """Return the public names of an adapter, without importing it."""
    tree = ast.parse((ROOT / f"{adapter.replace('.', '/')}.py").read_text(encoding="utf-8"))
    assigned = {ast.unparse(node.targets[0]): node.value for node in tree.body if isinstance(node, ast.Assign)}
    names: list[str] = ast.literal_eval(assigned["__all__"])
    return names


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_program_changes_in_few_lines(page: Path) -> None:
    """Each page shows what is added to a program or its configuration, and that is not much."""
    found = differences(page)
    assert found
    for block in found:
        changed = [line for line in block.text.splitlines() if line.startswith("+") and line != "+"]
        assert 0 < len(changed) <= MOST_CHANGED


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_both_sides_are_programs(page: Path) -> None:
    """Before and after are Python, and import from an adapter what it offers."""
    for block in differences(page):
        if "import" not in block.text:  # the configuration of a program
            continue
        before, after = (ast.dump(ast.parse(side(block, mark))) for mark in "-+")
        assert before != after
        for node in ast.walk(ast.parse(side(block, "+"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("modelperf_plugin.adapters."):
                assert {name.name for name in node.names} <= set(offered_by(node.module or ""))
