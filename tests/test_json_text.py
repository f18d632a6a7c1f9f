"""JSON of any origin: a value, or one ValueError."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from modelperf_plugin.json_text import parse_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(VALUES)
def test_what_python_writes_is_read(value: object) -> None:
    """As text and as bytes, with and without a byte order mark."""
    text = json.dumps(value)
    assert parse_json(text) == parse_json(text.encode()) == parse_json(f"\ufeff{text}".encode()) == value


@given(st.text() | st.binary())
@example("[" * 200_000)
@example(b'{"a":' * 200_000)
@example("9" * 5000)
@example(b"\xed\xa0\x80")
def test_anything_else_is_one_kind_of_error(text: str | bytes) -> None:
    """Whatever the bytes: a value that JSON can hold, or a ValueError."""
    try:
        value = parse_json(text)
    except ValueError:
        return
    json.dumps(value, allow_nan=False)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[" * 200_000, "nested too deeply"),
        ("9" * 5000, "beyond the range"),
        ("1e999", "beyond the range"),
        ("NaN", "NaN is not a number"),
        ("-Infinity", "-Infinity is not a number"),
        ('{"a": 1, "a": 2}', "the key 'a' occurs twice"),
        ("", "Expecting value"),
        (b"\xff", "codec"),
    ],
)
def test_the_message_says_what_is_wrong(text: str | bytes, says: str) -> None:
    """Depth, size, numbers beyond all range and keys given twice are told apart."""
    with pytest.raises(ValueError, match=says):
        parse_json(text)


def test_lone_surrogates_are_refused_on_request() -> None:
    """They are valid JSON, but no text that can be written again."""
    assert parse_json(r'"\ud83d\ude00"', well_formed=True) == "\U0001f600"
    assert parse_json(r'"\ud800"') == "\ud800"
    with pytest.raises(ValueError, match="surrogates"):
        parse_json(r'["\uD800"]', well_formed=True)
