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
from modelperf_plugin.engine.core import ModelPerf
from tests.docs.pages import DOCS, PAGES, README, Block, blocks_of, name_of, plain_pattern, plain_text

PREPARED = {DOCS / "reference" / "database.md"}
"""Pages that find a demo's outcomes in the default store; all others start in an empty folder."""
INSTALLING = ("mkdir first-host", "cd first-host", "python3 -m venv ", ". .venv/bin/activate", "pip install ")
"""Lines of the tutorial that create its environment; the tests already have one."""
TUTORIAL = DOCS / "tutorial.md"
SUPPLIED: dict[Path, dict[str, Any]] = {README: {"run": lambda _task, model_id: model_id == "claude-opus"}}
"""Names that a page expects its reader to define."""
FRAMEWORKS = {
    "bub": "bub", "inspect-ai": "inspect_ai", "langchain": "langgraph", "litellm": "litellm", "llm": "llm",
    "openai-agents": "agents", "pydantic-ai": "pydantic_ai",
}  # fmt: skip
"""What a page about a framework needs, by its name."""
RUN_ELSEWHERE = {DOCS / "how-to" / "frameworks" / "recipes.md", DOCS / "how-to" / "install.md"}
"""Pages whose blocks are independent of each other; tests/adapters/recipes and test_install.py run them."""
PARAMETERS = {"task_type = ?": "write-code", "model_id = ?": "o3", ">= ?": 3, "> ?": "2020-01-01"}
"""The value for each ``?`` of a query, by the text before it."""


class Reader:
    """Follows a page in a folder."""

    def __init__(self, page: Path, folder: Path, demo: Path) -> None:
        self.folder = folder
        self.demo = demo
        self.page = page
        self.namespace: dict[str, Any] = {"__name__": "__main__", **SUPPLIED.get(page, {})}
        self.printed: str | None = None
        """Output of the previous block if it was a block of commands."""

    def read(self) -> None:
        """Follow the whole page."""
        do: dict[str, Callable[[Block], None]] = {
            "python": self.run_python, "toml": self.load_toml, "sh": self.type, "sql": self.query, "csv": self.keep,
            "json": self.keep, "diff": ignore, "console": ignore,
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
            if line.startswith(INSTALLING) and self.page == TUTORIAL:
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
            assert re.fullmatch(plain_pattern(block.text), plain_text(printed), re.DOTALL), printed

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
        if arguments[0] == "demo":  # the same every time
            copy_demo(self.demo, self.folder, "".join(arguments[2:]))
            return 0, ""
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


def ignore(_: Block) -> None:
    """Accept a block that no test can follow: a difference, or commands of another program."""


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


def copy_demo(demo: Path, folder: Path, store: str = "") -> None:
    """Put the files of a demo where the command puts them; ``store`` is the file named with ``--store``."""
    for file in demo.iterdir():
        target = folder / (store if store and file.name == "demo.db" else f".sf/{file.name}")
        target.parent.mkdir(exist_ok=True)
        shutil.copy(file, target)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with what ``modelperf demo`` writes."""
    folder = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("HOME", str(folder))
        assert CliRunner().invoke(modelperf, ["demo"], catch_exceptions=False).exit_code == 0
    return folder / ".sf"


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
def test_a_page_works_as_printed(page: Path, tmp_path: Path, demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader who follows a page in order gets the results that it shows."""
    if page.parent.name == "frameworks":
        monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else its import downloads a price list
        pytest.importorskip(FRAMEWORKS[page.stem])
    folder = tmp_path / "reader"
    folder.mkdir()
    monkeypatch.chdir(folder)
    if page in PREPARED:
        copy_demo(demo, folder, ".sf/model-performance.db")
    Reader(page, folder, demo).read()
    gc.collect()  # what a framework leaves open is its own, and not of the next test
