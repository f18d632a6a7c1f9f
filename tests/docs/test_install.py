"""The page about installation: what it says can be installed is, from each source, and every extra is on it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.docs.pages import DOCS, README, ROOT, Block, blocks_of, first_column, section

PAGE = DOCS / "how-to" / "install.md"
GIT = "https://git.example.com/modelperf_plugin.git@main"
INDEX = "https://packages.example.com/simple/"
CHECKOUT = "../modelperf_plugin"


def commands_of(title: str) -> list[str]:
    """Return the commands that a section shows, its subsections included."""
    return [line for block in blocks_under(title) if block.language == "console" for line in block.text.splitlines()]


def blocks_under(title: str) -> Iterator[Block]:
    """Yield the blocks of a section."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    level, start = next(
        (len(match.group(1)), number)
        for number, line in enumerate(lines, 1)
        if (match := re.fullmatch(rf"(#+) {re.escape(title)}", line))
    )
    ends = [number for number, line in enumerate(lines, 1) if number > start and re.match(rf"#{{1,{level}}} ", line)]
    yield from (each for each in blocks_of(PAGE) if start < each.line < min([*ends, len(lines) + 1]))


class Sources(NamedTuple):
    """Where a reader may have the package from."""

    checkout: Path
    git: str
    simple: str


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    """Return a checkout with its files committed, its address for pip, and an index with the wheel."""
    folder = tmp_path_factory.mktemp("sources")
    checkout = folder / "modelperf_plugin"
    checkout.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, checkout)
    shutil.copytree(ROOT / "modelperf_plugin", checkout / "modelperf_plugin")
    git = ["git", "-C", str(checkout), "-c", "user.name=test", "-c", "user.email=test@example.com"]
    for arguments in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "all"]):
        subprocess.run([*git, *arguments], check=True)
    index = folder / "simple" / "modelperf-plugin"
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", index, checkout], check=True, cwd=folder
    )
    (wheel,) = index.iterdir()
    (index / "index.html").write_text(f'<a href="{wheel.name}">{wheel.name}</a>', encoding="utf-8")
    return Sources(checkout, f"file://localhost{checkout.as_posix()}@main", index.parent.as_uri())


class Project:
    """A project with an environment of its own."""

    def __init__(self, folder: Path, sources: Sources) -> None:
        self.folder = folder
        self.sources = sources
        self.programs = folder / ".venv" / ("Scripts" if os.name == "nt" else "bin")
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        self.environment = kept | {"PATH": f"{self.programs}{os.pathsep}{kept['PATH']}", "PYTHONUTF8": "1"}
        for block in blocks_of(PAGE):
            if block.language == "sh":
                subprocess.run(["bash", "-ec", block.text], check=True, cwd=folder, env=self.environment)

    def type(self, command: str) -> str:
        """Run a command of the page in the environment, with real sources in place of its examples."""
        program, *arguments = shlex.split(self.real(command))
        run = subprocess.run(
            [self.programs / program, *arguments],
            check=False,
            cwd=self.folder,
            capture_output=True,
            text=True,
            env=self.environment,
        )
        assert run.returncode == 0, f"{command}\n{run.stdout}{run.stderr}"
        return run.stdout

    def real(self, text: str) -> str:
        """Return a text of the page with real sources in place of its examples."""
        git, checkout, index = self.sources.git, str(self.sources.checkout), f"--extra-index-url {self.sources.simple}"
        return text.replace(GIT, git).replace(CHECKOUT, checkout).replace(f"--index-url {INDEX}", index)

    def has_it(self) -> bool:
        """Return whether programs of the project import the package that was installed here."""
        path = self.type('python -c "import modelperf_plugin as mp; print(mp.__file__)"').strip()
        return self.folder in Path(path).parents


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, sources: Sources) -> Project:
    """Return a project; its libraries stay from one test to the next."""
    return Project(tmp_path_factory.mktemp("project"), sources)


@pytest.mark.slow
@pytest.mark.parametrize("title", ["From git", "From a checkout", "From a wheel", "From a package index"])
def test_it_can_be_installed_from(title: str, project: Project) -> None:
    """Each source gives a package that works, by the commands that the page shows."""
    project.type("pip uninstall -q -y modelperf-plugin")
    for command in commands_of(title):
        project.type(command)
    assert project.has_it()
    for command in commands_of("See that it works"):
        assert project.type(command)


@pytest.mark.slow
def test_it_can_be_named_in_a_project(project: Project) -> None:
    """A host that names the plugin as the page shows brings it along; an extra is added later by its name alone."""
    project.type("pip uninstall -q -y modelperf-plugin")
    (block,) = (each for each in blocks_under("Name it in your project") if each.language == "toml")
    (project.folder / "host").mkdir()
    (project.folder / "host" / "pyproject.toml").write_text(project.real(block.text), encoding="utf-8")
    project.type("pip install ./host")
    assert project.has_it()
    (command,) = commands_of("Choose extras")
    project.type(command)
    assert project.type('python -c "import resvg_py; print(resvg_py.__name__)"')


def test_every_extra_is_on_the_page() -> None:
    """The table has each extra of the package once, and no other."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert sorted(first_column(section(PAGE, "Choose extras"))) == sorted(declared)


def test_the_wheel_on_the_page_is_of_this_version() -> None:
    """The file name of the wheel has the version of the package, and the Python and the SQLite are those it needs."""
    from modelperf_plugin.store.sqlite.requirements import OLDEST_SQLITE

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    text = PAGE.read_text(encoding="utf-8")
    assert set(re.findall(r"modelperf_plugin-([\d.]+)-py3", text)) == {project["version"]}
    needed = project["requires-python"].removeprefix(">=")
    assert f"Python {needed} or newer with SQLite {'.'.join(map(str, OLDEST_SQLITE[:2]))} or newer" in text


def test_the_readme_shows_what_the_page_shows() -> None:
    """The README has one command to install the package elsewhere, from the address that stands for the reader's."""
    shown = [block.text.strip() for block in blocks_of(README) if block.language == "console"]
    (from_git,) = commands_of("From git")
    assert shown == [from_git.replace("modelperf-plugin", "modelperf-plugin[dashboard]", 1)]
