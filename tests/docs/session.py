"""A Python session for :mod:`tests.docs.installed`: runs blocks of a page, one JSON line each, in one namespace.

It is run as a file by an interpreter that knows nothing of the checkout. ``python -u session.py END``; after each block
it prints END and 0, or 1 after an exception.
"""

import json
import re
import sqlite3
import sys
import traceback
from contextlib import closing
from pathlib import Path

PARAMETERS = {"task_type = ?": "write-code", "model_id = ?": "o3", ">= ?": 3, "> ?": "2020-01-01"}
"""The value for each ``?`` of a query, by the text before it."""
NAMESPACE = {"__name__": "__main__"}


def run(text: str, line: int) -> None:
    """Run a snippet after the previous ones; a traceback names the line of the page."""
    exec(compile("\n" * (line - 1) + text, "page", "exec"), NAMESPACE)  # noqa: S102 - that is what is tested


def parameters_of(text: str) -> list[object]:
    """Return the value of each ``?`` of a query."""
    befores = [text[: match.end()] for match in re.finditer(r"\?", text)]
    return [next(value for words, value in PARAMETERS.items() if before.endswith(words)) for before in befores]


def query(text: str, _line: int) -> None:
    """Run a query on the default store; a SELECT must return rows."""
    with closing(
        sqlite3.connect("file:.sf/model-performance.db?mode=rw", uri=True, isolation_level=None)
    ) as connection:
        rows = connection.execute(text, parameters_of(text)).fetchall()
    assert rows or not text.startswith("SELECT"), "no rows"


def load(text: str, _line: int) -> None:
    """Load a configuration: it must be valid and set something."""
    from modelperf_plugin.config import load as load_configuration

    folder = Path("example-of-the-page")
    folder.mkdir(exist_ok=True)
    file = folder / ("pyproject.toml" if "[tool.modelperf" in text else "modelperf.toml")
    file.write_text(text, encoding="utf-8")
    loaded = load_configuration(cwd=folder) if file.name == "pyproject.toml" else load_configuration(file)
    file.unlink()
    assert any(origin != "default" for origin in loaded.origins.values())


def main() -> None:
    """Run what standard input asks for."""
    sys.path[:] = [each for each in sys.path if each != str(Path(__file__).parent)]
    for each in sys.stdin:
        verb, text, line = json.loads(each)
        failed = 0
        try:
            {"run": run, "query": query, "load": load}[verb](text, line)
        except Exception:  # noqa: BLE001 - whatever a page raises is reported
            traceback.print_exc(file=sys.stdout)
            failed = 1
        print(f"{sys.argv[1]}{failed}", flush=True)


if __name__ == "__main__":
    main()
