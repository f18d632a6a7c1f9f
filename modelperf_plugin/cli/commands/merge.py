"""``merge``: use another project's export as a prior."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from modelperf_plugin.cli.answer import Answer
from modelperf_plugin.cli.options import Common, common_options, dry_run_option
from modelperf_plugin.text import count

if TYPE_CHECKING:
    from modelperf_plugin.config import Config
    from modelperf_plugin.store import Store


@click.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--strength", metavar="N", type=click.FloatRange(0), default=10.0, show_default=True,
    help="Weight of each pair, as a maximum number of own outcomes.",
)  # fmt: skip
@click.option("--name", metavar="NAME", help="Name of the source. Default: the name of the file.")
@click.option("--salt", metavar="TEXT", help="Salt of hashed names, to recognise those that are known here.")
@dry_run_option
@common_options
def merge(
    common: Common, answer: Answer, /, *, files: tuple[Path, ...], strength: float, name: str | None, salt: str | None,
    dry_run: bool,
) -> None:  # fmt: skip
    """Use what another project exported as a prior.

    The prior counts less as own outcomes arrive, never becomes part of the store's own counts, and can be removed with
    `modelperf merged remove`.
    """
    from modelperf_plugin.exchange.sharing.exports import read_export
    from modelperf_plugin.exchange.sharing.merge import merge as merge_export
    from modelperf_plugin.exchange.sharing.share import recognised

    if name is not None and len(files) > 1:
        raise click.UsageError("--name is for a single file")
    exports = [(file, read_export(file)) for file in files]
    config = common.load().config
    now_ms = time.time_ns() // 1_000_000
    with common.opened_store(dry_run=dry_run) as store:
        for file, export in exports:
            if salt is not None:
                export = export._replace(entries=recognised(export.entries, salt, _known_names(store, config)))  # noqa: PLW2901
            merged = merge_export(store, export, name or file.stem, now_ms, strength=strength, dry_run=dry_run)
            if merged.is_known:
                answer.print_line(f"{file}: already merged, as {merged.name}")
                continue
            outcomes = count(sum(tally.samples for tally in export.entries), "outcome")
            verb = "would be merged" if dry_run else "merged"
            replaced = f", replacing {merged.replaces}" if merged.replaces else ""
            answer.print_line(f"{count(len(export.entries), 'pair')} with {outcomes} {verb} as {merged.name}{replaced}")


def _known_names(store: Store, config: Config) -> Iterator[tuple[str, str]]:
    """Yield the task types and models that hashes may stand for."""
    for tally in store.tallies.all():
        yield "task_type", tally.task_type
        yield "model_id", tally.model_id
    yield from (("task_type", name) for name in config.task_types)
    yield from (("model_id", name) for name in config.models)
