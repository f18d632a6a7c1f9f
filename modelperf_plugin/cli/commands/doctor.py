"""``doctor``: check whether the plugin is active and healthy."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from modelperf_plugin.cli.answer import Answer
from modelperf_plugin.cli.help import command
from modelperf_plugin.cli.options import Common, common_options, is_missing, json_option, missing_note
from modelperf_plugin.cli.tables import Column, number, prose
from modelperf_plugin.text import ago, count, percent
from modelperf_plugin.values import Tally, from_milliseconds

if TYPE_CHECKING:
    from modelperf_plugin.config import LoadedConfig
    from modelperf_plugin.store import CountedProblem, DecisionSummary, Finding, Store

_FINDINGS: Final[tuple[Column[Finding], ...]] = (
    Column("check", lambda finding: finding.name, "bold"),
    Column("result", lambda finding: "ok" if finding.ok else "problem"),
    prose("details", lambda finding: finding.message),
)
_PROBLEMS: Final[tuple[Column[CountedProblem], ...]] = (
    Column("failed", lambda problem: problem.kind, "bold"),
    number("times", lambda problem: f"{problem.times:,}"),
    number("last", lambda problem: ago(from_milliseconds(problem.last_ms))),
    prose("first message", lambda problem: problem.message),
)
_MODES: Final = {
    "apply": "mode apply: hosts are told which model to use",
    "observe": "mode observe: decisions are only logged, hosts are answered None",
    "off": 'mode off: hosts are answered None and nothing is recorded; set mode = "apply"',
}


class _Examination(NamedTuple):
    findings: Sequence[Finding]
    problems: Sequence[CountedProblem] = ()
    policies: Mapping[str, str] = {}
    decisions: DecisionSummary | None = None

    @property
    def is_healthy(self) -> bool:
        return not self.problems and all(finding.ok for finding in self.findings)


@command("", "--repair")
@click.option("--clear", is_flag=True, help="Forget the problems counted so far.")
@click.option("--repair", is_flag=True, help="Repair the database: save readable rows, rebuild counts from outcomes.")
@json_option
@common_options
def doctor(common: Common, answer: Answer, clear: bool, repair: bool) -> None:
    """Check whether the plugin is active and healthy.

    Checks the configuration and the store, and lists problems that hosts did not notice. Exits with code 1 if
    anything is wrong.
    """
    from modelperf_plugin.errors import StoreError
    from modelperf_plugin.store import open_store
    from modelperf_plugin.store.urls import is_postgres, without_secrets

    loaded = common.load()
    configured = loaded.config.store.location
    location = configured
    if _is_demo(common, configured):
        location = common.existing_store(answer)
        loaded = common.load()
    shown = without_secrets(location) if is_postgres(location) else location
    exists = not _is_absent(location)
    repaired = _repair(loaded) if repair and exists and location == configured else []
    if clear and exists:
        with suppress(StoreError), closing(open_store(location)) as store:  # _examine reports why it does not open
            store.problems.clear()
    examination = _examine(loaded, location)
    if answer.as_json:
        decisions = examination.decisions
        answer.print_json(
            ok=examination.is_healthy, store=shown, mode=loaded.config.mode,
            config_files=[str(file) for file in loaded.files], policy_ids=dict(examination.policies),
            findings=[finding.as_dict() for finding in examination.findings],
            decisions=None if decisions is None else decisions.as_dict(),
            problems=[_as_dict(problem) for problem in examination.problems], repaired=repaired,
        )  # fmt: skip
    else:
        for sentence in repaired:
            answer.print_line(sentence)
        _show(answer, shown, examination)
    raise click.exceptions.Exit(0 if examination.is_healthy else 1)


def _is_demo(common: Common, configured: str) -> bool:
    """Return whether only a demo's store exists."""
    return _is_absent(configured) and common.location_to_read() is not None


def _repair(loaded: LoadedConfig) -> list[str]:
    """Repair the configured store; return what was done, one sentence each.

    Raises:
        StoreError: it cannot be repaired, and is unchanged.
    """
    from modelperf_plugin.store.fallback.spool import count_waiting
    from modelperf_plugin.store.opening import file_of, open_with_fallback, spool_of
    from modelperf_plugin.store.urls import is_postgres

    location, beside = loaded.config.store.location, loaded.config.store.path
    done = _repair_database(location) if is_postgres(location) else _repair_file(file_of(location))
    spool = spool_of(location, beside)
    waiting = count_waiting(spool)
    open_with_fallback(location, spool=beside).close()  # replays what hosts have spooled
    if waiting:
        replayed = waiting - count_waiting(spool)
        done.append(f"moved {count(replayed, 'outcome')} from JSON files into the database")
    return done or ["nothing to repair"]


def _repair_database(url: str) -> list[str]:
    from modelperf_plugin.store.opening import open_database

    with closing(open_database(url)) as store:
        return _recounted(store.maintenance.rebuild())


def _recounted(pairs: int) -> list[str]:
    recounted = f"rebuilt the counts of {count(pairs, 'pair')}, which did not add up, from the outcomes"
    return [recounted] if pairs else []


def _repair_file(path: str) -> list[str]:
    from modelperf_plugin.errors import StoreDamagedError
    from modelperf_plugin.store.opening import open_file
    from modelperf_plugin.store.sqlite.replacing import sweep
    from modelperf_plugin.store.sqlite.salvage import is_sound, salvage

    done = [f"deleted {folder}, left by a repair that was interrupted" for folder in sweep(path)]
    if not is_sound(path):
        done += salvage(path).sentences()
    try:
        with closing(open_file(path)) as store:
            aside = store.maintenance.set_aside_unreadable()
            pairs = store.maintenance.rebuild()
    except StoreDamagedError:  # damage that the first check did not find
        return [*done, *salvage(path).sentences()]
    if aside:
        done.append(
            f"moved rows with unreadable text to {aside}; "
            "once the names in it are corrected, `modelperf import jsonl` imports its outcomes"
        )
    return done + _recounted(pairs)


def _examine(loaded: LoadedConfig, location: str) -> _Examination:
    from modelperf_plugin.errors import StoreError
    from modelperf_plugin.exchange.attached.databases import check_attached
    from modelperf_plugin.exchange.importing.legacy_import import check_legacy_file
    from modelperf_plugin.store import open_to_read
    from modelperf_plugin.store.aliases.store import with_aliases
    from modelperf_plugin.store.fallback.spool import waiting_for
    from modelperf_plugin.store.opening import spool_of
    from modelperf_plugin.values.names import Aliases

    now_ms = time.time_ns() // 1_000_000
    mode = loaded.config.mode
    files = ", ".join(str(file) for file in loaded.files)
    findings = [
        _finding("mode", _MODES[mode], ok=mode != "off"),
        _finding("configuration", f"read from {files}" if files else "no file: the defaults"),
        *waiting_for(spool_of(location, loaded.config.store.path)),
        *_unfinished(location),
    ]
    if _is_absent(location):
        absent = _finding("outcomes", f"not active yet; {missing_note(location)}", ok=False)
        return _Examination([*findings, absent])
    try:
        with closing(open_to_read(location)) as opened:
            store = with_aliases(opened, Aliases(loaded.config.canonical_ids))
            tallies = store.tallies.all()
            names = sorted({tally.task_type for tally in tallies})
            policies = {name: loaded.config.policy_for(name).policy_id for name in names}
            decisions = store.decisions.summary(now_ms)
            findings += [_policies(policies), _outcomes(tallies), *_decisions(loaded, decisions)]
            findings += [*_hints(loaded, store, tallies), *_gone(loaded, store, now_ms)]
            findings += [*_ab_tests(loaded, store, now_ms), *_budgets(loaded, store, now_ms)]
            old_file = check_legacy_file(store, now_ms)
            findings += [*check_attached(store, loaded.config.federation), *([] if old_file is None else [old_file])]
            findings += store.maintenance.check()
            return _Examination(findings, store.problems.all(), policies, decisions)
    except StoreError as error:
        return _Examination([*findings, _finding("store", str(error), ok=False)])


def _hints(loaded: LoadedConfig, store: Store, tallies: Sequence[Tally]) -> Iterator[Finding]:
    """Yield what is not wrong, but keeps hosts from learning."""
    from modelperf_plugin.analysis.views.hints import answered_by_others, doubtful_names, empty_verdicts
    from modelperf_plugin.analysis.views.task_type_names import ids_as_task_types

    if (ids := ids_as_task_types(tallies)) is not None:
        yield _finding("task types", ids.sentence())
    for hint in doubtful_names(loaded.config, tallies):
        yield _finding("names", hint)
    for hint in answered_by_others(store.served_models.counts()):
        yield _finding("served", hint)
    if (sentence := empty_verdicts(tallies)) is not None:
        yield _finding("verdicts", sentence, ok=False)


def _gone(loaded: LoadedConfig, store: Store, now_ms: int) -> Iterator[Finding]:
    """Yield a finding for each model that is gone."""
    from modelperf_plugin.analysis.views.hints import gone_models
    from modelperf_plugin.engine.availability import Availability

    availability = Availability.read(store.events, loaded.config, now_ms)
    for sentence in gone_models(availability.gone()):
        yield _finding("gone", sentence, ok=False)


def _ab_tests(loaded: LoadedConfig, store: Store, now_ms: int) -> Iterator[Finding]:
    """Yield how the A/B tests that are configured get their outcomes."""
    from modelperf_plugin.analysis.views.ab_tests import trials_of

    for test in store.ab_tests.all():
        for trial in trials_of(store, loaded.config, test, now_ms):
            if trial.configured:
                what = f"{trial.contest.challenger} against {test.incumbent} on {test.task_type}"
                yield _finding("A/B test", f"{what}: {trial.verdict}", ok=not trial.withheld)


def _budgets(loaded: LoadedConfig, store: Store, now_ms: int) -> Iterator[Finding]:
    """Yield what is left of each budget; `stats` and each decision tell the price of money."""
    from modelperf_plugin.engine.budget_state import BudgetState
    from modelperf_plugin.engine.ledger import Ledger
    from modelperf_plugin.policy.budget import pace

    for scope, budget in loaded.config.budgets.items():
        ledger = Ledger(budget)
        ledger.begin(store.spending, now_ms, *scope.names)
        outlook = ledger.outlook(now_ms, 0.0)
        rest, ok = BudgetState(scope, budget, outlook, pace([], outlook)).rest_in_words, outlook.left_usd > 0.0
        yield _finding("budget", rest if ok else f"{rest}: it is used up", ok=ok)


def _unfinished(location: str) -> Iterator[Finding]:
    """Yield a finding for each folder of a repair."""
    from modelperf_plugin.store.opening import file_of
    from modelperf_plugin.store.sqlite.replacing import abandoned
    from modelperf_plugin.store.urls import is_postgres

    for folder in [] if location == ":memory:" or is_postgres(location) else abandoned(file_of(location)):
        message = f"{folder} belongs to a repair: if none is running, `modelperf doctor --repair` deletes it"
        yield _finding("repair", message, ok=False)


def _is_absent(location: str) -> bool:
    """Return whether the store does not exist yet. A path at which none can exist is reported when it is opened."""
    from modelperf_plugin.errors import StoreError

    try:
        return is_missing(location)
    except StoreError:
        return False


def _finding(name: str, message: str, *, ok: bool = True) -> Finding:
    from modelperf_plugin.store import Finding

    return Finding(name, ok=ok, message=message)


def _policies(policies: Mapping[str, str]) -> Finding:
    task_types: dict[str, list[str]] = {}
    for task_type, policy_id in policies.items():
        task_types.setdefault(policy_id, []).append(task_type)
    if len(task_types) < 2:
        message = f"{next(iter(task_types))} for every task type" if task_types else "none in use yet"
    else:
        message = "; ".join(f"{policy_id} for {', '.join(names)}" for policy_id, names in task_types.items())
    return _finding("policy", message)


def _outcomes(tallies: Sequence[Tally]) -> Finding:
    newest = max(tallies, key=lambda tally: tally.last_used_ms or 0, default=None)
    if newest is None:
        return _finding("outcomes", "not active yet: the store is empty", ok=False)
    message = (
        f"{count(sum(tally.samples for tally in tallies), 'outcome')} of "
        f"{count(len({tally.task_type for tally in tallies}), 'task type')} and "
        f"{count(len({tally.model_id for tally in tallies}), 'model')}; "
        f"the last {ago(newest.last_used)}: {newest.model_id} on {newest.task_type}"
    )
    return _finding("outcomes", message)


def _decisions(loaded: LoadedConfig, summary: DecisionSummary) -> Iterator[Finding]:
    """Yield what the decision log shows; none of it is a fault of the plugin."""
    total = summary.total
    if summary.unmatched:
        outcomes = count(summary.unmatched, "outcome")
        message = (
            f"{outcomes} named a decision that is not in the log: a process was killed within a second of choosing, "
            "or a host passes ids of its own"
        )
        yield _finding("unmatched", message)
    if not total.decisions:
        reason = ": log.share is 0" if loaded.config.log.share == 0 else " yet"
        yield _finding("decisions", f"none in the log{reason}")
        return
    observed = total.decisions - summary.modes["apply"].decisions if "apply" in summary.modes else total.decisions
    message = (
        f"{count(total.decisions, 'decision')} of the last {count(loaded.config.log.keep_days, 'day')} in the log: "
        f"{total.with_outcome:,} with outcome, {total.waiting:,} waiting, {total.overdue:,} overdue"
    )
    yield _finding("decisions", f"{message}, {observed:,} only observed" if observed else message)
    if total.overdue:
        overdue = count(total.overdue, "decision")
        message = f"{overdue} older than an hour never got an outcome: is on_task_complete called with decision=…?"
        yield _finding("overdue", message)
    expected = f"{percent(total.exploration_share)} of the choices were expected to explore"
    yield _finding("exploration", f"{expected}, {percent(total.explored_share)} did")


def _as_dict(problem: CountedProblem) -> dict[str, Any]:
    kind, message, times, *moments = problem
    first, last = (from_milliseconds(moment).isoformat() for moment in moments)
    return {"kind": kind, "message": message, "times": times, "first": first, "last": last}


def _show(answer: Answer, location: str, examination: _Examination) -> None:
    healthy = ("all is well", "green") if examination.is_healthy else ("something is wrong", "bold red")
    answer.print_line((location, "bold"), ": ", healthy)
    answer.print_line()
    answer.print_table(_FINDINGS, examination.findings)
    if examination.problems:
        answer.print_line()
        answer.print_table(_PROBLEMS, examination.problems)
        answer.print_line()
        answer.print_line(("hosts did not notice any of these; `modelperf doctor --clear` forgets them", "dim"))
