"""The file is reloaded when it changes, and a broken version has no effect."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from modelperf_plugin.config import Config, ConfigWatch
from modelperf_plugin.errors import ConfigError


class Seconds:
    """A clock that is advanced by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Watched:
    """A watch over one project directory, with what it reported."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "modelperf.toml"
        self.clock = Seconds()
        self.errors: list[ConfigError] = []
        self.changes = 0
        self.watch = ConfigWatch(
            cwd=folder,
            environ={},
            clock=self.clock,
            on_error=self.errors.append,
            on_change=self.count,
        )

    def count(self) -> None:
        """Count a change."""
        self.changes += 1

    def mode_after(self, seconds: float) -> str:
        """Let time pass and return the mode in force."""
        self.clock.now += seconds
        return self.watch.poll().config.mode


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    """Return a watch over a directory without a file."""
    return Watched(tmp_path)


def test_a_file_that_appears_changes_and_goes_is_noticed(watched: Watched) -> None:
    """Appearing, changing, being replaced and disappearing each come into force at the next look."""
    assert watched.mode_after(2) == "apply"
    watched.file.write_text('mode = "off"')
    assert watched.mode_after(2) == "off"
    replacement = watched.file.with_name("new")
    replacement.write_text('mode = "observe"')
    replacement.replace(watched.file)
    assert watched.mode_after(2) == "observe"
    watched.file.unlink()
    assert watched.mode_after(2) == "apply"
    assert (watched.changes, watched.errors) == (3, [])


def test_a_change_that_keeps_size_and_time_is_noticed(watched: Watched) -> None:
    """A version of the same size, written in place under the time of the last one, takes effect at the next look."""
    watched.file.write_text('mode = "apply"  ')
    stamp = watched.file.stat()
    assert watched.mode_after(2) == "apply"
    watched.file.write_text('mode = "observe"')
    os.utime(watched.file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert watched.file.stat().st_mtime_ns == stamp.st_mtime_ns
    assert watched.mode_after(2) == "observe"


def test_files_are_looked_at_once_a_second_at_most(watched: Watched) -> None:
    """A change within the second waits for its end."""
    assert watched.mode_after(1.5) == "apply"
    watched.file.write_text('mode = "off"')
    assert watched.mode_after(0.9) == "apply"
    assert watched.mode_after(0.2) == "off"


def test_a_broken_version_is_reported_once_and_the_last_good_one_stays(watched: Watched) -> None:
    """A broken file leaves the policy as it was, is reported once for each version, and can be mended."""
    watched.file.write_text('mode = "observe"')
    assert watched.mode_after(2) == "observe"
    watched.file.write_text('mode = "of')
    assert [watched.mode_after(2) for _ in range(3)] == ["observe"] * 3
    assert len(watched.errors) == 1
    watched.file.write_text('mode = "offf"')
    assert watched.mode_after(2) == "observe"
    assert "did" in str(watched.errors[1]) or "must be one of" in str(watched.errors[1])
    watched.file.write_text('mode = "off"')
    assert watched.mode_after(2) == "off"
    assert len(watched.errors) == 2


def test_nothing_is_read_while_nothing_changes(watched: Watched) -> None:
    """The configuration in force is the same object until a file changes."""
    watched.file.write_text('mode = "observe"')
    watched.mode_after(2)
    watched.mode_after(2)
    before = watched.watch.current
    assert watched.watch.poll() is before
    watched.clock.now += 10
    assert watched.watch.poll() is before


def test_a_change_while_the_start_is_read_is_not_missed(tmp_path: Path) -> None:
    """The first look reads again whatever the files' times say; if nothing is new, nothing is reported."""
    watched = Watched(tmp_path)
    assert watched.mode_after(2) == "apply"
    assert (watched.changes, watched.errors) == (0, [])


def test_a_broken_start_is_an_error(tmp_path: Path) -> None:
    """Without a last good version at the start the error is raised."""
    (tmp_path / "modelperf.toml").write_text("mode = 1")
    with pytest.raises(ConfigError, match="mode: must be one of"):
        ConfigWatch(cwd=tmp_path, environ={})


def test_what_is_given_in_code_is_never_looked_for(tmp_path: Path) -> None:
    """A Config or mapping does not change, whatever files appear."""
    clock = Seconds()
    watches = [ConfigWatch(given, cwd=tmp_path, environ={}, clock=clock) for given in (Config(), {"mode": "apply"})]
    (tmp_path / "modelperf.toml").write_text('mode = "off"')
    clock.now += 10
    assert [watch.poll().config.mode for watch in watches] == ["apply", "apply"]


def test_the_working_directory_may_change_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are looked for where the host started, also after it has gone elsewhere."""
    start, elsewhere = tmp_path / "start", tmp_path / "elsewhere"
    start.mkdir()
    elsewhere.mkdir()
    (elsewhere / "modelperf.toml").write_text('mode = "off"')
    monkeypatch.chdir(start)
    clock = Seconds()
    watch = ConfigWatch(environ={}, clock=clock)
    os.chdir(elsewhere)
    (start / "modelperf.toml").write_text('mode = "observe"')
    clock.now += 2
    assert watch.poll().config.mode == "observe"


def test_a_failing_callback_does_not_reach_the_caller(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A callback that raises is logged; the configuration is in force all the same."""

    def fail() -> None:
        raise RuntimeError("boom")

    clock = Seconds()
    watch = ConfigWatch(cwd=tmp_path, environ={}, clock=clock, on_change=fail)
    (tmp_path / "modelperf.toml").write_text('mode = "off"')
    clock.now += 2
    assert watch.poll().config.mode == "off"
    assert "boom" in caplog.text
