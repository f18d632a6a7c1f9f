"""``export``: write the counts for another project."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from modelperf_plugin.cli import tally_columns as column
from modelperf_plugin.cli.answer import Answer, write_data
from modelperf_plugin.cli.help import command
from modelperf_plugin.cli.options import Common, common_options, dry_run_option, output_option
from modelperf_plugin.cli.output_file import format_of, save
from modelperf_plugin.text import count

if TYPE_CHECKING:
    from modelperf_plugin.exchange.sharing.share import Selection


@command("-o learned.json", "-o learned.csv --min-samples 10")
@output_option("File to write; - for standard output, which is the default.")
@click.option(
    "--format", "form", type=click.Choice(["json", "csv", "parquet"]),
    help="Default: the suffix of FILE, or json.",
)  # fmt: skip
@click.option(
    "--min-samples", metavar="N", type=click.IntRange(1),
    help="Leave out pairs with fewer outcomes. [default: 1, with --sum-rest 10]",
)  # fmt: skip
@click.option(
    "--min-group", metavar="N", type=click.IntRange(1), default=1, show_default=True,
    help="Leave out task types with fewer outcomes in total.",
)  # fmt: skip
@click.option(
    "--sum-rest", is_flag=True,
    help="Add up what is left out, in one entry for each model, without task type.",
)  # fmt: skip
@click.option(
    "--hash", "hashes", type=click.Choice(["models", "task-types"]), multiple=True,
    help="Hash these names; may be repeated.",
)  # fmt: skip
@click.option("--salt", metavar="TEXT", default="", help="Salt of the hashes: keep it secret, or agree on it.")
@dry_run_option
@common_options
def export(
    common: Common, answer: Answer, /, *, output: str | None, form: str | None, hashes: tuple[str, ...], salt: str,
    dry_run: bool, **limits: Any,
) -> None:  # fmt: skip
    """Export what was learned, for another project.

    Exports counts and sums but no single outcomes, and the store's own counts only, not those of attached databases or
    merged sources. Pairs with 10 outcomes or more are marked as confident; the others show which models were avoided.
    """
    from modelperf_plugin.exchange.sharing.share import CONFIDENT_OUTCOMES, Names, select
    from modelperf_plugin.store import open_to_read

    form = format_of(output, ["json", "csv", "parquet"], form)
    file = None if output in {None, "-"} else Path(str(output))
    with closing(open_to_read(common.existing_store(answer))) as store:
        tallies, origin = store.tallies.all(), store.merged.origin()
    least = limits["min_samples"] = limits["min_samples"] or (CONFIDENT_OUTCOMES if limits["sum_rest"] else 1)
    selection = select(tallies, names=Names(salt, "models" in hashes, "task-types" in hashes), **limits)
    entries = count(len(selection.entries), "entry", "entries")
    if dry_run:
        columns = (
            column.TASK_TYPE, column.MODEL, column.OUTCOMES, column.SUCCESS, column.COST, column.TIMEOUTS,
            column.OUTAGES, column.TOKENS, column.LAST_USED,
        )  # fmt: skip
        answer.print_table(
            columns, [tally._replace(task_type=tally.task_type or "(any)") for tally in selection.entries]
        )
        answer.print_line()
        answer.print_line(f"would be exported: these {entries}, and the origin {origin}")
    else:
        _write(selection, file, form, origin)
        if file is not None:
            click.echo(f"{entries} written to {file}", err=True)
    for left_out, reason in (
        (selection.unsure, f"fewer than {count(least, 'outcome')}"),
        (selection.small, "task type too small"),
    ):
        if left_out:
            click.echo(f"{count(left_out, 'pair')} left out: {reason}", err=True)
    if limits["sum_rest"] and selection.unsure + selection.small:
        click.echo("these are in the sums of their models, without task type", err=True)


def _write(selection: Selection, output: Path | None, form: str, origin: str) -> None:
    from modelperf_plugin.exchange.sharing.exports import parquet_export, text_export

    if form == "parquet":
        if output is None:
            raise click.UsageError("a Parquet file needs a name: give --output FILE")
        save(output, parquet_export(selection.entries, origin))
        return
    text = text_export(selection.entries, "csv" if form == "csv" else "json", origin, datetime.now(UTC))
    if output is None:
        write_data(text)
    else:
        save(output, text.encode())
