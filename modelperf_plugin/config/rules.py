"""Rules that name the task type of a call by its labels: tags and metadata, never the text of a prompt."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import translate
from numbers import Integral, Real
from typing import Any, Final, NamedTuple

from modelperf_plugin.config.messages import unquoted_name
from modelperf_plugin.errors import InvalidValueError, brief
from modelperf_plugin.values import MAX_ID_LENGTH, check_id

Labels = Mapping[str, Any] | Iterable[str] | None
"""Tags, or metadata by name, whose ``tags`` are tags."""

TAG: Final = "tag"
"""The condition that looks at the tags."""
OWN_LABEL: Final = "modelperf_task_type"
"""The metadata that is a task type itself."""

_TAGS: Final = "tags"
_ALLOWED: Final = f"text of 1 to {MAX_ID_LENGTH} characters, a number, true or false, or an array of these"
_KeyPath = tuple[str, ...]
_TAGS_ARE_NO_LABEL: Final = {"not": {"const": _TAGS}}
_PATTERN: Final[dict[str, Any]] = {"type": ["string", "number", "boolean"], "minLength": 1, "maxLength": MAX_ID_LENGTH}
_CONDITIONS: Final[dict[str, Any]] = {
    "minProperties": 1,
    "propertyNames": {"minLength": 1, **_TAGS_ARE_NO_LABEL},
    "additionalProperties": {**_PATTERN, "type": [*_PATTERN["type"], "array"], "minItems": 1, "items": _PATTERN},
}
SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": {
        **_CONDITIONS, "type": ["object", "array"], "minItems": 1, "items": {"type": "object", **_CONDITIONS},
    },
}  # fmt: skip
"""The JSON Schema of ``[task_type_rules]``."""


class _Rule(NamedTuple):
    """Conditions that all hold for the calls of a task type."""

    task_type: str
    conditions: tuple[tuple[str, re.Pattern[str]], ...]

    def holds(self, texts: Mapping[str, tuple[str, ...]]) -> bool:
        return all(any(map(pattern.match, texts.get(label, ()))) for label, pattern in self.conditions)


class TaskTypeRules:
    """The rules of ``[task_type_rules]``, in their order."""

    def __init__(self, table: Mapping[str, Any]) -> None:
        """Compile a table in which :func:`problems_of` finds no problem."""
        self._rules = tuple(
            _Rule(task_type, tuple((label, _compiled(pattern)) for label, pattern in conditions.items()))
            for task_type, alternatives in table.items()
            for conditions in ([alternatives] if isinstance(alternatives, Mapping) else alternatives)
        )

    def task_type_for(self, labels: Labels) -> str | None:
        """Return the task type of the first rule that holds; None if there is none.

        Raises:
            InvalidValueError: these are no labels, or ``modelperf_task_type`` among them is not a valid id.
        """
        if labels is None:
            return None
        if isinstance(labels, (str, bytes)) or not isinstance(labels, Iterable):
            raise InvalidValueError("labels", "a list of tags, or a mapping of metadata", labels)
        if isinstance(labels, Mapping) and (own := labels.get(OWN_LABEL)) is not None:
            return check_id(OWN_LABEL, own)
        if not self._rules:
            return None
        texts = _texts_by_label(labels)
        return next((rule.task_type for rule in self._rules if rule.holds(texts)), None)


def problems_of(table: Mapping[str, Any]) -> Iterator[tuple[_KeyPath, str]]:
    """Yield the path and what is wrong, for each problem of a table of rules."""
    for name, rule in table.items():
        try:
            check_id("a task type", name)
        except InvalidValueError as error:
            yield (str(name),), f"a task type must be {error.requirement}, but got {brief(name)}"
            continue
        alternatives = [rule] if isinstance(rule, Mapping) else rule
        if not isinstance(alternatives, (list, tuple)) or not all(isinstance(each, Mapping) for each in alternatives):
            message = 'must be a table of conditions such as { tag = "review" }, or an array of such tables'
            yield (name,), f"{message}, but got {brief(rule)}"
        elif not alternatives or not all(alternatives):
            yield (name,), 'must have at least one condition, such as { tag = "review" }'
        else:
            for conditions in alternatives:
                yield from _problems_of_conditions(name, conditions)


def _problems_of_conditions(name: str, conditions: Mapping[str, Any]) -> Iterator[tuple[_KeyPath, str]]:
    for label, pattern in conditions.items():
        path = (name, str(label))
        patterns = pattern if isinstance(pattern, (list, tuple)) else [pattern]
        if not label or not isinstance(label, str):
            yield path, f"the name of a label must be text, but got {brief(label)}"
        elif label == _TAGS:
            yield path, f"unknown condition; did you mean {TAG}? It holds if one of the tags matches"
        elif isinstance(pattern, Mapping):
            dotted = unquoted_name(("task_type_rules", *path), pattern, ())
            yield path, dotted or f"must be {_ALLOWED}, but got a table"
        elif not patterns or not all(map(_is_pattern, patterns)):
            yield path, f"must be {_ALLOWED}, but got {brief(pattern)}"


def _is_pattern(value: Any) -> bool:
    if isinstance(value, float) and not math.isfinite(value):
        return False
    return isinstance(value, (str, bool, int, float)) and any(_texts_of(value))


def _compiled(pattern: Any) -> re.Pattern[str]:
    """Return a regular expression for one pattern, or for several of which one must match."""
    patterns = pattern if isinstance(pattern, (list, tuple)) else [pattern]
    texts = (text for each in patterns for text in _texts_of(each))
    # only * and ? are wildcards here
    return re.compile("|".join(translate(text.replace("[", "[[]")) for text in texts))


def _texts_by_label(labels: Mapping[str, Any] | Iterable[Any]) -> Mapping[str, tuple[str, ...]]:
    if not isinstance(labels, Mapping):
        return {TAG: _texts_of(list(labels))}
    texts = {name: _texts_of(value) for name, value in labels.items()}
    return {**texts, TAG: texts.get(TAG, ()) + texts.get(_TAGS, ())}


def _texts_of(value: Any) -> tuple[str, ...]:
    """Return a value, or each value of a list, as text; what is not a text, number or truth value has none."""
    if isinstance(value, str):
        return (str.__str__(value),) if len(value) <= MAX_ID_LENGTH else ()  # a longer one is not a label
    if isinstance(value, bool):
        return ("true" if value else "false",)
    if isinstance(value, Integral):
        return (str(int(value)),) if int(value).bit_length() <= MAX_ID_LENGTH else ()
    if isinstance(value, Real):
        number = float(value)
        return (str(int(number)) if number.is_integer() else repr(number),)
    if isinstance(value, (list, tuple, set, frozenset)):
        return tuple(text for each in value if isinstance(each, (str, Real)) for text in _texts_of(each))
    return ()
