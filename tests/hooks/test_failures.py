"""Nothing is ever raised into a host: a failure is logged once, counted and answered with None."""

from __future__ import annotations

import logging
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pluggy
import pytest

import modelperf_plugin as mp
from modelperf_plugin.store import CountedProblem, open_store
from tests.hooks.conftest import Register
from tests.hooks.hosts import CANDIDATES, choose, complete, count_rows, errors_logged, is_sound, samples

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
HEADER_AND_MORE = "remember the milk, and the bread, and then some more to fill a header\n" * 20


class Hostile(Mapping[str, Any]):
    """A mapping that cannot be read."""

    def __getitem__(self, key: str) -> Any:
        raise RuntimeError("the host's own bug")

    def __iter__(self) -> Iterator[str]:
        yield "success"

    def __len__(self) -> int:
        return 1

    get = __getitem__  # type: ignore[assignment]


class Nameless:
    """An object that cannot even be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


class WordlessError(Exception):
    """An error that cannot even be shown."""

    def __str__(self) -> str:
        raise RuntimeError("no message")

    __repr__ = __str__


def failing_after(answer: str, error: Exception) -> Iterator[str]:
    """Yield one candidate, then raise."""
    yield answer
    raise error


def at_once(plugin: mp.Plugin) -> None:
    """Save the counts at once."""
    plugin._guarded.failures.save(plugin.engine().store.problems, at_once=True)


def problems(path: Path) -> list[CountedProblem]:
    """Return the failures in the file at ``path``, as another process sees them."""
    store = open_store(path)
    try:
        return store.problems.all()
    finally:
        store.close()


BAD_IDS = {
    "None": None,
    "empty": "",
    "a number": 7,
    "bytes": b"gpt-4o",
    "a list": ["gpt-4o"],
    "too long": "x" * 513,
    "a line break": "gpt\n4o",
    "a NUL": "gpt\x004o",
    "a lone surrogate": "gpt\ud8004o",
    "unprintable": Nameless(),
}
BAD_OUTCOMES = {
    "None": None,
    "a number": 1,
    "a word": "success",
    "a list": [("success", True)],
    "empty": {},
    "without success": {"tokens_used": 7},
    "a hostile mapping": Hostile(),
    "an unknown key": {"success": True, "tokens": 7},
    "a key that is no word": {"success": True, 7: 7},
    "twice the same": {"success": True, "tokensUsed": 7, "tokens_used": 7},
    "success: a word": {"success": "yes"},
    "success: None": {"success": None},
    "success: 2": {"success": 2},
    "timeout: a word": {"success": True, "timeout": "no"},
    "tokens: negative": {"success": True, "tokens_used": -1},
    "tokens: too many": {"success": True, "tokens_used": 2**53 + 1},
    "tokens: a part": {"success": True, "tokens_used": 1.5},
    "tokens: a flag": {"success": True, "tokens_used": True},
    "tokens: a word": {"success": True, "tokens_used": "12"},
    "tokens: nan": {"success": True, "tokens_used": float("nan")},
    "cost: nan": {"success": True, "cost_usd": float("nan")},
    "cost: infinite": {"success": True, "cost_usd": float("inf")},
    "cost: negative": {"success": True, "cost_usd": -0.01},
    "cost: too much": {"success": True, "cost_usd": 1_000_001},
    "cost: a word": {"success": True, "cost_usd": "free"},
    "cost: beyond floats": {"success": True, "cost_usd": 10**400},
    "duration: negative": {"success": True, "duration_seconds": -1},
    "time: naive": {"success": True, "timestamp": datetime(2026, 1, 1)},  # noqa: DTZ001 - that is what is bad
    "time: naive text": {"success": True, "timestamp": "2026-01-01T00:00:00"},
    "time: a word": {"success": True, "timestamp": "yesterday"},
    "time: a number": {"success": True, "timestamp": 1_767_225_600},
    "id: empty": {"success": True, "outcome_id": ""},
    "id: a number": {"success": True, "outcome_id": 7},
}
BAD_DECISIONS = {"a number": 7, "empty": "", "a list": ["gpt-4o"], "unprintable": Nameless()}
BAD_COMPLETIONS = [
    *[pytest.param({"task_type": value}, id=f"task_type {name}") for name, value in BAD_IDS.items()],
    *[pytest.param({"model_id": value}, id=f"model_id {name}") for name, value in BAD_IDS.items()],
    *[pytest.param({"outcome": value}, id=f"outcome {name}") for name, value in BAD_OUTCOMES.items()],
    *[pytest.param({"decision": value}, id=f"decision {name}") for name, value in BAD_DECISIONS.items()],
]
BAD_CANDIDATES: dict[str, Callable[[], Any]] = {
    "None": lambda: None,
    "one string": lambda: "gpt-4o",
    "bytes": lambda: b"gpt-4o",
    "a number": lambda: 7,
    "one bad id": lambda: ["gpt-4o", ""],
    "None within": lambda: [None],
    "nested": lambda: [["gpt-4o"]],
    "a failing generator": lambda: failing_after("gpt-4o", ZeroDivisionError("the host's own bug")),
    "a wordless error": lambda: failing_after("gpt-4o", WordlessError()),
    "an error that is no text": lambda: failing_after("gpt-4o", ValueError("half a character: \ud800\x00")),
    "unprintable": Nameless,
}
BAD_CONTEXTS = {
    "a number": 7,
    "a word": "pin",
    "a list": ["pin"],
    "hostile": Hostile(),
    "pin: absent": {"pin": "somebody-else"},
    "pin: excluded": {"pin": "gpt-4o", "exclude": ["gpt-4o"]},
    "pin: a number": {"pin": 7},
    "unit: empty": {"unit_id": ""},
    "exclude: one string": {"exclude": "gpt-4o"},
    "exclude: a number": {"exclude": 7},
    "cost: negative": {"max_cost_usd": -1},
    "cost: nan": {"max_cost_usd": float("nan")},
    "cost: a word": {"max_cost_usd": "cheap"},
}
BAD_CHOICES = [
    *[pytest.param("task_type", lambda value=value: value, id=f"task_type {name}") for name, value in BAD_IDS.items()],
    *[pytest.param("candidates", make, id=f"candidates {name}") for name, make in BAD_CANDIDATES.items()],
    *[pytest.param("context", lambda value=value: value, id=f"context {name}") for name, value in BAD_CONTEXTS.items()],
]


@pytest.mark.parametrize("changed", BAD_COMPLETIONS)
def test_a_bad_outcome(
    changed: dict[str, Any],
    pm: pluggy.PluginManager,
    register: Register,
    path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A bad value in on_task_complete is logged once and counted, and nothing of the outcome is written."""
    plugin = register(pm)
    assert complete(pm, **changed) == []
    assert complete(pm, **changed) == []
    (message,) = errors_logged(caplog)
    assert message.startswith("on_task_complete failed: ")
    assert plugin.failure_count() == 2
    at_once(plugin)
    (problem,) = problems(path)
    assert (problem.kind, problem.times) == ("on_task_complete", 2)
    assert message.endswith(problem.message)
    assert count_rows(path, "event") == count_rows(path, "tally") == count_rows(path, "outcome_key") == 0
    complete(pm)
    assert samples(plugin.engine()) == {"gpt-4o": 1}
    assert is_sound(path)


@pytest.mark.parametrize("key", ["error_kind", "errorKind"])
@pytest.mark.parametrize(
    ("kind", "timeouts", "recorded"),
    [("bad luck", 0, "other"), (["network"], 0, "other"), (Nameless(), 0, "other"), ("timeout", 2, None)],
    ids=["unknown", "a list", "unprintable", "a timeout"],
)
def test_an_unknown_kind_loses_no_outcome(
    key: str, kind: Any, timeouts: int, recorded: str | None, pm: pluggy.PluginManager, register: Register, path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """An outcome of an unknown kind counts as a failure of kind ``other``; the mistake is logged once and counted."""
    plugin = register(pm)
    for _ in range(2):
        complete(pm, outcome={"success": False, key: kind, "tokensUsed": 7})
    tally = plugin.engine().store.tallies.of("plan")["gpt-4o"]
    assert (tally.failures, tally.timeouts, tally.total_tokens) == (2, timeouts, 14)
    (message,) = errors_logged(caplog)
    assert message.startswith("on_task_complete failed: error_kind must be one of rate_limit, ")
    assert plugin.failure_count() == 2
    kinds = {event.error_kind for event in plugin.engine().store.events.after(0, 10)}
    assert kinds == {recorded}


def test_what_is_not_known_is_none(pm: pluggy.PluginManager, register: Register) -> None:
    """None stands for unknown tokens, cost, duration and kind, as usage objects hold it."""
    plugin = register(pm)
    unknown = dict.fromkeys(("tokens_used", "cost_usd", "duration_seconds", "error_kind", "outcome_id"))
    complete(pm, outcome={"success": True, **unknown})
    complete(pm, outcome={"success": False, "tokensUsed": None, "costUsd": None, "score": None})
    tally = plugin.engine().store.tallies.of("plan")["gpt-4o"]
    assert (tally.successes, tally.failures, tally.total_tokens, tally.priced) == (1, 1, 0, 0)
    assert plugin.failure_count() == 0


def test_numbers_of_numpy_count(pm: pluggy.PluginManager, register: Register) -> None:
    """Whatever a host computes with numpy is a number or a truth value."""
    np = pytest.importorskip("numpy")
    plugin = register(pm)
    for whole, real in ((np.int64, np.float64), (np.uint8, np.float32), (np.int32, np.float16)):
        amounts = {"tokens_used": whole(7), "cost_usd": real(0.5), "duration_seconds": real(2), "score": real(0.25)}
        complete(pm, outcome={"success": np.True_, "timeout": np.bool_(False), **amounts})
        complete(pm, outcome={"success": whole(0), "tokens_used": real(3.0)})
    tally = plugin.engine().store.tallies.of("plan")["gpt-4o"]
    assert (tally.successes, tally.failures, tally.total_tokens) == (3, 3, 30)
    assert tally.total_cost_usd == pytest.approx(1.5, abs=0.001)  # tokens alone have a price where genai-prices is
    assert plugin.failure_count() == 0


@pytest.mark.parametrize(("argument", "make"), BAD_CHOICES)
def test_a_bad_choice(
    argument: str,
    make: Callable[[], Any],
    pm: pluggy.PluginManager,
    register: Register,
    path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A bad value in select_model is answered with None, logged once and counted; the next call works."""
    plugin = register(pm)
    assert choose(pm, **{argument: make()}) is None
    assert choose(pm, **{argument: make()}) is None
    (message,) = errors_logged(caplog)
    assert message.startswith("select_model failed: ")
    assert plugin.failure_count() == 2
    at_once(plugin)
    (problem,) = problems(path)
    assert (problem.kind, problem.times) == ("select_model", 2)
    assert choose(pm).model_id in CANDIDATES


ANSWER = "The answer: forty-two"
LEAKS: dict[str, Callable[[Any], Any]] = {
    "the text itself": lambda text: text,
    "over lines": lambda text: f"{text}\n{text}",
    "too long": lambda text: text * 500,
    "bytes": lambda text: text.encode(),
    "in a list": lambda text: [text],
    "as a key": lambda text: {text: text},
    "as a value": lambda text: {"success": text, "pin": f"{text}\n", "unit_id": [text], "error_kind": text},
    "an error": lambda text: failing_after(text, LookupError(text)),
    "an object": lambda text: type("Answer", (), {"__repr__": lambda _: text})(),
    "a subclass": lambda text: type("Text", (str,), {})(f"{text}\n"),
}


@pytest.mark.parametrize("leak", [pytest.param(make, id=name) for name, make in LEAKS.items()])
def test_no_text_of_a_host_is_kept_or_logged(
    leak: Callable[[Any], Any],
    pm: pluggy.PluginManager,
    register: Register,
    path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A prompt or an answer in the wrong argument is named by type and length, in log, store and errors."""
    plugin = register(pm)
    caplog.set_level(logging.DEBUG)
    for argument in ("outcome", "decision"):
        complete(pm, **{argument: leak(ANSWER)})
    for key in ("error_kind", "timestamp", "tokens_used", "cost_usd", "duration_seconds", "success", "timeout"):
        complete(pm, outcome={"success": True, key: leak(ANSWER)})
    choose(pm, context=leak(ANSWER))
    for key in ("pin", "max_cost_usd"):
        choose(pm, context={key: leak(ANSWER)})
    for argument in ("task_type", "model_id"):
        complete(pm, **{argument: f"{ANSWER}\n{ANSWER}"})
    with pytest.raises(mp.ModelPerfError) as caught:
        plugin.engine().record("plan", "gpt-4o", {"success": ANSWER})
    at_once(plugin)
    plugin.close()
    kept = b"".join(file.read_bytes() for file in path.parent.iterdir() if file.is_file())
    assert ANSWER.encode() not in kept
    assert ANSWER not in caplog.text
    assert ANSWER not in f"{caught.value!r} {vars(caught.value)}"


def test_unexpected_errors_are_logged_with_a_traceback(
    pm: pluggy.PluginManager, register: Register, caplog: pytest.LogCaptureFixture
) -> None:
    """An unexpected error has a traceback; an error of this package has a clear message and none."""
    register(pm)
    choose(pm, candidates=failing_after("gpt-4o", ZeroDivisionError("the host's own bug")))
    complete(pm, outcome="splendid")
    surprise, known = (record for record in caplog.records if record.levelno == logging.ERROR)
    assert surprise.exc_info is not None
    assert surprise.getMessage().startswith("select_model failed: ZeroDivisionError in ids.py, line ")
    assert surprise.exc_info[0] is ZeroDivisionError
    assert known.exc_info is None
    assert known.getMessage() == (
        "on_task_complete failed: outcome must be an Outcome or a mapping with the same keys, "
        "but got text of 8 characters"
    )


def test_a_retry_of_a_task_of_another_type_is_a_mistake_of_the_host(
    pm: pluggy.PluginManager, register: Register, caplog: pytest.LogCaptureFixture
) -> None:
    """The host gets a first try all the same; the message does not sound as if calling the host had failed."""
    plugin = register(pm)
    first = choose(pm, task_type="review")
    assert choose(pm, context={"retry_of": first.decision_id}).attempt == 1
    (message,) = errors_logged(caplog)
    assert message.startswith("using a value of the host failed: context['retry_of'] must be a decision for the same")
    assert plugin.failure_count() == 1


def test_one_kind_is_one_line(
    pm: pluggy.PluginManager, register: Register, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The same mistake with different values is one message and one row, also if saved in between."""
    plugin = register(pm)
    for number in range(5):
        complete(pm, outcome={"success": True, "tokens_used": -number - 1})
        at_once(plugin)
    assert len(errors_logged(caplog)) == 1
    assert [(problem.times, "got -1" in problem.message) for problem in problems(path)] == [(5, True)]


def test_kinds_are_bounded(
    pm: pluggy.PluginManager, register: Register, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A host whose errors are all different fills neither memory nor log nor store; all are counted."""
    plugin = register(pm)
    for number in range(1000):
        choose(pm, candidates=failing_after("gpt-4o", type(f"Error{number}", (KeyError,), {})()))
    assert plugin.failure_count() == 1000
    assert len(errors_logged(caplog)) == 101
    assert "other failures, the first of them" in errors_logged(caplog)[-1]
    at_once(plugin)
    assert len(problems(path)) <= 100
    assert max(problem.times for problem in problems(path)) == 900


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_interrupts_pass_through(error: type[BaseException], pm: pluggy.PluginManager, register: Register) -> None:
    """Ctrl-C and exit pass through a hook and are not counted as failures."""

    def interrupted() -> Iterator[str]:
        raise error
        yield ""

    plugin = register(pm)
    with pytest.raises(error):
        choose(pm, candidates=interrupted())
    assert plugin.failure_count() == 0
    assert choose(pm).model_id in CANDIDATES


def test_logging_of_the_host_fails(pm: pluggy.PluginManager, register: Register) -> None:
    """A handler of the host's own that raises does not make a hook raise; the failure is counted."""

    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise OSError(f"the log is full: no room for {record}")

    plugin = register(pm)
    handler = Broken()
    logging.getLogger("modelperf_plugin").addHandler(handler)
    try:
        assert choose(pm, candidates="gpt-4o") is None
    finally:
        logging.getLogger("modelperf_plugin").removeHandler(handler)
    assert plugin.failure_count() == 1


def test_another_process_sees_the_failures(pm: pluggy.PluginManager, register: Register, path: Path) -> None:
    """Failures are in the store while the host runs: the first at once, the others after a second or at the end."""
    plugin = register(pm)
    for _ in range(3):
        complete(pm, outcome="splendid")
    script = (
        "import sys; from modelperf_plugin.store import open_store\n"
        "store = open_store(sys.argv[1])\n"
        "(problem,) = store.problems.all(); print(problem.times); store.close()"
    )

    def elsewhere() -> int:
        return int(subprocess.run([sys.executable, "-c", script, str(path)], check=True, capture_output=True).stdout)

    assert 1 <= elsewhere() <= 3
    time.sleep(1.0)
    complete(pm)  # in order: what still waits is saved on this occasion
    assert elsewhere() == 3
    complete(pm, outcome="splendid")
    plugin.close()
    assert elsewhere() == 4


def no_database(path: Path) -> None:
    """Put a file of text where the store should be."""
    path.parent.mkdir()
    path.write_text(HEADER_AND_MORE)


def a_directory(path: Path) -> None:
    """Put a directory where the store should be."""
    path.mkdir(parents=True)


def no_folder(path: Path) -> None:
    """Put a file where the store's folder should be."""
    path.parent.write_text("")


def other_program(path: Path) -> None:
    """Put another program's database where the store should be."""
    path.parent.mkdir()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE contacts (name)")
    connection.close()


def newer_version(path: Path) -> None:
    """Put a store of a newer version where the store should be."""
    open_store(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 999")
    connection.close()


@pytest.mark.parametrize("spoil", [no_database, a_directory, no_folder])
def test_a_store_that_cannot_be_opened(
    spoil: Callable[[Path], None],
    pm: pluggy.PluginManager,
    register: Register,
    path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """If there cannot be a database, that is logged once, and the hooks work without it."""
    spoil(path)
    plugin = register(pm)
    for number in range(3):
        assert choose(pm).model_id in CANDIDATES
        complete(pm)
        assert samples(plugin.engine()) == {"gpt-4o": number + 1}
    assert plugin.failure_count() == 0
    (message,) = errors_logged(caplog)
    assert str(path.parent) in message
    assert "Continuing without the database" in message
    plugin.close()


@pytest.mark.parametrize("spoil", [other_program, newer_version])
def test_a_refused_store(
    spoil: Callable[[Path], None],
    pm: pluggy.PluginManager,
    register: Register,
    path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Registration does not fail; the hooks answer None, and each logs the reason once."""
    spoil(path)
    plugin = register(pm)
    for _ in range(3):
        assert choose(pm) is None
        assert complete(pm) == []
    assert plugin.failure_count() == 7
    assert len(errors_logged(caplog)) == 3
    assert errors_logged(caplog)[0].startswith("opening the store failed: ")
    assert all(str(path.parent) in message for message in errors_logged(caplog))
    with pytest.raises(mp.StoreError):
        plugin.engine()
    plugin.close()


def test_a_store_is_tried_again(pm: pluggy.PluginManager, register: Register, path: Path) -> None:
    """Opening a store is retried after a back-off; then the hooks work, and the failures are saved."""
    other_program(path)
    plugin = register(pm)
    path.unlink()
    assert choose(pm) is None
    deadline = time.monotonic() + 10
    while choose(pm) is None and time.monotonic() < deadline:
        time.sleep(0.05)
    complete(pm)
    assert samples(plugin.engine()) == {"gpt-4o": 1}
    kinds = {problem.kind: problem for problem in problems(path)}
    assert set(kinds) == {"opening the store", "select_model"}
    assert "another program" in kinds["select_model"].message
    assert sum(problem.times for problem in kinds.values()) == plugin.failure_count()


def test_the_last_error_keeps_no_frames_alive(pm: pluggy.PluginManager, register: Register, path: Path) -> None:
    """The error of an unavailable store is raised repeatedly, and keeps none of the host's objects alive."""
    other_program(path)
    plugin = register(pm)
    for _ in range(100):
        choose(pm)
    with pytest.raises(mp.StoreError) as caught:
        plugin.engine()
    depth, traceback = 0, caught.value.__traceback__
    while traceback is not None:
        depth, traceback = depth + 1, traceback.tb_next
    assert depth < 10


def test_a_store_closed_underneath(
    pm: pluggy.PluginManager, register: Register, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """If a host closes the engine by mistake, hooks answer None and log the reason, once for each hook."""
    plugin = register(pm)
    complete(pm)
    plugin.engine().close()
    for _ in range(2):
        assert choose(pm) is None
        complete(pm)
    assert [message.split(" failed: ")[0] for message in errors_logged(caplog)] == ["select_model", "on_task_complete"]
    assert all("is closed" in message for message in errors_logged(caplog))
    assert plugin.failure_count() == 4
    plugin.close()
    assert is_sound(path)


def test_a_store_that_refuses_halfway(
    pm: pluggy.PluginManager, register: Register, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An outcome whose last part cannot be written is not written at all; choices still work."""
    plugin = register(pm)
    complete(pm)
    connection = sqlite3.connect(path)
    connection.execute("CREATE TRIGGER haunted AFTER UPDATE ON daily BEGIN SELECT RAISE(ABORT, 'haunted'); END")
    for _ in range(2):
        complete(pm)
    assert choose(pm).ranking.of("gpt-4o").tally.samples == 1
    assert count_rows(path, "event") == 1
    assert len(errors_logged(caplog)) == plugin.failure_count() / 2 == 1
    connection.execute("DROP TRIGGER haunted")
    connection.close()
    complete(pm)
    assert choose(pm).ranking.of("gpt-4o").tally.samples == 2
    assert is_sound(path)


@pytest.mark.slow
def test_a_store_locked_by_another_program(pm: pluggy.PluginManager, register: Register, path: Path) -> None:
    """While another program holds the lock, choices do not wait, and outcomes wait in a file until it is free."""
    plugin = register(pm)
    complete(pm)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    started = time.monotonic()
    assert choose(pm).model_id in CANDIDATES
    complete(pm)
    assert time.monotonic() - started < 30
    assert choose(pm).model_id in CANDIDATES
    connection.execute("COMMIT")
    connection.close()
    complete(pm)
    assert samples(plugin.engine()) == {"gpt-4o": 3}
    assert is_sound(path)


def test_a_configuration_broken_later(
    pm: pluggy.PluginManager, register: Register, path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A file that becomes invalid while the host runs is reported once; the last valid version stays in force."""
    file = tmp_path / "modelperf.toml"
    file.write_text('mode = "apply"\n', encoding="utf-8")
    plugin = register(pm, file)
    assert choose(pm).model_id in CANDIDATES
    file.write_text('mode = "sometimes"\n', encoding="utf-8")
    deadline = time.monotonic() + 10
    while plugin.failure_count() == 0 and time.monotonic() < deadline:
        assert choose(pm).model_id in CANDIDATES
        time.sleep(0.05)
    (message,) = errors_logged(caplog)
    assert "mode" in message
    assert str(file) in message
    complete(pm)
    (problem,) = problems(path)
    assert (problem.kind, problem.times) == ("reading the configuration", 1)
    file.write_text('mode = "observe"\n', encoding="utf-8")
    while choose(pm) is not None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert choose(pm) is None
    assert plugin.failure_count() == 1


def test_an_id_that_another_model_has_is_logged_once_and_counted(
    pm: pluggy.PluginManager, register: Register, caplog: pytest.LogCaptureFixture
) -> None:
    """A host that gives all tries of a task one ``outcome_id`` reads so once, and the doctor counts what is lost."""
    plugin = register(pm)
    complete(pm, outcome={"success": False, "outcomeId": "task-1"})
    for _ in range(3):
        complete(pm, model_id="claude-opus", outcome={"success": True, "outcomeId": "task-1"})
    assert samples(plugin.engine()) == {"gpt-4o": 1}
    (message,) = errors_logged(caplog)
    assert message.startswith("on_task_complete failed: outcome_id must be unique: an outcome of another model")
    (problem,) = plugin.engine().store.problems.all()
    assert (problem.kind, plugin.failure_count()) == ("on_task_complete", 3)
