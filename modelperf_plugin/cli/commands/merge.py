"""``merge``: add another project's counts as a prior."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from modelperf_plugin.cli.answer import Answer
from modelperf_plugin.cli.options import Common, common_options
from modelperf_plugin.cli.terminal_text import count

if TYPE_CHECKING:
    from collections.abc import Iterable

    from modelperf_plugin.config import Config
    from modelperf_plugin.exchange.sharing.share import Export
    from modelperf_plugin.store import Store


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
def merge(
    common: Common,
    answer: Answer,
    *,
    files: tuple[Path, ...],
    strength: float,
    name: str | None,
    salt: str | None,
    dry_run: bool,
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
    now_ms = time.time_ns() // 1_000_000
    with common.opened_store(dry_run=dry_run) as store:
        for file, found in exports:
            known = (
                found
                if salt is None
                else found._replace(entries=recognised(found.entries, salt, _known(store, config)))
            )
            done = merge_export(store, known, name or file.stem, now_ms, strength=strength, dry_run=dry_run)
            if done.is_known:
                answer.print_line(f"{file}: exactly this is merged already, as {done.name}")
                continue
            _tell(answer, known, done.name, done.replaces, dry_run=dry_run)


def _tell(answer: Answer, found: Export, name: str, replaces: str | None, *, dry_run: bool) -> None:
    outcomes = sum(tally.samples for tally in found.entries)
    word = "would be merged" if dry_run else "merged"
    line = f"{count(len(found.entries), 'pair')} with {count(outcomes, 'outcome')} {word} as {name}"
    answer.print_line(line + (f", in place of {replaces}" if replaces else ""))


def _known(store: Store, config: Config) -> Iterable[tuple[str, str]]:
    for tally in store.tallies.all():
        yield "task_type", tally.task_type
        yield "model_id", tally.model_id
    for name in config.task_types:
        yield "task_type", name
    for name in config.models:
        yield "model_id", name
