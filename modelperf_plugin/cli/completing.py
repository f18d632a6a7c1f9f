"""Shell completion of names that are in the store: fast and silent, or nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from itertools import chain
from threading import Thread
from typing import TYPE_CHECKING, Final

from click import Context, Parameter
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from modelperf_plugin.cli.options import Common
    from modelperf_plugin.store import Store

_MAX_PAIRS: Final = 1000
"""Pairs that are read at most: others cannot be completed by their model."""
_MAX_DECISIONS: Final = 50
_SERVER_SECONDS: Final = 1.0
"""How long a shell waits for a PostgreSQL server at most."""

Completer = Callable[[Context, Parameter, str], list[CompletionItem]]


def _completer(read: Callable[[Store, Context, str], Iterable[str]]) -> Completer:
    """Return a completer of the names that ``read`` finds in the store, given what was typed of one."""

    def complete(context: Context, parameter: Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001
        logging.disable()  # this process does nothing else
        try:
            common: Common = context.obj
            location = common.location_to_read()
            found = [] if location is None else _names(location, lambda store: read(store, context, incomplete))
        except Exception:  # noqa: BLE001 - nobody sees an error here; there is just nothing to complete
            return []
        return [CompletionItem(name) for name in dict.fromkeys(found) if name.startswith(incomplete)]

    return complete


def _names(location: str, read: Callable[[Store], Iterable[str]]) -> list[str]:
    """Return the names in a store; none if its server does not answer soon."""
    from modelperf_plugin.store import open_to_read
    from modelperf_plugin.store.urls import is_postgres

    found: list[str] = []

    def read_all() -> None:
        with suppress(Exception), closing(open_to_read(location)) as store:
            found.extend(read(store))

    if not is_postgres(location):
        read_all()
        return found
    thread = Thread(target=read_all, daemon=True)  # its address may have to be looked up, which no timeout ends
    thread.start()
    thread.join(_SERVER_SECONDS)
    return [] if thread.is_alive() else found


def _task_types(store: Store, _context: Context, incomplete: str) -> Iterable[str]:
    exact = [incomplete] if incomplete and store.tallies.of(incomplete) else []
    return [*exact, *store.tallies.page(incomplete, _MAX_PAIRS)]


def _models(store: Store, context: Context, _incomplete: str) -> Iterable[str]:
    task_type = context.params.get("task_type")
    if isinstance(task_type, str) and (known := store.tallies.of(task_type)):
        return known
    return sorted(set(chain.from_iterable(store.tallies.page("", _MAX_PAIRS).values())))


def _demoted_task_types(store: Store, _context: Context, _incomplete: str) -> Iterable[str]:
    return sorted({demotion.task_type for demotion in store.demotions.all(in_force=True)})


def _demoted_models(store: Store, context: Context, _incomplete: str) -> Iterable[str]:
    task_type = context.params.get("task_type")
    demotions = store.demotions.all(in_force=True)
    return sorted({each.model_id for each in demotions if task_type in {None, each.task_type}})


def _decision_ids(store: Store, _context: Context, incomplete: str) -> Iterable[str]:
    if incomplete:
        found = store.decisions.starting_with(incomplete, limit=_MAX_DECISIONS)
    else:
        found = store.decisions.newest(limit=_MAX_DECISIONS)
    return (decision.decision_id for decision in found)


def _imports(store: Store, _context: Context, _incomplete: str) -> Iterable[str]:
    return (str(each.import_id) for each in store.imports.all())


def _merged_sources(store: Store, _context: Context, _incomplete: str) -> Iterable[str]:
    return (source.name for source in store.merged.all())


def _attached_databases(store: Store, _context: Context, _incomplete: str) -> Iterable[str]:
    return (attached.path for attached in store.attachments.all())


task_types: Final = _completer(_task_types)
models: Final = _completer(_models)
demoted_task_types: Final = _completer(_demoted_task_types)
demoted_models: Final = _completer(_demoted_models)
decision_ids: Final = _completer(_decision_ids)
imports: Final = _completer(_imports)
merged_sources: Final = _completer(_merged_sources)
attached_databases: Final = _completer(_attached_databases)


def models_in_list(context: Context, parameter: Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the last of several models, separated by commas."""
    before, comma, last = incomplete.rpartition(",")
    return [CompletionItem(f"{before}{comma}{each.value}") for each in models(context, parameter, last)]


def scenarios(_context: Context, _parameter: Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the name of a shipped scenario, or of a file."""
    from modelperf_plugin.analysis.simulation.scenario import shipped

    names = [CompletionItem(name) for name in shipped() if name.startswith(incomplete)]
    return names or files(_context, _parameter, incomplete)


def files(_context: Context, _parameter: Parameter, incomplete: str) -> list[CompletionItem]:
    """Let the shell complete the name of a file."""
    return [CompletionItem(incomplete, type="file")]
