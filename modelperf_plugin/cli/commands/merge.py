"""``merge``: use another project's export, or a leaderboard, as a prior."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from modelperf_plugin.cli.answer import Answer
from modelperf_plugin.cli.help import command
from modelperf_plugin.cli.importing import parse_columns
from modelperf_plugin.cli.options import Common, Refusal, common_options, dry_run_option
from modelperf_plugin.text import count

if TYPE_CHECKING:
    from modelperf_plugin.config import Config
    from modelperf_plugin.exchange.sharing.leaderboard import Unit
    from modelperf_plugin.exchange.sharing.share import Export
    from modelperf_plugin.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    """How the files are read."""

    columns: dict[str, str]
    unit: Unit | None
    task_type: str | None
    salt: str | None
    aliases: dict[str, str]


@command("learned.json", "leaderboard.csv --task code-review --dry-run")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--strength", metavar="N", type=click.FloatRange(0),
    help="Maximum weight of each pair, in own outcomes. "
    "[default: 10, or 30 for a leaderboard on no particular task type]",
)  # fmt: skip
@click.option("--name", metavar="NAME", help="Name of the source. Default: the name of the file.")
@click.option(
    "--alias", "aliases", metavar="THEIRS=OURS", multiple=True,
    help="Our id for a model that they name differently; may be repeated.",
)  # fmt: skip
@click.option("--salt", metavar="TEXT", help="Salt of hashed names, to recognise those that are known here.")
@click.option(
    "--column", "columns", metavar="OURS=THEIRS", multiple=True,
    help="What a leaderboard calls one of our columns (model, score, successes, n, cost_usd, task_type); may be "
    "repeated.",
)  # fmt: skip
@click.option(
    "--scores", "unit", type=click.Choice(["fraction", "percent"]),
    help="Unit of a leaderboard's scores. Default: by their size.",
)  # fmt: skip
@click.option(
    "--task", "task_type", metavar="TASK",
    help="Task type that a leaderboard is about. Default: none in particular.",
)  # fmt: skip
@dry_run_option
@common_options
def merge(
    common: Common, answer: Answer, /, *, files: tuple[Path, ...], strength: float | None, name: str | None,
    dry_run: bool, **reading: Any,
) -> None:  # fmt: skip
    """Use another project's export or a leaderboard as a prior.

    A leaderboard is a CSV file with the columns model and score, or model, successes and n.

    The prior counts less as own outcomes arrive, never becomes part of the store's own counts, and can be removed with
    `modelperf merged remove`.
    """
    from modelperf_plugin.exchange.sharing.merge import merge as merge_export

    if name is not None and len(files) > 1:
        raise click.UsageError("--name is for a single file")
    config = common.load().config
    how = _reading(config, **reading)
    exports = [(file, name or file.stem, _read(file, name or file.stem, how)) for file in files]
    now_ms = time.time_ns() // 1_000_000
    with common.opened_store(dry_run=dry_run) as store:
        known = set(_known_names(store, config))
        for file, source, export in exports:
            ours = _in_our_names(export, how, known)
            weight = _default_strength(ours) if strength is None else strength
            merged = merge_export(store, ours, source, now_ms, strength=weight, dry_run=dry_run)
            if merged.is_known:
                answer.print_line(f"{file}: already merged, as {merged.name}")
                continue
            verb = "would be merged" if dry_run else "merged"
            replaced = f", replacing {merged.replaces}" if merged.replaces else ""
            answer.print_line(f"{_contents(ours)} {verb} as {merged.name}{replaced}")
            _print_matches(answer, ours, {model_id for kind, model_id in known if kind == "model_id"})


def _reading(config: Config, aliases: Iterable[str], columns: Iterable[str], **others: Any) -> _Reading:
    """Return how files are read, from the options."""
    from modelperf_plugin.exchange.sharing.leaderboard import COLUMNS

    named = {**config.canonical_ids, **_parse_aliases(aliases)}
    return _Reading(aliases=named, columns=parse_columns(columns, COLUMNS), **others)


def _read(file: Path, name: str, reading: _Reading) -> Export:
    """Read an export or a leaderboard."""
    from modelperf_plugin.exchange.sharing.exports import read_export
    from modelperf_plugin.exchange.sharing.leaderboard import is_leaderboard, read_leaderboard
    from modelperf_plugin.exchange.sharing.share import GENERAL

    if not is_leaderboard(file, reading.columns):
        if reading.columns or reading.unit or reading.task_type:
            raise Refusal(f"{file} is no leaderboard: --column, --scores and --task are for one with a model "
                          "and a score, or successes and n")  # fmt: skip
        return read_export(file)
    board = read_leaderboard(file, reading.columns, unit=reading.unit, task_type=reading.task_type or GENERAL)
    return board._replace(origin=f"{board.origin}: {name}")


def _in_our_names(export: Export, reading: _Reading, known: Iterable[tuple[str, str]]) -> Export:
    """Return an export under the names that are used here; merged under others, it is another one."""
    from modelperf_plugin.exchange.sharing.matching import renamed
    from modelperf_plugin.exchange.sharing.share import recognised

    entries = export.entries if reading.salt is None else recognised(export.entries, reading.salt, known)
    entries = renamed(entries, reading.aliases)
    if entries == export.entries and not reading.task_type:
        return export
    digest = sha256(f"{export.digest} {entries!r}".encode()).hexdigest()
    return export._replace(entries=entries, digest=digest)


def _default_strength(export: Export) -> float:
    from modelperf_plugin.exchange.sharing.leaderboard import ORIGIN
    from modelperf_plugin.exchange.sharing.merge import GENERAL_STRENGTH, STRENGTH
    from modelperf_plugin.exchange.sharing.share import GENERAL

    is_general = (export.origin or "").startswith(ORIGIN) and all(each.task_type == GENERAL for each in export.entries)
    return GENERAL_STRENGTH if is_general else STRENGTH


def _contents(export: Export) -> str:
    """Return what a source holds."""
    from modelperf_plugin.exchange.sharing.leaderboard import ORIGIN_OF_SCORES
    from modelperf_plugin.exchange.sharing.share import GENERAL, is_confident

    general = sum(tally.task_type == GENERAL for tally in export.entries)
    pairs = len(export.entries) - general
    parts = [count(pairs, "pair")] if pairs or not general else []
    if general:
        parts.append(f"{count(general, 'model')} on no particular task type")
    contents = " and ".join(parts)
    if (export.origin or "").startswith(ORIGIN_OF_SCORES):
        return f"scores of {contents}"
    confident = sum(map(is_confident, export.entries))
    sure = f" ({confident:,} confident)" if 0 < confident < pairs else ""
    return f"{contents}{sure} with {count(sum(tally.samples for tally in export.entries), 'outcome')}"


def _print_matches(answer: Answer, export: Export, known: set[str]) -> None:
    """Print which models of a source are known here, and what the others are likely to be."""
    from modelperf_plugin.exchange.sharing.matching import matches

    if not known:
        answer.print_line("no model is known here yet: each counts once a host offers a model of that name")
        return
    found = matches((tally.model_id for tally in export.entries), known)
    answer.print_line(f"known here: {', '.join(found.known) or 'none'}")
    likely = {theirs: ours for theirs, ours in found.unknown.items() if ours is not None}
    others = [name for name in found.unknown if name not in likely]
    for theirs, ours in likely.items():
        answer.print_line(f'likely {ours}: {theirs} (to take it for that: --alias "{theirs}={ours}")')
    if others:
        answer.print_line(f"not known here: {', '.join(others)}")
    if found.missing:
        answer.print_line(f"without a prior: {', '.join(found.missing)}")


def _parse_aliases(aliases: Iterable[str]) -> dict[str, str]:
    """Return our model ids by their names, given as ``THEIRS=OURS``; the last ``=`` divides them."""
    parsed: dict[str, str] = {}
    for alias in aliases:
        theirs, _, ours = alias.rpartition("=")
        if not theirs.strip() or not ours.strip():
            raise click.BadParameter(f"must be THEIRS=OURS, but got {alias!r}", param_hint="--alias")
        parsed[theirs.strip()] = ours.strip()
    return parsed


def _known_names(store: Store, config: Config) -> Iterator[tuple[str, str]]:
    """Yield the task types and models that are known here."""
    for tally in store.tallies.all():
        yield "task_type", tally.task_type
        yield "model_id", tally.model_id
    yield from (("task_type", name) for name in config.task_types)
    yield from (("model_id", name) for name in config.models)
