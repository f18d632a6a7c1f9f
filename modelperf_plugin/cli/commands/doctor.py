"""``doctor``: whether the plugin is active, and what is wrong."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click

from modelperf_plugin.cli.answer import Answer, Column, number
from modelperf_plugin.cli.options import Common, common_options, is_missing, json_option, missing_note
from modelperf_plugin.cli.repair import repair_database
from modelperf_plugin.cli.terminal_text import ago, count, percent
from modelperf_plugin.values import from_milliseconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from modelperf_plugin.config import LoadedConfig
    from modelperf_plugin.store import CountedProblem, DecisionSummary, Finding, Store
    from modelperf_plugin.values import Tally

_FINDINGS = (Column("looked at", "bold"), Column("result"), Column("found"))
_PROBLEMS = (Column("failed", "bold"), number("times"), number("last"), Column("first message"))
_MODES: Final = {
    "apply": "mode apply: hosts are told which model to use",
    "observe": "mode observe: decisions are only logged, hosts are answered None",
    "off": 'mode off: hosts are answered None and nothing is recorded; set mode = "apply"',
}


@dataclass(frozen=True)
class _Examination:
    """All that was looked at."""

    findings: Sequence[Finding]
    problems: Sequence[CountedProblem]
    policies: dict[str, str]
    """From task type to policy id."""
    decisions: DecisionSummary | None = None
    """What was kept of decisions; None without a store."""

    @property
    def sound(self) -> bool:
        return not self.problems and all(finding.ok for finding in self.findings)


@click.command()
@click.option("--clear", is_flag=True, help="Forget the problems that were counted so far.")
@click.option("--repair", is_flag=True, help="Mend the database: save what can be read, count anew from the outcomes.")
@json_option
@common_options
def doctor(common: Common, answer: Answer, clear: bool, repair: bool) -> None:
    """Say whether the plugin is active, and what is wrong.

    Looks at the configuration, the health of the store, and the problems that hosts ran into without noticing.
    Exit code 1 if anything is not as it should be.
    """
    loaded = common.load()
    location = str(loaded.config.store.path)
    done = repair_database(location) if repair and not is_missing(location) else []
    if clear and not is_missing(location):
        _forget_problems(location)
    seen = _examine(loaded, location)
    if answer.as_json:
        answer.print_json(
            ok=seen.sound,
            store=location,
            mode=loaded.config.mode,
            config_files=[str(file) for file in loaded.files],
            policy_ids=seen.policies,
            findings=[finding.as_dict() for finding in seen.findings],
            decisions=None if seen.decisions is None else seen.decisions.as_dict(),
            problems=[_problem_as_dict(problem) for problem in seen.problems],
            repaired=done,
        )
    else:
        for sentence in done:
            answer.print_line(sentence)
        _show(answer, location, seen)
    raise click.exceptions.Exit(0 if seen.sound else 1)


def _forget_problems(location: str) -> None:
    from modelperf_plugin.errors import StoreError
    from modelperf_plugin.store import open_store

    with suppress(StoreError):  # what keeps the store closed is found anyway
        store = open_store(location)
        try:
            store.problems.clear()
        finally:
            store.close()


def _examine(loaded: LoadedConfig, location: str) -> _Examination:
    from modelperf_plugin.errors import StoreError
    from modelperf_plugin.store import Finding, open_to_read
    from modelperf_plugin.store.fallback.spool import waiting_for

    configured = [_mode(loaded), _configuration(loaded), *waiting_for(location)]
    if is_missing(location):
        absent = Finding("outcomes", ok=False, message=f"not active yet; {missing_note(location)}")
        return _Examination([*configured, absent], [], {})
    try:
        store = open_to_read(location)
        try:
            tallies = store.tallies.all()
            policies = _policies(loaded, tallies)
            kept = store.decisions.summary(time.time_ns() // 1_000_000)
            known = [_policy(policies), _outcomes(tallies), *_decisions(loaded, kept)]
            known += _elsewhere(loaded, store)
            return _Examination([*configured, *known, *store.maintenance.check()], store.problems.all(), policies, kept)
        finally:
            store.close()
    except StoreError as error:
        return _Examination([*configured, Finding("store", ok=False, message=str(error))], [], {})


def _mode(loaded: LoadedConfig) -> Finding:
    from modelperf_plugin.store import Finding

    mode = loaded.config.mode
    return Finding("mode", ok=mode != "off", message=_MODES[mode])


def _configuration(loaded: LoadedConfig) -> Finding:
    from modelperf_plugin.store import Finding

    files = ", ".join(str(file) for file in loaded.files)
    return Finding("configuration", ok=True, message=f"read from {files}" if files else "no file: the defaults")


def _policies(loaded: LoadedConfig, tallies: Sequence[Tally]) -> dict[str, str]:
    names = sorted({tally.task_type for tally in tallies})
    return {name: loaded.config.policy_for(name).policy_id for name in names}


def _policy(policies: Mapping[str, str]) -> Finding:
    from modelperf_plugin.store import Finding

    users: dict[str, list[str]] = {}
    for task_type, policy_id in policies.items():
        users.setdefault(policy_id, []).append(task_type)
    if len(users) < 2:
        message = f"{next(iter(users))} for every task type" if users else "none in use yet"
    else:
        message = "; ".join(f"{policy_id} for {', '.join(names)}" for policy_id, names in users.items())
    return Finding("policy", ok=True, message=message)


def _outcomes(tallies: Sequence[Tally]) -> Finding:
    from modelperf_plugin.store import Finding

    newest = max(tallies, key=lambda tally: tally.last_used_ms or 0, default=None)
    if newest is None:
        return Finding("outcomes", ok=False, message="not active yet: the store is there, but holds no outcome")
    message = (
        f"{count(sum(tally.samples for tally in tallies), 'outcome')} of "
        f"{count(len({tally.task_type for tally in tallies}), 'task type')} and "
        f"{count(len({tally.model_id for tally in tallies}), 'model')}; "
        f"the last {ago(newest.last_used)}: {newest.model_id} on {newest.task_type}"
    )
    return Finding("outcomes", ok=True, message=message)


def _decisions(loaded: LoadedConfig, kept: DecisionSummary) -> Iterator[Finding]:
    """Yield what the record of decisions says; none of it is a fault of the plugin."""
    from modelperf_plugin.store import Finding

    total = kept.total
    if not total.decisions:
        off = loaded.config.log.share == 0
        yield Finding("decisions", ok=True, message="none are kept: log.share is 0" if off else "none are kept yet")
        return
    observed = total.decisions - kept.modes["apply"].decisions if "apply" in kept.modes else total.decisions
    message = (
        f"{count(total.decisions, 'decision')} of the last {count(loaded.config.log.keep_days, 'day')} kept: "
        f"{total.with_outcome:,} with outcome, {total.waiting:,} waiting, {total.overdue:,} overdue"
    )
    if observed:
        message += f", {observed:,} only observed"
    yield Finding("decisions", ok=True, message=message)
    if total.overdue:
        never = count(total.overdue, "decision")
        message = f"{never} older than an hour never got an outcome: is on_task_complete called with decision=…?"
        yield Finding("overdue", ok=True, message=message)
    message = (
        f"{percent(total.exploration_share)} of the choices were spent on learning by their odds, "
        f"{percent(total.explored_share)} by the draw"
    )
    yield Finding("exploration", ok=True, message=message)


def _elsewhere(loaded: LoadedConfig, store: Store) -> list[Finding]:
    """Return what there is to say of what comes from elsewhere."""
    from modelperf_plugin.exchange.attached.databases import check_attached
    from modelperf_plugin.exchange.importing.legacy_import import check_legacy_file

    old_file = check_legacy_file(store, time.time_ns() // 1_000_000)
    return [*check_attached(store, loaded.config.federation), *([] if old_file is None else [old_file])]


def _problem_as_dict(problem: CountedProblem) -> dict[str, Any]:
    return {
        "kind": problem.kind,
        "message": problem.message,
        "times": problem.times,
        "first": from_milliseconds(problem.first_ms).isoformat(),
        "last": from_milliseconds(problem.last_ms).isoformat(),
    }


def _show(answer: Answer, location: str, seen: _Examination) -> None:
    answer.print_line(
        (location, "bold"), ": ", ("all is well", "green") if seen.sound else ("something is wrong", "bold red")
    )
    answer.print_line()
    answer.print_table(_FINDINGS, [[each.name, "ok" if each.ok else "problem", each.message] for each in seen.findings])
    if seen.problems:
        answer.print_line()
        answer.print_table(
            _PROBLEMS,
            [
                [each.kind, f"{each.times:,}", ago(from_milliseconds(each.last_ms)), each.message]
                for each in seen.problems
            ],
        )
        answer.print_line()
        answer.print_line(("no host has noticed any of these; `modelperf doctor --clear` forgets them", "dim"))
