"""The litellm adapter in a real proxy, which is ended by SIGTERM: everything is in the store by then."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

import modelperf_plugin as mp
from tests.adapters.provider import Provider
from tests.recorder.world import verdicts

pytest.importorskip("litellm")
pytest.importorskip("litellm_proxy_extras", reason="the proxy needs litellm[proxy]")

START_SECONDS: Final = 120
CALLBACKS: Final = """
import os

import modelperf_plugin as mp
from modelperf_plugin.adapters.litellm import learned

callbacks = learned(mp.ModelPerf({"exploration": {"strategy": "never"}}, store=os.environ["DATABASE"], seed=1))
"""
TICKET: Final = "x-modelperf-ticket"


class Answer(NamedTuple):
    """What the proxy has answered."""

    status: int
    headers: dict[str, str]
    text: str


class Proxy:
    """A proxy in a process of its own."""

    def __init__(self, folder: Path, provider: Provider) -> None:
        self.path = folder / "models.db"
        with closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        (folder / "learning.py").write_text(CALLBACKS, encoding="utf-8")
        (folder / "config.yaml").write_text(json.dumps(_configuration(provider)), encoding="utf-8")
        environment = {
            **os.environ,
            "DATABASE": str(self.path),
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_MASTER_KEY": "sk-0123456789abcdef0123456789abcdef",
            "PYTHONPATH": str(Path(mp.__file__).parents[1]),
        }
        program = "import sys; from litellm import run_server; sys.argv[0] = 'litellm'; run_server()"
        options = ["--config", "config.yaml", "--host", "127.0.0.1", "--port", str(self._port)]
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", program, *options], cwd=folder, env=environment, stdout=log, stderr=log
            )
        self._log = folder / "log"

    def wait_until_up(self) -> None:
        """Wait until it answers."""
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and self.process.poll() is None:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/health/liveliness", timeout=5):
                    return
            except OSError:
                time.sleep(0.2)
        raise AssertionError(self._log.read_text(encoding="utf-8", errors="replace")[-3000:])

    def ask(self, task_type: str, **body: Any) -> Answer:
        """Ask the group of models."""
        content = {"model": "smart", "messages": [{"role": "user", "content": "secret"}], **body}
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._port}/v1/chat/completions",
            json.dumps({**content, "metadata": {"modelperf_task_type": task_type}}).encode(),
            {"Content-Type": "application/json", "Authorization": "Bearer sk-0123456789abcdef0123456789abcdef"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return Answer(answer.status, dict(answer.headers), answer.read().decode())

    def end(self) -> None:
        """End it as a supervisor does."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


def _configuration(provider: Provider) -> dict[str, Any]:
    def entry(group: str, model: str) -> dict[str, Any]:
        own = {"model": f"openai/{model}", "api_key": "sk-none", "api_base": provider.url, "max_retries": 0}
        return {"model_name": group, "litellm_params": own}

    return {
        "model_list": [entry("smart", "a"), entry("smart", "b"), entry("smart", "c"), entry("backup", "d")],
        "litellm_settings": {"callbacks": "learning.callbacks"},
        "router_settings": {"num_retries": 2, "disable_cooldowns": True, "fallbacks": [{"smart": ["backup"]}]},
    }


class Seen(NamedTuple):
    """What a client of the proxy has seen, and the database that is left."""

    answers: dict[str, Answer]
    path: Path


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    """Let a client ask in several ways; end the proxy right after the last answer."""
    with Provider(a="server_error") as provider:
        proxy = Proxy(tmp_path_factory.mktemp("proxy"), provider)
        try:
            proxy.wait_until_up()
            answers = {"plain": proxy.ask("plain"), "stream": proxy.ask("stream", stream=True)}
            provider.behaviours |= dict.fromkeys("abc", "event")
            answers["broken"] = proxy.ask("broken", stream=True)
            provider.behaviours.clear()
            answers["last"] = proxy.ask("last", stream=True)
            proxy.end()
        finally:
            if proxy.process.poll() is None:
                proxy.process.kill()
                proxy.process.wait()
        yield Seen(answers, proxy.path)


def _rows(path: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def test_every_decision_and_outcome_is_in_the_store(seen: Seen) -> None:
    """Also those of the last answer before the SIGTERM: a client that has an answer finds its outcome."""
    outcomes = _rows(seen.path, "SELECT task_type, success FROM model_outcomes ORDER BY id")
    assert outcomes[:3] == [("plain", 0), ("plain", 1), ("stream", 1)]
    assert sorted(outcomes[3:5]) == [("broken", 0), ("broken", 1)]
    assert outcomes[5:] == [("last", 1)]
    undecided = "SELECT count(*), sum(success IS NULL) FROM decision"
    assert _rows(seen.path, undecided) == [(5, 0)]  # the fallback of the broken stream has its own


def test_the_stream_that_broke_is_not_held_against_its_fallback(seen: Seen) -> None:
    """The two tries of one request have one id in the proxy; each gets its own verdict."""
    assert '"content":"d"' in seen.answers["broken"].text
    *_, first, second, _ = verdicts(seen.path)
    assert sorted([first[1], second[1]]) == ["good", "server_error"]
    assert ("openai/d", "good") in {first, second}


@pytest.mark.parametrize("name", ["plain", "stream"])
def test_a_client_gives_the_verdict_by_a_header(seen: Seen, name: str) -> None:
    """Each answer has the ticket of its try in a header, a stream before its end; a verdict by it counts once."""
    ticket = seen.answers[name].headers[TICKET]
    with mp.ModelPerf(store=seen.path) as perf:
        assert perf.report(ticket, success=False)
        assert not perf.report(ticket, success=False)
    query = "SELECT count(*), sum(success) FROM model_outcomes WHERE task_type = "
    assert _rows(seen.path, f"{query}'{name}'") == [(2 if name == "plain" else 1, 0)]
