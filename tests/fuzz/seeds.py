"""Where fuzzing starts: valid input of each way in, and every input that once did harm."""

from __future__ import annotations

import gzip
import json
import tempfile
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Final

import pytest
from click.testing import CliRunner

from modelperf_plugin.cli import modelperf
from modelperf_plugin.store import Entry
from modelperf_plugin.store.fallback.own_spool import Spool
from modelperf_plugin.values import Outcome
from tests.fuzz.ways_in import sample_store

FOLDER: Final = Path(__file__).parent / "seeds"
"""A folder for each way in, with a compressed file for each input that once did harm."""

_CSV: Final = b"""task_type,model_id,success,timeout,tokens_used,cost_usd,timestamp
code,a,1,0,10,0.01,2026-01-31T12:00:00+00:00
code,"b ""x"" y",0,1,,,1769860800000
"""
_JSON_LINES: Final = b"""{"task_type": "code", "model_id": "a", "success": true, "cost_usd": 0.01, "outcome_id": "1"}
{"taskType": "code", "modelId": "b", "success": false, "errorKind": "network", "timestamp": 1769860800000}
{"task_type": "code", "model_id": "b", "success": true, "tried": ["a", "c"]}
"""
_CONFIGURATION: Final = b"""mode = "apply"
[store]
durability = "full"
[ranking]
strategy = "success_rate"
[exploration]
strategy = "none"
[models."a"]
cost_usd = 0.01
prior_success = 0.8
prior_strength = 4
[task_types.code.demotion]
threshold = 0.4
[[federation]]
path = "other.db"
"""
_OLDER_TRACKER: Final = {
    "code": {
        "a": {
            "successes": 7,
            "failures": 3,
            "timeouts": 1,
            "totalTokens": 900,
            "totalCost": 0.5,
            "lastUsed": "2026-01-31",
        }
    }
}


@cache
def starting_points(name: str) -> list[bytes]:
    """Return the inputs that fuzzing of one way in starts with."""
    kept = [gzip.decompress(file.read_bytes()) for file in sorted((FOLDER / name).glob("*.gz"))]
    return [*_valid(name), *kept]


def _valid(name: str) -> list[bytes]:
    values = [bytes(range(start, start + 60)) for start in range(0, 180, 60)]
    return {
        "outcome": values,
        "context": values,
        "configuration": [_CONFIGURATION],
        "older_tracker": [json.dumps(_OLDER_TRACKER).encode()],
        "waiting_file": [_waiting_file()],
        "csv": [_CSV],
        "json_lines": [_JSON_LINES],
        "parquet": [_parquet()],
        "tracker_database": [sample_store()],
        "replay": [_CSV.replace(b"timestamp", b"task_id").replace(b"2026-01-31T12:00:00+00:00", b"1")],
        "merge": [_exported(form) for form in ("json", "csv")],
        "attached": [sample_store()],
        "database": [sample_store()],
    }[name]


def _waiting_file() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        spool = Spool(str(Path(folder, "p.db")), sync=False)
        spool.begin("the disk is full")
        spool.append([Entry("code", "a", Outcome(success=True, tokens_used=10, cost_usd=0.01), 1_769_860_800_000)])
        failure = Outcome(success=False, error_kind="network", outcome_id="x")
        spool.append([Entry("code", "b", failure, 1_769_860_800_001)])
        spool.append([Entry("code", "a", Outcome(success=True), 1_769_860_800_002, ("b", "c"))])
        spool.release()
        return next(Path(folder).glob("*.jsonl")).read_bytes()


def _exported(form: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        store, file = Path(folder, "p.db"), Path(folder, f"export.{form}")
        store.write_bytes(sample_store())
        arguments = ["export", "--store", str(store), "--format", form, "-o", str(file)]
        assert CliRunner().invoke(modelperf, arguments, catch_exceptions=False).exit_code == 0
        return file.read_bytes()


def _parquet() -> bytes:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = pa.table({
        "task_type": ["code", "code"], "model_id": ["a", "b"], "success": [True, False], "cost_usd": [0.01, None]
    })  # fmt: skip
    buffer = BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()
