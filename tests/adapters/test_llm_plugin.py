"""The plugin in llm itself: real processes, one for each call, with an offline model."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.recorder.world import recorded, verdicts

pytest.importorskip("llm")

ROOT = Path(__file__).resolve().parents[2]


class Result(NamedTuple):
    """What a call of llm has printed."""

    stdout: str
    stderr: str


Run = Callable[..., Result]

OFFLINE = '''
import llm

class Offline(llm.Model):
    """Says its name; fails if the name says so."""

    can_stream = True

    def __init__(self, model_id):
        self.model_id = model_id

    def execute(self, prompt, stream, response, conversation):
        if "broken" in self.model_id:
            raise ConnectionError("it is down")
        yield self.model_id
        yield f" has read {len(prompt.messages)}"
        response.set_usage(input=3, output=4)

class AsyncOffline(llm.AsyncModel):
    can_stream = True

    def __init__(self, model_id):
        self.model_id = model_id

    async def execute(self, prompt, stream, response, conversation):
        yield "async " + self.model_id

@llm.hookimpl
def register_models(register):
    for name in ("one", "two", "broken"):
        register(Offline(name), AsyncOffline(name), aliases=[name[0]])
'''
WATCHED = """
import atexit, sys
opened = []
WATCHED = "sqlite3.connect", "socket.connect", "_thread.start_new_thread"
sys.addaudithook(lambda event, args: opened.append(event) if event in WATCHED else None)
atexit.register(lambda: print("opened", opened, "loaded", *sorted(
    name for name in sys.modules if name.startswith("modelperf_plugin")), file=sys.stderr))
"""


SERVER = """
import json, os, sys
from llm.cli import cli

for line in sys.stdin:
    request = json.loads(line)
    child = os.fork()
    if not child:
        break
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
else:
    sys.exit(0)
os.chdir(request["cwd"])
os.environ.update(request["environment"])
for name, descriptor in (("out", 1), ("err", 2)):
    os.dup2(os.open(os.path.join(request["home"], name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
sys.stdin = open(0)
sys.argv = ["llm", *request["arguments"]]
cli()
"""
"""Starts llm once, and forks a process for each call, which ends as any other: importing llm takes seconds."""


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which this package and an offline model are installed as plugins of llm."""
    folder = tmp_path_factory.mktemp("site")
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["entry-points"]
    for name, target in {"modelperf": groups["llm"]["modelperf"], "offline": "offline_models"}.items():
        installed = folder / f"{name}_probe-1.dist-info"
        installed.mkdir()
        (installed / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-probe\nVersion: 1\n")
        (installed / "entry_points.txt").write_text(f"[llm]\n{name} = {target}\n")
    (folder / "offline_models.py").write_text(OFFLINE)
    (folder / "watched.py").write_text(WATCHED)
    return folder


def environment(plugins: Path, home: Path) -> dict[str, str]:
    """Return the environment of llm, for a user at ``home``."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("LLM_", "MODELPERF_", "OPENAI"))}
    paths = os.pathsep.join(map(str, (plugins, ROOT)))
    return clean | {"LLM_USER_PATH": str(home / "user"), "HOME": str(home), "PYTHONPATH": paths}


@pytest.fixture(scope="module")
def server(plugins: Path) -> Iterator[subprocess.Popen[str]]:
    """Return a process that forks one for each call."""
    with subprocess.Popen(
        [sys.executable, "-c", SERVER],
        env=environment(plugins, plugins), text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        yield process


@pytest.fixture
def user_dir(tmp_path: Path) -> Path:
    """Return llm's directory."""
    (tmp_path / "user").mkdir()
    return tmp_path / "user"


@pytest.fixture
def run(tmp_path: Path, user_dir: Path, plugins: Path, server: subprocess.Popen[str]) -> Run:
    """Return a function that runs llm in a process of its own."""
    elsewhere = user_dir.parent / "elsewhere"
    elsewhere.mkdir()
    request = {"cwd": str(elsewhere), "home": str(tmp_path), "environment": environment(plugins, tmp_path)}

    def run(*arguments: str, exit_code: int = 0) -> Result:
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(json.dumps({**request, "arguments": arguments}) + "\n")
        server.stdin.flush()
        ended = int(server.stdout.readline())
        result = Result((tmp_path / "out").read_text("utf-8"), (tmp_path / "err").read_text("utf-8"))
        assert ended == exit_code, result
        return result

    return run


@pytest.fixture
def store(user_dir: Path) -> Path:
    """Return where outcomes are, unless a store is configured."""
    return user_dir / "modelperf.db"


def test_every_call_is_kept(run: Run, store: Path) -> None:
    """Each call is a process that ends without a close: its decision and its outcome are in the store, joined."""
    run("modelperf", "candidates", "one", "two")
    for _ in range(3):
        assert run("-m", "auto/fix-bug", "hello").stdout.endswith(" has read 1\n")
    assert [each.verdict for each in recorded(store)] == ["good"] * 3
    assert {each.tokens for each in recorded(store)} == {7}
    answer = json.loads(run("modelperf", "decisions", "--json").stdout)
    assert answer["command"] == "decisions"
    assert [each["outcome"] is not None for each in answer["decisions"]] == [True] * 3


def test_without_names_the_default_model_answers(run: Run, store: Path) -> None:
    """Nothing is sent to a model that the user has not named, and the command says which ones are used."""
    run("models", "default", "two")
    assert run("-m", "auto", "hello").stdout.startswith("two")
    assert verdicts(store) == [("two", "good")]
    assert "llm modelperf candidates MODEL" in run("modelperf", "candidates").stdout
    run("models", "default", "auto")
    assert "auto has no models to choose among; name them" in run("hello", exit_code=1).stderr


def test_candidates_are_named_for_all_or_for_one_task_type(run: Run) -> None:
    """Aliases are resolved, unknown names refused, and a task type with models of its own does not use the others."""
    run("modelperf", "candidates", "o", "broken")
    run("modelperf", "candidates", "two", "--task", "plan")
    listed = json.loads(run("modelperf", "candidates", "--json").stdout)["candidates"]
    assert listed == [
        {"task_type": "default", "models": ["one", "broken"]},
        {"task_type": "plan", "models": ["two"]},
    ]
    assert run("-m", "auto/plan", "hello").stdout.startswith("two")
    assert run("-m", "auto", "hello").stdout.startswith("one")
    refused = run("modelperf", "candidates", "nonsense", exit_code=2)
    assert refused.stderr == "error: nonsense is not a model that llm knows: see `llm models`\n"
    assert "cannot be one of them" in run("modelperf", "candidates", "auto", exit_code=2).stderr
    run("modelperf", "candidates", "--clear", "--task", "plan")
    assert run("-m", "auto/plan", "hello").stdout.startswith("one")


def test_a_failing_model_is_replaced(run: Run, store: Path) -> None:
    """The next candidate answers; if there is none, the error is the model's own."""
    run("modelperf", "candidates", "broken", "--task", "t")
    assert run("-m", "auto/t", "hello", exit_code=1).stderr == "Error: it is down\n"
    run("modelperf", "candidates", "broken", "one", "--task", "t")
    assert run("-m", "auto/t", "hello").stdout.startswith("one")
    assert set(verdicts(store)) == {("broken", "network"), ("one", "good")}


def test_conversations_go_on(run: Run) -> None:
    """A task type that was used once is known afterwards: to -c, to `llm models` and to Python."""
    run("modelperf", "candidates", "one")
    run("-m", "auto/chat", "hello")
    assert run("-c", "and then?").stdout == "one has read 3\n"
    assert "LearnedModel: auto/chat" in run("models").stdout
    assert "resolved_model" in run("logs", "--json").stdout


def test_asynchronous_calls_are_kept(run: Run, store: Path) -> None:
    """The same model is there for ``llm --async``."""
    run("modelperf", "candidates", "one")
    assert run("--async", "-m", "auto", "hello").stdout == "async one\n"
    assert verdicts(store) == [("one", "good")]


def test_verdicts_on_answers(run: Run, store: Path) -> None:
    """``good`` and ``bad`` judge the last answer of auto or the one that is named, once, in a process of their own."""
    run("modelperf", "candidates", "one")
    assert "no answer of auto" in run("modelperf", "bad", exit_code=1).stderr
    run("-m", "auto/t", "hello")
    first = json.loads(run("logs", "--json").stdout)[0]["id"]
    run("-m", "auto/t", "hello")
    run("-m", "two", "another model, of which nothing is known")
    assert run("modelperf", "bad").stdout == "recorded: one was bad at t\n"
    assert run("modelperf", "bad").stdout == "known already: one was bad at t\n"
    assert run("modelperf", "good", first, "--score", "0.9").stdout == "recorded: one was good at t\n"
    assert "no answer nonsense of auto" in run("modelperf", "bad", "nonsense", exit_code=1).stderr
    assert [each.score for each in recorded(store)] == [0.9, None]
    assert verdicts(store) == [("one", "good"), ("one", "failed")]


def test_the_commands_of_modelperf_use_the_store_of_llm(run: Run, user_dir: Path, tmp_path: Path) -> None:
    """One store for all directories, unless another one is configured; mistakes are as in ``modelperf``."""
    run("modelperf", "candidates", "one")
    run("-m", "auto/t", "hello")
    assert "one" in run("modelperf", "rank", "t").stdout
    assert run("modelperf", "rank", "nothing", exit_code=1).stderr
    assert "Usage: llm modelperf rank" in run("modelperf", "rank", exit_code=2).stderr
    assert list((tmp_path / "elsewhere").iterdir()) == []
    (tmp_path / "elsewhere" / "modelperf.toml").write_text('[store]\npath = "own.db"\n')
    run("-m", "auto/t", "hello")
    assert verdicts(tmp_path / "elsewhere" / "own.db") == [("one", "good")]
    assert len(recorded(user_dir / "modelperf.db")) == 1


def test_a_store_that_cannot_be_opened_costs_no_answer(run: Run, store: Path) -> None:
    """Without a store llm uses the candidates in their order; a store of a newer version is left alone."""
    run("modelperf", "candidates", "two", "one")
    with closing(sqlite3.connect(store)) as connection:
        connection.executescript("PRAGMA application_id = 1297110086; PRAGMA user_version = 9999; CREATE TABLE t (a)")
    before = store.read_bytes()
    assert {run("-m", "auto", "hello").stdout for _ in range(3)} == {"two has read 1\n"}
    assert store.read_bytes() == before


def test_mistakes_in_files_are_told(run: Run, user_dir: Path, tmp_path: Path) -> None:
    """A broken file of settings or configuration stops auto with one message, and nothing else of llm."""
    (user_dir / "modelperf.json").write_text("{")
    assert "LearnedModel: auto" in run("models").stdout
    assert "modelperf.json cannot be used (JSONDecodeError)" in run("-m", "auto", "hello", exit_code=1).stderr
    assert (user_dir / "modelperf.json").read_text() == "{"
    (user_dir / "modelperf.json").unlink()
    run("modelperf", "candidates", "one")
    (tmp_path / "elsewhere" / "modelperf.toml").write_text("[ranking]\nmin_sample = 3\n")
    assert "min_samples" in run("-m", "auto", "hello", exit_code=1).stderr
    assert run("-m", "one", "hello").stdout.startswith("one")


@pytest.mark.parametrize(
    ("command", "parts"),
    [
        ("--version", ["llm_plugin"]),
        ("models", ["adapters", "adapters.llm", "errors", "llm_plugin", "llm_plugin.settings"]),
    ],
)
def test_llm_starts_without_the_engine(plugins: Path, tmp_path: Path, command: str, parts: list[str]) -> None:
    """Neither a version nor a list of models imports more than the plugin, and nothing is opened."""
    code = "import watched, sys; from llm.cli import cli; cli()"
    result = subprocess.run(
        [sys.executable, "-c", code, command],
        env=environment(plugins, tmp_path), cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    names = ["modelperf_plugin", *(f"modelperf_plugin.{part}" for part in parts)]
    assert result.stderr.splitlines() == [f"opened [] loaded {' '.join(names)}"]
