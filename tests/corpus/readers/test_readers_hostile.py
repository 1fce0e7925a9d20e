"""A part of the suite of hostile files; ``tests/soak/hostile_files.py`` has thousands of them."""

import hostile_files
import pytest


@pytest.mark.slow
@pytest.mark.timeout(480)
def test_no_hostile_file_gets_further_than_a_sentence():
    found = hostile_files.attack(60, seed=8)
    assert found["findings"] == 0
    assert sum(found["ends"].values()) == 60
    assert found["ends"]["exit 3"] > 30
