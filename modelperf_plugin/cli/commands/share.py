"""``export``, ``merge`` and ``merged``: handing experience on, and taking it in as a prior."""

from __future__ import annotations

import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from modelperf_plugin.cli.answer import Answer, Column, number
from modelperf_plugin.cli.importing import writing
from modelperf_plugin.cli.options import (
    Common,
    Refusal,
    common_options,
    is_missing,
    json_option,
    missing_note,
    pass_common,
)
from modelperf_plugin.cli.terminal_text import ago, count, dollars, percent, short
from modelperf_plugin.values import from_milliseconds

if TYPE_CHECKING:
    from collections.abc import Iterable

    from modelperf_plugin.config import Config
    from modelperf_plugin.exchange.sharing.share import Export, Selection
    from modelperf_plugin.store import Store
    from modelperf_plugin.values import Tally

_ENTRIES: Final = (
    Column("task type", "bold"), Column("model", "bold"), number("outcomes"), number("success"), number("cost"),
    number("timeouts", aside=True), number("outages", aside=True), number("tokens", aside=True),
    number("last used", aside=True),
)  # fmt: skip
_SOURCES: Final = (
    Column("source", "bold"), number("pairs"), number("outcomes"), number("strength"), number("merged"),
)  # fmt: skip


@click.command()
@click.option(
    "--output", "-o", metavar="FILE", type=click.Path(path_type=Path), help="Where to; default: standard output."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["json", "csv", "parquet"]),
    help="The format; default: by the ending of FILE, or JSON.",
)
@click.option(
    "--min-samples",
    metavar="N",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    help="Leave out entries with fewer outcomes.",
)
@click.option(
    "--min-group",
    metavar="N",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    help="Leave out task types with fewer outcomes in all.",
)
@click.option(
    "--hash",
    "hashes",
    type=click.Choice(["models", "task-types"]),
    multiple=True,
    help="Hash these names; may be given twice.",
)
@click.option(
    "--salt", metavar="TEXT", default="", help="What names are hashed with; keep it to yourself, or agree on it."
)
@click.option("--dry-run", is_flag=True, help="Only show what would leave the machine; write nothing.")
@common_options
@pass_common
def export(
    common: Common,
    output: Path | None,
    form: str | None,
    min_samples: int,
    min_group: int,
    hashes: tuple[str, ...],
    salt: str,
    dry_run: bool,
) -> None:  # fmt: skip
    """Hand on what was learned, as counts and sums; no single outcomes.

    Only one's own counts are exported, neither those of attached databases nor merged ones.
    """
    from modelperf_plugin.exchange.sharing.share import Names, select
    from modelperf_plugin.store import open_store

    answer = Answer("export")
    configured = common.load().config.store
    if is_missing(configured.path):
        answer.nothing(missing_note(configured.path))
    with closing(open_store(configured.path, durability=configured.durability)) as store:
        tallies, origin = store.tallies(), store.exchange.origin()
    names = Names(salt, "models" in hashes, "task-types" in hashes)
    chosen = select(tallies, min_samples=min_samples, min_group=min_group, names=names)
    if dry_run:
        answer.table(_ENTRIES, map(_entry_row, chosen.entries))
        answer.line()
        answer.line(
            f"would leave the machine: these {count(len(chosen.entries), 'entry', 'entries')}, and the origin {origin}"
        )
    else:
        _write(chosen, output, form or _form_of(output), origin)
    for left, why in ((chosen.unsure, f"fewer than {min_samples} outcomes"), (chosen.small, "too small a task type")):
        if left:
            click.echo(f"{count(left, 'entry', 'entries')} left out: {why}", err=True)


def _form_of(output: Path | None) -> str:
    ending = "" if output is None else output.suffix.removeprefix(".").lower()
    return ending if ending in {"csv", "parquet"} else "json"


def _write(chosen: Selection, output: Path | None, form: str, origin: str) -> None:
    from modelperf_plugin.exchange.sharing.exports import write_parquet, write_text

    if form == "parquet" and output is None:
        raise click.UsageError("a Parquet file needs a name: --output FILE")
    text = ""
    if form != "parquet":
        text = write_text(chosen.entries, "csv" if form == "csv" else "json", origin, datetime.now(UTC))
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        if form == "parquet":
            write_parquet(chosen.entries, output, origin)
        else:
            output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Refusal(f"{output} cannot be written: {error.strerror or error}") from error
    click.echo(f"{count(len(chosen.entries), 'entry', 'entries')} written to {output}", err=True)


@click.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--strength",
    metavar="N",
    type=click.FloatRange(0),
    default=10.0,
    show_default=True,
    help="As how many outcomes of one's own each pair counts, at most.",
)
@click.option("--name", metavar="NAME", help="What the source is called; default: the name of the file.")
@click.option("--salt", metavar="TEXT", help="What names were hashed with: those known here are recognised.")
@click.option("--dry-run", is_flag=True, help="Only say what would be merged; write nothing.")
@common_options
@pass_common
def merge(
    common: Common, *, files: tuple[Path, ...], strength: float, name: str | None, salt: str | None, dry_run: bool
) -> None:
    """Take in what another project has exported, as a prior.

    It counts little by little less as one's own outcomes come in, never becomes part of one's own counts, and can be
    taken out again with `modelperf merged remove`.
    """
    from modelperf_plugin.exchange.sharing.exports import read_export
    from modelperf_plugin.exchange.sharing.merge import merge as merge_export
    from modelperf_plugin.exchange.sharing.share import recognised

    if name is not None and len(files) > 1:
        raise click.UsageError("--name is for one file")
    exports = [(file, read_export(file)) for file in files]
    config = common.load().config
    answer = Answer("merge")
    now_ms = time.time_ns() // 1_000_000
    with writing(common, dry_run=dry_run) as store:
        for file, found in exports:
            known = (
                found
                if salt is None
                else found._replace(entries=recognised(found.entries, salt, _known(store, config)))
            )
            done = merge_export(store, known, name or file.stem, now_ms, strength=strength, dry_run=dry_run)
            if done.is_known:
                answer.line(f"{file}: exactly this is merged already, as {done.name}")
                continue
            _tell(answer, known, done.name, done.replaces, dry_run=dry_run)


def _tell(answer: Answer, found: Export, name: str, replaces: str | None, *, dry_run: bool) -> None:
    outcomes = sum(tally.samples for tally in found.entries)
    word = "would be merged" if dry_run else "merged"
    line = f"{count(len(found.entries), 'pair')} with {count(outcomes, 'outcome')} {word} as {name}"
    answer.line(line + (f", in place of {replaces}" if replaces else ""))


def _known(store: Store, config: Config) -> Iterable[tuple[str, str]]:
    for tally in store.tallies():
        yield "task_type", tally.task_type
        yield "model_id", tally.model_id
    for name in config.task_types:
        yield "task_type", name
    for name in config.models:
        yield "model_id", name


@click.group()
def merged() -> None:
    """See and take out what was merged from other projects."""


@merged.command(name="list")
@json_option
@common_options
@pass_common
def list_merged(common: Common, as_json: bool) -> None:
    """Show which projects' experience was merged."""
    answer = Answer("merged list", as_json=as_json)
    with common.reading(answer, sources=[]) as engine:
        location, sources = engine.store.location, engine.store.exchange.merged()
    if as_json:
        answer.json(store=location, sources=[each.as_dict() for each in sources], note=None)
    elif sources:
        rows = [
            [
                each.name,
                f"{each.pairs:,}",
                f"{each.outcomes:,}",
                f"{each.strength:g}",
                ago(from_milliseconds(each.merged_ms)),
            ]
            for each in sources
        ]
        answer.table(_SOURCES, rows)
    else:
        answer.line("nothing was merged")


@merged.command()
@click.argument("name", metavar="NAME")
@common_options
@pass_common
def remove(common: Common, name: str) -> None:
    """Take a merged project's experience out again."""
    answer = Answer("merged remove")
    with common.writing(answer) as engine:
        if not engine.store.exchange.forget_merged(name):
            answer.nothing(f"nothing was merged as {name!r}")
    answer.line(f"what was merged as {name} counts no longer")


def _entry_row(tally: Tally) -> list[str]:
    return [
        tally.task_type, tally.model_id, f"{tally.samples:,}", percent(tally.success_rate),
        dollars(tally.total_cost_usd if tally.priced else None), f"{tally.timeouts:,}", f"{tally.outages:,}",
        short(tally.total_tokens), ago(tally.last_used),
    ]  # fmt: skip
