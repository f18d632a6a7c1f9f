"""``tune``: propose a configuration, and never change the live one."""

from __future__ import annotations

from difflib import unified_diff
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from modelperf_plugin.cli.answer import Answer
from modelperf_plugin.cli.decision_log import gain_text, log_days_option, read_decision_log
from modelperf_plugin.cli.help import command
from modelperf_plugin.cli.options import (
    Common,
    Refusal,
    common_options,
    force_option,
    json_option,
    output_option,
    refuse_to_replace,
    task_option,
)
from modelperf_plugin.cli.output_file import format_of, save
from modelperf_plugin.cli.progress import progress_stages
from modelperf_plugin.files import PRIVATE
from modelperf_plugin.text import count

if TYPE_CHECKING:
    from modelperf_plugin.analysis.off_policy.tune import Change, Proposal

_EMPTY: Final[dict[str, Any]] = {"proposal": None, "written": None, "diff": None}


@command("", "--task code-review -o proposal.toml")
@output_option("File for the proposal; never the file in force.", default="modelperf.proposed.toml")
@force_option
@task_option
@log_days_option
@json_option
@common_options
def tune(common: Common, answer: Answer, /, output: str, force: bool, **selection: Any) -> None:
    """Propose a better configuration, based on the decision log.

    Searches rankings, demotions and half-lives on the first half of the log, and judges the best of them on the second
    half, which the search has not seen. Writes a proposal beside the file in force, never over it. If the gain is not
    significant, writes nothing and exits with code 1. Does not tune exploration: see `modelperf evaluate --plan` and
    `modelperf simulate`.
    """
    from modelperf_plugin.analysis import need_numpy

    need_numpy("off-policy estimates")
    from modelperf_plugin.analysis.off_policy.tune import tune as search

    format_of(output, ["toml"], None)
    loaded = common.load()
    live = [Path(file) for file in loaded.files]
    if any(Path(output).resolve() == file.resolve() for file in live):
        raise Refusal(f"{output} is in force; a proposal never replaces it, so choose another --output")
    refuse_to_replace(Path(output), force=force)
    with common.reading(answer, **_EMPTY) as engine, progress_stages() as stages:
        log = read_decision_log(answer, engine.store, stages, **selection, **_EMPTY)
        proposal = search(log, engine.store, engine.config, progress=stages("searching"))
    if not proposal.better:
        if proposal.gain is None:
            note = f"nothing beats the present configuration: none of {proposal.searched} others gains anything"
        else:
            best = f"the best of {proposal.searched} others gains {_gain(proposal)}"
            note = f"no significant gain over the present configuration: {best}"
        answer.exit_with_note(note, **{**_EMPTY, "proposal": proposal.as_dict()})
    before = live[-1].read_text(encoding="utf-8") if live and live[-1].suffix == ".toml" else ""
    after = proposed(before, proposal.change)
    # a proposal replaces the file in force later: programs that read that one must be able to read this one
    save(Path(output), after.encode(), mode=live[-1].stat().st_mode & 0o777 if before else PRIVATE)
    name = str(live[-1]) if before else "the defaults"
    difference = "".join(unified_diff(before.splitlines(True), after.splitlines(True), name, output))
    if answer.as_json:
        answer.print_json(proposal=proposal.as_dict(), written=output, diff=difference, note=None)
        return
    answer.print_line(("expected gain ", "bold"), _gain(proposal))
    answer.print_line()
    for line in difference.splitlines():
        answer.print_line(line)
    answer.print_line()
    answer.print_line(f"wrote {output}; the configuration in force is unchanged")


def proposed(text: str, change: Change) -> str:
    """Return the TOML ``text`` with ``change`` applied, in the same order and with its comments."""
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


def _gain(proposal: Proposal) -> str:
    gain = "" if proposal.gain is None else gain_text(proposal.gain)
    return f"{gain} on {count(proposal.kept_back, 'held-out decision')}"
