"""The adapter for inspect-ai: scores become outcomes, and an evaluation chooses the model of each sample."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import modelperf_plugin as mp
from tests.adapters.provider import Provider
from tests.recorder.world import IN_ORDER, recorded, verdicts

pytest.importorskip("inspect_ai")

import anyio
from inspect_ai import Task
from inspect_ai import eval as evaluate
from inspect_ai.dataset import Sample
from inspect_ai.log import EvalLog, read_eval_log, write_eval_log
from inspect_ai.model import GenerateConfig, Model, ModelOutput, ModelUsage, get_model
from inspect_ai.scorer import Score, Target, accuracy, includes, scorer
from inspect_ai.solver import Generate, Solver, TaskState, generate, solver

from modelperf_plugin.adapters import inspect_ai as adapter

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # inspect's use of tenacity
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # streams that inspect leaves open
]


@pytest.fixture(autouse=True)
def _not_recording(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Keep logs with the test, and record nothing unless it says so."""
    monkeypatch.setenv("INSPECT_LOG_DIR", str(tmp_path / "logs"))
    adapter._evaluations.scoring = None
    yield
    adapter._evaluations.scoring = None
    gc.collect()  # what inspect leaves open is reported here, and not in the next test


def run(task: Task, model: Model | list[Model] | str, **options: Any) -> list[EvalLog]:
    """Evaluate, and return the logs."""
    defaults = {"display": "none", "log_level": "critical", "fail_on_error": False, "max_retries": 0}
    return list(evaluate(task, model=model, **{**defaults, **options}))


def offline(name: str, *answers: str | ModelOutput, tokens: int = 10, cost: float | None = None) -> Model:
    """Return a model that gives these answers, in order; then the last one for ever."""

    def outputs() -> Iterator[ModelOutput]:
        for answer in (*answers, *[answers[-1]] * 100):
            if isinstance(answer, ModelOutput):
                yield answer.model_copy(deep=True)
                continue
            output = ModelOutput.from_content(name, answer)
            output.usage = ModelUsage(input_tokens=tokens, output_tokens=5, total_tokens=tokens + 5, total_cost=cost)
            yield output

    return get_model(f"mockllm/{name}", custom_outputs=outputs())


def questions(count: int = 1, **options: Any) -> Task:
    """Return a task whose samples are right if the answer has the word ``yes`` in it."""
    samples = [Sample(input=f"secret question {each}", target="yes") for each in range(count)]
    return Task(**{"dataset": samples, "solver": generate(), "scorer": includes(), "name": "ask", **options})


def from_provider(*names: str, **options: Any) -> dict[str, Model]:
    """Return models of the local provider that do not retry."""
    arguments = {"responses_api": False, "memoize": False, "max_retries": 0, **options}
    config = GenerateConfig(max_retries=0)
    return {name: get_model(f"openai/{name}", config=config, **arguments) for name in names}


def test_scored_samples_become_outcomes(perf: mp.ModelPerf) -> None:
    """Each sample of each model counts once, with the verdict of its scorer, its tokens and its cost."""
    adapter.record_scores(perf)
    logs = run(questions(2), [offline("a", "yes", "no", cost=0.5), offline("b", "yes")], max_samples=1)
    assert sorted(recorded(perf)) == [
        ("mockllm/a", "failed", 15, 0.5, None, None),
        ("mockllm/a", "good", 15, 0.5, None, None),
        ("mockllm/b", "good", 15, 0.0, None, None),
        ("mockllm/b", "good", 15, 0.0, None, None),
    ]
    assert perf.explain("ask") is not None
    assert [adapter.record_log(perf, log) for log in logs] == [0, 0]


def test_each_epoch_counts(perf: mp.ModelPerf) -> None:
    """A sample that is run several times is several outcomes."""
    adapter.record_scores(perf)
    run(questions(), offline("a", "yes"), epochs=3)
    assert verdicts(perf) == [("mockllm/a", "good")] * 3


def test_nothing_is_recorded_unless_asked(perf: mp.ModelPerf) -> None:
    """Importing the adapter, and models that others have learned, record no other evaluation."""
    adapter.learned(perf, ["mockllm/a"])
    run(questions(), offline("a", "yes"))
    assert verdicts(perf) == []


@pytest.mark.parametrize(
    ("value", "reason", "expected"),
    [
        ("C", None, [("good", None)]), ("I", None, [("failed", None)]), ("N", None, [("failed", None)]),
        ("P", None, [("good", 0.5)]), (True, None, [("good", None)]), (False, None, [("failed", None)]),
        ("yes", None, [("good", None)]), (1, None, [("good", 1.0)]), (0.7, None, [("good", 0.7)]),
        ("0.2", None, [("failed", 0.2)]), (1.5, None, []), (-1, None, []), (float("nan"), None, []),
        ("great", None, []), ({"a": 1}, None, []), ([1, 0], None, []), ("I", "grader_failed", []),
        (0.0, "scoring_failed", []),
        ("I", "refusal", [("failed", None)]),
    ],
)  # fmt: skip
def test_grades(
    perf: mp.ModelPerf, caplog: pytest.LogCaptureFixture, value: Any, reason: str | None, expected: list[Any]
) -> None:
    """Texts and numbers from 0 to 1 are grades; samples with others are left out, and the log says so."""

    @scorer(metrics=[])
    def rating() -> Any:
        async def score(_state: TaskState, _target: Target) -> Score:
            return Score(value=value, reason=reason)

        return score

    logs = run(questions(scorer=rating()), offline("a", "yes"))
    caplog.set_level("WARNING", "modelperf_plugin")
    assert adapter.record_log(perf, logs[0]) == len(expected)
    assert [(each.verdict, each.score) for each in recorded(perf)] == expected
    said = [record.getMessage() for record in caplog.records if record.name == "modelperf_plugin"]
    assert said == ([] if expected else ["samples of ask by mockllm/a were not recorded: 1 × no verdict"])


def test_which_scorer_counts(path: Path) -> None:
    """Of several scorers the first one counts, unless another one is named."""

    @scorer(metrics=[accuracy()])
    def strict() -> Any:
        async def score(_state: TaskState, _target: Target) -> Score:
            return Score(value="I")

        return score

    log = run(questions(scorer=[includes(), strict()]), offline("a", "yes"))[0]
    for name, expected in ((None, "good"), ("includes", "good"), ("strict", "failed")):
        with mp.ModelPerf(store=path.with_name(f"{name}.db")) as perf:
            adapter.record_log(perf, log, scorer=name)
            assert verdicts(perf) == [("mockllm/a", expected)]


@pytest.mark.parametrize(
    ("told", "of_sample", "of_evaluation", "expected"),
    [("t", "s", "e", "t"), (None, "s", "e", "s"), (None, None, "e", "e"), (None, None, None, "ask")],
)
def test_task_types(
    perf: mp.ModelPerf, told: str | None, of_sample: str | None, of_evaluation: str | None, expected: str
) -> None:
    """A task type is what is told, then metadata of the sample, then of the evaluation, then the name of the task."""
    sample = Sample(input="?", target="yes", metadata={"modelperf_task_type": of_sample} if of_sample else None)
    metadata = {"modelperf_task_type": of_evaluation} if of_evaluation else None
    adapter.record_scores(perf, task_type=told)
    run(questions(dataset=[sample]), offline("a", "yes"), metadata=metadata)
    assert perf.explain(expected) is not None


def test_a_score_that_changes_replaces_the_first(perf: mp.ModelPerf, tmp_path: Path) -> None:
    """A log that was scored anew corrects what was recorded before, whichever way that came in."""
    adapter.record_scores(perf)
    log = run(questions(), offline("a", "yes"))[0]
    assert log.samples is not None
    log.samples[0].scores = {"includes": Score(value="I")}
    file = tmp_path / "scored-anew.eval"
    write_eval_log(log, str(file))
    assert adapter.record_log(perf, file) == 1
    assert adapter.record_log(perf, file) == 0
    assert verdicts(perf) == [("mockllm/a", "failed")]


def test_a_header_is_refused(perf: mp.ModelPerf) -> None:
    """A log without its samples gets one clear message."""
    log = run(questions(), offline("a", "yes"))[0]
    with pytest.raises(mp.InvalidValueError, match="log must be a log with its samples"):
        adapter.record_log(perf, read_eval_log(log.location, header_only=True))


def test_an_evaluation_learns_as_it_goes(path: Path) -> None:
    """The engine chooses for each sample, and its score is the verdict on that choice."""
    with mp.ModelPerf(store=path, seed=1) as perf:
        log = run(questions(40), adapter.learned(perf, [offline("bad", "no"), offline("good", "yes")]), max_samples=1)[
            0
        ]
        rows = verdicts(perf)
    assert len(rows) == 40
    assert set(rows) == {("mockllm/bad", "failed"), ("mockllm/good", "good")}
    assert rows[20:].count(("mockllm/good", "good")) > 15
    assert log.eval.model == "modelperf/auto"


def test_a_sample_stays_with_its_model(perf: mp.ModelPerf) -> None:
    """Several calls of a sample are one try: of one model, also if the first ones are made at the same moment."""

    @solver
    def agent() -> Solver:
        async def solve(state: TaskState, _generate: Generate) -> TaskState:
            model = get_model()
            await asyncio.gather(*(model.generate("one") for _ in range(3)))
            state.output = await model.generate("and more")
            return state

        return solve

    models = {"a": offline("a", "yes"), "b": offline("b", "yes")}
    log = run(questions(solver=agent()), adapter.learned(perf, models))[0]
    assert recorded(perf) == [("a", "good", 60, 0.0, None, None)]
    assert log.samples is not None
    assert log.samples[0].turn_count == 4
    assert set(log.samples[0].model_usage) == {"mockllm/a"}


def test_options_of_the_evaluation_reach_the_model(perf: mp.ModelPerf) -> None:
    """What ``eval`` is told about generation holds for the model that was chosen."""
    seen: list[tuple[float | None, int | None]] = []

    def output(_input: Any, _tools: Any, _choice: Any, config: Any) -> ModelOutput:
        seen.append((config.temperature, config.max_tokens))
        return ModelOutput.from_content("a", "yes")

    run(
        questions(),
        adapter.learned(perf, {"a": get_model("mockllm/a", custom_outputs=output)}),
        temperature=0.25,
        max_tokens=77,
    )
    assert seen == [(0.25, 77)]


def test_another_model_follows(path: Path, provider: Provider) -> None:
    """A model that fails, hangs, is filtered or overflows is recorded as such, and the next one answers the sample."""
    provider.behaviours = {"down": "server_error", "slow": "hang", "shy": "filter", "short": "too_long"}
    provider.answers = {"good": "yes"}
    models = from_provider("down", "slow", "shy", "short", "good")
    with mp.ModelPerf({"mode": "observe"}, store=path) as perf:  # then the models are tried in their order
        log = run(questions(), adapter.learned(perf, models, timeout=2.0))[0]
    assert recorded(path) == [
        ("down", "server_error", 0, 0.0, None, None),
        ("slow", "timeout", 0, 0.0, None, None),
        ("shy", "refused", 17, 0.0, None, None),
        ("short", "context_overflow", 0, 0.0, None, None),
        ("good", "good", 17, 0.0, None, None),
    ]
    assert log.samples is not None
    assert log.samples[0].output.completion == "yes"


def test_a_check_of_the_first_answer(perf: mp.ModelPerf) -> None:
    """An answer that fails its check brings in the next model."""
    models = {"a": offline("a", "perhaps"), "b": offline("b", "yes")}
    run(questions(), adapter.learned(perf, models, check=lambda output: output.completion != "perhaps"))
    assert verdicts(perf) == [("a", "failed"), ("b", "good")]


def test_an_error_in_a_later_call_is_the_models(perf: mp.ModelPerf, provider: Provider) -> None:
    """Once a sample has an answer no other model follows: the error is recorded and ends the sample as ever."""

    @solver
    def break_down() -> Solver:
        async def solve(state: TaskState, _generate: Generate) -> TaskState:
            provider.behaviours["a"] = "server_error"
            return state

        return solve

    task = questions(solver=[generate(), break_down(), generate()])
    log = run(task, adapter.learned(perf, from_provider("a", "b")))[0]
    assert verdicts(perf) == [("a", "server_error")]
    assert log.samples is not None
    assert log.samples[0].error is not None
    assert "InternalServerError" in log.samples[0].error.traceback


def test_limits_of_a_sample(perf: mp.ModelPerf) -> None:
    """A sample that reaches a limit is a timeout with the verdict of its scorer, and no other model follows."""
    models = {"a": offline("a", "no"), "b": offline("b", "yes")}
    log = run(questions(solver=[generate(), generate()]), adapter.learned(perf, models), token_limit=20)[0]
    assert log.samples is not None
    assert log.samples[0].limit is not None
    assert verdicts(perf) == [("a", "timeout")]


def test_a_time_limit_in_the_first_call(perf: mp.ModelPerf, provider: Provider) -> None:
    """Inspect cancels the call: the model is not the one that nobody waited for, but one that took too long."""
    provider.behaviours["a"] = "hang"
    log = run(questions(), adapter.learned(perf, from_provider("a", "b")), time_limit=1)[0]
    assert log.samples is not None
    assert log.samples[0].limit is not None
    assert adapter.ticket_of(log.samples[0]) is not None
    assert verdicts(perf) == [("a", "timeout")]
    assert provider.asked == ["a"]


def test_a_call_that_its_solver_gives_up(perf: mp.ModelPerf, provider: Provider) -> None:
    """It is cancelled; the next call has a choice of its own, and the score is the verdict on that one."""
    provider.behaviours["a"] = "hang"

    @solver
    def impatient() -> Solver:
        async def solve(state: TaskState, generate: Generate) -> TaskState:
            with anyio.move_on_after(0.5):
                return await generate(state)
            provider.behaviours["a"], provider.answers["a"] = "good", "yes"
            return await generate(state)

        return solve

    run(questions(solver=impatient()), adapter.learned(perf, from_provider("a")))
    assert verdicts(perf) == [("a", "cancelled"), ("a", "good")]


def test_as_a_grader_it_is_not_judged_by_the_score(perf: mp.ModelPerf) -> None:
    """A learned model that only helps to score makes tasks of its own calls."""
    grader = adapter.learned(perf, {"g": offline("g", "fine")}, task_type="grade")

    @scorer(metrics=[accuracy()])
    def graded() -> Any:
        async def score(_state: TaskState, _target: Target) -> Score:
            await get_model(role="grader").generate("is it good?")
            return Score(value="I")

        return score

    models = {"a": offline("a", "yes")}
    run(questions(scorer=graded()), adapter.learned(perf, models), model_roles={"grader": grader})
    assert verdicts(perf) == [("g", "good"), ("a", "failed")]


def test_outside_an_evaluation(perf: mp.ModelPerf) -> None:
    """Without a sample each call is a task; the answer has the ticket for a later verdict."""
    model = adapter.learned(perf, {"a": offline("a", "yes", cost=0.25)})
    answer = asyncio.run(model.generate("anything"))
    assert recorded(perf) == [("a", "good", 15, 0.25, None, None)]
    ticket = adapter.ticket_of(answer)
    assert ticket is not None
    assert perf.report(ticket, success=False)
    assert recorded(perf) == [("a", "failed", 15, 0.25, None, None)]


def test_parallel_calls(perf: mp.ModelPerf) -> None:
    """Many calls at once are as many tries."""
    model = adapter.learned(perf, {"a": offline("a", "yes")})

    async def many() -> None:
        await asyncio.gather(*(model.generate("anything") for _ in range(50)))

    asyncio.run(many())
    assert verdicts(perf) == [("a", "good")] * 50


def test_cancellation_is_the_callers(perf: mp.ModelPerf, provider: Provider) -> None:
    """A call that is cancelled ends at once, and no other model is asked."""
    provider.behaviours["a"] = "hang"
    model = adapter.learned(perf, from_provider("a", "b"))

    async def cancel() -> None:
        call = asyncio.create_task(model.generate("anything"))
        while not provider.asked:  # noqa: ASYNC110 - another thread notes it
            await asyncio.sleep(0.01)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    asyncio.run(cancel())
    assert verdicts(perf) == [("a", "cancelled")]
    assert provider.asked == ["a"]


def test_streams_are_passed_on(perf: mp.ModelPerf, provider: Provider) -> None:
    """Deltas arrive as from the model itself; a stream that breaks off is its failure."""
    provider.behaviours = {"broken": "break"}
    seen: list[str] = []

    async def on_stream(event: Any) -> None:
        seen.append(getattr(event, "text", ""))

    model = adapter.learned(perf, from_provider("broken", "good"))
    answer = asyncio.run(model.generate("anything", on_stream=on_stream))
    assert answer.completion == "good"
    assert "".join(seen).endswith("good")
    assert [name for name, _ in verdicts(perf)] == ["broken", "good"]
    assert verdicts(perf)[0][1] in {"network", "server_error"}


def test_a_verdict_from_another_process(perf: mp.ModelPerf, path: Path) -> None:
    """The log of an evaluation has the ticket of each sample: a person who reads it can overrule the scorer."""
    log = run(questions(), adapter.learned(perf, {"a": offline("a", "yes")}))[0]
    perf.close()
    code = (
        "import sys, modelperf_plugin as mp\n"
        "from inspect_ai.log import read_eval_log\n"
        "from modelperf_plugin.adapters.inspect_ai import ticket_of\n"
        "with mp.ModelPerf(store=sys.argv[1]) as perf:\n"
        "    assert perf.report(ticket_of(read_eval_log(sys.argv[2]).samples[0]), success=False)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(path), log.location], check=True)
    assert recorded(path) == [("a", "failed", 15, 0.0, None, None)]


def test_a_log_of_a_learned_model_can_be_recorded_elsewhere(perf: mp.ModelPerf, path: Path) -> None:
    """A store that was not there when the evaluation ran gets the same outcomes from the log."""
    log = run(questions(), adapter.learned(perf, {"a": offline("a", "yes")}))[0]
    with mp.ModelPerf(store=path.with_name("other.db")) as other:
        assert adapter.record_log(other, log.location) == 1
        assert recorded(other) == recorded(perf)


def test_nothing_of_the_text_is_stored(perf: mp.ModelPerf, path: Path) -> None:
    """Neither questions nor answers get into the database."""
    run(questions(3), adapter.learned(perf, {"a": offline("a", "yes, a secret answer")}))
    perf.close()
    content = b"".join(file.read_bytes() for file in path.parent.glob("models.db*"))
    assert b"ask" in content
    assert b"secret" not in content


def test_errors_of_other_code_are_left_out(perf: mp.ModelPerf, caplog: pytest.LogCaptureFixture) -> None:
    """A tool or a scorer that raises says nothing about the model; the log says how many samples that were."""

    @solver
    def broken() -> Solver:
        async def solve(_state: TaskState, _generate: Generate) -> TaskState:
            raise KeyError("a mistake")

        return solve

    adapter.record_scores(perf)
    caplog.set_level("WARNING", "modelperf_plugin")
    run(questions(2, solver=[generate(), broken()]), offline("a", "yes"))
    assert verdicts(perf) == []
    said = "samples of ask by mockllm/a were not recorded: 2 × an error that is not of a provider"
    assert said in [record.getMessage() for record in caplog.records]


def test_a_store_that_fails_ends_no_evaluation(path: Path) -> None:
    """An evaluation runs to its end, whatever becomes of the engine."""
    perf = mp.ModelPerf(IN_ORDER, store=path)
    model = adapter.learned(lambda: perf, {"a": offline("a", "yes")})
    perf.close()
    log = run(questions(2), model)[0]
    assert log.status == "success"
    assert log.results is not None
    assert log.results.completed_samples == 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda perf: adapter.learned(perf, []), "models must be at least one model id"),
        (lambda perf: adapter.learned(perf, ["a/b"], task_type=""), "task_type must be"),
        (lambda perf: adapter.learned(perf, ["a/b"], timeout=0), "timeout must be"),
        (lambda _: asyncio.run(get_model("modelperf/qa").generate("?")), "model must be made by"),
    ],
)
def test_bad_arguments(perf: mp.ModelPerf, make: Callable[[mp.ModelPerf], Any], message: str) -> None:
    """Each gets one clear message, before anything is called."""
    with pytest.raises(mp.InvalidValueError, match=message):
        make(perf)
