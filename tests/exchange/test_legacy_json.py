"""Reading the older tracker's JSON file, and the notes on its contradictions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelperf_plugin.errors import OutcomesFileError
from modelperf_plugin.exchange.importing.legacy_json import read_legacy_json
from modelperf_plugin.store import Sums

SHORT = {"execute-task": {"gpt-4o": {"successes": 42, "failures": 3, "successRate": 0.93}}}
LONG = {
    "execute-task": {
        "gpt-4o": {
            "successes": 42,
            "failures": 3,
            "timeouts": 1,
            "totalTokens": 90000,
            "totalCost": 1.5,
            "lastUsed": "2025-06-01T00:00:00.250Z",
            "successRate": 0.9333,
        }
    }
}


def written(path: Path, data: Any) -> Path:
    """Write ``data`` to ``path``: text and bytes unchanged, anything else as JSON."""
    content = data if isinstance(data, bytes) else (data if isinstance(data, str) else json.dumps(data)).encode()
    path.write_bytes(content)
    return path


def test_the_short_form_is_read(tmp_path: Path) -> None:
    """Successes and failures are sufficient; a consistent rate is not a note."""
    legacy = read_legacy_json(written(tmp_path / "old.json", SHORT))
    assert (legacy.sums, legacy.notes) == ((Sums("execute-task", "gpt-4o", 42, 3),), ())


def test_the_long_form_is_read(tmp_path: Path) -> None:
    """All values of the long form are read: costs to the nano-dollar, times to the millisecond."""
    legacy = read_legacy_json(written(tmp_path / "old.json", LONG))
    assert legacy.sums == (Sums("execute-task", "gpt-4o", 42, 3, 1, 90000, 1_500_000_000, 1_748_736_000_250),)
    assert legacy.notes == ()


@pytest.mark.parametrize(
    ("stats", "message", "used"),
    [
        ({"successes": 30, "failures": 10, "successRate": 0.5}, "successRate is 0.5, but 30 of 40 is 0.75", True),
        ({"successes": 30, "failures": 10, "rate": 0.75}, "unknown keys 'rate'; ignored", True),
        ({"successes": 1, "failures": 0, "timeouts": 3}, "timeouts is 3, but there are 1 outcomes", True),
        ({"successes": -1, "failures": 10}, "successes must be a whole number of 0 or more, but got -1", False),
        ({"successes": 1.5, "failures": 10}, "successes must be a whole number of 0 or more, but got 1.5", False),
        ({"successes": True, "failures": 10}, "successes must be a whole number of 0 or more, but got True", False),
        ({"successes": 3}, "failures must be given", False),
        ({"successes": 0, "failures": 0}, "has no outcomes; skipped", False),
        ({"successes": 1, "failures": 1, "totalCost": -1}, "totalCost must be a finite number", False),
        ({"successes": 1, "failures": 1, "lastUsed": "yesterday"}, "lastUsed must be an ISO 8601 time", False),
        ([1, 2], "must be an object of counts, but is [1, 2]", False),
    ],
)
def test_contradictions_are_named(tmp_path: Path, stats: Any, message: str, used: bool) -> None:
    """Each note names task type, model and value; usable counts are used."""
    legacy = read_legacy_json(written(tmp_path / "old.json", {"plan": {"x": stats}}))
    assert len(legacy.notes) == 1
    assert legacy.notes[0].startswith("plan, x: ")
    assert message in legacy.notes[0]
    assert bool(legacy.sums) == used


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        ('{"plan": {"x": {"successes": 4,\n "fail', 2, "is not JSON at column 2"),
        ("", 1, "is not JSON at column 1"),
        (b'{"plan":\n {"\xff": 1}}', 2, "is not UTF-8 text at column 4"),
        ("[1, 2]", 1, "must be an object of task types, but is [1, 2]"),
        ('{"plan": {}, "plan": {}}', None, "the key 'plan' occurs twice"),
        ('{"plan": {"x": {"successes": NaN}}}', None, "NaN is not a number"),
        ("[" * 100_000, None, "not usable JSON"),
    ],
)
def test_a_damaged_file_is_an_error_with_line_and_column(
    tmp_path: Path, content: str | bytes, line: int | None, message: str
) -> None:
    """The error for a damaged file names the place; nothing is read."""
    with pytest.raises(OutcomesFileError) as caught:
        read_legacy_json(written(tmp_path / "old.json", content))
    assert caught.value.line == line
    assert message in str(caught.value)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["successes", "failures", "totalCost", "lastUsed", "a", ""]), inner, max_size=4
        )
    ),
    max_leaves=20,
)


@given(data=anything)
def test_any_json_is_read_or_refused(data: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Any JSON gives usable counts, notes, or an OutcomesFileError; never another exception."""
    path = written(tmp_path_factory.mktemp("old") / "old.json", data)
    try:
        legacy = read_legacy_json(path)
    except OutcomesFileError:
        return
    assert all(sums.successes >= 0 and sums.failures >= 0 and sums.cost_nano_usd >= 0 for sums in legacy.sums)
