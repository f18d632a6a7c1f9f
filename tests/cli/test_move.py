"""The command ``move``."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from modelperf_plugin.store import open_store
from tests.cli.conftest import Run, RunJson, entry
from tests.postgres import Server


@pytest.fixture
def source() -> str:
    """Return the path of a file with an outcome in it."""
    with closing(open_store("source.db")) as store:
        store.outcomes.record(entry())
    return "source.db"


def test_the_answer_compares_both_sides(run: Run, run_json: RunJson, source: str, postgres: Server) -> None:
    """The table has what there is on both sides; run again, nothing is left to be moved."""
    url = postgres.empty_schema()
    first = run("move", source, url)
    assert first.exit_code == 0
    assert "single outcomes" in first.stdout
    assert f"moved 1 outcome, 0 decisions, 0 replaced verdicts from {source} to postgresql://" in first.stdout
    assert "nothing is left" in first.stdout
    again = run_json("move", source, url)
    assert again["outcomes"] == 0
    assert again["differences"] == []
    assert again["totals"]["from"] == again["totals"]["to"]


def test_a_dry_run_writes_nothing(run: Run, source: str) -> None:
    """A dry run says what would be moved."""
    answer = run("move", source, "target.db", "--dry-run")
    assert answer.exit_code == 0
    assert "1 outcome and 0 decisions would be moved from source.db; nothing was written" in answer.stdout
    assert not Path("target.db").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("nothing.db", "target.db"), 2, "nothing.db does not exist"),
        (("source.db", "source.db"), 1, "source.db is not empty"),
        (("source.db", "used.db"), 1, "used.db is not empty"),
        (("source.db", "target.db", "--store", "other.db"), 2, "name both stores as arguments"),
        (("source.db", "postgresql://me:secret@127.0.0.1:1/nothing"), 1, "postgresql://me@127.0.0.1:1/nothing"),
        (("postgresql://me:secret@127.0.0.1:1/nothing", "target.db"), 1, "postgresql://me@127.0.0.1:1/nothing"),
    ],
)
def test_what_is_refused(run: Run, source: str, arguments: tuple[str, ...], code: int, message: str) -> None:
    """What cannot be moved is one clear line, without the password of a URL."""
    with closing(open_store("used.db")) as store:
        store.outcomes.record(entry())
    refused = run("move", *arguments)
    assert refused.exit_code == code
    assert message in refused.stderr
    assert "secret" not in refused.stderr + refused.stdout
    assert not Path("target.db").exists()
