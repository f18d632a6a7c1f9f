"""``llm modelperf``: the commands of ``modelperf``, which models to choose among, and verdicts on answers."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final

import click
import llm

from modelperf_plugin.adapters.llm import TICKET_KEY
from modelperf_plugin.cli.answer import Answer
from modelperf_plugin.cli.app import exit_code_of, modelperf
from modelperf_plugin.cli.options import Common, Refusal, common_options, json_option
from modelperf_plugin.cli.tables import Column
from modelperf_plugin.errors import ModelPerfError
from modelperf_plugin.llm_plugin.settings import (
    DEFAULT,
    candidates,
    default_store,
    model_id_of,
    read_settings,
    task_type_of,
    write_settings,
)
from modelperf_plugin.recorder.ticket import Ticket
from modelperf_plugin.values import check_id

_TABLES: Final = ("turns", "responses")
"""Where llm logs answers: since 0.32, and before."""


class _Program(click.Group):
    """Turns errors into messages and exit codes as ``modelperf`` does."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        ctx.ensure_object(Common).default_store = str(default_store())
        ctx.exit(exit_code_of(lambda: super(_Program, self).invoke(ctx)))


@click.command(name="candidates")
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option("--task", "task_type", metavar="TASK", default=DEFAULT, help="For this task type only.")
@click.option("--clear", is_flag=True, help="Forget the task type and its models.")
@json_option
@common_options
def candidates_command(common: Common, answer: Answer, models: tuple[str, ...], task_type: str, clear: bool) -> None:  # noqa: ARG001
    """Show or set the models that auto chooses among.

    Without any, it is the default model of llm. Those of a task type replace the common ones.
    """
    settings = read_settings()
    if clear:
        settings.pop(task_type, None)
    elif models:
        settings[check_id("task_type", task_type)] = [*dict.fromkeys(map(_known_model, models))]
    if clear or models:
        write_settings(settings)
    rows = [(each, candidates(settings, each)) for each in dict.fromkeys([DEFAULT, *settings])]
    if answer.as_json:
        answer.print_json(candidates=[{"task_type": each, "models": names} for each, names in rows])
        return
    columns = [
        Column[tuple[str, list[str]]]("model", lambda row: model_id_of(row[0])),
        Column[tuple[str, list[str]]]("chooses among", lambda row: ", ".join(row[1])),
    ]
    answer.print_table(columns, rows)
    if not settings.get(DEFAULT):
        answer.print_line("auto uses llm's default model; name several: llm modelperf candidates MODEL MODEL …")


def _known_model(name: str) -> str:
    """Return the id of a model by its id or alias."""
    model = llm.get_model_aliases().get(name)
    if model is None:
        raise Refusal(f"{name} is not a model that llm knows: see `llm models`")
    if task_type_of(model.model_id) is not None:
        raise Refusal(f"{name} chooses among models, and cannot be one of them")
    return str(model.model_id)


def _verdict(name: str, description: str, *, success: bool) -> click.Command:
    @click.command(name=name, help=f"{description}\n\nID is as in `llm logs`; by default the last answer of auto.")
    @click.argument("answer_id", metavar="[ID]", required=False)
    @click.option("--score", type=click.FloatRange(0.0, 1.0), help="How good it is, from 0 to 1.")
    @click.option("-d", "--database", type=click.Path(dir_okay=False), help="llm's database of logs.")
    @common_options
    def command(
        common: Common, answer: Answer, answer_id: str | None, score: float | None, database: str | None
    ) -> None:
        ticket = _ticket(answer, Path(database or llm.user_dir() / "logs.db"), answer_id)
        with common.writing(answer) as perf:
            has_changed = perf.report(ticket, success=success, score=score)
        judged = Ticket.read(ticket)
        change = "recorded" if has_changed else "known already"
        answer.print_line(f"{change}: {judged.model_id} was {name} at {judged.task_type}")

    return command


def _ticket(answer: Answer, logs: Path, answer_id: str | None) -> str:
    """Return the ticket of an answer in llm's log; exit with a note if there is none."""
    found = None
    try:
        if logs.exists():
            with closing(sqlite3.connect(f"{logs.absolute().as_uri()}?mode=ro", uri=True)) as connection:
                found = max(_logged(connection, answer_id), default=None)
    except sqlite3.Error as error:
        raise ModelPerfError(f"{logs}, llm's log, cannot be read: {error}") from error
    if found is None:
        which = "no answer of auto" if answer_id is None else f"no answer {answer_id} of auto"
        answer.exit_with_note(f"there is {which} in llm's log {logs}; answers with -n or after `llm logs off` are not")
    return found[1]


def _logged(connection: sqlite3.Connection, answer_id: str | None) -> Iterator[tuple[str, str]]:
    """Yield the newest answer with a ticket of each table, its id and the ticket. Ids grow with time."""
    for table in _TABLES:
        rows: list[tuple[str, str]] = []
        with suppress(sqlite3.OperationalError):  # this version of llm has no such table or column
            query = f"SELECT id, response_json FROM {table} WHERE instr(response_json, ?) AND id = coalesce(?, id)"  # noqa: S608
            rows = connection.execute(f"{query} ORDER BY id DESC LIMIT 1", (f'"{TICKET_KEY}"', answer_id)).fetchall()
        for found, content in rows:
            yield found, json.loads(content)[TICKET_KEY]


good = _verdict("good", "Say that an answer was good.", success=True)
bad = _verdict("bad", "Say that an answer was bad.", success=False)

program = _Program(
    name="modelperf",
    # a demo would fill the store with outcomes of models that do not exist
    commands=[candidates_command, good, bad, *(each for each in modelperf.commands.values() if each.name != "demo")],
    params=list(modelperf.params),
    callback=modelperf.callback,
    context_settings=modelperf.context_settings,
    help="Learn which model is best at which kind of task.\n\nllm -m auto/TASK_TYPE chooses among the candidates.",
    epilog="Exit codes: 0 ok, 1 negative finding, 2 usage or configuration error.",
)
"""The commands, with the store of llm unless another is configured."""
