"""What the plugin keeps in llm's directory: which models to choose among, and the store unless another is configured.

Imported when llm lists its models: what a call needs is imported by the call.
"""

from __future__ import annotations

import json
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import llm

from modelperf_plugin.errors import InvalidValueError, ModelPerfError

if TYPE_CHECKING:
    from modelperf_plugin import ModelPerf

MODEL: Final = "auto"
"""The model that chooses; for a task type other than the default, ``auto/TASK_TYPE``."""
DEFAULT: Final = "default"
"""The task type of ``auto``; its models are for all task types that have none of their own."""
_DEFAULT_STORE: Final = "modelperf.db"
_FILE: Final = "modelperf.json"
_COMMAND: Final = "llm modelperf candidates MODEL MODEL …"


def model_id_of(task_type: str) -> str:
    """Return what llm calls the model for a task type."""
    return MODEL if task_type == DEFAULT else f"{MODEL}/{task_type}"


def task_type_of(model_id: str) -> str | None:
    """Return the task type of a model; None if it is not one of ours."""
    if model_id == MODEL:
        return DEFAULT
    prefix, _, task_type = model_id.partition("/")
    return task_type if prefix == MODEL and task_type else None


def settings_file() -> Path:
    """Return where the models are named."""
    return Path(llm.user_dir()) / _FILE


def read_settings() -> dict[str, list[str]]:
    """Return the models of each task type that was used or has some.

    Raises:
        ModelPerfError: the file is not what was written.
    """
    path = settings_file()
    try:
        found = json.loads(path.read_text("utf-8"))["models"]
        return {str(task_type): _names(models) for task_type, models in found.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        advice = f"correct or delete it, and name the models again: {_COMMAND}"
        raise ModelPerfError(f"{path} cannot be used ({type(error).__name__}): {advice}") from error


def write_settings(settings: dict[str, list[str]]) -> None:
    """Write the models of each task type."""
    from modelperf_plugin.files import write_whole

    text = json.dumps({"models": settings}, indent=2, ensure_ascii=False)
    write_whole(settings_file(), f"{text}\n".encode())


def known_task_types() -> list[str]:
    """Return the task types that were used or have models, the default first."""
    known: list[str] = []
    with suppress(ModelPerfError):  # raised by what needs the models
        known = list(read_settings())
    return [DEFAULT, *(task_type for task_type in known if task_type != DEFAULT)]


def models_for(task_type: str) -> list[str]:
    """Return the models to choose among; the task type is known from now on.

    Raises:
        ModelPerfError: the file cannot be used, or the default model of llm is this one.
    """
    from modelperf_plugin.values import check_id

    settings = read_settings()
    if check_id("task_type", task_type) != DEFAULT and task_type not in settings:
        settings[task_type] = []
        with suppress(OSError):  # llm -c does not find it then
            write_settings(settings)
    return candidates(settings, task_type)


def candidates(settings: dict[str, list[str]], task_type: str) -> list[str]:
    """Return the models for a task type: its own, those of the default, or llm's default model."""
    named = settings.get(task_type) or settings.get(DEFAULT)
    if named:
        return named
    model = llm.get_default_model()
    if task_type_of(model) is not None:
        raise ModelPerfError(f"{model} has no models to choose among; name them: {_COMMAND}")
    return [model]


def default_store() -> Path:
    """Return the store if no other is configured: one for all directories in which llm is used."""
    return Path(llm.user_dir()) / _DEFAULT_STORE


@cache
def engine() -> ModelPerf:
    """Return the engine of this process, opened by the first call.

    Raises:
        ConfigError: the configuration is invalid.
    """
    from modelperf_plugin.adapters.opening import engine_with

    return engine_with(default_store())


def _names(models: Any) -> list[str]:
    if not isinstance(models, list) or not all(isinstance(model, str) for model in models):
        raise InvalidValueError("models", "a list of names", models)
    return models
