"""Metrics for Prometheus."""

from __future__ import annotations

import re

import modelperf_plugin as mp
from modelperf_plugin.dashboard import create_app
from modelperf_plugin.dashboard.metrics import exposition
from tests.asgi import ask

_SAMPLE = re.compile(r'^([a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\[\\"n])*",?)*)\})? (\S+)$')
_LABEL = re.compile(r'([a-z_]+)="((?:[^"\\\n]|\\[\\"n])*)"')


def parse(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Return the samples of an exposition, by the grammar of version 0.0.4 of the text format."""
    assert text.endswith("\n")
    samples: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    announced = ""
    for line in text.removesuffix("\n").split("\n"):
        if line.startswith("# TYPE "):
            announced = line.split()[2]
        elif not line.startswith("# HELP "):
            found = _SAMPLE.match(line)
            assert found is not None, line
            assert found.group(1) == announced
            key = (announced, tuple(_LABEL.findall(found.group(2) or "")))
            assert key not in samples
            samples[key] = float(found.group(3))
    return samples


def test_every_outcome_is_counted_once(engine: mp.ModelPerf) -> None:
    """The counters are those of the tallies, by how outcomes ended."""
    samples = parse(exposition(engine.store))
    outcomes = {key[1]: value for key, value in samples.items() if key[0] == "modelperf_outcomes_total"}
    assert sum(outcomes.values()) == sum(tally.samples for tally in engine.store.tallies.all()) == 800
    assert {dict(labels)["result"] for labels in outcomes} == {"success", "failure", "outage", "caller_error"}
    assert sum(value for key, value in samples.items() if key[0] == "modelperf_demoted") >= 1


def test_names_cannot_break_a_line(tmp_path_factory: object) -> None:
    """Quotes and backslashes in a name are escaped as the format says."""
    name = 'a"b\\c{d="e"} 9'
    with mp.ModelPerf({}, store=":memory:") as perf:
        perf.record("t", name, mp.Outcome(success=True))
        samples = parse(exposition(perf.store))
    models = {dict(labels).get("model") for _, labels in samples}
    assert models == {None, 'a\\"b\\\\c{d=\\"e\\"} 9'}


def test_an_empty_store_has_figures() -> None:
    """The version, and nothing else."""
    with mp.ModelPerf({}, store=":memory:") as perf:
        assert [name for name, _ in parse(exposition(perf.store))] == ["modelperf_info"]


def test_it_is_served_as_text(engine: mp.ModelPerf) -> None:
    """With the content type that scrapers expect."""
    answer = ask(create_app(engine), "/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert parse(answer.text)
