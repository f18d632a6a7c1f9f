"""The reference is complete: hooks, names, configuration, strategies, database and packages match the code."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import sqlite3
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

import modelperf_plugin as mp
from modelperf_plugin import recorder
from modelperf_plugin.config import POLICY_SECTIONS, Setting, describe, naming_key, strategies
from modelperf_plugin.hooks import hookspecs
from modelperf_plugin.recorder.methods import CallRecorder
from modelperf_plugin.store import open_store
from modelperf_plugin.store.queries import load_migrations
from modelperf_plugin.store.sqlite.schema import APPLICATION_ID
from modelperf_plugin.values import ERROR_KINDS, Context
from tests.docs.pages import DOCS, ROOT, coded, first_column, headings, section, table_rows, text_of

HOOKS = DOCS / "reference/hooks.md"
PYTHON = DOCS / "reference/python.md"
CONFIGURATION = DOCS / "reference/configuration.md"
STRATEGIES = DOCS / "reference/strategies.md"
DATABASE = DOCS / "reference/database.md"

# Hooks.


OUR_HOOKS = [each for name, each in vars(hookspecs).items() if inspect.isfunction(each) and not name.startswith("_")]


@pytest.mark.parametrize("hook", OUR_HOOKS, ids=lambda hook: hook.__name__)
def test_every_argument_of_a_hook_is_documented(hook: Callable[..., Any]) -> None:
    """Each argument has a row in the hook's section, in the order of the contract, and so do return values."""
    text = section(HOOKS, f"`{hook.__name__}`")
    arguments = list(inspect.signature(hook).parameters)
    rows = first_column(text)
    assert rows[: len(arguments)] == arguments
    assert f"`{hook.__name__}({', '.join(arguments)})`" in text
    assert ["return value", "meaning"] in table_rows(text)


def test_every_key_of_a_context_is_documented() -> None:
    """Each known key of the context has a row."""
    rows = first_column(section(HOOKS, "`select_model`"))
    assert {each.name for each in dataclasses.fields(Context) if each.init} <= set(rows)


def test_the_versions_of_pluggy_match_ci() -> None:
    """The page names the versions of pluggy with which CI tests the hooks."""
    script = ROOT / ".ci" / "run"
    if not script.exists():
        pytest.skip("this checkout has no .ci/run")
    tested = re.findall(r'"hooks_with_pluggy ([\d.]+)"', script.read_text(encoding="utf-8"))
    named = ", ".join(version.removesuffix(".0") for version in tested)
    assert f"with pluggy {named} and the newest one, 1." in section(HOOKS, "Versions of pluggy")


# Public names.


def signature_of(function: Callable[..., Any]) -> str:
    """Return the signature of a function without ``self`` and types."""
    signature = inspect.signature(function)
    parameters = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for name, parameter in signature.parameters.items()
        if name != "self"
    ]
    bare = signature.replace(parameters=parameters, return_annotation=inspect.Signature.empty)
    return str(bare).replace("'", '"')


def public_members(kind: type) -> list[str]:
    """Return the public attributes and methods defined by a class itself."""
    members = {**inspect.get_annotations(kind), **vars(kind)}
    return [name for name in members if not name.startswith(("_", "model_"))]  # pydantic has names of its own


@pytest.mark.parametrize("name", mp.__all__)
def test_every_public_name_is_documented(name: str) -> None:
    """Each name of ``__all__`` has a section with all its public attributes, and every method with its arguments."""
    text = section(PYTHON, f"`{name}`")
    public = getattr(mp, name)
    for member in public_members(public) if inspect.isclass(public) else []:
        value = inspect.getattr_static(public, member, None)
        if isinstance(value, classmethod):
            value = value.__func__.__get__(public)
        is_method = inspect.isroutine(value) and not isinstance(value, cached_property)
        written = f"{member}{signature_of(value)}" if is_method else member
        assert any(re.search(rf"(^|\.){re.escape(written)}$", each) for each in coded(text)), written


def test_the_recorder_is_documented() -> None:
    """The methods that call models are shown with all arguments, and so are those of a task and an attempt."""
    shown = coded(section(PYTHON, "The recorder"))
    methods = [f"{name}{signature_of(getattr(CallRecorder, name))}" for name in public_members(CallRecorder)]
    for kind in (recorder.Task, recorder.Attempt):
        public = {name: value for name, value in vars(kind).items() if not name.startswith("_")}
        methods += [name + (signature_of(value) if inspect.isroutine(value) else "") for name, value in public.items()]
    assert set(methods) <= set(shown)


@pytest.mark.parametrize("name", ["register", "ModelPerf", "ModelPerformanceTracker"])
def test_every_entry_point_is_documented_with_its_arguments(name: str) -> None:
    """Entry points are shown with all arguments and defaults."""
    assert f"mp.{name}{signature_of(getattr(mp, name))}" in coded(section(PYTHON, f"`{name}`"))


def test_every_documented_name_is_public() -> None:
    """Each section of the Python API that has a name as its heading is about a public one."""
    named = [name for title in headings(PYTHON) for name in coded(title)]
    assert sorted(named) == sorted(mp.__all__)


def test_every_error_kind_is_documented() -> None:
    """Each error kind of an outcome is in the table of error kinds."""
    assert {f'"{kind}"' for kind in ERROR_KINDS} <= set(first_column(section(PYTHON, "`Outcome`")))


# Configuration.


def key_name(setting: Setting) -> str:
    """Return the test id of a setting."""
    return ".".join([*setting.keys, *([setting.strategy] if setting.strategy else [])])


def printed_default(setting: Setting) -> str:
    """Return a default as in the tables."""
    return "unset" if setting.default is None else f"`{json.dumps(setting.default)}`"


@pytest.mark.parametrize("setting", describe(), ids=key_name)
def test_every_key_is_documented_with_its_default(setting: Setting) -> None:
    """Each key of the TOML file has a row in its section, with its default and its possible values."""
    head, *rest = setting.keys
    if head == "federation":
        assert "`[[federation]]`" in headings(CONFIGURATION)
        return
    if head == "task_type_rules":
        assert "`[task_type_rules]`" in headings(CONFIGURATION)
        return
    if head == "task_types":
        assert '`[task_types."NAME".SECTION]`' in headings(CONFIGURATION)
        return
    if head == "models":
        title = '`[models."NAME"]`' if len(rest) == 2 else "`[budget]`"
    elif setting.strategy is not None:
        title = f'`{head}.{naming_key(head)} = "{setting.strategy}"`'
    else:
        title = f"`[{head}]`" if rest else f"`{head}`"
    rows = [row for row in table_rows(section(CONFIGURATION, title)) if row[0] == f"`{setting.keys[-1]}`"]
    assert rows, title
    _, values, default, meaning = rows[0]
    assert default == printed_default(setting)
    assert meaning
    if setting.kind.startswith("one of "):
        assert coded(values) == re.findall(r"\w+", setting.kind.removeprefix("one of "))
    else:
        numbers = re.findall(r"[\d.]+", setting.kind)
        assert re.findall(r"[\d.]+", values.replace(",", "")) == numbers


def test_every_environment_variable_is_documented() -> None:
    """The table of variables has exactly one row per key that a variable can set."""
    variables = {
        f"MODELPERF_{'__'.join(each.keys).upper()}": ".".join(each.keys)
        for each in describe()
        if each.keys[0] not in {"models", "federation", "task_types", "task_type_rules"}
    }
    rows = table_rows(section(CONFIGURATION, "Environment variables"))[1:]
    assert {row[0].strip("`"): row[1].strip("`") for row in rows} == variables


@pytest.mark.parametrize(("group", "name"), [(group, name) for group in POLICY_SECTIONS for name in strategies(group)])
def test_every_strategy_is_documented(group: str, name: str) -> None:
    """Each strategy has a section with its use, formula, source, and all keys with their defaults."""
    text = section(STRATEGIES, group.capitalize(), f"`{name}`")
    for word in ("When to use it", "Formula", "Source"):
        assert f"- **{word}**: " in text
    rows = {row[0].strip("`"): row[1] for row in table_rows(text)}
    expected = {
        each.keys[1]: printed_default(each) for each in describe() if each.keys[0] == group and each.strategy == name
    }
    assert {key: default for key, default in rows.items() if key != "key"} == expected
    overview = next(row for row in table_rows(text_of(STRATEGIES)) if row[0] == f"`[{group}]`")
    assert f"[`{name}`]" in overview[1 if name == next(iter(strategies(group))) else 2]


# The database.


@pytest.fixture(scope="module")
def relations(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Return every table and view of a new file, with its columns."""
    path = tmp_path_factory.mktemp("schema") / "new.db"
    open_store(path).close()
    connection = sqlite3.connect(path)
    names = connection.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name GLOB '[a-z]*'")
    found = {
        name: [column for _, column, *_ in connection.execute(f"PRAGMA table_info({name})")]
        for (name,) in names.fetchall()
        if not name.startswith("sqlite_")
    }
    connection.close()
    return found


def test_every_relation_is_documented(relations: dict[str, list[str]]) -> None:
    """Each table and view of the schema has a section that names all its columns; there are no other sections."""
    titles = {title.strip("`") for title in headings(DATABASE) if re.fullmatch(r"`\w+`", title)}
    assert titles == set(relations)
    for name, columns in relations.items():
        text = section(DATABASE, f"`{name}`")
        documented = first_column(text) if table_rows(text) else coded(text)
        assert set(columns) - set(documented) == set(), name
        if table_rows(text):
            assert documented == sorted(documented, key=columns.index), name


def test_the_header_of_the_file_is_documented() -> None:
    """The page gives the application id and the newest schema version."""
    text = " ".join(section(DATABASE, "Versions and migrations").split())
    assert f"`PRAGMA application_id` = {APPLICATION_ID} " in text
    assert f"the number of the schema: {load_migrations('sqlite')[-1].version} in this version" in text


def test_the_files_beside_the_database_are_documented(tmp_path: Path) -> None:
    """All files beside an open database are in the table of files."""
    path = tmp_path / "model-performance.db"
    store = open_store(path)
    try:
        store.problems.clear()
        assert {file.name for file in tmp_path.iterdir()} == set(first_column(section(DATABASE, "Files")))
    finally:
        store.close()


# The design.


def test_every_package_is_in_the_design() -> None:
    """The table of packages has a row for every top-level package and module."""
    folder = Path(mp.__file__).parent
    packages = {f"{path.parent.name}/" for path in folder.glob("*/__init__.py")}
    modules = {path.name for path in folder.glob("*.py")} - {"__main__.py"}
    assert packages | modules <= set(first_column(section(DOCS / "explanation/design.md", "Packages")))
