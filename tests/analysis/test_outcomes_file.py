"""Files of recorded outcomes: reading, refusals, and the dense core."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelperf_plugin.analysis.simulation.outcomes_file import Instance, OutcomeData, read_outcomes
from modelperf_plugin.errors import InvalidValueError, ModelPerfError, OutcomesFileError
from modelperf_plugin.values import Outcome

SHARED = Path(__file__).resolve().parents[3] / "shared" / "outcomes"
HEADER = "source,instance_id,task_type,model_id,success,timeout,tokens_used,cost_usd,timestamp"

needs_outcomes = pytest.mark.skipif(not SHARED.is_dir(), reason=f"the recorded outcomes are not there: {SHARED}")


def write(folder: Path, *lines: str, header: str = HEADER, name: str = "outcomes.csv") -> Path:
    path = folder / name
    path.write_text("\n".join((header, *lines)) + "\n", encoding="utf-8")
    return path


def data_of(*instances: set[str]) -> OutcomeData:
    """Return data in which the n-th instance was tried by the n-th set of models."""
    return OutcomeData(
        source="here",
        instances=tuple(
            Instance(str(number), "t", {model_id: Outcome(success=True) for model_id in sorted(models)})
            for number, models in enumerate(instances)
        ),
    )


def test_every_column_is_read(tmp_path: Path) -> None:
    """A row becomes an outcome under its instance and model, with everything that is known of it."""
    data = read_outcomes(write(tmp_path, "x,i1,t1,m1,1,1,1200,0.5,2025-01-02T03:04:05+02:00"))
    moment = datetime.fromisoformat("2025-01-02T03:04:05+02:00")
    outcome = Outcome(success=True, timeout=True, tokens_used=1200, cost_usd=0.5, timestamp=moment)
    assert data.instances == (Instance("i1", "t1", {"m1": outcome}),)


def test_empty_values_are_unknown(tmp_path: Path) -> None:
    """An empty value is unknown, which an outcome expresses as 0, False or None."""
    data = read_outcomes(write(tmp_path, "x,i1,t1,m1,0,,,,"))
    assert data.instances[0].outcomes == {"m1": Outcome(success=False)}


def test_four_columns_are_enough_and_others_are_ignored(tmp_path: Path) -> None:
    """Only instance, task type, model and success are required; columns of one's own are no error."""
    path = write(tmp_path, "m1,whatever,1,t1,i1", header="model_id,note,success,task_type,instance_id")
    assert read_outcomes(path).instances == (Instance("i1", "t1", {"m1": Outcome(success=True)}),)


@pytest.mark.parametrize(
    ("text", "moment"), [("2025-10-13", (2025, 10, 13)), ("2025-10-13T07:08:09", (2025, 10, 13, 7, 8, 9))]
)
def test_times_without_an_offset_are_in_utc(tmp_path: Path, text: str, moment: tuple[int, ...]) -> None:
    """A date, or a time without an offset, is taken in UTC."""
    data = read_outcomes(write(tmp_path, f"x,i1,t1,m1,1,,,,{text}"))
    assert data.instances[0].started == datetime(*moment, tzinfo=UTC)  # type: ignore[arg-type, misc]


@pytest.mark.parametrize(("word", "success"), [("1", True), ("0", False), ("True", True), ("false", False)])
def test_flags_may_be_digits_or_words(tmp_path: Path, word: str, success: bool) -> None:
    """Tools write flags as 0 and 1 or as True and False; both are read."""
    data = read_outcomes(write(tmp_path, f"x,i1,t1,m1,{word},,,,"))
    assert data.instances[0].outcomes["m1"].success is success


def test_whole_numbers_may_be_written_as_floats(tmp_path: Path) -> None:
    """Tokens written as 1200.0, as data frames with gaps do, are 1200."""
    data = read_outcomes(write(tmp_path, "x,i1,t1,m1,1,,1200.0,1e-05,"))
    assert data.instances[0].outcomes["m1"] == Outcome(success=True, tokens_used=1200, cost_usd=1e-05)


def test_rows_are_grouped_by_instance_in_the_order_of_the_file(tmp_path: Path) -> None:
    """Instances stand in the order of their first row, each with all its models, wherever those are."""
    data = read_outcomes(write(tmp_path, "x,b,t,m1,1,,,,", "x,a,t,m1,0,,,,", "", "x,b,t,m2,0,,,,"))
    assert [(each.instance_id, sorted(each.outcomes)) for each in data.instances] == [
        ("b", ["m1", "m2"]),
        ("a", ["m1"]),
    ]
    assert (data.models, data.task_types, data.outcomes) == (("m1", "m2"), ("t",), 3)


def test_the_first_of_two_outcomes_counts(tmp_path: Path) -> None:
    """A second row for the same instance and model is left out and counted."""
    data = read_outcomes(write(tmp_path, "x,i,t,m,1,,,,", "x,i,t,m,0,,,,", "x,i,t,m,1,,,,"))
    assert data.instances[0].outcomes["m"].success
    assert data.duplicates == 2


def test_a_row_without_success_is_no_outcome(tmp_path: Path) -> None:
    """Where success is empty the outcome is unknown: the row is left out and counted."""
    data = read_outcomes(write(tmp_path, "x,i,t,m1,,,,,", "x,i,t,m2,1,,,,", "x,j,t,m1,,,,,"))
    assert (data.models, len(data.instances), data.unknown) == (("m2",), 1, 2)


def test_gzip_is_recognised_by_its_content(tmp_path: Path) -> None:
    """A gzipped file is read under any name, with the same result as the plain one."""
    plain = write(tmp_path, "x,i,t,m,1,,,,")
    packed = tmp_path / "packed"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert read_outcomes(str(packed)).instances == read_outcomes(plain).instances


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    """Spreadsheets begin a file with a byte order mark; it is skipped."""
    path = tmp_path / "bom.csv"
    path.write_text("instance_id,task_type,model_id,success\r\ni,t,m,1\r\n", encoding="utf-8-sig", newline="")
    assert read_outcomes(path).models == ("m",)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("x,i,t,m,yes,,,,", "line 2: success must be 0, 1, true, false or empty, but got 'yes'"),
        ("x,i,t,m,1,2,,,", "line 2: timeout must be 0, 1, true, false or empty, but got '2'"),
        ("x,i,t,m,1,,many,,", "line 2: tokens_used must be a number or empty, but got 'many'"),
        ("x,i,t,m,1,,1.5,,", "line 2: tokens_used must be a whole number from 0 to 2^53, but got 1.5"),
        ("x,i,t,m,1,,nan,,", "line 2: tokens_used must be a whole number from 0 to 2^53, but got nan"),
        ("x,i,t,m,1,,,-1,", "line 2: cost_usd must be a finite number"),
        ("x,i,t,m,1,,,,yesterday", "line 2: timestamp must be an ISO 8601 time"),
        ("x,,t,m,1,,,,", "line 2: instance_id must be 1 to 512 characters long"),
        ("x,i,,m,1,,,,", "line 2: task_type must be 1 to 512 characters long"),
        ("x,i,t,a\x00b,1,,,,", "line 2: model_id must be free of control characters"),
        ("x,i,t,m,1", "line 2: has 5 values, but the first line names 9 columns"),
        ("x,i,t,m,1,,,,,", "line 2: has 10 values, but the first line names 9 columns"),
        ('x,i,t,"m"m,1,,,,', "line 2: is not CSV"),
        ("x,i,t,m,1,,,,\nx,i,u,n,1,,,,", "line 3: instance 'i' has two task types: 't' above and 'u' here"),
    ],
)
def test_a_bad_row_is_named_with_its_line(tmp_path: Path, row: str, message: str) -> None:
    """The message for a bad row names the file, the line, the column, the rule and the value."""
    path = write(tmp_path, row)
    with pytest.raises(OutcomesFileError) as caught:
        read_outcomes(path)
    assert str(caught.value).startswith(f"{path}, {message}")
    assert caught.value.path == str(path)
    assert caught.value.line == int(message.removeprefix("line ").partition(":")[0])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", ": is empty"),
        (b" \n\n", ": is empty"),
        (HEADER.encode(), ": holds no outcome with a known success"),
        (b'{"instance_id": 1}', ", line 1: must name the columns, but instance_id, task_type, model_id, success or"),
        (b"instance_id,task_type,model_id\n", ", line 1: must name the columns, but success or score is not among"),
        (b"instance_id,task_type,model_id,success,success\n", ", line 1: names the column success twice"),
        (HEADER.encode() + b"\nx,i,t,m\xff,1,,,,\n", ", line 2: is not UTF-8 text"),
        (gzip.compress(b"x" * 1000, mtime=0)[:-9], ": is a damaged gzip file"),
        (b"\x1f\x8bnonsense", ": is a damaged gzip file"),
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    """Another kind of file is refused with a sentence, never with a traceback of csv or gzip."""
    path = tmp_path / "outcomes.csv"
    path.write_bytes(content)
    with pytest.raises(OutcomesFileError) as caught:
        read_outcomes(path)
    assert str(caught.value).startswith(f"{path}{message}")
    assert isinstance(caught.value, ModelPerfError)


def test_a_plain_file_named_gz_is_refused(tmp_path: Path) -> None:
    """A name that ends in .gz promises gzip; a broken promise is a sign of a broken download."""
    path = write(tmp_path, "x,i,t,m,1,,,,", name="outcomes.csv.gz")
    with pytest.raises(OutcomesFileError, match=r"is named \.gz, but is not a gzip file"):
        read_outcomes(path)


def test_a_file_that_cannot_be_read_is_an_error_with_its_cause(tmp_path: Path) -> None:
    """A missing file and a directory are named, with the reason of the system."""
    with pytest.raises(OutcomesFileError, match=r"cannot be read \(No such file"):
        read_outcomes(tmp_path / "missing.csv")
    with pytest.raises(OutcomesFileError, match="cannot be read"):
        read_outcomes(tmp_path)


def test_the_core_leaves_out_models_with_few_outcomes() -> None:
    """One instance more is worth less than a model that has few instances costs."""
    core = data_of({"a", "b", "c"}, {"a", "b"}, {"a", "b"}, {"a"}).dense_core()
    assert (core.models, [each.instance_id for each in core.instances]) == (("a", "b"), ["0", "1", "2"])


def test_the_core_of_complete_data_is_all_of_it() -> None:
    """Where every model has every instance nothing is left out."""
    data = data_of({"a", "b"}, {"a", "b"})
    assert data.dense_core() == data


def test_models_can_be_chosen() -> None:
    """The models asked for are offered, on the instances that all of them have."""
    core = data_of({"a", "b", "c"}, {"a", "b"}, {"b", "c"}).dense_core(["c", "b"])
    assert [(each.instance_id, list(each.outcomes)) for each in core.instances] == [
        ("0", ["c", "b"]),
        ("2", ["c", "b"]),
    ]


def test_an_unknown_model_is_named_with_the_known_ones() -> None:
    """A model that is not in the data is a mistake, not an empty result."""
    with pytest.raises(InvalidValueError, match=r"models must be among those of here \(a, b\), but got 'z'"):
        data_of({"a", "b"}).dense_core(["a", "z"])


@pytest.mark.parametrize(
    ("instances", "models"),
    [([{"a"}, {"b"}], None), ([{"a"}], None), ([{"a", "b"}], ["a"]), ([{"a", "b"}, {"c"}], ["a", "c"])],
)
def test_a_choice_takes_two_models(instances: list[set[str]], models: list[str] | None) -> None:
    """Without an instance that two models have in common there is nothing to choose."""
    with pytest.raises(InvalidValueError, match="outcomes of at least two models for the same instance"):
        data_of(*instances).dense_core(models)


@given(st.lists(st.sets(st.sampled_from("abcdef"), min_size=1), min_size=1, max_size=12))
def test_the_core_is_dense_and_no_prefix_beats_it(instances: list[set[str]]) -> None:
    """Every model of the core has every instance; leaving out fewer or more rare models gives no more."""
    data = data_of(*instances)
    counts = {model_id: sum(model_id in each for each in instances) for model_id in data.models}
    by_coverage = sorted(counts, key=lambda model_id: (-counts[model_id], model_id))
    sizes = [
        length * sum(set(by_coverage[:length]) <= each for each in instances)
        for length in range(2, len(by_coverage) + 1)
    ]
    if max(sizes, default=0) == 0:
        with pytest.raises(InvalidValueError):
            data.dense_core()
        return
    core = data.dense_core()
    assert all(set(each.outcomes) == set(core.models) for each in core.instances)
    assert core.outcomes == max(sizes)


@needs_outcomes
@pytest.mark.parametrize(
    ("name", "outcomes", "models", "instances", "task_types"),
    [
        ("metr_runs_2025_01", 6848, 7, 587, 36),
        ("llmdrift_2023", 6200, 4, 1550, 4),
        ("swebench_pro", 6606, 7, 650, 11),
        ("swebench_bash_only", 12000, 24, 500, 12),
    ],
)
def test_the_recorded_files_have_the_cores_they_are_known_for(
    name: str, outcomes: int, models: int, instances: int, task_types: int
) -> None:
    """The four files of recorded outcomes are read whole, and their cores are as large as their README says."""
    data = read_outcomes(SHARED / f"{name}.csv.gz")
    core = data.dense_core()
    assert (data.outcomes, data.duplicates, data.unknown) == (outcomes, 0, 0)
    assert (len(core.models), len(core.instances)) == (models, instances)
    assert len(data.task_types) == task_types
