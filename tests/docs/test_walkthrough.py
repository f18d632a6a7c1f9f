"""Follows every page as a reader would: code runs, commands exit as stated, and output matches."""

from __future__ import annotations

import gc
import logging
import random
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from modelperf_plugin.cli import modelperf
from modelperf_plugin.config import load
from modelperf_plugin.demo.orchestrator import run_demo
from modelperf_plugin.engine.core import ModelPerf
from tests.docs.pages import DOCS, PAGES, README, Block, blocks_of, name_of

FROM_NOTHING = {README, DOCS / "tutorial.md"}
"""Pages that start in an empty folder; all others find a demo's outcomes there and in the default store."""
INSTALLING = ("python3 -m venv ", "../first-host/.venv/bin/pip install ", "cd ../first-host", ". .venv/bin/activate")
"""Lines of the tutorial that create its environment; the tests already have one."""
SUPPLIED: dict[Path, dict[str, Any]] = {README: {"run": lambda _task, model_id: model_id == "claude-opus"}}
"""Names that a page expects its reader to define."""
FRAMEWORKS = {
    "bub": "bub", "inspect-ai": "inspect_ai", "langchain": "langgraph", "litellm": "litellm", "llm": "llm",
    "openai-agents": "agents", "pydantic-ai": "pydantic_ai",
}  # fmt: skip
"""What a page about a framework needs, by its name."""
RUN_ELSEWHERE = {DOCS / "how-to" / "frameworks" / "recipes.md"}
"""Pages whose blocks are independent of each other; tests/adapters/recipes runs them."""
PARAMETERS = {"task_type = ?": "write-code", "model_id = ?": "o3", ">= ?": 3, "> ?": "2020-01-01"}
"""The value for each ``?`` of a query, by the text before it."""


class Reader:
    """Follows a page in a folder."""

    def __init__(self, page: Path, folder: Path) -> None:
        self.folder = folder
        self.page = page
        self.namespace: dict[str, Any] = {"__name__": "__main__", **SUPPLIED.get(page, {})}
        self.printed: str | None = None
        """Output of the previous block if it was a block of commands."""

    def read(self) -> None:
        """Follow the whole page."""
        do: dict[str, Callable[[Block], None]] = {
            "python": self.run_python, "toml": self.load_toml, "sh": self.type, "sql": self.query, "csv": self.keep,
            "json": self.keep, "diff": lambda _block: None,
        }  # fmt: skip
        try:
            self.follow(do)
        finally:
            for value in self.namespace.values():  # a page may leave these open until its program ends
                if isinstance(value, ModelPerf | sqlite3.Connection):
                    value.close()

    def follow(self, do: dict[str, Callable[[Block], None]]) -> None:
        """Execute the blocks in order."""
        for block in blocks_of(self.page):
            if block.saved_as is not None:
                (self.folder / block.saved_as).write_text(block.text, encoding="utf-8")
            printed, self.printed = self.printed, None
            if block.language == "text":
                self.compare(block, printed)
            elif not (self.page == README and block.language == "sh"):  # these install the package; CI runs them
                do[block.language](block)

    def run_python(self, block: Block) -> None:
        """Run a snippet in the namespace of the previous ones; saved files are run by commands instead."""
        if block.saved_as is None:
            source = "\n" * (block.line - 1) + block.text  # so that a traceback names the line of the page
            exec(compile(source, self.page, "exec"), self.namespace)  # noqa: S102 - that is what is tested

    def load_toml(self, block: Block) -> None:
        """Load a configuration: it must be valid and set something."""
        if "[tool.modelperf" in block.text:
            project = self.folder / "project"
            project.mkdir()
            (project / "pyproject.toml").write_text(block.text, encoding="utf-8")
            loaded = load(cwd=project)
        else:
            file = self.folder / (block.saved_as or "example-of-the-page.toml")
            file.write_text(block.text, encoding="utf-8")
            loaded = load(file)
        assert any(label != "default" for label in loaded.origins.values())

    def type(self, block: Block) -> None:
        """Run commands; each exits with 0, or with the exit code in its comment."""
        self.printed = ""
        for line in block.text.splitlines():
            if line.startswith(INSTALLING) and self.page in FROM_NOTHING:
                continue
            command, _, expected = line.partition("  # exit code ")
            program, *arguments = command.split()
            assert program in {"modelperf", "python"}, line
            run = self._run_modelperf if program == "modelperf" else self._run_script
            code, printed = run(arguments)
            assert code == int(expected or 0), f"{line}\n{printed}"
            self.printed += printed

    def compare(self, block: Block, printed: str | None) -> None:
        """Compare what the commands above have printed with what the page says; ``...`` stands for anything."""
        if block.follows and printed is not None:
            wanted = re.escape(_plain(block.text)).replace(re.escape("..."), ".*")
            assert re.fullmatch(wanted, _plain(printed), re.DOTALL), printed

    def query(self, block: Block) -> None:
        """Run a query on the default store; a SELECT must return rows."""
        values = list(_parameters(block.text))
        connection = sqlite3.connect(self.folder / ".sf/model-performance.db", isolation_level=None)
        try:
            rows = connection.execute(block.text, values).fetchall()
        finally:
            connection.close()
        assert rows or not block.text.startswith("SELECT"), block.text

    def keep(self, block: Block) -> None:
        """Accept a data file: the page must say under which name to save it."""
        assert block.saved_as is not None

    def _run_modelperf(self, arguments: list[str]) -> tuple[int, str]:
        result = CliRunner().invoke(modelperf, arguments, prog_name="modelperf", catch_exceptions=False)
        return result.exit_code, result.output

    def _run_script(self, arguments: list[str]) -> tuple[int, str]:
        result = subprocess.run(
            [sys.executable, "-X", "utf8", "-W", "error", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            timeout=60,
            check=False,
        )
        return result.returncode, result.stdout


def _plain(text: str) -> str:
    """Return ``text`` without what varies between runs: times, policy fingerprints, column widths."""
    text = re.sub(r"\b[0-9a-f]{12}\b", "…", re.sub(r"\b\d+ (s|min) ago\b", "now", text))
    lines = text.strip().splitlines()
    return "\n".join(" ".join(line.split()) for line in lines)


def _parameters(query: str) -> Iterator[Any]:
    """Yield the value of each ``?``."""
    for match in re.finditer(r"\?", query):
        before = query[: match.end()]
        yield next(value for word, value in PARAMETERS.items() if before.endswith(word))


def _pages() -> Iterator[Any]:
    """Yield the pages to follow; those about frameworks with whatever these warn about."""
    for page in PAGES:
        marks = [pytest.mark.filterwarnings("ignore")] if page.parent.name == "frameworks" else []
        if page not in RUN_ELSEWHERE:
            yield pytest.param(page, id=name_of(page), marks=marks)


@pytest.fixture(scope="module")
def demo_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a store with a demo's outcomes."""
    path = tmp_path_factory.mktemp("demo") / "demo.db"
    run_demo({}, path, tasks=600)
    return path


@pytest.fixture
def quiet_logging() -> Iterator[None]:
    """Restore the loggers afterwards."""
    loggers = [logging.getLogger(), logging.getLogger("modelperf_plugin")]
    before = [(logger, logger.level, list(logger.handlers)) for logger in loggers]
    yield
    for logger, level, handlers in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers


@pytest.fixture
def seeded_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seed the random choices of commands, so that their output matches the pages."""

    def seeded(seed: int | None = None) -> random.Random:
        return random.Random(1 if seed is None else seed)

    monkeypatch.setattr("modelperf_plugin.engine.core.random", SimpleNamespace(Random=seeded, SystemRandom=seeded))


@pytest.mark.usefixtures("quiet_logging", "seeded_choices")
@pytest.mark.parametrize("page", list(_pages()))
def test_a_page_works_as_printed(page: Path, tmp_path: Path, demo_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader who follows a page in order gets the results that it shows."""
    if page.parent.name == "frameworks":
        pytest.importorskip(FRAMEWORKS[page.stem])
    folder = tmp_path / "reader"
    folder.mkdir()
    monkeypatch.chdir(folder)
    if page not in FROM_NOTHING:
        (folder / ".sf").mkdir()
        for name in ("demo.db", "model-performance.db"):
            shutil.copy(demo_store, folder / ".sf" / name)
    Reader(page, folder).read()
    gc.collect()  # what a framework leaves open is its own, and not of the next test
