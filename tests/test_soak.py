"""Soak runs, as short as they still tell something; ``tests/soak`` has the long ones."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "soak"))

import kills


@pytest.mark.slow
def test_fault_29_a_search_that_is_killed_at_random_moments_ends_as_an_undisturbed_one():
    ended = kills.soak(10, seed=1)
    assert ended["driver"] + ended["worker"] == 10
