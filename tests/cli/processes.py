"""Running the command as a real process, without a terminal and on one."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping

COMMAND = [sys.executable, "-m", "modelperf_plugin"]
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def run_process(*arguments: str, environ: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command in the working directory; its output is not a terminal."""
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, **(environ or {})},
        timeout=60,
        check=False,
    )


class Terminal:
    """A command that runs on a terminal of its own; standard output can be kept off it."""

    def __init__(self, *arguments: str, columns: int = 80, stdout: int | None = None) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
        self._process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdin=theirs,
            stdout=theirs if stdout is None else stdout,
            stderr=theirs,
            env=dict(os.environ),  # Python's own view: the C library may have added COLUMNS, which would win
            # a test run in the background ignores SIGINT, and so would its children
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no threads here
        )
        os.close(theirs)
        self.raw = ""
        """Everything it has printed, with escape sequences."""

    def wait_for(self, text: str) -> None:
        """Read until ``text`` has been printed."""
        while text not in self.raw and self._read():
            pass
        assert text in self.raw

    def interrupt(self) -> None:
        """Do what Ctrl-C does."""
        self._process.send_signal(signal.SIGINT)

    def type(self, text: str) -> None:
        """Do what typing does."""
        os.write(self._ours, text.encode())

    def finish(self) -> tuple[int, str]:
        """Return the exit code, and what was printed without escape sequences."""
        while self._read():
            pass
        os.close(self._ours)
        return self._process.wait(timeout=60), _ESCAPE.sub("", self.raw).replace("\r\n", "\n")

    def _read(self) -> bool:
        try:
            chunk = os.read(self._ours, 65536)
        except OSError:  # Linux: the other end is closed
            chunk = b""
        self.raw += chunk.decode("utf-8", "replace")
        return bool(chunk)
