"""The values: validation, messages, exact sums, copying and pickling."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import pickle
import re
from collections.abc import Sequence
from dataclasses import FrozenInstanceError, fields, replace
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelperf_plugin.errors import InvalidValueError, Undisclosed, brief
from modelperf_plugin.values import (
    ERROR_KINDS,
    MAX_COST_USD,
    MAX_ID_LENGTH,
    MAX_TOKENS,
    NO_CONTEXT,
    Context,
    Decision,
    Exclusion,
    Outcome,
    PlannedTry,
    RankedModel,
    Ranking,
    Tally,
    as_tried,
    check_amount,
    check_id,
    check_ids,
    from_milliseconds,
    to_milliseconds,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
OFFSETS = [timezone(timedelta(minutes=minutes)) for minutes in (-720, -210, 0, 330, 840)]


class NumpyInt:
    """As numpy's integers are: convertible to int and float, but neither."""

    def __index__(self) -> int:
        return 7

    def __int__(self) -> int:
        return 7

    def __float__(self) -> float:
        return 7.0


class NumpyBool:
    """As numpy's booleans are: true or false, but not a bool and not a number."""

    def __bool__(self) -> bool:
        return True


class NumpyArray:
    """As numpy's arrays are: comparing gives another one, which is neither true nor false."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> Any:
        return self

    def __bool__(self) -> bool:
        raise ValueError("the truth value of an array is ambiguous")


class Rude:
    """A value that cannot even be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


class Nowhere(tzinfo):
    """A timezone that does not know its offset: what it is attached to is still naive."""

    def utcoffset(self, _: datetime | None) -> None:
        return None

    def dst(self, _: datetime | None) -> None:
        return None

    def tzname(self, _: datetime | None) -> None:
        return None


class Model(str, Enum):  # noqa: UP042 - the older spelling, whose str() is the member's name
    """Model ids as a host may keep them."""

    GPT = "gpt-4o"


class Kind(StrEnum):
    """Error kinds as a host may keep them."""

    LIMIT = "rate_limit"


class Count(IntEnum):
    """A whole number by another name."""

    ONE = 1


class Dollars(float):
    """A float by another name, as numpy's is."""


NO_TEXT_IDS: list[Any] = [None, 7, b"gpt-4o", ["gpt-4o"], True, 1.5, NumpyInt(), Rude()]
BAD_TEXT_IDS = [
    "",
    "x" * (MAX_ID_LENGTH + 1),
    "é" * 100_000,
    "a\nb",
    "a\tb",
    "a\x00b",
    "\x7f",
    "\x85",
    "a\u2028b",
    "a\u2029b",
    "a\ud800b",
    "\udfff",
]
BAD_IDS = NO_TEXT_IDS + BAD_TEXT_IDS
BAD_FLAGS: list[Any] = [None, 2, -1, 0.0, 1.0, "yes", "", [], NumpyInt(), NumpyBool(), NumpyArray(), Rude()]
BAD_AMOUNTS: list[Any] = [
    float("nan"),
    float("inf"),
    float("-inf"),
    -0.01,
    -1,
    10**400,
    "0.01",
    b"0.01",
    bytearray(b"0.01"),
    True,
    False,
    [],
    1j,
    Decimal("nan"),
    Decimal(-1),
    Rude(),
]
BAD_TOKENS: list[Any] = [
    -1,
    MAX_TOKENS + 1,
    2**70,
    10**4000,
    float(2**54),
    1.5,
    float("nan"),
    float("inf"),
    "12",
    True,
    False,
    NumpyInt(),
    Decimal(12),
    [],
    Rude(),
]
BAD_KINDS: list[Any] = ["", "Rate_Limit", "rate_limit ", "timeout", 5, True, ["other"], b"other", NumpyArray(), Rude()]
TEXT_TIME = "2026-01-01T00:00:00+00:00"
BAD_TIMES: list[Any] = [
    datetime(2026, 1, 1),  # noqa: DTZ001 - naive is what is wrong with it
    datetime(2026, 1, 1, tzinfo=Nowhere()),
    datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1))),
    datetime(9999, 12, 31, 23, 59, tzinfo=timezone(timedelta(hours=-1))),
    TEXT_TIME,
    1_767_225_600,
    NOON.date(),
    Rude(),
]
BAD_FIELDS: list[tuple[str, Any]] = [
    *[("success", value) for value in BAD_FLAGS],
    *[("timeout", value) for value in BAD_FLAGS if value is not None],
    *[("tokens_used", value) for value in BAD_TOKENS],
    *[("cost_usd", value) for value in [*BAD_AMOUNTS, MAX_COST_USD + 1]],
    *[("duration_seconds", value) for value in BAD_AMOUNTS],
    *[("retry_after_seconds", value) for value in BAD_AMOUNTS],
    *[("score", value) for value in [*BAD_AMOUNTS, 1.0001]],
    *[("error_kind", value) for value in BAD_KINDS],
    *[("timestamp", value) for value in BAD_TIMES],
    *[("outcome_id", value) for value in BAD_IDS if value is not None],
]


def assert_names(error: InvalidValueError, field: str, value: object) -> None:
    """The message names field, requirement and value, or its type, in one short line; no text of a host is in it."""
    assert error.field == field
    message = str(error)
    harmless = type(value) in {type(None), bool, int, float, complex, Decimal, date, datetime, timedelta}
    assert (error.value is value) == harmless
    assert message == f"{field} must be {error.requirement}, but got {brief(error.value)}"
    if not harmless:
        assert isinstance(error.value, Undisclosed)
        assert re.fullmatch(
            r"(text|bytes|a list|a tuple|a set|a mapping) of (no|[\d,]+) \w+|a value of type \w+", repr(error.value)
        )
    assert len(message) < 300
    assert message.isprintable()


@pytest.mark.parametrize(("field", "value"), BAD_FIELDS)
def test_an_outcome_refuses_a_bad_value_by_name(field: str, value: object) -> None:
    """Whatever is wrong with one field is one InvalidValueError with its name and the value, shortened."""
    arguments: dict[str, Any] = {"success": True, field: value}
    with pytest.raises(InvalidValueError) as caught:
        Outcome(**arguments)
    assert_names(caught.value, field, value)


@pytest.mark.parametrize("value", BAD_IDS)
def test_an_id_is_a_printable_string_of_1_to_512_characters(value: object) -> None:
    """Anything else is not a valid id; in a list the error names the position."""
    with pytest.raises(InvalidValueError) as caught:
        check_id("task_type", value)
    assert_names(caught.value, "task_type", value)
    with pytest.raises(InvalidValueError) as caught:
        check_ids("candidates", ["gpt-4o", value])
    assert_names(caught.value, "candidates[1]", value)


@pytest.mark.parametrize(
    "value", ["x", "x" * MAX_ID_LENGTH, "Ünï/cödé 模型 🤖", "'; DROP TABLE model_outcomes; --", " "]
)
def test_any_printable_id_is_taken_as_it_is(value: str) -> None:
    """Up to 512 characters of any script, quotes and spaces included; nothing is trimmed or changed."""
    assert check_id("model_id", value) == value
    assert Outcome(success=True, outcome_id=value).outcome_id == value


def test_ids_become_plain_strings() -> None:
    """An enum member means its value, never its name in the host's code."""
    assert type(check_id("model_id", Model.GPT)) is str
    assert check_id("model_id", Model.GPT) == "gpt-4o"
    (only,) = check_ids("candidates", [Model.GPT, "gpt-4o"])
    assert (type(only), only) == (str, "gpt-4o")


def test_candidates_are_taken_once_in_the_order_given() -> None:
    """Any iterable of ids will do; of a repeated one the first place counts."""
    assert check_ids("candidates", iter(["b", "a", "b", "c", "a"])) == ("b", "a", "c")
    assert check_ids("candidates", {"b": 1, "a": 2}) == ("b", "a")
    assert check_ids("candidates", []) == ()


@pytest.mark.parametrize("value", ["gpt-4o", b"gpt-4o", 7, None, Rude()])
def test_candidates_are_a_list_and_never_one_string(value: object) -> None:
    """A single string would pass as a list of its letters, so it is refused like anything not iterable."""
    with pytest.raises(InvalidValueError, match="a list of model ids") as caught:
        check_ids("candidates", value)
    assert_names(caught.value, "candidates", value)


def test_the_largest_permitted_values_are_permitted() -> None:
    """Limits are inclusive: 2^53 tokens, a million dollars, all of time in UTC."""
    for moment in (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)):
        outcome = Outcome(success=True, tokens_used=MAX_TOKENS, cost_usd=MAX_COST_USD, timestamp=moment)
        tally = Tally("t", "m").plus(outcome, to_milliseconds(moment))
        assert (tally.total_tokens, tally.total_cost_usd) == (MAX_TOKENS, MAX_COST_USD)
        assert tally.last_used == moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def test_numbers_by_another_name_become_plain_ones() -> None:
    """1 and 0 are flags, whole floats are tokens, anything with a float value is an amount; all kept plain."""
    outcome = Outcome(
        success=Count.ONE,  # type: ignore[arg-type]
        timeout=0,  # type: ignore[arg-type]
        tokens_used=1200.0,  # type: ignore[arg-type]
        cost_usd=Decimal("0.012"),  # type: ignore[arg-type]
        duration_seconds=NumpyInt(),  # type: ignore[arg-type]
        error_kind=Kind.LIMIT,  # type: ignore[arg-type]
    )
    assert outcome == Outcome(
        success=True, tokens_used=1200, cost_usd=0.012, duration_seconds=7.0, error_kind="rate_limit"
    )
    assert Outcome(success=True, tokens_used=Count.ONE, cost_usd=Dollars(0.5)) == Outcome(
        success=True, tokens_used=1, cost_usd=0.5
    )
    kinds = [type(value) for value in (outcome.success, outcome.timeout, outcome.tokens_used, outcome.error_kind)]
    assert kinds == [bool, bool, int, str]
    assert type(Outcome(success=True, cost_usd=Dollars(0.5)).cost_usd) is float
    assert type(Outcome(success=True, tokens_used=Count.ONE).tokens_used) is int


@pytest.mark.parametrize("value", [*BAD_AMOUNTS, None])
def test_an_amount_is_finite_and_not_negative(value: object) -> None:
    """One check covers all amounts of money and time, with or without a maximum."""
    with pytest.raises(InvalidValueError) as caught:
        check_amount("max_cost_usd", value)
    assert_names(caught.value, "max_cost_usd", value)
    with pytest.raises(InvalidValueError, match="from 0 to 10"):
        check_amount("share", 10.5, maximum=10)
    assert check_amount("share", 10, maximum=10) == 10.0


def test_a_mapping_may_use_either_spelling_of_a_key() -> None:
    """snake_case and camelCase keys are equivalent; a timestamp may be text with an offset."""
    snake = {
        "success": False,
        "timeout": True,
        "tokens_used": 10,
        "cost_usd": 0.5,
        "duration_seconds": 2,
        "error_kind": "other",
        "timestamp": "2026-01-01T13:00:00+01:00",
        "outcome_id": "x",
    }
    camel = {
        "success": False,
        "timeout": True,
        "tokensUsed": 10,
        "costUsd": 0.5,
        "durationSeconds": 2,
        "errorKind": "other",
        "timestamp": NOON,
        "outcomeId": "x",
    }
    assert Outcome.from_mapping(snake) == Outcome.from_mapping(camel)
    assert Outcome.from_mapping(snake).timestamp == NOON


@pytest.mark.parametrize(
    ("mapping", "says"),
    [
        ({}, "a mapping with the key success or score, but got a mapping of no keys"),
        ({"tokensUsed": 5}, "a mapping with the key success or score, but got a mapping of 1 key"),
        ({"success": True, "tokens": 5}, "keys among success, timeout, tokens_used, .*, but got text of 6 characters"),
        ({"success": True, "Success": True}, "but got text of 7 characters"),
        ({"success": True, 7: 1}, "but got 7"),
        ({"success": True, None: 1}, "but got None"),
        ({"success": True, Rude(): 1}, "but got a value of type Rude"),
        ({"success": True, "k" * 5000: 1}, "but got text of 5,000 characters$"),
        ({"success": True, "costUsd": 1, "cost_usd": 1}, "a mapping that gives cost_usd once"),
        ({"success": True, "tokens_used": 1, "tokensUsed": 2}, "a mapping that gives tokens_used once"),
    ],
)
def test_a_mapping_with_wrong_keys_is_refused(mapping: dict[Any, Any], says: str) -> None:
    """An unknown, missing or repeated key is an error that names it: a misspelt key never counts as 0."""
    with pytest.raises(InvalidValueError, match=says) as caught:
        Outcome.from_mapping(mapping)
    assert caught.value.field == "outcome"
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("text", ["", "yesterday", "2026-01-01", "2026-01-01T12:00:00", "\ud800", "9" * 10_000])
def test_a_timestamp_in_text_must_be_a_time_with_an_offset(text: str) -> None:
    """Text that is not ISO 8601, or leaves open which noon is meant, is refused under the name timestamp."""
    with pytest.raises(InvalidValueError) as caught:
        Outcome.from_mapping({"success": True, "timestamp": text})
    assert caught.value.field == "timestamp"
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(("field", "value"), [bad for bad in BAD_FIELDS if bad != ("timestamp", TEXT_TIME)])
def test_a_bad_value_in_a_mapping_is_the_same_error(field: str, value: object) -> None:
    """A mapping is validated exactly like an Outcome, except that its timestamp may be text."""
    with pytest.raises(InvalidValueError) as caught:
        Outcome.from_mapping({"success": True, field: value})
    assert_names(caught.value, field, value)


def test_a_field_that_is_not_known_may_be_none() -> None:
    """A mapping with every key, all of them None but the verdict, is an outcome without details."""
    names = [each.name for each in dataclasses.fields(Outcome) if each.init]
    assert Outcome.from_mapping({**dict.fromkeys(names), "success": True}) == Outcome(success=True)


def test_a_context_takes_six_keys_and_leaves_the_others_to_the_host() -> None:
    """Unknown keys are the host's own; None and an empty mapping say nothing; None as a value says nothing."""
    mapping = {"pin": "a", "unit_id": "u", "exclude": ["b", "b"], "max_cost_usd": 1, "trace": object()}
    assert Context.from_mapping(mapping) == Context(pin="a", unit_id="u", exclude=frozenset({"b"}), max_cost_usd=1.0)
    assert Context.from_mapping(None) is NO_CONTEXT
    assert Context.from_mapping({}) is NO_CONTEXT
    assert Context.from_mapping(dict.fromkeys(("pin", "unit_id", "exclude", "max_cost_usd"))) == NO_CONTEXT
    assert Context.from_mapping({"retry_of": None, "attempts": None}) is NO_CONTEXT


def test_a_context_is_read_in_either_spelling() -> None:
    """Hosts in other languages write ``maxCostUsd``; the two spellings of one key together are ambiguous."""
    mapping = {"unitId": "u", "maxCostUsd": 1, "retryOf": "d1", "attempts": 3.0}
    assert Context.from_mapping(mapping) == Context(unit_id="u", max_cost_usd=1.0, retry_of="d1", attempts=3)
    with pytest.raises(InvalidValueError, match="gives retry_of once"):
        Context.from_mapping({"retry_of": "d1", "retryOf": "d2"})
    with pytest.raises(InvalidValueError, match=r"context\['retryOf'\]"):
        Context.from_mapping({"retryOf": 7})


def test_a_retry_names_the_earlier_decision_or_its_id() -> None:
    """Either is taken as it is; no cached assessment is used for a retry, nor for a number of tries of its own."""
    earlier = make_decision()
    assert Context.from_mapping({"retry_of": earlier}).retry_of is earlier
    assert Context.from_mapping({"retry_of": "d1"}) == Context(retry_of="d1")
    for context in (Context(retry_of="d1"), Context(attempts=2)):
        assert not context.plain


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *[(key, value) for key in ("pin", "unit_id") for value in BAD_IDS if value is not None],
        *[("max_cost_usd", value) for value in BAD_AMOUNTS],
        ("exclude", "gpt-4o"),
        ("exclude", 7),
        *[("retry_of", value) for value in BAD_IDS if value is not None],
        *[("attempts", value) for value in (0, -1, 11, 2.5, True, "3", math.nan, math.inf, [3])],
    ],
)
def test_a_context_refuses_a_bad_value_by_name(key: str, value: object) -> None:
    """What the host says about one task is checked like everything else, key by key."""
    with pytest.raises(InvalidValueError) as caught:
        Context.from_mapping({key: value})
    assert_names(caught.value, f"context['{key}']", value)


@pytest.mark.parametrize("value", ["", "pin", 0, False, [], [("pin", "a")], Rude()])
def test_a_context_is_a_mapping_or_none(value: Any) -> None:
    """Nothing else is mistaken for "nothing to say", however empty it is."""
    with pytest.raises(InvalidValueError, match="a mapping or None"):
        Context.from_mapping(value)


def make_decision() -> Decision:
    """Return a decision with three candidates in play and one excluded."""
    tallies = [
        Tally("plan", "a").plus(Outcome(success=True, cost_usd=0.25, tokens_used=9), 5),
        Tally("plan", "b"),
        Tally("plan", "c", failures=4),
    ]
    rows = (
        RankedModel("a", 0.75, (0.25, 0.96), tallies[0], "ranked", "good"),
        RankedModel("b", None, None, tallies[1], "unproven", "new"),
        RankedModel("c", 0.1, (0.0, 0.4), tallies[2], "demoted", "bad"),
    )
    return Decision(
        order=("b", "a", "c"),
        decision_id="d1",
        task_type="plan",
        ranking=Ranking(rows, "posterior"),
        probabilities=(0.75, 0.25, 0.0),
        reason="explored",
        explored=True,
        excluded=(Exclusion("d", "excluded by the host"),),
        policy_id="p1",
        created_at=NOON,
    )


def test_a_decision_is_a_sequence_of_model_ids() -> None:
    """It works wherever a list of names does: index, slice, iterate, search, count, reverse."""
    decision = make_decision()
    assert isinstance(decision, Sequence)
    assert decision.model_id == decision[0] == "b"
    assert decision[1:] == ("a", "c")
    assert decision[-1] == "c"
    assert list(decision) == ["b", "a", "c"]
    assert [*reversed(decision)] == ["c", "a", "b"]
    assert len(decision) == 3
    assert ("a" in decision, "d" in decision) == (True, False)
    assert (decision.index("a"), decision.count("a"), decision.count("d")) == (1, 1, 0)
    first, *fallbacks = decision
    assert (first, fallbacks) == ("b", ["a", "c"])
    with pytest.raises(IndexError):
        decision[3]


def test_a_decision_knows_the_propensity_of_each_candidate() -> None:
    """The probabilities of the ranking's rows, by name; that of the choice is the propensity."""
    decision = make_decision()
    assert decision.propensities == {"a": 0.75, "b": 0.25, "c": 0.0}
    assert decision.propensity == 0.25


def test_a_ranking_is_a_sequence_of_rows() -> None:
    """Rows by position or by name; a name that is not in it is a KeyError."""
    ranking = make_decision().ranking
    assert [row.model_id for row in ranking] == ["a", "b", "c"]
    assert (len(ranking), ranking[0].model_id, ranking[1:]) == (3, "a", ranking.rows[1:])
    assert ranking.of("c") is ranking[2]
    assert ranking[1] in ranking
    with pytest.raises(KeyError, match="d"):
        ranking.of("d")


def test_a_decision_is_plain_json() -> None:
    """``as_dict`` survives strict JSON unchanged and holds every figure of the decision."""
    plain = make_decision().as_dict()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert plain["order"] == ["b", "a", "c"]
    assert (plain["model_id"], plain["propensity"], plain["mode"]) == ("b", 0.25, "apply")
    assert plain["propensities"] == {"a": 0.75, "b": 0.25, "c": 0.0}
    assert plain["excluded"] == [{"model_id": "d", "reason": "excluded by the host"}]
    assert plain["ranking"][0]["interval"] == [0.25, 0.96]
    assert plain["ranking"][0]["tally"]["total_cost_usd"] == 0.25
    assert plain["ranking"][1]["interval"] is None
    assert plain["created_at"] == "2026-01-01T12:00:00+00:00"


def test_a_decision_tells_the_whole_task() -> None:
    """Its plan, which try it is, what had failed before and the decision it follows are plain JSON as well."""
    plan = (PlannedTry("b", 1.0, 0.5, 0.25), PlannedTry("a", 0.5, 0.25, None))
    decision = replace(make_decision(), plan=plan, attempt=3, tried=("x", "x"), retry_of="d0")
    plain = json.loads(json.dumps(decision.as_dict(), allow_nan=False))
    assert plain["plan"][1] == {"model_id": "a", "chance_reached": 0.5, "chance_solved": 0.25, "expected_usd": None}
    assert (plain["attempt"], plain["tried"], plain["retry_of"]) == (3, ["x", "x"], "d0")
    first = make_decision().as_dict()
    assert (first["plan"], first["attempt"], first["tried"], first["retry_of"]) == ([], 1, [], None)


def test_a_decision_pickled_by_an_earlier_version_is_one_of_today() -> None:
    """A queue of the host may outlive an upgrade: fields that did not exist then have their defaults."""
    decision = make_decision()
    arrived = Decision.__new__(Decision)
    arrived.__setstate__([getattr(decision, each.name) for each in fields(Decision)][:13])
    assert arrived.assignment is None
    assert arrived == decision
    assert arrived.as_dict() == decision.as_dict()


def test_the_latest_failures_of_a_task_are_kept() -> None:
    """Sorted, so that one set of models is one value, and with repeats; the earliest of too many are left out."""
    assert as_tried(["b", "a", "b"]) == ("a", "b", "b")
    assert as_tried(["z", *"hgfedcba"]) == tuple("abcdefgh")
    assert as_tried([]) == ()


VALUES = [
    Outcome(success=True, cost_usd=0.1, error_kind="other", timestamp=NOON, outcome_id="x"),
    Tally("plan", "a", 1, 2, last_used_ms=-5),
    make_decision().ranking[0],
    make_decision().ranking,
    make_decision(),
    replace(make_decision(), plan=(PlannedTry("b", 1.0, 0.5, None),), attempt=2, tried=("x",), retry_of="d0"),
    Exclusion("a", "why"),
    Context(pin="a", exclude=frozenset({"b"})),
]
by_type = pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)


@by_type
def test_values_survive_pickling_and_copying(value: object) -> None:
    """Values cross process borders and copies: what arrives is equal, hashes alike and is of the same type."""
    arrived = [pickle.loads(pickle.dumps(value, protocol)) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]  # noqa: S301
    for each in [*arrived, copy.copy(value), copy.deepcopy(value)]:
        assert type(each) is type(value)
        assert each == value
        assert hash(each) == hash(value)


@by_type
def test_values_are_frozen(value: Any) -> None:
    """Nothing handed out can be changed afterwards, so it can be shared between threads and kept."""
    names = getattr(value, "_fields", None) or getattr(value, "__dataclass_fields__", None) or value.__slots__
    for name in names:
        with pytest.raises((FrozenInstanceError, AttributeError)):
            setattr(value, name, None)
        with pytest.raises((FrozenInstanceError, AttributeError)):
            delattr(value, name)
    assert not hasattr(value, "__dict__")


def test_money_is_exact() -> None:
    """0.1 + 0.2 dollars are 0.3, and a thousand dimes are a hundred: sums are of whole nano-dollars."""
    tally = Tally("t", "m")
    for cost in (0.1, 0.2):
        tally = tally.plus(Outcome(success=True, cost_usd=cost), 0)
    assert tally.total_cost_usd == 0.3
    for _ in range(997):
        tally = tally.plus(Outcome(success=True, cost_usd=0.1), 0)
    assert tally.total_cost_usd == 100.0
    assert Outcome(success=True, cost_usd=1e-9).cost_nano_usd == 1
    assert Outcome(success=True, cost_usd=4e-10).cost_nano_usd == 0


def test_the_mean_of_equal_costs_is_that_cost() -> None:
    """A model that always costs exactly the budget never exceeds it."""
    for thousandths in range(1, 1000):
        cost = thousandths / 1000
        nano = Outcome(success=True, cost_usd=cost).cost_nano_usd
        for count in range(1, 50):
            assert Tally("t", "m", total_cost_nano_usd=count * nano, priced=count).mean_cost_usd == cost


OUTAGES = ("rate_limit", "server_error", "network", "unavailable")
costs = st.floats(0, 1000) | st.sampled_from([0.1, 0.2, 0.3, 1e-9, 0.0, MAX_COST_USD])


@settings(deadline=None)
@given(st.lists(costs, max_size=30), st.randoms(use_true_random=False))
def test_the_sum_of_costs_does_not_depend_on_the_order(given_costs: list[float], random: Any) -> None:
    """Two stores that saw the same outcomes in another order hold the same sum, to the nano-dollar."""
    shuffled = given_costs.copy()
    random.shuffle(shuffled)
    sums = []
    for order in (given_costs, shuffled):
        tally = Tally("t", "m")
        for cost in order:
            tally = tally.plus(Outcome(success=True, cost_usd=cost), 0)
        sums.append(tally.total_cost_nano_usd)
    assert sums[0] == sums[1] == sum(round(Fraction(cost * 10**9)) for cost in given_costs)


outcomes = st.builds(
    Outcome,
    success=st.booleans(),
    timeout=st.booleans(),
    tokens_used=st.integers(0, MAX_TOKENS),
    cost_usd=costs,
    error_kind=st.none() | st.sampled_from(ERROR_KINDS),
)
stamped = st.lists(st.tuples(outcomes, st.integers(-(10**13), 10**14)), max_size=30)


@settings(deadline=None)
@given(stamped)
def test_a_tally_counts_what_was_added(events: list[tuple[Outcome, int]]) -> None:
    """Adding outcomes one by one gives the figures of counting them by hand, as plain integers."""
    tally = Tally("t", "m")
    for outcome, at_ms in events:
        tally = tally.plus(outcome, at_ms)
    failures = [outcome for outcome, _ in events if not outcome.success]
    assert tally == Tally(
        "t",
        "m",
        successes=len(events) - len(failures),
        failures=len(failures),
        timeouts=len([outcome for outcome, _ in events if outcome.timeout]),
        outages=len([each for each in failures if each.error_kind in OUTAGES]),
        caller_errors=len([each for each in failures if each.error_kind in {"cancelled", "caller_error"}]),
        total_tokens=sum(outcome.tokens_used for outcome, _ in events),
        total_cost_nano_usd=sum(outcome.cost_nano_usd for outcome, _ in events),
        priced=len([outcome for outcome, _ in events if outcome.cost_nano_usd]),
        last_used_ms=max((at_ms for _, at_ms in events), default=None),
        timeout_failures=len([each for each in failures if each.timeout and each.error_kind in THE_MODELS_OWN]),
    )
    assert {type(figure) for name, figure in tally._asdict().items() if name in COUNTED} == {int}
    assert tally.samples == len(events)
    assert 0 <= tally.quality_failures <= tally.failures
    assert json.loads(json.dumps(tally.as_dict(), allow_nan=False)) == tally.as_dict()


THE_MODELS_OWN = {None, "context_overflow", "refused", "other"}
COUNTED = set(Tally._fields) - {"task_type", "model_id", "last_used_ms"}


def test_a_tally_derives_its_rates_from_its_counts() -> None:
    """Rates cover all outcomes; unpriced ones count at the mean of the others; without any data they are None."""
    tally = Tally("t", "m", 6, 4, outages=1, caller_errors=2, total_cost_nano_usd=500_000_000, priced=5)
    assert (tally.success_rate, tally.quality_failures, tally.availability) == (0.6, 1, 0.9)
    assert tally.mean_cost_usd == 0.1
    assert tally.cost_per_success_usd == pytest.approx(10 * 0.1 / 6)
    empty = Tally("t", "m")
    assert (empty.success_rate, empty.mean_cost_usd, empty.cost_per_success_usd, empty.last_used) == (None,) * 4
    assert empty.availability is None
    assert Tally("t", "m", 0, 3, total_cost_nano_usd=9, priced=3).cost_per_success_usd is None
    assert Tally("t", "m", 3, 0).cost_per_success_usd is None


def test_a_success_is_never_an_outage_or_a_callers_error() -> None:
    """An error kind explains a failure; beside a success it only says what was overcome."""
    for kind in ERROR_KINDS:
        won = Tally("t", "m").plus(Outcome(success=True, error_kind=kind), 0)
        lost = Tally("t", "m").plus(Outcome(success=False, error_kind=kind), 0)
        assert (won.outages, won.caller_errors, won.successes) == (0, 0, 1)
        assert (lost.outages, lost.caller_errors) == (
            kind in OUTAGES,
            kind in {"cancelled", "caller_error"},
        )
        assert lost.quality_failures == (kind in {"context_overflow", "refused", "other"})


moments = st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=st.sampled_from(OFFSETS))  # noqa: DTZ001


@settings(deadline=None)
@given(moments)
def test_moments_survive_as_milliseconds(moment: datetime) -> None:
    """Any moment in any offset comes back in UTC, cut to the whole millisecond before it, also before 1970."""
    milliseconds = to_milliseconds(moment)
    back = from_milliseconds(milliseconds)
    assert back.tzinfo is UTC
    assert timedelta() <= moment - back < timedelta(milliseconds=1)
    assert moment - back == timedelta(microseconds=moment.microsecond % 1000)
    assert to_milliseconds(back) == milliseconds
    assert {to_milliseconds(moment.astimezone(offset)) for offset in OFFSETS} == {milliseconds}


@pytest.mark.parametrize(
    ("moment", "milliseconds"),
    [
        (datetime(1970, 1, 1, tzinfo=UTC), 0),
        (datetime(1970, 1, 1, 0, 0, 0, 999, tzinfo=UTC), 0),
        (datetime(1970, 1, 1, 0, 0, 0, 1000, tzinfo=UTC), 1),
        (datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), -1),
        (datetime(1970, 1, 1, 1, tzinfo=timezone(timedelta(hours=2))), -3_600_000),
        (datetime(2026, 1, 1, 12, tzinfo=UTC), 1_767_268_800_000),
    ],
)
def test_milliseconds_count_from_the_unix_epoch(moment: datetime, milliseconds: int) -> None:
    """Exact figures, floored on both sides of 1970."""
    assert to_milliseconds(moment) == milliseconds
