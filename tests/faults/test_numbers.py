"""The table of faults and the tests name the same numbers: ``test_fault_29_…``, or ``test_fault_17_18_19_…``."""

import ast
import re

from paths import TESTS


def test_every_fault_has_a_test_that_names_it():
    table = (TESTS / "faults" / "README.md").read_text(encoding="utf-8")
    listed = [int(number) for number in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)]
    assert listed == list(range(1, len(listed) + 1))
    named = set()
    for path in TESTS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            found = re.match(r"test_fault((?:_\d\d)+)_", getattr(node, "name", "") or "")
            named |= {int(number) for number in found[1].split("_")[1:]} if found else set()
    assert named == set(listed)
