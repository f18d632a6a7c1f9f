"""What an import of the package costs its host: nothing but modules."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

CORE = {
    "annotated_types",
    "modelperf_plugin",
    "pluggy",
    "pydantic",
    "pydantic_core",
    "tomli",
    "typing_extensions",
    "typing_inspection",
}
"""The core dependencies that an import may load; click and rich belong to the command line."""

WATCHED_IMPORT = """
import json, sys, threading
seen = []
WATCHED = ("open", "sqlite3.connect", "socket.connect", "subprocess.Popen", "os.mkdir", "_thread.start_new_thread")
sys.addaudithook(lambda event, arguments: seen.append((event, str(arguments[0]))) if event in WATCHED else None)
before = set(sys.modules)
import modelperf_plugin
loaded = {name.partition(".")[0] for name in set(sys.modules) - before}
print(json.dumps({"seen": seen, "loaded": sorted(loaded), "threads": threading.active_count()}))
"""


@pytest.fixture(scope="module")
def imported() -> dict[str, Any]:
    """Return what a fresh process did while it imported the package."""
    command = [sys.executable, "-W", "error", "-c", WATCHED_IMPORT]
    result = subprocess.run(command, check=True, capture_output=True, encoding="utf-8")
    assert result.stderr == ""
    report: dict[str, Any] = json.loads(result.stdout)
    return report


def test_an_import_opens_nothing_but_modules(imported: dict[str, Any]) -> None:
    """No database, no configuration, no socket: only modules, and the lists of entry points that pydantic reads."""
    zipped = f"{sys.version_info.major}{sys.version_info.minor}.zip"
    modules = (".py", ".pyc", ".so", ".pyd", zipped, ".dist-info/entry_points.txt")
    opened = [(event, name) for event, name in imported["seen"] if not (event == "open" and name.endswith(modules))]
    assert opened == []


def test_an_import_starts_no_thread(imported: dict[str, Any]) -> None:
    """After the import there is one thread, and there was no other."""
    assert imported["threads"] == 1


def test_an_import_loads_the_core_only(imported: dict[str, Any]) -> None:
    """Neither click nor rich nor anything of an extra is imported by the package itself."""
    # a compiled tomli has a helper beside it, and the standard library one that is named after the platform
    named = [name for name in imported["loaded"] if not name.endswith("__mypyc")]
    foreign = {name for name in named if not name.startswith("_sysconfigdata")} - sys.stdlib_module_names
    assert "modelperf_plugin" in foreign
    assert foreign <= CORE


def test_every_public_name_is_there() -> None:
    """``__all__`` is sorted, and every name in it can be imported."""
    import modelperf_plugin as mp

    assert mp.__all__ == sorted(mp.__all__)
    assert all(hasattr(mp, name) for name in mp.__all__)


def test_dir_shows_the_public_names_only() -> None:
    """``dir()`` of the package lists what is public, and no inner module."""
    import modelperf_plugin as mp

    assert dir(mp) == mp.__all__
