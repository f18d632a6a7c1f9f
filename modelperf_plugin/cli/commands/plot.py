"""``plot``: write a chart as an image."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import click

from modelperf_plugin.cli.answer import Answer
from modelperf_plugin.cli.help import command
from modelperf_plugin.cli.options import (
    Common,
    common_options,
    days_option,
    model_option,
    output_option,
    period_until,
    some_task_argument,
    until_option,
)
from modelperf_plugin.cli.output_file import format_of, write_file
from modelperf_plugin.cli.task_types import unknown_task_type

if TYPE_CHECKING:
    from modelperf_plugin.analysis.views.trends import Period
    from modelperf_plugin.engine.core import ModelPerf

_WIDTH: Final = 960


@command("-o success.svg", "code-review --chart models -o models.png")
@some_task_argument
@click.option(
    "--chart", type=click.Choice(["success", "models", "cost"]), default="success", show_default=True,
    help="Success of everything, success of each model of TASK, or cost of these against their success.",
)  # fmt: skip
@model_option("--model", "model_id", description="Draw the success of this model only.")
@click.option("--format", "kind", type=click.Choice(["svg", "png"]), help="Default: the suffix of the file, else svg.")
@output_option("File to write; - for standard output. Default: CHART.svg or CHART.png.")
@days_option
@until_option
@common_options
def plot(
    common: Common, answer: Answer, /, output: str | None, kind: str | None, chart: str, days: int,
    until: datetime | None, **subject: Any,
) -> None:  # fmt: skip
    """Write a chart as an image.

    PNG needs the extra `plot`.
    """
    from modelperf_plugin.charts import png, standalone

    kind = format_of(output, ["svg", "png"], kind)
    with common.reading(answer) as engine:
        svg, heading = _draw(answer, engine, period_until(days, until), chart, **subject)
    image = standalone(svg, heading)
    write_file(answer, output or f"{chart}.{kind}", png(image) if kind == "png" else image.encode())


def _draw(
    answer: Answer, engine: ModelPerf, period: Period, chart: str, *, task_type: str | None, model_id: str | None
) -> tuple[str, str]:
    from modelperf_plugin.analysis.views.details import model_view, task_view
    from modelperf_plugin.analysis.views.overview import overview
    from modelperf_plugin.charts import views

    if chart != "success" and (task_type is None or model_id is not None):
        raise click.UsageError(f"--chart {chart} compares the models of one TASK: name it, and no --model")
    if task_type is not None and not engine.store.tallies.of(task_type):
        unknown_task_type(answer, engine, task_type)
    if model_id is not None:
        model = model_view(engine, model_id, period, task_type=task_type)
        if model is None:
            answer.exit_with_note(f"no outcomes of model {model_id!r}")
        return views.success_chart(model, _WIDTH), f"{model_id} on {task_type or 'all task types'}"
    task = None if task_type is None else task_view(engine, task_type, period, decisions=0)
    if task is None:
        return views.success_chart(overview(engine, period), _WIDTH), "Success on all task types"
    if chart == "models":
        return views.models_chart(task, _WIDTH), f"Models on {task.task_type}"
    if chart == "cost":
        return views.cost_chart(task, _WIDTH), f"Cost against success on {task.task_type}"
    return views.success_chart(task, _WIDTH), f"Success on {task.task_type}"
