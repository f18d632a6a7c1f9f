"""``plot``: write one chart as an image."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from modelperf_plugin.cli.answer import Answer
from modelperf_plugin.cli.options import Common, common_options, days_option
from modelperf_plugin.cli.output_file import write_file
from modelperf_plugin.cli.periods import period_of, until_option
from modelperf_plugin.cli.task_types import unknown_task_type

if TYPE_CHECKING:
    from modelperf_plugin.engine.core import ModelPerf

_WIDTH: Final = 960


@click.command()
@click.argument("task_type", required=False, metavar="[TASK]")
@click.option(
    "--chart", type=click.Choice(["success", "models", "cost"]), default="success", show_default=True,
    help="What to draw: success of all; of each model of TASK; cost against success of these.",
)  # fmt: skip
@click.option("--model", "model_id", metavar="MODEL", help="Success of this model only.")
@click.option("--format", "kind", type=click.Choice(["svg", "png"]), help="Default: by the name of the file, else svg.")
@click.option("-o", "--output", metavar="PATH", help="The file to write; - is stdout. Default: CHART.svg or CHART.png.")
@days_option
@until_option
@common_options
def plot(
    common: Common, answer: Answer, /, task_type: str | None, output: str | None, kind: str | None, **asked: Any
) -> None:
    """Write one chart as an image.

    A PNG needs the extra `plot`.
    """
    from modelperf_plugin.charts import png, standalone

    suffix = Path(output or "").suffix.lower().removeprefix(".")
    kind = kind or (suffix if suffix in {"svg", "png"} else "svg")
    with common.reading(answer) as engine:
        drawn, heading = _chart(answer, engine, task_type, **asked)
    image = standalone(drawn, heading)
    write_file(answer, output or f"{asked['chart']}.{kind}", png(image) if kind == "png" else image.encode())


def _chart(
    answer: Answer,
    engine: ModelPerf,
    task_type: str | None,
    *,
    chart: str,
    model_id: str | None,
    days: int,
    until: datetime | None,
) -> tuple[str, str]:
    """Return a chart and its heading."""
    from modelperf_plugin.analysis.views.details import model_view, task_view
    from modelperf_plugin.analysis.views.overview import overview
    from modelperf_plugin.charts import views

    period = period_of(days, until)
    if chart != "success" and (task_type is None or model_id is not None):
        raise click.UsageError(f"--chart {chart} compares the models of one TASK: name it, and no --model")
    if task_type is not None and not engine.store.tallies.of(task_type):
        unknown_task_type(answer, engine, task_type)
    if model_id is not None:
        seen = model_view(engine, model_id, period, task_type=task_type)
        if seen is None:
            answer.exit_with_note(f"no outcomes of a model {model_id!r}")
        return views.success_chart(seen, _WIDTH), f"{model_id} on {task_type or 'all task types'}"
    closer = None if task_type is None else task_view(engine, task_type, period, decisions=0)
    if closer is None:
        return views.success_chart(overview(engine, period), _WIDTH), "Success on all task types"
    if chart == "models":
        return views.models_chart(closer, _WIDTH), f"Models on {closer.task_type}"
    if chart == "cost":
        return views.cost_chart(closer, _WIDTH), f"Cost against success on {closer.task_type}"
    return views.success_chart(closer, _WIDTH), f"Success on {closer.task_type}"
