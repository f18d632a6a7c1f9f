"""A reader who has installed the wheel: one shell and one Python session for each page, in an empty folder."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from threading import Timer
from typing import Final, NamedTuple

from tests.docs.pages import Block, blocks_of, plain_pattern, plain_text

LONGEST_SECONDS: Final = 600
"""After so many seconds without an end, a block of a page is given up."""
LIBRARY: Final = Path(__file__).with_name("session.py")

_END = "#### end of the block: "


class Installation(NamedTuple):
    """A virtual environment with the wheel, and the wheel itself."""

    python: Path
    wheel: Path

    @property
    def folder(self) -> Path:
        """Return the folder of the environment's programs."""
        return self.python.parent

    def environment(self, home: Path) -> dict[str, str]:
        """Return the environment variables of a reader with an empty home; nothing in them leads to a checkout."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTHON", "MODELPERF_", "VIRTUAL_ENV", "COV_", "PYTEST"))
        }
        others = [each for each in kept["PATH"].split(os.pathsep) if not (Path(each) / "modelperf").exists()]
        path = os.pathsep.join([str(self.folder), *others])
        return kept | {"HOME": str(home), "PATH": path, "PYTHONUTF8": "1", "COLUMNS": "120"}


class Session:
    """A program that gets the blocks of a page one after another."""

    def __init__(self, command: list[str], folder: Path, environment: Mapping[str, str]) -> None:
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=environment,
            encoding="utf-8",
        )

    def ask(self, text: str) -> tuple[int, str]:
        """Send ``text``; return the exit code and everything printed until the end of the block is reported."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        timer = Timer(LONGEST_SECONDS, self.process.kill)
        timer.start()
        try:
            self.process.stdin.write(text)
            self.process.stdin.flush()
            printed = ""
            for line in self.process.stdout:
                before, found, code = line.partition(_END)
                printed += before
                if found:
                    return int(code), printed
        finally:
            timer.cancel()
        raise AssertionError(f"ended within {text!r}, after printing:\n{printed}")

    def close(self) -> None:
        """Let the program end."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.read()
        self.process.stdout.close()
        self.process.wait(LONGEST_SECONDS)


class Newcomer:
    """Copies every block of a page, in order, as somebody who has nothing but the wheel and the page."""

    def __init__(self, page: Path, folder: Path, installation: Installation) -> None:
        environment = installation.environment(folder.parent)
        self.page = page
        self.folder = folder
        self.wheel = installation.wheel
        self.shell = Session(["bash", "--norc", "--noprofile"], folder, environment)
        self.python = Session([str(installation.python), "-u", str(LIBRARY), _END], folder, environment)
        self.printed: str | None = None

    def read(self) -> None:
        """Follow the whole page."""
        try:
            for block in blocks_of(self.page):
                self.copy(block)
        finally:
            self.python.close()
            self.shell.close()

    def copy(self, block: Block) -> None:
        """Do what a block is for."""
        printed, self.printed = self.printed, None
        if block.saved_as is not None:
            (self.place() / block.saved_as).write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            self.tell("run", block)
        elif block.language == "sql":
            self.tell("query", block)
        elif block.language == "toml":
            self.tell("load", block)
        if block.language == "sh":
            self.printed = "".join(self.type(line) for line in block.text.splitlines())
        elif block.language == "text" and block.follows and printed is not None:
            assert re.fullmatch(plain_pattern(block.text), plain_text(printed), re.DOTALL), printed

    def place(self) -> Path:
        """Return the folder in which the shell is."""
        return Path(self.shell.ask(f'printf "%s\\n{_END}0\\n" "$PWD"\n')[1].strip())

    def type(self, line: str) -> str:
        """Run one command; it exits with 0, or with the exit code in its comment."""
        command, _, expected = line.partition("  # exit code ")
        command = command.replace("../modelperf_plugin", str(self.wheel))  # where the tutorial has a checkout
        code, printed = self.shell.ask(f'{command} </dev/null\nprintf "{_END}%d\\n" $?\n')
        assert code == int(expected or 0), f"{line}: exit code {code}\n{printed}"
        return printed

    def tell(self, verb: str, block: Block) -> None:
        """Have a block run in the Python session, under the number of its line."""
        code, printed = self.python.ask(json.dumps([verb, block.text, block.line]) + "\n")
        assert code == 0, f"{self.page.name}, line {block.line}\n{printed}"
