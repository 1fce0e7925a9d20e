"""Soak runs, as short as they still tell something; ``tests/soak`` has the long ones."""

import json
import subprocess
import sys

import commands
import kills
import many_runs
import pytest
import runs
from paths import TESTS

pytestmark = pytest.mark.alone


@pytest.mark.slow
def test_fault_29_a_search_that_is_killed_at_random_moments_ends_as_an_undisturbed_one():
    ended = kills.soak(3, seed=1)
    assert sum(ended.get(kind, 0) for kind in ("driver", "worker", "stopped")) == 3


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_number_of_workers_changes_nothing(model_folders, corpus_folder, tmp_path):
    found = []
    for workers in (1, 2, 4):
        folder = tmp_path / str(workers)
        folder.mkdir()
        options = runs.small(model_folders["llama"], corpus_folder, folder)
        ended = commands.spawn(
            "search", options.corpus, "--model", options.model.model, "--workers", workers, "--max-evaluations", 12,
            "--config", options.config, "--leaderboard", options.leaderboard, "--json",
        )  # fmt: skip
        assert ended.code == 0, ended.err
        found.append(runs.facts(options.leaderboard, json.loads(ended.out)))
    assert found[1:] == [found[0]] * 2


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_hostile_leaderboards_bring_no_command_down():
    """In a process of its own, since it is judged by the most memory that its process ever held."""
    suite = TESTS / "soak" / "hostile_leaderboards.py"
    ended = subprocess.run(
        [sys.executable, suite, "--variants", "60", "--seed", "2"], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    found = json.loads(ended.stdout.splitlines()[-1])
    assert (found["variants"], found["faults"]) == (60, 0)


@pytest.mark.slow
def test_adding_and_listing_take_no_memory_of_all_runs():
    assert max(values["mb"] for values in many_runs.measure(2_000).values()) < 200
