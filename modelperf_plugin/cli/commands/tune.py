"""``tune``: propose a configuration, and never change the live one."""

from __future__ import annotations

from difflib import unified_diff
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from modelperf_plugin.cli.answer import Answer
from modelperf_plugin.cli.decision_log import read_decision_log
from modelperf_plugin.cli.options import Common, Refusal, common_options, json_option
from modelperf_plugin.cli.progress import stages
from modelperf_plugin.cli.terminal_text import count, points

if TYPE_CHECKING:
    from modelperf_plugin.analysis.off_policy.tune import Change, Proposal

_EMPTY: Final[dict[str, Any]] = {"proposal": None, "written": None, "diff": None}


@click.command()
@click.option(
    "--out", type=click.Path(dir_okay=False), metavar="TOML", default="modelperf.proposed.toml", show_default=True,
    help="Where to write the proposal; never the file in force.",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Replace a proposal that is there already.")
@click.option("--task", "task_type", metavar="TASK", help="Only the decisions of this task type.")
@click.option("--days", type=click.FloatRange(min=0, min_open=True), metavar="N", help="Only the last N days.")
@json_option
@common_options
def tune(
    common: Common, answer: Answer, /, out: str, force: bool, *, task_type: str | None, days: float | None
) -> None:
    """Propose a better configuration, from the record of decisions.

    It is written beside the one in force, never in its place. Rankings, demotions and half-lives are searched on the
    first half of the record; the best of them is judged on the second half, which the search has not seen. If it is
    not surely better there, nothing is written, and the exit code is 1. Exploration is left alone: see `modelperf
    evaluate --plan` and `modelperf simulate`.
    """
    from modelperf_plugin.analysis import need_numpy

    need_numpy("off-policy estimates")
    from modelperf_plugin.analysis.off_policy.tune import tune as search

    loaded = common.load()
    live = [Path(file) for file in loaded.files]
    _check(Path(out), live, force=force)
    with common.reading(answer, **_EMPTY) as engine, stages() as stage:
        log = read_decision_log(answer, engine.store, task_type=task_type, days=days, stage=stage, **_EMPTY)
        found = search(log, engine.store, loaded.config, progress=stage("searching"))
    if not found.better:
        answer.exit_with_note(_nothing(found), **{**_EMPTY, "proposal": found.as_dict()})
    before = live[-1].read_text(encoding="utf-8") if live and live[-1].suffix == ".toml" else ""
    after = proposed(before, found.change)
    Path(out).write_text(after, encoding="utf-8")
    name = str(live[-1]) if before else "the defaults"
    difference = "".join(unified_diff(before.splitlines(True), after.splitlines(True), name, out))
    if answer.as_json:
        answer.print_json(proposal=found.as_dict(), written=out, diff=difference, note=None)
        return
    answer.print_line(("expected gain ", "bold"), _gain(found), f" on {count(found.kept_back, 'decision')} kept back")
    answer.print_line()
    for line in difference.splitlines():
        answer.print_line(line)
    answer.print_line()
    answer.print_line(f"wrote {out}; the configuration in force is as it was")


def proposed(text: str, change: Change) -> str:
    """Return the TOML ``text`` with ``change``, its comments and order kept."""
    from modelperf_plugin.errors import MissingExtraError

    try:
        import tomlkit
    except ImportError as error:
        raise MissingExtraError("proposals", "analysis") from error
    document = tomlkit.parse(text)
    for section, keys in change.items():
        if section not in document:
            document[section] = tomlkit.table()
        table: Any = document[section]
        if "strategy" in keys and table.get("strategy") not in {None, keys["strategy"]}:
            for key in [key for key in table if key not in keys]:
                del table[key]
        for key, value in keys.items():
            table[key] = value
    return tomlkit.dumps(document)


def _check(out: Path, live: list[Path], *, force: bool) -> None:
    if any(out.resolve() == each.resolve() for each in live):
        raise Refusal(f"{out} is in force; a proposal is written beside it, so choose another --out")
    if out.exists() and not force:
        raise Refusal(f"{out} exists already; --force replaces it")


def _nothing(found: Proposal) -> str:
    if found.gain is None:
        return f"nothing beats the present configuration: none of {found.searched} others gains anything"
    return (
        f"nothing surely beats the present configuration: the best of {found.searched} others gains {_gain(found)} on "
        f"{count(found.kept_back, 'decision')} kept back"
    )


def _gain(found: Proposal) -> str:
    gain = found.gain
    return (
        "" if gain is None else f"{points(gain.value)} points (95 % interval {points(gain.low)} – {points(gain.high)})"
    )
