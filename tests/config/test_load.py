"""Reading a configuration: layers, overrides per task type, and every problem at once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelperf_plugin.config import Config, LoadedConfig, TaskTypeConfig, load
from modelperf_plugin.errors import ConfigError
from modelperf_plugin.policy import ABTest, Adaptive, DemoteBySuccessRate, NeverDemote, NeverExplore, SuccessRate


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return an empty home directory."""
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return an empty project directory."""
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


def load_in(project: Path, home: Path, source: Any = None, flags: Any = None, **environ: str) -> LoadedConfig:
    """Load with ``project`` as working directory and a small environment."""
    return load(source, flags=flags, cwd=project, environ={"HOME": str(home), **environ})


def problems_of(given: Any) -> list[tuple[str, str]]:
    """Return path and message of every problem of a mapping."""
    with pytest.raises(ConfigError) as caught:
        load(given)
    return sorted((problem.path, problem.message) for problem in caught.value.problems)


def test_no_file_is_needed(project: Path, home: Path) -> None:
    """Without any source the defaults are in force, and every value says so."""
    loaded = load_in(project, home)
    assert loaded.config == Config()
    assert loaded.files == ()
    assert set(loaded.origins.values()) == {"default"}
    assert loaded.config.ranking.strategy == "posterior"
    assert loaded.config.exploration.strategy == "adaptive"


def test_layers_win_in_the_documented_order(project: Path, home: Path) -> None:
    """Flag > environment > project's file > user's file > default, key by key, each with its origin."""
    user = home / ".config" / "modelperf" / "modelperf.toml"
    user.parent.mkdir(parents=True)
    user.write_text('mode = "off"\nranking.min_samples = 4\nstore.durability = "full"\nexploration.floor = 0.4\n')
    own = project / "modelperf.toml"
    own.write_text("ranking.min_samples = 5\nexploration.floor = 0.5\nranking.prior_strength = 5\n")
    loaded = load_in(
        project,
        home,
        flags={"exploration": {"floor": 0.7}},
        MODELPERF_EXPLORATION__FLOOR="0.6",
        MODELPERF_RANKING__PRIOR_STRENGTH="6",
    )
    config = loaded.config
    assert (config.mode, config.store.durability) == ("off", "full")
    assert config.exploration == Adaptive(floor=0.7)
    assert config.ranking.model_dump() == {
        "strategy": "posterior", "min_samples": 5, "pooled": True, "prior_success": 0.5, "prior_strength": 6.0,
    }  # fmt: skip
    assert loaded.files == (user, own)
    assert {key: loaded.origins[key] for key in ("mode", "ranking.min_samples", "ranking.prior_success")} == {
        "mode": str(user),
        "ranking.min_samples": str(own),
        "ranking.prior_success": "default",
    }
    assert loaded.origins["exploration.floor"] == "flag"
    assert loaded.origins["ranking.prior_strength"] == "environment variable MODELPERF_RANKING__PRIOR_STRENGTH"


def test_the_nearest_file_is_found_upwards(project: Path, home: Path) -> None:
    """The nearest modelperf.toml above the working directory counts, also if a pyproject.toml is nearer."""
    (project / "modelperf.toml").write_text('mode = "observe"')
    below = project / "a" / "b"
    below.mkdir(parents=True)
    (project / "a" / "pyproject.toml").write_text('[tool.modelperf]\nmode = "off"')
    assert load_in(below, home).config.mode == "observe"
    (below / "modelperf.toml").write_text('mode = "apply"')
    assert load_in(below, home).files == (below / "modelperf.toml",)


def test_pyproject_counts_where_it_has_the_table(project: Path, home: Path) -> None:
    """Without a modelperf.toml, [tool.modelperf] of the nearest pyproject.toml that has it counts."""
    (project / "pyproject.toml").write_text('[tool.modelperf]\nmode = "observe"')
    below = project / "a"
    below.mkdir()
    (below / "pyproject.toml").write_text("[tool.other]\nx = 1")
    loaded = load_in(below, home)
    assert loaded.config.mode == "observe"
    assert loaded.origins["mode"] == f"{project / 'pyproject.toml'} [tool.modelperf]"


def test_the_environment_can_name_the_file(project: Path, home: Path) -> None:
    """MODELPERF_CONFIG names the file; a path in code overrides it."""
    (project / "modelperf.toml").write_text('mode = "off"')
    other, given_ = project / "other.toml", project / "given.toml"
    other.write_text('mode = "observe"')
    given_.write_text('mode = "apply"')
    assert load_in(project, home, MODELPERF_CONFIG="other.toml").files == (other,)
    assert load_in(project, home, "given.toml", MODELPERF_CONFIG="other.toml").files == (given_,)


def test_a_mapping_or_config_is_taken_as_it_is(project: Path, home: Path) -> None:
    """A mapping or Config in code ignores files and environment; a flag still overrides it."""
    (project / "modelperf.toml").write_text('mode = "off"')
    assert load_in(project, home, {"mode": "observe"}, MODELPERF_MODE="off").config.mode == "observe"
    config = Config(ranking=SuccessRate(min_samples=9))
    assert load_in(project, home, config, MODELPERF_MODE="off").config is config
    with_flag = load_in(project, home, config, flags={"mode": "observe"}).config
    assert (with_flag.mode, with_flag.ranking) == ("observe", SuccessRate(min_samples=9))


def test_another_strategy_in_a_higher_layer_starts_afresh(project: Path, home: Path) -> None:
    """Keys of a lower layer's strategy do not reach into another strategy that a higher layer names."""
    (project / "modelperf.toml").write_text('exploration.strategy = "epsilon_greedy"\nexploration.epsilon = 0.3')
    loaded = load_in(project, home, MODELPERF_EXPLORATION__STRATEGY="never")
    assert loaded.config.exploration == NeverExplore()


def test_the_same_strategy_spelled_out_keeps_lower_keys(project: Path, home: Path) -> None:
    """Naming the strategy already in force, including the default, keeps the keys of lower layers."""
    user = home / ".config" / "modelperf" / "modelperf.toml"
    user.parent.mkdir(parents=True)
    user.write_text("ranking.min_samples = 7")
    (project / "modelperf.toml").write_text('ranking.strategy = "posterior"')
    assert load_in(project, home).config.ranking.model_dump()["min_samples"] == 7


def test_store_paths(project: Path, home: Path) -> None:
    """A relative path in a file is relative to that file; the default and the environment's are left as they are."""
    below = project / "below"
    below.mkdir()
    (project / "modelperf.toml").write_text('store.path = "data/../x.db"')
    assert load_in(below, home).config.store.path == str(project / "x.db")
    assert load_in(below, home, MODELPERF_STORE__PATH="y.db").config.store.path == "y.db"
    (project / "modelperf.toml").write_text('store.path = ":memory:"')
    assert load_in(below, home).config.store.path == ":memory:"
    (project / "modelperf.toml").unlink()
    assert load_in(below, home).config.store.path == ".sf/model-performance.db"


def test_a_task_type_differs_where_it_says_so() -> None:
    """An override keeps the other keys of the common section, unless it names another strategy."""
    config = load(
        {
            "demotion": {"strategy": "success_rate", "threshold": 0.4, "min_samples": 30},
            "task_types": {
                "plan slice": {"demotion": {"threshold": 0.8}},
                "fix": {"demotion": {"strategy": "never"}, "exploration": {"strategy": "ab_test", "share": 0.5}},
            },
        }
    ).config
    assert config.policy_for("plan slice").demotion == DemoteBySuccessRate(threshold=0.8, min_samples=30)
    assert config.policy_for("fix").demotion == NeverDemote()
    assert config.policy_for("fix").exploration == ABTest(share=0.5)
    assert config.policy_for("fix").ranking == config.ranking
    assert config.policy_for("other").demotion == DemoteBySuccessRate(threshold=0.4, min_samples=30)


def test_a_task_type_has_its_own_number_of_tries() -> None:
    """One try unless configured; an empty override inherits the common number."""
    assert Config().policy_for("t").attempts == 1
    config = load({"retries": {"attempts": 3}, "task_types": {"a": {"retries": {"attempts": 2}}, "b": {"retries": {}}}})
    attempts = {name: config.config.policy_for(name).attempts for name in ("a", "b", "other")}
    assert attempts == {"a": 2, "b": 3, "other": 3}
    assert config.origins["task_types.a.retries.attempts"] == "the given configuration"


def test_policies_without_settings_of_their_own_are_one_object() -> None:
    """However many task types there are, those without overrides share one policy."""
    config = load({"task_types": {"a": {"exploration": {"floor": 0.2}}}}).config
    assert config.policy_for("b") is config.policy_for("c")
    assert config.policy_for("a") is config.policy_for("a")
    assert config.policy_for("a").policy_id != config.policy_for("b").policy_id


def test_the_fingerprint_says_what_can_change_a_decision() -> None:
    """Equal policies have equal fingerprints, whatever else differs; any changed key changes it."""
    plain = Config().policy_for("t").policy_id
    assert plain == Config(mode="observe", task_types={"x": TaskTypeConfig()}).policy_for("t").policy_id
    assert plain == load({"exploration": {"floor": 0.005}}).config.policy_for("t").policy_id
    assert plain != load({"exploration": {"floor": 0.0051}}).config.policy_for("t").policy_id
    assert plain != load({"demotion": {"strategy": "success_rate"}}).config.policy_for("t").policy_id
    assert plain != load({"retries": {"attempts": 2}}).config.policy_for("t").policy_id
    assert len(plain) == 12


def test_every_problem_is_reported_at_once() -> None:
    """One error reports all problems, each with its path, value and remedy."""
    assert problems_of(
        {
            "mode": "aply",
            "colour": 1,
            "store": {"durabilty": "full"},
            "exploration": {"floor": 2, "share": 0.5},
            "ranking": {"min_samples": True},
            "demotion": {"strategy": "succes_rate"},
            "task_types": {"plan slice": {"exploration": {"floor": "much"}, "store": {}}, "": {}},
        }
    ) == [
        (
            "colour",
            f"unknown key; known: {', '.join(sorted(Config.model_fields))}",
        ),
        ("demotion.strategy", "unknown strategy 'succes_rate'; did you mean success_rate?"),
        ("exploration.floor", "must be a number from 0 to 1, but got 2"),
        ("exploration.share", "is a key of strategy ab_test, but the strategy here is adaptive"),
        ("mode", "must be one of apply, observe, off, but got 'aply'"),
        ("ranking.min_samples", "must be a whole number of at least 1, but got true"),
        ("store.durabilty", "unknown key; did you mean durability?"),
        ('task_types.""', "a task type must be 1 to 512 characters long, but got ''"),
        ('task_types."plan slice".exploration.floor', "must be a number from 0 to 1, but got 'much'"),
        (
            'task_types."plan slice".store',
            "unknown section of a task type; known: budget, cost, demotion, exploration, ranking, retries",
        ),
    ]


@pytest.mark.parametrize(
    ("given", "path", "message"),
    [
        ({"store": 1}, "store", "must be a table, but got 1"),
        ({"store": {"path": ""}}, "store.path", "must be non-empty text, but got ''"),
        ({"log": 1}, "log", "must be a table, but got 1"),
        ({"log": {"share": 1.5}}, "log.share", "must be a number from 0 to 1, but got 1.5"),
        ({"log": {"keep_days": -1}}, "log.keep_days", "must be a whole number from 0 to 36500, but got -1"),
        ({"log": {"keep": 7}}, "log.keep", "did you mean keep_days?"),
        ({"retries": {"attempts": 0}}, "retries.attempts", "must be a whole number from 1 to 10, but got 0"),
        ({"retries": {"attempts": 2.0}}, "retries.attempts", "must be a whole number from 1 to 10, but got 2.0"),
        (
            {"task_types": {"a": {"retries": {"attempts": 11}}}},
            "task_types.a.retries.attempts",
            "must be a whole number from 1 to 10, but got 11",
        ),
        (
            {"store": {"acknowledge": "queued"}},
            "store.acknowledge",
            "was removed: outcomes are always written before record returns; delete the key",
        ),
        ({"store": {"path": "mysql://x"}}, "store.path", "no other URL is supported"),
        (
            {"models": {"gpt-4": {"1": {"cost_usd": 0.1}}}},
            "models.gpt-4.1",
            'a model whose name contains a dot must be quoted: [models."gpt-4.1"]',
        ),
        (
            {"task_types": {"code": {"review": {"python": {"demotion": {"strategy": "never"}}}}}},
            "task_types.code.review",
            'a task type whose name contains a dot must be quoted: [task_types."code.review.python"]',
        ),
        ({"ranking": []}, "ranking", "must be a table, but got []"),
        ({"task_types": 3}, "task_types", "must be a table of tables"),
        ({"task_types": {"a": 3}}, "task_types.a", "must be a table, but got 3"),
        ({"exploration": {"floor": True}}, "exploration.floor", "must be a number from 0 to 1, but got true"),
        ({"exploration": {"floor": float("nan")}}, "exploration.floor", "but got nan"),
        (
            {"exploration": {"strategy": "ab_test", "incumbent": "a", "challenger": "a"}},
            "exploration",
            "incumbent and challenger must be two different models, but both are 'a'",
        ),
        ({"exploration": {"strategy": ["never"]}}, "exploration.strategy", "unknown strategy ['never']"),
    ],
)
def test_problems_say_where_and_what(given: dict[str, Any], path: str, message: str) -> None:
    """Each kind of mistake is one problem with its path and a message with the value."""
    ((found_path, found_message),) = problems_of(given)
    assert found_path == path
    assert message in found_message


def test_problems_name_their_source(project: Path, home: Path) -> None:
    """With several sources, each problem names its own."""
    own = project / "modelperf.toml"
    own.write_text('mode = "aply"\n[exploration]\nfloor = 2\n')
    with pytest.raises(ConfigError) as caught:
        load_in(project, home, MODELPERF_EXPLORATION__FLOOR="3", MODELPERF_MOD="off")
    assert [str(problem) for problem in caught.value.problems] == [
        "the environment: MODELPERF_MOD: unknown variable; did you mean MODELPERF_MODE?",
        (
            "environment variable MODELPERF_EXPLORATION__FLOOR: exploration.floor: "
            "must be a number from 0 to 1, but got 3"
        ),
        f"{own}: mode: must be one of apply, observe, off, but got 'aply'",
    ]
    assert str(caught.value).count("\n") == 2


def test_a_strategy_and_its_keys_in_the_environment(project: Path, home: Path) -> None:
    """Variables of one section are taken together, whatever their order; text stays text."""
    loaded = load_in(
        project,
        home,
        MODELPERF_EXPLORATION__STRATEGY="ab_test",
        MODELPERF_EXPLORATION__SHARE="0.3",
        MODELPERF_EXPLORATION__INCUMBENT="2026",
    )
    assert loaded.config.exploration == ABTest(share=0.3, incumbent="2026")


def test_a_file_of_somebody_else_does_no_harm(project: Path, home: Path) -> None:
    """A broken pyproject.toml that does not mention the plugin is passed over; named, it is read for its table."""
    (project / "pyproject.toml").write_text("[project\n")
    assert load_in(project, home).config == Config()
    (project / "pyproject.toml").write_text('[tool.modelperf]\nmode = "off"')
    assert load_in(project, home, project / "pyproject.toml").config.mode == "off"


@pytest.mark.parametrize("content", [b"a = " + b"1" * 5000, b"a = " + b"[" * 100_000, b"a = 1\x00"])
def test_no_file_is_too_strange_for_an_error(project: Path, home: Path, content: bytes) -> None:
    """Huge numbers, deep nesting and NULs are problems of the file, not exceptions of another kind."""
    (project / "modelperf.toml").write_bytes(content)
    with pytest.raises(ConfigError, match=r"modelperf\.toml"):
        load_in(project, home)


@pytest.mark.parametrize(
    "given_", [5, "a\0b", {5: 1}, {"store": {5: 1}}, {"exploration": {5: 1}}, {"task_types": {5: {}}}]
)
def test_no_source_is_too_strange_for_an_error(project: Path, home: Path, given_: Any) -> None:
    """Whatever is handed over, what is wrong with it is a ConfigError."""
    with pytest.raises(ConfigError):
        load_in(project, home, given_)


def test_no_password_is_shown() -> None:
    """The message about a URL that cannot be used leaves its password out."""
    ((_, message),) = problems_of({"store": {"path": "postgresql://me:secret@host/db"}})
    assert "secret" not in message
    assert "host/db" in message


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:xyzzy@host/db",
        "postgres://me@host/db?password=xyzzy",
        "postgresql://me:xy/zzy@host/db",
        "postgresql:///db?sslpassword=xyzzy",
    ],
)
def test_a_password_in_a_file_is_refused(project: Path, home: Path, url: str) -> None:
    """A file must not hold a password; the environment may, and nothing shows it."""
    (project / "modelperf.toml").write_text(f'store.url = "{url}"\n')
    with pytest.raises(
        ConfigError, match=r"store\.url: must not hold a password: that belongs into .*PGPASSWORD"
    ) as raised:
        load_in(project, home)
    assert "zzy" not in str(raised.value)
    (project / "modelperf.toml").unlink()
    loaded = load_in(project, home, MODELPERF_STORE__URL=url)
    assert loaded.config.store.location == url
    shown = {path: value for path, value, _ in loaded.rows()}["store.url"]
    assert shown.startswith(("postgresql://", "postgres://"))
    assert "zzy" not in f"{shown}{loaded.config!r}{loaded.config.model_dump_json()}"


def test_a_url_takes_the_place_of_the_path(project: Path, home: Path) -> None:
    """A URL wins over a path, which stays for what waits; a path on the command line wins over both."""
    (project / "modelperf.toml").write_text(
        '[store]\nurl = "postgresql://?service=memory&sslmode=require"\npath = "x.db"\n'
    )
    store = load_in(project, home).config.store
    assert store.location == "postgresql://?service=memory&sslmode=require"
    assert store.path == str(project / "x.db")
    flags = {"store": {"path": "y.db", "url": None}}
    assert load_in(project, home, flags=flags).config.store.location == "y.db"


@pytest.mark.parametrize("url", ["mysql://me:secret@host/db", "x.db", "http://me:secret@host"])
def test_only_postgresql_is_a_url(url: str) -> None:
    """What is no URL of PostgreSQL is an error, which shows no password."""
    ((path, message),) = problems_of({"store": {"url": url}})
    assert path == "store.url"
    assert "must be postgresql://" in message
    assert "secret" not in message


def test_a_copy_has_policies_of_its_own() -> None:
    """A changed copy of a configuration answers with its own policies, also if the original was asked before."""
    config = Config()
    before = config.policy_for("t")
    copy = config.model_copy(update={"exploration": NeverExplore()})
    assert copy.policy_for("t").exploration == NeverExplore()
    assert config.policy_for("t") is before


def test_broken_files_say_where(project: Path, home: Path) -> None:
    """Missing, binary and malformed files are one problem each, with line and column of a syntax error."""
    own = project / "modelperf.toml"
    for content, position in (
        ('mode = "apply"\nranking = 1 2\n', "line 2, column 13"),
        ('x = """\n\n', "line 3, column 1"),
    ):
        own.write_text(content)
        with pytest.raises(ConfigError, match=rf"modelperf\.toml: {position}: is not TOML"):
            load_in(project, home)
    own.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        load_in(project, home)
    with pytest.raises(ConfigError, match=r"missing\.toml: cannot be read: No such file"):
        load_in(project, home, "missing.toml")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load_in(project, home, project)


@pytest.mark.parametrize(("text", "value"), [("observe", "observe"), ('"off"', "off")])
def test_text_in_the_environment_needs_no_quotes(project: Path, home: Path, text: str, value: str) -> None:
    """A variable is a TOML value or else text."""
    assert load_in(project, home, MODELPERF_MODE=text).config.mode == value


toml_values = st.recursive(
    st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.none(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["strategy", "epsilon", "threshold", "min_samples", "x"]), inner, max_size=4)
    ),
    max_leaves=8,
)
sections = ["mode", "store", "log", "ranking", "demotion", "exploration", "task_types", "x"]


@given(st.dictionaries(st.sampled_from(sections), toml_values, max_size=6))
def test_any_mapping_loads_or_says_what_is_wrong(given_: dict[str, Any]) -> None:
    """Any content of a file results in a configuration or a ConfigError with at least one problem."""
    try:
        load(given_)
    except ConfigError as error:
        problems = error.problems
    else:
        return
    assert problems


def test_a_broken_file_makes_no_key_elsewhere_wrong(tmp_path: Path) -> None:
    """A malformed file may name the strategy that keys of other sources belong to: only the file is reported."""
    (tmp_path / "modelperf.toml").write_text('[exploration]\nstrategy = "epsilon_greedy\n', encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load(cwd=tmp_path, environ={"MODELPERF_EXPLORATION__EPSILON": "0.2"})
    (problem,) = caught.value.problems
    assert problem.path.startswith("line 2, column ")


@pytest.mark.parametrize("source", ["fifo", "/dev/zero", "large"])
def test_a_source_without_end_is_a_problem_at_once(project: Path, home: Path, source: str) -> None:
    """A pipe that nobody writes to, a device and a file beyond a megabyte are refused instead of read."""
    os.mkfifo(project / "fifo")
    with (project / "large").open("wb") as file:
        file.truncate(5_000_000_000)
    with pytest.raises(ConfigError, match=r"cannot be read: it is (a pipe or a device|larger than 1,000,000 bytes)"):
        load_in(project, home, project / source)
