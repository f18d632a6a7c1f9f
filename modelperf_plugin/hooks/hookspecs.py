"""The contract between a host and the plugin: two hooks that the host calls, and three that it may implement.

A host may declare these hooks itself, under any project name and with fewer, more or differently ordered arguments;
:func:`modelperf_plugin.register` adapts the plugin to them. A hook that the host does not declare is declared as here.

A host's call must name every argument of the specification, with ``None`` for those without a value: pluggy passes
arguments by name, and a missing one is an error in the host.

The functions have no marker: it is added for the host's project name when the plugin is registered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from modelperf_plugin.values import Decision, Outcome


def on_task_complete(
    task_type: str, model_id: str, outcome: Outcome | Mapping[str, Any], decision: Decision | str | None
) -> None:
    """Called when a model has finished its work on a task, successfully or not: once for each attempt.

    :param task_type: the class of work, for example ``"execute-task"``; 1 to 512 characters.
    :param model_id: the model that did the work, by the id that ``select_model`` is offered.
    :param outcome: how it ended: an Outcome, or a mapping with the same keys in snake_case or camelCase.
    :param decision: the Decision that chose the model, its ``decision_id``, or None.

    When the call returns, the outcome is committed and counts for the next choice, in every process that shares the
    store. The plugin never raises here: an invalid value is logged and counted, and nothing is written.
    """


def select_model(task_type: str, candidates: Sequence[str], context: Mapping[str, Any] | None) -> Decision | None:
    """Called when the host must choose a model for a task that is about to start. The first result wins.

    :param task_type: the class of work, as in ``on_task_complete``.
    :param candidates: the ids of the models that may be used; copied, never changed. Their order does not matter.
    :param context: None, or a mapping that may hold ``pin`` (use this model, whatever the policy says), ``exclude``
        (models not to use), ``retry_of`` (an earlier decision for the same task), ``attempts``, ``max_cost_usd``,
        ``max_seconds``, ``current_model`` (the model of the conversation so far) and ``unit_id`` (a unit always gets
        the same side of an A/B test). The plugin ignores all other keys.
    :returns: a Decision, which is a sequence of model ids in the order to try them; or None for "no opinion": the mode
        is ``observe`` or ``off``, no candidate is left, or the plugin has failed. The host then chooses as it would
        without the plugin.

    May be called any number of times, from any thread. The plugin never raises here: a failure is logged once with its
    cause, counted, and answered with None.
    """


def on_model_demoted(task_type: str, model_id: str, reason: str, since: datetime) -> None:
    """Called when a model was demoted on a task type by evidence. Optional: a host or any of its plugins implements it.

    :param task_type: the class of work on which the model is now ranked last.
    :param model_id: the model.
    :param reason: why, in one sentence.
    :param since: when the outcome ended that gave the evidence.

    Called once by each process that learns of it, whichever process has found it, and not for what was found before the
    process registered the plugin. The plugin calls it in a thread of its own, or while it is closed. An exception is
    logged and counted as other failures of the host's code are.
    """


def on_model_changed(
    model_id: str, direction: Literal["up", "down", "announced"], reason: str, since: datetime
) -> None:
    """Called when a model has changed, on all task types. Optional; called as :func:`on_model_demoted` is.

    :param model_id: the model.
    :param direction: whether it does better or worse since, or an operator has announced the change.
    :param reason: why, in one sentence.
    :param since: when the first outcome after the change ended, approximately.
    """


def on_test_verdict(task_type: str, incumbent: str, challenger: str, winner: str | None, reason: str) -> None:
    """Called when an A/B test has a verdict on a challenger. Optional; called as :func:`on_model_demoted` is.

    :param task_type: the class of work on which the models were compared.
    :param incumbent: the model that the challenger was compared with.
    :param challenger: the model on trial.
    :param winner: the better one; None if the maximum number of outcomes was reached without a winner.
    :param reason: the figures, in one sentence.
    """
