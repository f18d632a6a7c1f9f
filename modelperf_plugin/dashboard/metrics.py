"""The metrics of a store in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Final

from modelperf_plugin.store import CountedProblem, Demotion, Store
from modelperf_plugin.values import Tally

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})

_Sample = tuple[Mapping[str, str], float]


def exposition(store: Store) -> str:
    """Return all metrics, for a scrape."""
    tallies = store.tallies.all()
    info = [({"version": version("modelperf-plugin")}, 1)]
    families = [_family("modelperf_info", "gauge", "The version of modelperf.", info), *_counters(tallies)]
    families += _states(tallies, store.demotions.all(in_force=True), store.problems.all())
    return "".join(families)


def _counters(tallies: Iterable[Tally]) -> list[str]:
    outcomes: list[_Sample] = []
    timeouts: list[_Sample] = []
    tokens: list[_Sample] = []
    costs: list[_Sample] = []
    for tally in tallies:
        pair = {"task_type": tally.task_type, "model": tally.model_id}
        by_result = {
            "success": tally.successes, "failure": tally.quality_failures, "outage": tally.outages,
            "caller_error": tally.caller_errors,
        }  # fmt: skip
        outcomes += [({**pair, "result": result}, count) for result, count in by_result.items()]
        timeouts.append((pair, tally.timeouts))
        tokens.append((pair, tally.total_tokens))
        costs.append((pair, tally.total_cost_usd))
    return [
        _family("modelperf_outcomes_total", "counter", "Outcomes by result.", outcomes),
        _family("modelperf_timeouts_total", "counter", "Outcomes that timed out.", timeouts),
        _family("modelperf_tokens_total", "counter", "Input and output tokens.", tokens),
        _family("modelperf_cost_usd_total", "counter", "Cost in US dollars.", costs),
    ]


def _states(tallies: Iterable[Tally], demotions: Iterable[Demotion], problems: Iterable[CountedProblem]) -> list[str]:
    newest = max((tally.last_used_ms for tally in tallies if tally.last_used_ms is not None), default=None)
    demoted: list[_Sample] = [({"task_type": each.task_type, "model": each.model_id}, 1) for each in demotions]
    failed: dict[str, int] = {}
    for each in problems:
        failed[each.kind] = failed.get(each.kind, 0) + each.times
    moments: list[_Sample] = [] if newest is None else [({}, newest / 1000)]
    return [
        _family("modelperf_demoted", "gauge", "1 for each model that is demoted by evidence.", demoted),
        _family("modelperf_last_outcome_timestamp_seconds", "gauge", "When the newest outcome ended.", moments),
        _family(
            "modelperf_host_failures", "gauge", "Problems in hosts, as counted by modelperf doctor.",
            [({"where": where}, times) for where, times in failed.items()],
        ),
    ]  # fmt: skip


def _family(name: str, kind: str, meaning: str, samples: Iterable[_Sample]) -> str:
    lines = [f"# HELP {name} {meaning}", f"# TYPE {name} {kind}"]
    for labels, value in samples:
        written = ",".join(f'{label}="{text.translate(_ESCAPES)}"' for label, text in labels.items())
        lines.append(f"{name}{{{written}}} {value!r}" if labels else f"{name} {value!r}")
    return "\n".join(lines) + "\n"
