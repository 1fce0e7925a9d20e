"""Tests lie where their code lies: ``tests/optimizer/test_racing.py`` for ``autoprompt/optimizer/racing.py``."""

from paths import ROOT, TESTS

APART = {"repository", "faults", "support", "soak", "site", "benchmarks", "example"}
"""Folders of the tests without a package: the project as a whole, the table of faults, helpers and long runs."""


def stray(tests, package):
    """The test files that name no module beside which they lie."""
    found = []
    for path in sorted(tests.rglob("test_*.py")):
        room = path.relative_to(tests).parent
        if room.parts and room.parts[0] in APART:
            continue
        names = {one.stem for one in (package / room).glob("*") if one.stem != "__init__"} | {room.name}
        told = path.stem.removeprefix("test_")
        if not any(told == name or told.startswith(f"{name}_") for name in names if name):
            found.append(path.relative_to(tests).as_posix())
    return found


def test_every_test_file_is_named_after_a_module_or_the_package_that_it_lies_in():
    assert stray(TESTS, ROOT / "autoprompt") == []


def test_a_stray_file_is_found(tmp_path):
    tests = ("room/test_told.py", "room/test_door.py", "room/test_door_key.py", "test_top.py", "gone/test_x.py")
    for name in (*(f"tests/{test}" for test in tests), "package/room/door.py", "package/top.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert stray(tmp_path / "tests", tmp_path / "package") == ["gone/test_x.py", "room/test_told.py"]
