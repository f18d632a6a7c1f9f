"""Follows the pages from an empty folder with nothing but the wheel: ``WALK_WITH=python3.12 pytest FILE``.

``WALK_EXTRAS`` are the extras to install, by default those that the pages name, without frameworks.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.docs.installed import Installation, Newcomer
from tests.docs.pages import DOCS, PAGES, README, ROOT, name_of
from tests.docs.test_walkthrough import FRAMEWORKS, PREPARED, RUN_ELSEWHERE

PYTHON = os.environ.get("WALK_WITH")
EXTRAS = os.environ.get("WALK_EXTRAS", "analysis,dashboard,otel,parquet,plot,prices")

pytestmark = pytest.mark.skipif(not PYTHON, reason="set WALK_WITH to an interpreter, as .ci/run does")


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """Return a new environment of the interpreter with the wheel of this checkout."""
    folder = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip"]
    subprocess.run([*pip, "wheel", "-q", "--no-deps", "-w", folder / "wheels", ROOT], check=True)
    (wheel,) = (folder / "wheels").iterdir()
    subprocess.run([str(PYTHON), "-m", "venv", folder / "venv"], check=True)
    python = folder / "venv" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", f"{wheel}[{EXTRAS}]"], check=True)
    return Installation(python, wheel)


def _pages() -> Iterator[Any]:
    """Yield the pages of which every block can be followed without a checkout."""
    for page in PAGES:
        if page not in RUN_ELSEWHERE | {README}:
            yield pytest.param(page, id=name_of(page))


@pytest.mark.parametrize("page", list(_pages()))
def test_a_newcomer_is_not_surprised(page: Path, tmp_path: Path, installation: Installation) -> None:
    """Whoever copies the blocks of a page in order, from an empty folder, gets what the page shows."""
    if page.parent == DOCS / "how-to" / "frameworks":
        needed = subprocess.run([installation.python, "-c", f"import {FRAMEWORKS[page.stem]}"], check=False)
        if needed.returncode:
            pytest.skip(f"{FRAMEWORKS[page.stem]} is not among the extras {EXTRAS}")
    folder = tmp_path / "home" / "reader"
    folder.mkdir(parents=True)
    newcomer = Newcomer(page, folder, installation)
    if page in PREPARED:
        newcomer.type("modelperf demo --store .sf/model-performance.db")
    newcomer.read()
