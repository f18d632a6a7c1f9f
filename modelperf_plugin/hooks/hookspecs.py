"""The two hooks: the whole contract between a host and the plugin.

A host may declare these hooks itself, under any project name and with fewer, more or differently ordered arguments;
:func:`modelperf_plugin.register` fits the plugin to that. Where a host declares none, ``register`` declares these.

A host's call names every argument of the specification, with ``None`` where there is nothing to say: pluggy passes
arguments by name and fails in the host where one is left out.

The functions carry no marker of their own: it is made for the host's project name when the plugin is registered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modelperf_plugin.values import Decision, Outcome


def on_task_complete(
    task_type: str,
    model_id: str,
    outcome: Outcome | Mapping[str, Any],
    decision: Decision | str | None,
) -> None:
    """Called when one model has ended its work on one task, well or not: once for every attempt.

    :param task_type: the class of work, for example ``"execute-task"``; 1 to 512 characters.
    :param model_id: the model that did it, by the id under which it is offered to ``select_model``.
    :param outcome: how it ended: an Outcome, or a mapping with the same keys in snake_case or camelCase.
    :param decision: the Decision that chose the model, its ``decision_id``, or None.
    :returns: nothing.

    When the call returns, the outcome is committed and counts at the next choice, in every process that shares the
    store. The plugin never raises here: an unusable value is logged and counted and nothing is written.
    """


def select_model(task_type: str, candidates: Sequence[str], context: Mapping[str, Any] | None) -> Decision | None:
    """Called when a task is about to start and the host must choose a model for it. The first result wins.

    :param task_type: the class of work, as in ``on_task_complete``.
    :param candidates: the ids of the models that may be used; copied, never changed. Their order does not matter.
    :param context: None, or a mapping that may hold ``pin`` (use this model, whatever the policy thinks),
        ``unit_id`` (in an A/B test one unit always gets the same side), ``exclude`` (models not to use, for example
        because they were tried on this task already) and ``max_cost_usd``. Other keys are the host's own.
    :returns: a Decision, a sequence of model ids in the order to try them; or None for "no opinion": the mode is
        ``observe`` or ``off``, no candidate is left, or the plugin has failed. Then the host decides as if the
        plugin were not there.

    Called as often as the host likes, from any thread; it reads evidence and writes nothing of the host's. The
    plugin never raises here: a failure is logged once with its cause, counted, and answered with None.
    """
