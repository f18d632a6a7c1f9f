"""``export``: write the counts for another project."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from modelperf_plugin.cli.answer import Answer, Column, number
from modelperf_plugin.cli.options import Common, Refusal, common_options
from modelperf_plugin.cli.terminal_text import ago, count, dollars, percent, short

if TYPE_CHECKING:
    from modelperf_plugin.exchange.sharing.share import Selection
    from modelperf_plugin.values import Tally


_ENTRIES: Final = (
    Column("task type", "bold"), Column("model", "bold"), number("outcomes"), number("success"), number("cost"),
    number("timeouts", overflow=True), number("outages", overflow=True), number("tokens", overflow=True),
    number("last used", overflow=True),
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
def export(
    common: Common,
    answer: Answer,
    /,
    *,
    output: Path | None,
    form: str | None,
    hashes: tuple[str, ...],
    salt: str,
    dry_run: bool,
    **least: int,
) -> None:
    """Hand on what was learned, as counts and sums; no single outcomes.

    Only one's own counts are exported, neither those of attached databases nor merged ones.
    """
    from modelperf_plugin.exchange.sharing.share import Names, select
    from modelperf_plugin.store import open_store

    config = common.load().config
    with closing(open_store(common.existing_store(answer, config), durability=config.store.durability)) as store:
        tallies, origin = store.tallies.all(), store.merged.origin()
    names = Names(salt, "models" in hashes, "task-types" in hashes)
    chosen = select(tallies, names=names, **least)
    if dry_run:
        answer.print_table(_ENTRIES, map(_entry_row, chosen.entries))
        answer.print_line()
        answer.print_line(
            f"would leave the machine: these {count(len(chosen.entries), 'entry', 'entries')}, and the origin {origin}"
        )
    else:
        _write(chosen, output, form or _form_of(output), origin)
    for left, why in (
        (chosen.unsure, f"fewer than {least['min_samples']} outcomes"),
        (chosen.small, "too small a task type"),
    ):
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


def _entry_row(tally: Tally) -> list[str]:
    return [
        tally.task_type, tally.model_id, f"{tally.samples:,}", percent(tally.success_rate),
        dollars(tally.total_cost_usd if tally.priced else None), f"{tally.timeouts:,}", f"{tally.outages:,}",
        short(tally.total_tokens), ago(tally.last_used),
    ]  # fmt: skip
