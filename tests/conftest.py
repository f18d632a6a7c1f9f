"""Rules for all tests: nothing of the machine's own configuration is seen, and slow tests wait to be asked for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.postgres import own_server, postgres, postgres_server  # noqa: F401 - fixtures

# A slow or busy machine is no reason for a test to fail.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# The gate tries the same examples each time, so that a change is judged by what it does; elsewhere there are new ones.
settings.register_profile("repeatable", settings.get_profile("patient"), derandomize=True, database=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "patient"))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--slow``."""
    parser.addoption("--slow", action="store_true", help="run the slow tests too, as CI does")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip the slow tests, unless asked for or on CI; the others are enough for coverage, which takes as long again."""
    is_asked = config.getoption("--slow") or os.environ.get("CI")
    skip = pytest.mark.skip(reason="slow: run with --slow, or with CI set in the environment")
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(pytest.mark.no_cover if is_asked else skip)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run every test in an empty directory and home, without any MODELPERF_* of the environment."""
    home = tmp_path / "home"
    for name in [name for name in os.environ if name.startswith("MODELPERF_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    monkeypatch.chdir(tmp_path)
