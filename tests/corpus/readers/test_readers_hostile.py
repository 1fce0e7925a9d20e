"""A part of the suite of hostile files; ``tests/soak/hostile_files.py`` has thousands of them."""

import hostile_files
import pytest


@pytest.mark.timeout(480)
@pytest.mark.parametrize(("variants", "seed"), [(4, 7), pytest.param(60, 8, marks=pytest.mark.slow)])
def test_no_hostile_file_gets_further_than_a_sentence(variants, seed):
    found = hostile_files.attack(variants, seed)
    assert found["findings"] == 0
    assert sum(found["ends"].values()) == variants
    assert found["ends"]["exit 3"] > variants / 2
