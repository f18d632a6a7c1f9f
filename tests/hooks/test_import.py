"""What an import of the package costs its host: nothing but modules."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
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
from modelperf_plugin import *
loaded = {name.partition(".")[0] for name in set(sys.modules) - before}
print(json.dumps({"seen": seen, "loaded": sorted(loaded), "threads": threading.active_count()}))
"""


@pytest.fixture(scope="module")
def imported() -> dict[str, Any]:
    """Return what a fresh process did while it imported the package and every public name."""
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


def test_public_names_are_what_type_checkers_see() -> None:
    """Each public name is imported on first use from where the block for type checkers says that it is."""
    import modelperf_plugin as mp

    tree = ast.parse(Path(mp.__file__).read_text("utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    homes = {alias.name: str(node.module) for node in imports for alias in node.names}
    assert sorted(homes) == mp.__all__
    for name, home in homes.items():
        assert getattr(mp, name) is getattr(__import__(home, fromlist=[name]), name)


def test_an_import_alone_loads_nothing() -> None:
    """The package's parts and dependencies are imported when a public name is used, not before."""
    code = "import sys; import modelperf_plugin; print(*[name for name in sys.modules if 'modelperf_plugin.' in name])"
    command = [sys.executable, "-W", "error", "-c", f"{code}; assert not {{'pydantic', 'pluggy'}} & set(sys.modules)"]
    result = subprocess.run(command, check=True, capture_output=True, encoding="utf-8")
    assert result.stdout.strip() == ""


def test_an_unknown_name_is_an_attribute_error() -> None:
    """A misspelt name is told as by any other module."""
    import modelperf_plugin as mp

    with pytest.raises(AttributeError, match="module 'modelperf_plugin' has no attribute 'Desicion'"):
        _ = mp.Desicion  # type: ignore[attr-defined]  # and so it is by type checkers


def test_dir_shows_the_public_names_only() -> None:
    """``dir()`` of the package lists what is public, and no inner module."""
    import modelperf_plugin as mp

    assert dir(mp) == mp.__all__
