"""inspect-ai: learns from the scores of evaluations, and lets them choose the model of each sample."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import cache
from os import PathLike
from typing import Any, Final
from weakref import WeakKeyDictionary, WeakValueDictionary

from modelperf_plugin.adapters.common import Perf
from modelperf_plugin.adapters.inspect_scores import KEY, PROVIDER, Scoring, note_in, stopped
from modelperf_plugin.engine.core import ModelPerf
from modelperf_plugin.errors import InvalidValueError, MissingExtraError
from modelperf_plugin.log import logger
from modelperf_plugin.recorder.classifying import failure
from modelperf_plugin.recorder.judging import Judgement, Options, check_answer_async
from modelperf_plugin.recorder.link import check_models
from modelperf_plugin.recorder.ticket import Ticket
from modelperf_plugin.values import Outcome, check_id

try:
    import anyio
    from inspect_ai.hooks import Hooks, SampleEnd, TaskEnd, TaskStart, hooks
    from inspect_ai.log import EvalLog, EvalSample, EvalSpec, read_eval_log
    from inspect_ai.log._samples import sample_active  # no public name tells which sample a call is for
    from inspect_ai.model import GenerateConfig, Model, ModelAPI, ModelOutput, get_model, modelapi
    from inspect_ai.util import LimitExceededError, store
except ImportError:
    raise MissingExtraError("inspect-ai", "inspect-ai") from None

__all__ = ["learned", "record_log", "record_scores", "ticket_of"]


def learned(
    perf: Perf,
    models: Iterable[str | Model] | Mapping[str, str | Model],
    *,
    task_type: str | None = None,
    check: Callable[[ModelOutput], Judgement | Awaitable[Judgement]] | None = None,
    timeout: float | None = None,
    context: Mapping[str, Any] | None = None,
    scorer: str | None = None,
) -> Model:
    """Return a model for ``eval(…, model=…)`` that chooses one of ``models`` for each sample.

    A sample stays with the model of its first answer, and its score is the verdict. Elsewhere (outside evaluations, or
    as a grader), each call of ``generate`` is a task of its own, and a success unless ``check`` objects.

    Args:
        perf: the engine, or a function that returns it.
        models: names or models of inspect, or a mapping from model id to one of these.
        task_type: by default ``modelperf_task_type`` in the metadata of the sample, or the name of the task.
        check: gets the first answer; returns a bool, a score, or None for no objection.
        timeout: seconds for each call.
        context: as for :meth:`modelperf_plugin.ModelPerf.select`.
        scorer: the name of the scorer that counts; by default the first one of each sample.

    Raises:
        InvalidValueError: an argument is invalid.
    """
    named = models if isinstance(models, Mapping) else {str(model): model for model in models}
    check_models(named)
    if task_type is not None:
        check_id("task_type", task_type)
    options: Options[ModelOutput] = Options(context, check, None, timeout)
    _register()
    return _LearnedModel(Scoring(perf, task_type, scorer), named, options.checked())


def record_scores(perf: Perf, *, task_type: str | None = None, scorer: str | None = None) -> None:
    """Record each scored sample of all evaluations in this process, as an outcome of the model that was evaluated.

    Calling it again replaces the arguments.

    Args:
        perf: the engine, or a function that returns it.
        task_type: by default ``modelperf_task_type`` in the metadata of the sample or the evaluation, or the name of
            the task.
        scorer: as for :func:`learned`.
    """
    _evaluations.scoring = Scoring(perf, task_type, scorer)
    _register()


def record_log(
    perf: ModelPerf, log: EvalLog | str | PathLike[str], *, task_type: str | None = None, scorer: str | None = None
) -> int:
    """Record the scored samples of a log, or of its file; return how many changed the store.

    A sample that was recorded before does not count again. If its score has changed, the new one replaces the old one.

    Raises:
        InvalidValueError: the log has no samples, only a header.
        StoreError: the store cannot be used.
    """
    if not isinstance(log, EvalLog):
        log = read_eval_log(str(log))
    if log.samples is None:
        raise InvalidValueError("log", "a log with its samples", "only a header", typed=True)
    scoring = Scoring(perf, task_type, scorer)
    left_out: Counter[str] = Counter()
    changed = 0
    for sample in log.samples:
        entry = scoring.entry(sample, log.eval)
        if isinstance(entry, str):
            left_out[entry] += 1
        else:
            changed += perf.record(*entry)
    _tell(log.eval, left_out)
    return changed


def ticket_of(answer: ModelOutput | EvalSample) -> str | None:
    """Return the ticket of an answer of a :func:`learned` model, or of a sample of its log; None without one."""
    note = note_in(answer.store if isinstance(answer, EvalSample) else answer.metadata)
    return note.get("ticket")


class _Run:
    """One attempt at a sample by a learned model."""

    def __init__(self) -> None:
        self.lock = anyio.Lock()
        self.ticket: Ticket | None = None
        """None until there is an answer."""


class _NamedOnly(ModelAPI):
    """The provider of learned models, which generate by other models."""

    async def generate(self, *_: Any, **__: Any) -> Any:
        """Refuse: a model that was made by its name has no candidates."""
        raise InvalidValueError("model", "made by modelperf_plugin.adapters.inspect_ai.learned", self.model_name)


_provider = modelapi(PROVIDER)(_NamedOnly)


class _LearnedModel(Model):
    """Generates by the model that the engine has chosen. Whatever inspect counts and logs is of that one."""

    def __init__(self, scoring: Scoring, models: Mapping[str, str | Model], options: Options[ModelOutput]) -> None:
        super().__init__(_provider(model_name=scoring.task_type or "auto"), GenerateConfig())
        self.scoring = scoring
        self._models = models
        self._options = options
        self._runs: WeakKeyDictionary[Any, _Run] = WeakKeyDictionary()

    async def generate(
        self,
        input: Any,  # noqa: A002 - the name is inspect's
        tools: Any = (),
        tool_choice: Any = None,
        config: Any = None,
        *others: Any,
        **more: Any,
    ) -> ModelOutput:
        """Generate with the chosen model, as :meth:`inspect_ai.model.Model.generate` of that one."""
        config = self._resolve_config(config)  # the options of the evaluation are for this model only

        async def call(model_id: str) -> ModelOutput:
            with anyio.fail_after(self._options.timeout):
                return await self._model(model_id).generate(input, tools, tool_choice, config, *others, **more)

        if (run := self._run()) is None:
            return await self._choose(call, None)
        async with run.lock:
            if run.ticket is None:
                return await self._choose(call, run)
        try:
            return await call(run.ticket.model_id)
        except LimitExceededError:
            raise
        except Exception as error:
            kind, timeout, wait = failure(error)
            outcome = Outcome(
                success=False,
                error_kind=kind,
                timeout=timeout,
                retry_after_seconds=wait,
                outcome_id=run.ticket.outcome_id,
            )
            await _record(
                self.scoring.engine, run.ticket.task_type, run.ticket.model_id, outcome, run.ticket.decision_id
            )
            raise

    async def count_tokens(self, *args: Any, **kwargs: Any) -> int:
        """Count with the model of the sample, or the first one."""
        return await self._current().count_tokens(*args, **kwargs)  # type: ignore[no-any-return]

    async def compact(self, *args: Any, **kwargs: Any) -> Any:
        """Compact with the model of the sample, or the first one."""
        return await self._current().compact(*args, **kwargs)

    async def _choose(self, call: Callable[[str], Awaitable[ModelOutput]], run: _Run | None) -> ModelOutput:
        """Generate with one model after the other until there is a good answer; a run stays with its model."""
        engine = self.scoring.engine
        active = sample_active()
        task_type = self.scoring.type_of(active and active.task, active and active.sample.metadata)
        output: ModelOutput
        task = engine.task(task_type, self._models, self._options.context, "call" if run is None else "later")
        async with task:
            for model_id in task:
                async with task.attempt(model_id) as attempt:
                    try:
                        output = await call(model_id)
                    except LimitExceededError:  # inspect scores the sample nevertheless
                        attempt.fail("timeout")
                        attempt.commit()
                        self._stay(run, task.ticket_of(attempt))
                        raise
                    except anyio.get_cancelled_exc_class():  # a limit of the sample, perhaps: its end tells
                        self._stay(run, task.ticket_of(attempt), has_answered=False)
                        raise
                    attempt.stop()
                    attempt.usage(output.usage, None if output.usage is None else output.usage.total_cost)
                    attempt.failure = stopped(output)
                    await check_answer_async(engine._link, attempt, self._options.check, output)  # noqa: SLF001
        output.metadata = {**(output.metadata or {}), KEY: self._stay(run, task.ticket)}
        return output

    def _stay(self, run: _Run | None, text: str, *, has_answered: bool = True) -> dict[str, str]:
        """Let the score of a run be the verdict on a ticket, with whose model it stays; return what the log says."""
        ticket = Ticket.read(text)
        if run is not None:  # what a sample has used is known at its end, and recorded then
            ticket = ticket._replace(tokens_used=0, cost_usd=0.0, duration_seconds=0.0, is_recorded=True)
        note = {"ticket": str(ticket), "model": str(self._model(ticket.model_id))}
        if run is not None:
            run.ticket = ticket if has_answered else None
            store().set(KEY, note)
            _evaluations.learned[ticket.outcome_id] = self
        return note

    def _run(self) -> _Run | None:
        """Return the attempt at a sample that a call is for; None if another model is evaluated."""
        active = sample_active()
        if active is None or get_model() is not self:
            return None
        if active not in self._runs:
            self._runs[active] = _Run()
        run: _Run = self._runs[active]
        return run

    def _current(self) -> Model:
        run = self._run()
        return self._model(next(iter(self._models)) if run is None or run.ticket is None else run.ticket.model_id)

    def _model(self, model_id: str) -> Model:
        return get_model(self._models[model_id])


class _Evaluations:
    """The evaluations that run in this process."""

    def __init__(self) -> None:
        self.scoring: Scoring | None = None
        """How the samples of other models than learned ones are recorded; None if they are not."""
        self.learned: WeakValueDictionary[str, _LearnedModel] = WeakValueDictionary()
        """The learned model of each sample that runs, by the outcome id of its ticket."""
        self.specs: dict[str, EvalSpec] = {}
        self.left_out: dict[str, Counter[str]] = {}

    async def on_sample_end(self, sample: EvalSample, eval_id: str) -> None:
        """Record a sample; by its learned model, if it has one."""
        note = note_in(sample.store)
        model = self.learned.pop(Ticket.read(note["ticket"]).outcome_id, None) if note else None
        scoring = self.scoring if model is None else model.scoring
        spec = self.specs.get(eval_id)
        if scoring is None or spec is None:
            return
        entry = scoring.entry(sample, spec)
        if isinstance(entry, str):
            self.left_out[eval_id][entry] += 1
        else:
            await _record(scoring.engine, *entry)


_evaluations: Final = _Evaluations()


class _Hooks(Hooks):
    """Follows the evaluations in this process."""

    async def on_task_start(self, data: TaskStart) -> None:
        _evaluations.specs[data.eval_id] = data.spec
        _evaluations.left_out[data.eval_id] = Counter()

    async def on_sample_end(self, data: SampleEnd) -> None:
        await _evaluations.on_sample_end(data.sample, data.eval_id)

    async def on_task_end(self, data: TaskEnd) -> None:
        spec, left_out = _evaluations.specs.pop(data.eval_id, None), _evaluations.left_out.pop(data.eval_id, None)
        if spec is not None and left_out:
            _tell(spec, left_out)


@cache
def _register() -> None:
    """Let inspect call the hooks, from now on."""
    hooks(name="modelperf", description="Learns which model is best at which task from the scores of samples.")(_Hooks)


async def _record(engine: ModelPerf, task_type: str, model_id: str, outcome: Outcome, decision_id: str | None) -> None:
    """Record an outcome; neither raises nor waits for others."""
    link = engine._link  # noqa: SLF001 - the way of the recorder
    await link.turns.take()
    link.record(task_type, model_id, outcome, decision_id, waits=False)


def _tell(spec: EvalSpec, left_out: Counter[str]) -> None:
    """Log which samples of an evaluation were not recorded."""
    if left_out:
        reasons = ", ".join(f"{count} × {reason}" for reason, count in left_out.most_common())
        logger.warning("samples of %s by %s were not recorded: %s", spec.task, spec.model, reasons)
