"""Every numbered fault has a test that names its number: ``test_fault_29_…``, or several, ``test_fault_17_18_19_…``."""

import ast
import re
from pathlib import Path

FAULTS = range(1, 54)


def test_every_fault_has_a_test_that_names_it():
    named = set()
    for path in Path(__file__).parent.glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            found = re.match(r"test_fault((?:_\d\d)+)_", getattr(node, "name", "") or "")
            named |= {int(number) for number in found[1].split("_")[1:]} if found else set()
    assert named == set(FAULTS)
