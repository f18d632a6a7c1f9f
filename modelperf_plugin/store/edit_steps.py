"""Forgetting and renaming, step by step: the same in every dialect but for the statements.

Sums are corrected by what leaves them, never recounted, so that what retention has dropped stays in them. The row of a
pair is never deleted and never gets another name: running hosts know its number, and record by it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final, Protocol

from modelperf_plugin.store.edits import Edited, Selection
from modelperf_plugin.store.tried import text_of, tried_of

Fingerprint = Callable[[str, bool, str], str]
"""The fingerprint of an A/B test by its incumbent, whether its challengers are named, and its salt."""

_EVENT_STEPS: Final = (
    "detach_decisions", "delete_attempts", "delete_unmatched", "delete_served", "delete_revisions", "delete_keys",
    "delete_refs", "delete_events",
)  # fmt: skip
_SUBTRACTIONS: Final = (
    "subtract_tallies", "subtract_daily", "subtract_baselines", "subtract_later", "subtract_durations",
    "delete_empty_days", "delete_empty_later", "delete_empty_durations",
)  # fmt: skip
_OF_PAIRS: Final = (
    "delete_daily", "delete_later", "delete_duration", "delete_dropped", "delete_imported", "delete_baseline",
    "delete_demotion", "empty_tallies",
)  # fmt: skip
_OF_SUMS: Final = ("subtract_imported_baselines", "subtract_imported", "delete_imported_sums")
_OF_IMPORT: Final = ("delete_ranges", "keep_import", "delete_import")
_TESTS: Final = ("delete_test_units", "delete_test_bets", "delete_test_sides", "delete_tests")
_MOVES: Final = (
    "move_events", "move_daily", "move_later", "move_durations", "move_dropped", "add_imported", "move_imported",
    "move_tally", "end_one_demotion", "move_demotions", "add_baseline", "move_baseline",
)  # fmt: skip
_MODEL_RENAMES: Final = (
    "end_tests_of_both", "rename_model_of_decisions", "rename_model_in_records", "rename_bets",
    "rename_model_of_outcomes",
    "rename_model_of_attempts", "rename_model_of_unmatched", "rename_challengers", "rename_changes",
    "rename_estimated", "rename_model_of_priors", "rename_model_of_watches",
)  # fmt: skip
_TASK_TYPE_RENAMES: Final = (
    "rename_task_type_of_decisions", "end_one_test", "rename_task_type_of_tests", "rename_task_type_of_priors",
    "rename_task_type_of_watches",
)  # fmt: skip


class Statements(Protocol):
    """The statements of one dialect, within a transaction."""

    def run(self, name: str, **values: Any) -> int:
        """Execute a statement; return how many rows it has changed. One that the dialect does not need does nothing."""

    def rows(self, name: str, **values: Any) -> list[Any]:
        """Return the rows of a query."""

    def pair_id(self, task_type: str, model_id: str) -> int:
        """Return the number of a pair, which is added if it is new."""

    def set_id(self, models: str) -> int:
        """Return the number of a set of tried models, which is added if it is new."""


def count(sql: Statements, selection: Selection) -> Edited:
    """Return what forgetting a selection would change."""
    values = selection.values()
    (events, pairs), *_ = sql.rows("count_events", **values)
    if selection.import_id is not None:
        return _count_import(sql, selection, events, pairs)
    if not selection.is_whole:
        decisions = 0 if selection.outcome_ids is not None else sql.rows("count_decisions", **values)[0][0]
        return Edited(events, pairs, decisions)
    (sums,), *_ = sql.rows("count_sums", **values)
    return Edited(events + sums, sql.rows("used_pairs", **values)[0][0], sql.rows("count_decisions", **values)[0][0])


def forget(sql: Statements, selection: Selection, edited_ms: int) -> Edited:
    """Take a selection out of the store."""
    edited = count(sql, selection)
    values = {**selection.values(), "edited_ms": edited_ms}
    sql.run("select_events", **values)
    sql.run("select_pairs" if selection.is_whole else "select_pairs_of_events", **values)
    tests: tuple[str, ...] = ()
    if selection.is_whole:
        _forget_pairs(sql, selection, values)
    else:
        for sums in _sums_of_import(sql, selection):
            sql.run("note_imported_pairs", **sums)
        tests = tuple(task_type for (task_type,) in sql.rows("tests_of_pairs"))
        for step in (*_SUBTRACTIONS, *_EVENT_STEPS):
            sql.run(step)
        if selection.import_id is not None:
            _forget_import(sql, selection)
        for step in ("refresh_last_used", "delete_watches"):
            sql.run(step)
    if selection.outcome_ids is None and selection.import_id is None:
        sql.run("delete_decisions", **values)
        sql.run("delete_stray_attempts")
    return _ended(sql, "forget", selection._asdict(), edited._replace(tests=tests), edited_ms)


def _sums_of_import(sql: Statements, selection: Selection) -> list[dict[str, Any]]:
    """Return which sums of an import are meant, as parameters of statements: none, or those of one source."""
    if not selection.may_be_sums:
        return []
    sources = sql.rows("sums_of_import", import_id=selection.import_id)
    meant = {"task_type": selection.task_type, "model_id": selection.model_id, "import_id": selection.import_id}
    return [{"source": source, **meant} for (source,) in sources]


def _count_import(sql: Statements, selection: Selection, events: int, pairs: int) -> Edited:
    """Return what forgetting an import would change; no decision is imported."""
    for sums in _sums_of_import(sql, selection):
        outcomes, pairs_of_sums = sql.rows("count_imported", **sums)[0]
        return Edited(events + outcomes, pairs + pairs_of_sums, 0)
    return Edited(events, pairs, 0)


def _forget_import(sql: Statements, selection: Selection) -> None:
    """Take the sums of an import out, and the import itself if nothing of it is left."""
    for sums in _sums_of_import(sql, selection):
        for step in _OF_SUMS:
            sql.run(step, **sums)
    if selection == Selection(import_id=selection.import_id):
        for step in _OF_IMPORT:
            sql.run(step, import_id=selection.import_id)


def _forget_pairs(sql: Statements, selection: Selection, values: dict[str, Any]) -> None:
    for step in (*_EVENT_STEPS, "delete_watches", *_OF_PAIRS):
        sql.run(step)
    if selection.model_id is None and selection.task_type is not None:
        for step in _TESTS:
            sql.run(step, **values)
        sql.run("delete_watches_of_task_type", **values)
    elif selection.task_type is None and selection.model_id is not None:
        for step in ("end_tests_of_model", "delete_changes", "delete_model_watches", "delete_estimated"):
            sql.run(step, **values)


def rename_task_type(sql: Statements, old: str, new: str, edited_ms: int) -> Edited:
    """Give everything of a task type to another one."""
    selection = Selection(task_type=old)
    edited = count(sql, selection)
    for from_id, _, model_id in sql.rows("pairs_to_move", **selection.values()):
        _move(sql, from_id, sql.pair_id(new, model_id), edited_ms)
    for step in _TASK_TYPE_RENAMES:
        sql.run(step, old=old, new=new, edited_ms=edited_ms)
    sql.run("delete_watches_of_task_type", task_type=old)
    return _ended(sql, "rename", {"task_type": old, "new": new}, edited, edited_ms)


def rename_model(sql: Statements, old: str, new: str, edited_ms: int, fingerprint: Fingerprint) -> Edited:
    """Give everything of a model to another one; ``fingerprint`` says which A/B test a test is under the new name."""
    selection, other = Selection(model_id=old), Selection(model_id=new)
    edited = count(sql, selection)
    is_merge = sql.rows("used_pairs", **other.values())[0][0] > 0
    for from_id, task_type, _ in sql.rows("pairs_to_move", **selection.values()):
        _move(sql, from_id, sql.pair_id(task_type, new), edited_ms)
    names = {"old": old, "new": new, "quoted_old": _member(old), "quoted_new": _member(new), "edited_ms": edited_ms}
    for step in _MODEL_RENAMES:
        sql.run(step, **names)
    _rename_incumbents(sql, old, new, fingerprint)
    _rename_in_sets(sql, old, new)
    if is_merge:  # what was known of the two before a change, and what was watched, is not what is known of both
        sql.run("delete_watches_of_model", model_id=new)
        _recount_baselines(sql, new)
    sql.run("delete_watches_of_model", model_id=old)
    return _ended(sql, "rename", {"model_id": old, "new": new}, edited, edited_ms)


def unannounce(sql: Statements, model_id: str, edited_ms: int) -> bool:
    """Take back the announcement that a model has changed, if that is its last change."""
    for change_id, direction, noticed_ms in sql.rows("announced", model_id=model_id):
        if direction == "announced":
            sql.run("delete_baselines_of_model", model_id=model_id)
            sql.run("delete_change", change_id=change_id)
            _recount_baselines(sql, model_id)
            _restore_rates(sql, model_id)
            sql.run("resume_demotions", model_id=model_id, noticed_ms=noticed_ms)
            _ended(sql, "unannounce", {"model_id": model_id}, Edited(0, 0, 0), edited_ms)
            return True
    return False


def _move(sql: Statements, from_id: int, to_id: int, edited_ms: int) -> None:
    if from_id == to_id:
        return
    for step in _MOVES:
        sql.run(step, from_id=from_id, to_id=to_id, edited_ms=edited_ms)
    sql.run("clear_pairs")
    sql.run("note_pair", tally_id=from_id)
    for step in _OF_PAIRS:  # what was added to the other one
        sql.run(step)
    sql.run("clear_pairs")


def _recount_baselines(sql: Statements, model_id: str) -> None:
    sql.run("delete_baselines_of_model", model_id=model_id)
    for change_id, noticed_event_id in sql.rows("last_change_of_model", model_id=model_id):
        sql.run("add_baselines", change_id=change_id, noticed_event_id=noticed_event_id, model_id=model_id)


def _restore_rates(sql: Statements, model_id: str) -> None:
    """Let what was expected since the last change of a model be expected again."""
    for (text,) in sql.rows("rates_of_change", model_id=model_id):
        rates = json.loads(text) if text else {}
        for task_type, rate in rates.items():
            sql.run("restore_rate", task_type=task_type, model_id=model_id, rate=rate)


def _rename_incumbents(sql: Statements, old: str, new: str, fingerprint: Fingerprint) -> None:
    for test_id, known, salt in sql.rows("tests_of_incumbent", old=old):
        same = [fingerprint(new, named, salt) for named in (True, False) if fingerprint(old, named, salt) == known]
        sql.run("rename_incumbent", new=new, fingerprint=same[0] if same else known, test_id=test_id)


def _rename_in_sets(sql: Statements, old: str, new: str) -> None:
    """Replace a model in the sets of models that had failed before; the former sets stay, for hosts that know them."""
    for number, models in sql.rows("sets"):
        tried = tried_of(models)
        if old in tried:
            renamed = tuple(sorted(new if each == old else each for each in tried))
            ids = {"from_id": number, "to_id": sql.set_id(text_of(renamed))}
            for step in ("move_set_of_events", "move_set_of_later", "delete_set_of_later"):
                sql.run(step, **ids)


def _ended(sql: Statements, kind: str, subject: dict[str, Any], edited: Edited, edited_ms: int) -> Edited:
    for step in ("clear_events", "clear_pairs"):
        sql.run(step)
    given = {name: value for name, value in subject.items() if value is not None}
    sql.run(
        "add_edit", kind=kind, edited_ms=edited_ms, subject=json.dumps(given, ensure_ascii=False),
        outcomes=edited.outcomes,
    )  # fmt: skip
    return edited


def _member(model_id: str) -> str:
    """Return how a record of the decision log names a model."""
    return json.dumps(model_id, ensure_ascii=False)
