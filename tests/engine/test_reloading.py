"""Settings that a running host cannot change are reported when their file changes."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

import modelperf_plugin as mp
from modelperf_plugin.config import watch


@pytest.fixture(autouse=True)
def _check_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "CHECK_SECONDS", 0.0)


def warnings_after(
    caplog: pytest.LogCaptureFixture, folder: Path, old: str, new: str, store: Path | None = None
) -> list[str]:
    """Return the warnings of a host whose file changes from ``old`` to ``new``."""
    file = folder / "modelperf.toml"
    file.write_text(old)
    with mp.ModelPerf(file, store=store) as perf, caplog.at_level(logging.INFO, "modelperf_plugin"):
        file.write_text(new)
        for _ in range(3):
            perf.select("t", ["a", "b"])
        assert perf.record("t", "a", mp.Outcome(success=True))
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def test_another_path_is_reported_once(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """The host continues with the file that it opened, and the log says so."""
    old, new = '[store]\npath = "old.db"', '[store]\npath = "new.db"\ndurability = "full"'
    (line,) = warnings_after(caplog, tmp_path, old, new)
    assert line == (
        f"[store] path and durability changed, but this process still uses {tmp_path / 'old.db'} as it was opened: "
        "restart it to apply the change"
    )
    assert not (tmp_path / "new.db").exists()


def test_a_path_that_the_host_overrides_is_not_reported(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """The host opened another file than the configured one anyway."""
    old, new = '[store]\npath = "old.db"', '[store]\npath = "new.db"'
    assert warnings_after(caplog, tmp_path, old, new, tmp_path / "own.db") == []


def test_other_settings_take_effect(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """A change outside of the store is no reason to restart."""
    assert warnings_after(caplog, tmp_path, "", "[retries]\nattempts = 2") == []
