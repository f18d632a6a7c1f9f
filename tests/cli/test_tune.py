"""``tune``: a proposed configuration."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import RANDOM_POLICY, Run


def test_a_proposal_is_written_beside_the_file_in_force(run: Run, live: tuple[str, str], tmp_path: Path) -> None:
    """Prints a diff and writes the proposal with its comments; the live file is unchanged."""
    config, store = live
    out = tmp_path / "new.toml"
    result = run("tune", "--config", config, "--store", store, "--output", str(out))
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("expected gain +")
    assert '-strategy = "success_rate"' in result.stdout.splitlines()
    assert out.read_text().startswith("# mine\n")
    assert Path(config).read_text() == RANDOM_POLICY
    assert run("tune", "--config", config, "--store", store, "--output", str(out)).exit_code == 2
    assert run("tune", "--config", config, "--store", store, "--output", config, "--force").exit_code == 2
    assert Path(config).read_text() == RANDOM_POLICY


def test_nothing_better_is_a_negative_finding(run: Run, live: tuple[str, str], tmp_path: Path) -> None:
    """Without a significant gain nothing is written, and the exit code is 1."""
    out = tmp_path / "new.toml"
    result = run("tune", "--config", live[0], "--store", live[1], "--task", "nothing", "--output", str(out))
    assert result.exit_code == 1
    assert not out.exists()
