"""Ctrl-C at every point of a transaction at which Python lets a signal through."""

import sys
from collections.abc import Callable

import pytest
from boards import RUN, a_run, an_evaluation

from autoprompt.leaderboard import Leaderboard, Step

_POINTS = {"call", "c_return"}
"""CPython looks for signals as a Python function begins, and once a C function has returned."""
_STEPS = [Step(RUN, "task", "k", {"a": 1}, 0.5)]


def _interrupted(function: Callable[[], object], at: int) -> bool:
    """Whether the function has so many of these points; it was interrupted at the last of them."""
    left = at

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal left
        left -= event in _POINTS
        if left == 0 and event in _POINTS:
            raise KeyboardInterrupt

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        function()
    except KeyboardInterrupt:
        return True
    finally:
        sys.setprofile(before)
    return False


@pytest.mark.parametrize("step", [5, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("act", "stored"),
    [
        (lambda board: board.add([an_evaluation("a" * 64)], _STEPS), {(0, 0), (1, 1)}),
        (lambda board: board.attach(_STEPS), {(0, 0), (0, 1)}),
        (lambda board: board.evaluations(RUN), {(0, 0)}),
        (lambda board: board.attached(Step, RUN), {(0, 0)}),
    ],
    ids=["add", "attach", "evaluations", "attached"],
)
def test_a_run_interrupted_anywhere_is_marked_as_stopped_with_all_or_nothing(tmp_path, act, stored, step):
    path = tmp_path / "lb.sqlite"
    found = set()
    at, interrupted = 1 - step, True
    while interrupted:
        at += step
        path.unlink(missing_ok=True)
        with Leaderboard.open(path) as board:
            board.start_run(a_run())
            interrupted = _interrupted(lambda: act(board), at)
            board.finish_run(RUN, "stopped")
        with Leaderboard.open(path, read_only=True) as board:
            assert board.run(RUN).status == "stopped"
            found.add((len(board.evaluations(RUN)), len(board.attached(Step, RUN))))
    assert at > 10
    assert found == stored
