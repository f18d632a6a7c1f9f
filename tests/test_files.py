"""Files: private whatever the umask, whole or unchanged, and never read without end."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from modelperf_plugin.files import create_private, read_regular, replacing, write_whole
from tests.cli.processes import COMMAND

UMASKS = (0o000, 0o022, 0o277)


@pytest.fixture(params=UMASKS, ids=lambda mask: f"umask-{mask:03o}")
def _umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.usefixtures("_umask")
def test_new_files_are_private_whatever_the_umask(tmp_path: Path) -> None:
    """Both ways to create a file give it mode 600 exactly."""
    write_whole(tmp_path / "whole", b"x")
    os.close(create_private(tmp_path / "opened"))
    assert (mode(tmp_path / "whole"), mode(tmp_path / "opened")) == (0o600, 0o600)


def test_an_existing_file_keeps_its_mode(tmp_path: Path) -> None:
    """An operator who has opened a report to a group keeps it open when it is written again."""
    file = tmp_path / "report.html"
    file.write_bytes(b"old")
    file.chmod(0o640)
    write_whole(file, b"new")
    assert (file.read_bytes(), mode(file)) == (b"new", 0o640)


def test_the_target_of_a_link_is_replaced(tmp_path: Path) -> None:
    """A link stays a link."""
    (tmp_path / "link").symlink_to(tmp_path / "file")
    write_whole(tmp_path / "link", b"x")
    assert (tmp_path / "link").is_symlink()
    assert ((tmp_path / "file").read_bytes(), mode(tmp_path / "file")) == (b"x", 0o600)


def test_a_failure_leaves_the_file_and_no_draft(tmp_path: Path) -> None:
    """What raises while a draft is written changes nothing, and nothing stays in the folder."""
    file = tmp_path / "file"
    file.write_bytes(b"old")
    with suppress(ZeroDivisionError), replacing(file) as draft:
        draft.write_bytes(b"half")
        draft.with_name(f"{draft.name}-wal").write_bytes(b"log")
        raise ZeroDivisionError
    assert (list(tmp_path.iterdir()), file.read_bytes()) == ([file], b"old")


def test_drafts_of_killed_processes_are_deleted(tmp_path: Path) -> None:
    """The next file written to a folder deletes what a killed process has left there, but not what one is writing."""
    script = (
        "import sys; from pathlib import Path; from modelperf_plugin.files import replacing\n"
        "with replacing(Path(sys.argv[1])) as draft: draft.write_text('half'); print(flush=True); input()"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "x")]
    writers = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for writer in writers:
        assert writer.stdout is not None
        writer.stdout.readline()
    writers[0].kill()
    writers[0].wait()
    for draft in tmp_path.iterdir():
        os.utime(draft, (0, 0))
    write_whole(tmp_path / "y", b"new")
    assert len(list(tmp_path.iterdir())) == 2, "the new file, and the draft of the process that is still writing"
    writers[1].communicate("\n")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["x", "y"]
    for writer in writers:
        for stream in (writer.stdin, writer.stdout):
            assert stream is not None
            stream.close()


def test_pipes_and_descriptors_are_written_to(tmp_path: Path) -> None:
    """A FIFO and /dev/stdout get the content; neither is replaced by a file."""
    fifo, got = tmp_path / "fifo", []
    os.mkfifo(fifo)
    reader = threading.Thread(target=lambda: got.append(fifo.read_bytes()))
    reader.start()
    write_whole(fifo, b"through")
    reader.join(timeout=30)
    script = (
        "from pathlib import Path; from modelperf_plugin.files import write_whole; "
        "write_whole(Path('/dev/stdout'), b'out')"
    )
    written = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, timeout=60)
    assert (got, stat.S_ISFIFO(fifo.stat().st_mode), written.stdout) == ([b"through"], True, b"out")


@pytest.mark.parametrize("source", ["fifo", "/dev/zero", "folder", "large"])
def test_what_may_never_end_is_refused(tmp_path: Path, source: str) -> None:
    """A FIFO without a writer, a device, a folder and a file beyond the limit raise at once."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    (tmp_path / "large").write_bytes(b"x" * 101)
    with pytest.raises(OSError, match=r"regular file|larger than 100 bytes|directory"):
        read_regular(tmp_path / source, 100)
    (tmp_path / "small").write_bytes(b"x" * 100)
    assert len(read_regular(tmp_path / "small", 100)) == 100


COMMANDS = (
    ("demo", "--tasks", "60"),
    ("export", "--min-samples", "1", "--min-group", "1", "-o", "e.json"),
    ("export", "--min-samples", "1", "--min-group", "1", "-o", "e.csv"),
    ("export", "--min-samples", "1", "--min-group", "1", "-o", "e.parquet"),
    ("report", "-o", "r.html"),
    ("plot", "-o", "p.svg"),
    ("plot", "-o", "p.png"),
    ("backup", "b.db"),
)


@pytest.mark.slow
def test_every_file_of_every_command_is_private(tmp_path: Path) -> None:
    """With a umask of 0, all that the commands leave behind is readable by its owner only."""
    for command in COMMANDS:
        store = [] if command[0] == "demo" else ["--store", ".sf/demo.db"]
        subprocess.run([*COMMAND, *command, *store], check=True, capture_output=True, umask=0, timeout=120)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"e.json", "e.csv", "e.parquet", "r.html", "p.svg", "p.png", "b.db", "demo.db"} <= {f.name for f in files}
    assert {str(path): oct(mode(path)) for path in files if mode(path) != 0o600} == {}
