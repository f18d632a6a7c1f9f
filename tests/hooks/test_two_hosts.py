"""Several hosts in one process, and one store shared by several processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pluggy
import pytest

from tests.hooks.conftest import Register
from tests.hooks.hosts import CANDIDATES, choose, complete, is_sound, samples

VISITOR = (
    "import sys, pluggy, modelperf_plugin as mp\n"
    "pm = pluggy.PluginManager('visitor')\n"
    "plugin = mp.register(pm, {}, store=sys.argv[1])\n"
    "for _ in range(int(sys.argv[2])):\n"
    "    pm.hook.on_task_complete(task_type='plan', model_id='gpt-4o', outcome={'success': True}, decision=None)\n"
    "print(sum(tally.samples for tally in plugin.engine().store.tallies.all()))\n"
    "plugin.close()\n"
)


def visit(path: Path, outcomes: int = 0) -> int:
    """Let another process record so many outcomes and leave; return how many there are then, as it sees it."""
    arguments = [sys.executable, "-W", "error", "-c", VISITOR, str(path), str(outcomes)]
    return int(subprocess.run(arguments, check=True, capture_output=True).stdout)


@pytest.mark.parametrize("projects", [("one", "two"), ("same", "same")])
def test_two_hosts_with_a_store_each(projects: tuple[str, str], register: Register, tmp_path: Path) -> None:
    """Two hosts with stores of their own know nothing of each other, whatever their project names."""
    first, second = (pluggy.PluginManager(project) for project in projects)
    mine, yours = (register(pm, store=tmp_path / f"{n}.db") for n, pm in enumerate((first, second)))
    complete(first)
    assert (samples(mine.engine()), samples(yours.engine())) == ({"gpt-4o": 1}, {})
    mine.close()
    assert choose(first) is None
    assert choose(second).model_id in CANDIDATES


@pytest.mark.parametrize("projects", [("one", "two"), ("same", "same")])
def test_two_hosts_with_one_store(projects: tuple[str, str], register: Register, path: Path) -> None:
    """What one host records counts at the next choice of the other; one of them may end before the other."""
    first, second = (pluggy.PluginManager(project) for project in projects)
    mine, yours = register(first), register(second)
    for number in range(1, 4):
        complete(first)
        assert samples(yours.engine()) == {"gpt-4o": 2 * number - 1}
        complete(second)
        assert samples(mine.engine()) == {"gpt-4o": 2 * number}
    mine.close()
    complete(second)
    assert samples(yours.engine()) == {"gpt-4o": 7}
    assert is_sound(path)


def test_another_process_counts_at_the_next_choice(pm: pluggy.PluginManager, register: Register, path: Path) -> None:
    """Outcomes of another process are in the very next decision."""
    register(pm)
    complete(pm)
    assert choose(pm).ranking.of("gpt-4o").tally.samples == 1
    assert visit(path, outcomes=3) == 4
    assert choose(pm).ranking.of("gpt-4o").tally.samples == 4


def test_a_visitor_does_not_take_the_log_away_from_two_hosts(register: Register, path: Path) -> None:
    """With two hosts of one process on one file, another process that comes and goes costs no later outcome."""
    first, second = pluggy.PluginManager("one"), pluggy.PluginManager("two")
    register(first)
    register(second)
    complete(first)
    assert visit(path) == 1
    for pm in (first, second) * 3:
        complete(pm)
    assert visit(path) == 7
