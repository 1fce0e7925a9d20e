"""An ordered map over workers: processes of this machine, or actors of a Ray cluster."""

import os
import platform
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from autoprompt.errors import InputError, UsageError, WorkerLostError
from autoprompt.execution import Executor, LocalExecutor, default_workers, environments, worker_count
from autoprompt.execution.heap import EVERY

pytestmark = pytest.mark.alone

_STARTED: list[str] = []


def _start(folder: str = "") -> None:
    _STARTED.append(folder)
    if folder:
        (Path(folder) / f"{os.getpid()}.{len(_STARTED)}").touch()


def _refuse() -> None:
    raise InputError("The model in x cannot be loaded.")


def _slow_square(number: int) -> int:
    time.sleep(0.05 * (number % 3))
    return number * number


def _fail_at_two(number: int) -> int:
    if number == 2:
        raise InputError("two is wrong")
    return number


def _mark(item: tuple[str, int]) -> int:
    (Path(item[0]) / f"item{item[1]}").touch()
    return item[1]


def _die(item: tuple[str, int]) -> int:
    """Item 1 ends its process the first so many times."""
    folder, times = item
    died = len(list(Path(folder).glob("died*")))
    if died < times:
        (Path(folder) / f"died{died}").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.05)
    return died


class _Stubborn:
    """Something that can be made in a process, and sent nowhere."""

    def __reduce__(self) -> str:
        raise TypeError("this stays here")


def _stubborn(_: int) -> Any:
    return _Stubborn()


class _TwoPartError(Exception):
    """An error that pickle cannot make again."""

    def __init__(self, one: str, other: str) -> None:
        super().__init__(one + other)


def _raise_two_parts(_: int) -> None:
    raise _TwoPartError("one", "other")


def _said(item: Any, why: str) -> str:
    return f"{item}: {why}"


_DRIVER = """
import sys
import tests.execution.test_ordered_map as tests
if __name__ == "__main__":
    executor = tests.LocalExecutor(2, tests._start, ())
    print(*{facts["pid"] for facts in executor.map(tests._facts, range(6))}, flush=True)
    list(executor.map(tests._sleep, range(int(sys.argv[1]))))
    sys.stdin.read()
"""


def _sleep(number: int) -> int:
    time.sleep(60)
    return number


def _pid(_: int) -> int:
    time.sleep(0.1)
    return os.getpid()


def _stop_itself(number: int) -> int:
    os.kill(os.getpid(), signal.SIGSTOP)
    return number


def _visible(number: int) -> str:
    time.sleep(0.2 if number < 2 else 0)
    return os.environ["CUDA_VISIBLE_DEVICES"]


def _facts(_: int) -> dict[str, Any]:
    import torch
    from threadpoolctl import threadpool_info

    return {
        "pid": os.getpid(),
        "torch": torch.get_num_threads(),
        "pools": [pool["num_threads"] for pool in threadpool_info()],
        "variable": os.environ["OMP_NUM_THREADS"],
        "interrupt": signal.getsignal(signal.SIGINT) == signal.SIG_IGN,
        "started": len(_STARTED),
    }


_KEPT: list[bytes] = []


def _own_memory() -> float:
    """MiB of anonymous pages."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


def _scatter(mebibytes: int) -> float:
    """Free so much in pieces, and keep the last, behind which none of it can be cut off."""
    pieces = [b"x" * (1 << 20) for _ in range(mebibytes)]
    _KEPT.append(pieces[-1])
    del pieces
    return _own_memory()


def _multiply(rows: range) -> float:
    """Products of ever other numbers of rows."""
    import torch
    from torch import nn

    from autoprompt.models.acceleration.onednn import pack

    network = nn.Sequential(nn.Linear(576, 64)).requires_grad_(False)
    pack(network, ["0"])
    with torch.no_grad():
        for number in rows:
            network(torch.zeros(number, 576))
    return _own_memory()


glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="reads what glibc's malloc keeps")


Started = Callable[..., Any]
"""A context with an executor, of so many workers, an initializer and its arguments."""


@contextmanager
def _closing(executor: Executor[Any]) -> Iterator[Executor[Any]]:
    try:
        yield executor
    finally:
        executor.close()


def _local(workers: int, initializer: Any = _start, arguments: tuple[Any, ...] = ()) -> Any:
    return _closing(LocalExecutor(workers, initializer, arguments))


@pytest.fixture(params=["local", pytest.param("ray", marks=pytest.mark.slow)])
def started(request: pytest.FixtureRequest) -> Started:
    """Of both kinds: their users see no difference."""
    if request.param == "local":
        return _local
    cluster = request.getfixturevalue("own_cluster")
    from autoprompt.execution.ray_cluster import RayExecutor

    def ray(workers: int, initializer: Any = _start, arguments: tuple[Any, ...] = ()) -> Any:
        return _closing(RayExecutor(cluster, workers, initializer, arguments))

    return ray


def _alive(pid: int) -> bool:
    """Whether the process goes on; one that has ended and that nobody asked for its end does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline, "it has not come true within 20 seconds"
        time.sleep(0.05)


def test_results_come_in_the_order_of_the_items_and_an_initializer_runs_once_a_worker(
    started: Started, tmp_path: Path
) -> None:
    with started(2, _start, (str(tmp_path),)) as executor:
        items = list(range(9))
        assert list(executor.map(_slow_square, items)) == [n * n for n in items]
        assert list(executor.map(_slow_square, [])) == []
        assert list(executor.map(_slow_square, [3])) == [9]
        started = sorted(path.name for path in tmp_path.iterdir())
        assert 1 <= len(started) <= 2
        assert all(name.endswith(".1") for name in started)


def test_workers_have_one_thread_and_leave_interrupts_to_the_driver() -> None:
    with _local(1) as executor:
        (facts,) = executor.map(_facts, [0])
    assert facts["pid"] != os.getpid()
    assert facts["torch"] == 1
    assert facts["pools"]
    assert set(facts["pools"]) == {1}
    assert facts["variable"] == "1"
    assert facts["interrupt"]
    assert facts["started"] == 1


@glibc
def test_a_worker_gives_back_what_its_tasks_have_freed(started: Started) -> None:
    with started(1) as executor:
        before, left, *_, after = executor.map(_scatter, [1, 500, *[1] * EVERY])
    assert left > before + 450  # what a task frees is there for the next
    assert after < before + 50


@glibc
def test_a_worker_does_not_grow_with_every_new_number_of_rows(started: Started) -> None:
    with started(1) as executor:
        first, last = executor.map(_multiply, [range(1, 201), range(201, 501)])
    assert last < first + 110  # with torch's own limits 220; what is freed lies in pieces, ever other ones


@pytest.mark.parametrize("allowed", [0, 1, 3])
def test_a_gate_lets_a_beginning_through(started: Started, tmp_path: Path, allowed: int) -> None:
    asked = []

    def gate() -> bool:
        asked.append(None)
        return len(asked) <= allowed

    with started(2) as executor:
        items = [(str(tmp_path), n) for n in range(6)]
        assert list(executor.map(_mark, items, gate)) == list(range(allowed))
        assert len(asked) == allowed + 1  # never asked again after its first False
        assert {path.name for path in tmp_path.iterdir()} == {f"item{n}" for n in range(allowed)}


def test_what_is_there_is_given_out_before_anything_is_waited_for(started: Started) -> None:
    given: list[int] = []
    idle: list[int] = []
    with started(2) as executor:
        given.extend(executor.map(_slow_square, range(6), idle=lambda: idle.append(len(given))))
    assert given == [n * n for n in range(6)]
    assert idle[0] == 0
    assert idle == sorted(idle)


def test_a_failing_task_reaches_the_caller_and_the_workers_live_on(started: Started) -> None:
    with started(2) as executor:
        results = executor.map(_fail_at_two, range(5))
        assert [next(results), next(results)] == [0, 1]
        with pytest.raises(InputError, match="two is wrong"):
            next(results)
        assert list(executor.map(_slow_square, [4])) == [16]


def test_what_an_initializer_says_reaches_the_caller(started: Started) -> None:
    with started(1, _refuse) as executor, pytest.raises(InputError, match="The model in x cannot be loaded"):
        list(executor.map(_slow_square, [1]))


@pytest.mark.timeout(120)
@pytest.mark.parametrize("times", [1, 2])
def test_fault_30_what_a_killed_worker_had_is_done_by_another(started: Started, tmp_path: Path, times: int) -> None:
    with started(2) as executor:
        items = [(str(tmp_path), times), *[(str(tmp_path), 0)] * 3]
        assert next(executor.map(_die, items)) == times
        assert list(executor.map(_slow_square, range(4))) == [0, 1, 4, 9]


@pytest.mark.timeout(120)
def test_fault_30_after_two_retries_a_task_is_lost_and_the_others_are_not(started: Started, tmp_path: Path) -> None:
    with started(2) as executor:
        items = [(str(tmp_path), 0), (str(tmp_path), 3), (str(tmp_path), 0)]
        found = list(executor.map(_die, items, lost=lambda item, why: f"{item[1]}: {why}"))
        assert found[1].startswith("3: its process ended unexpectedly 3 times, the last time ")
        assert "signal 9: killed, or no memory left" in found[1] or "Ray says: The actor " in found[1]
        assert [type(value) for value in (found[0], found[2])] == [int, int]
        for path in tmp_path.iterdir():
            path.unlink()
        with pytest.raises(WorkerLostError, match="fewer workers"):
            list(executor.map(_die, items))
        assert list(executor.map(_slow_square, [1])) == [1]


@pytest.mark.timeout(60)
def test_fault_26_a_task_that_hangs_is_ended_and_not_repeated(started: Started) -> None:
    with started(2) as executor:
        pids = {facts["pid"] for facts in executor.map(_facts, range(4))}
        started = time.monotonic()
        (found,) = executor.map(_sleep, [5], limit=0.5, lost=_said)
        assert found == "5: it took longer than 0.5 seconds"
        assert time.monotonic() - started < 30
        _wait_until(lambda: sum(_alive(pid) for pid in pids) == len(pids) - 1)
        assert list(executor.map(_slow_square, range(4), limit=60)) == [0, 1, 4, 9]


_UNGUARDED = """
from autoprompt.execution import LocalExecutor
print("started")
executor = LocalExecutor(2, print, ())
print(list(executor.map(abs, [-1, -2, -3])))
executor.close()
"""


@pytest.mark.parametrize("how", ["script", "stdin", "-c", "-m", "notebook"])
def test_a_program_needs_no_main_guard(tmp_path: Path, how: str) -> None:
    """Workers do not import it."""
    (tmp_path / "script.py").write_text(_UNGUARDED)
    cell = f"import code; code.InteractiveInterpreter().runcode(compile({_UNGUARDED!r}, 'cell', 'exec'))"
    started = {
        "script": ["script.py"], "stdin": ["-"], "-c": ["-c", _UNGUARDED], "-m": ["-m", "script"],
        "notebook": ["-c", cell],
    }  # fmt: skip
    ran = subprocess.run(
        [sys.executable, *started[how]], capture_output=True, text=True, check=False, cwd=tmp_path, timeout=60,
        input=_UNGUARDED if how == "stdin" else "", env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert ran.stdout.splitlines() == ["started", "[1, 2, 3]"], ran.stderr
    assert ran.returncode == 0
    assert "Traceback" not in ran.stderr


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five looks at a stopped process take a quarter of a second."""
    monkeypatch.setattr("autoprompt.execution.local._LOOK_SECONDS", 0.05)


@pytest.mark.timeout(60)
@pytest.mark.usefixtures("impatient")
def test_a_stopped_worker_is_ended_and_what_it_had_is_done_by_another() -> None:
    with _local(2) as executor:
        pids = set(executor.map(_pid, range(4)))
        results = executor.map(_slow_square, [1] * 20 + [3], limit=1000)
        assert next(results) == 1
        os.kill(min(pids), signal.SIGSTOP)
        assert sum(results) == 19 + 9
        _wait_until(lambda: not _alive(min(pids)))
        (said,) = executor.map(_stop_itself, [5], lost=_said)
        assert said.startswith("5: its process ended unexpectedly 3 times, the last time because it was stopped (SIG")
        assert list(executor.map(_slow_square, [4])) == [16]


@pytest.mark.timeout(60)
def test_a_stopped_worker_is_ended_with_the_others() -> None:
    with _local(2) as executor:
        pids = set(executor.map(_pid, range(4)))
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
    assert not any(_alive(pid) for pid in pids), "closing waits for none, and leaves none"


@pytest.mark.timeout(60)
@pytest.mark.usefixtures("impatient")
def test_what_is_too_large_for_a_stopped_workers_socket_is_not_waited_for() -> None:
    with _local(1) as executor:
        (pid,) = executor.map(_pid, [0])
        os.kill(pid, signal.SIGSTOP)
        assert list(executor.map(len, [b"x" * (16 << 20)])) == [16 << 20]


def test_what_cannot_be_sent_is_an_error_and_no_hang(started: Started) -> None:
    with started(1) as executor:
        with pytest.raises(TypeError, match="this stays here"):
            list(executor.map(_stubborn, [1]))
        with pytest.raises(TypeError, match="this stays here"):
            list(executor.map(_slow_square, [_Stubborn()]))  # type: ignore[list-item]
        with pytest.raises((TypeError, RuntimeError), match="other"):
            list(executor.map(_raise_two_parts, [1]))
        assert list(executor.map(_slow_square, [4])) == [16]


def test_what_nobody_waits_for_any_more_disturbs_no_later_task(started: Started) -> None:
    with started(2) as executor:
        results = executor.map(_slow_square, [3, 2, 1, 5])
        assert next(results) == 9
        results.close()
        assert list(executor.map(_slow_square, range(5))) == [0, 1, 4, 9, 16]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("tasks", [0, 2])
def test_fault_29_no_worker_outlives_a_killed_driver(tasks: int) -> None:
    driver = subprocess.Popen(
        [sys.executable, "-c", _DRIVER, str(tasks)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert driver.stdout is not None
    pids = [int(pid) for pid in driver.stdout.readline().split()]
    assert pids
    assert all(_alive(pid) for pid in pids)
    driver.kill()
    driver.wait()
    _wait_until(lambda: not any(_alive(pid) for pid in pids))


@pytest.mark.timeout(60)
def test_no_process_is_left_after_close_even_in_the_middle_of_work(started: Started) -> None:
    lost = []

    def wait_for_ever() -> None:
        try:
            list(executor.map(_sleep, range(4)))
        except WorkerLostError as error:
            lost.append(error)

    with started(2) as executor:
        pids = {facts["pid"] for facts in executor.map(_facts, range(6))}
        assert all(_alive(pid) for pid in pids)
        waiting = threading.Thread(target=wait_for_ever, daemon=True)
        waiting.start()
        time.sleep(0.5)
    _wait_until(lambda: not any(_alive(pid) for pid in pids))
    waiting.join(20)
    assert len(lost) == 1


def test_default_workers_are_the_cores_this_process_may_use() -> None:
    assert default_workers() == len(os.sched_getaffinity(0))


def test_one_worker_a_gpu_and_as_many_as_are_asked_for() -> None:
    count = partial(worker_count, cores=8, gpus=4, most=64)
    assert count("cpu", None, None) == 8
    assert count("cuda", None, None) == 4
    assert count("cuda", None, 3) == 12
    assert count("cuda:1", None, 2) == 2
    assert count("mps", None, None) == 1
    assert count("cuda", 5, None) == count("cpu", 5, None) == 5
    for wrong in (("cpu", 0, None), ("cuda", None, 0), ("cpu", None, 2), ("cpu", 65, None), ("cuda", None, 10**9)):
        with pytest.raises(UsageError, match="workers"):
            count(*wrong)


def test_each_worker_has_one_gpu_and_its_share_of_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr("autoprompt.execution.placement.default_workers", lambda: 8)
    found = environments("cuda", 4, 2)
    assert [own["CUDA_VISIBLE_DEVICES"] for own in found] == ["0", "1", "0", "1"]
    assert {own["RAYON_NUM_THREADS"] for own in found} == {"2"}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5, GPU-8a")
    assert [own["CUDA_VISIBLE_DEVICES"] for own in environments("cuda", 3, 2)] == ["5", "GPU-8a", "5"]
    for device, gpus in (("cpu", 2), ("cuda:1", 2), ("cuda", 1)):
        assert environments(device, 16, gpus) == [{"RAYON_NUM_THREADS": "1"}] * 16


def test_a_worker_has_variables_of_its_own() -> None:
    executor = LocalExecutor(2, _start, (), environments=[{"CUDA_VISIBLE_DEVICES": str(n)} for n in range(2)])
    with _closing(executor):
        assert set(executor.map(_visible, range(6))) == {"0", "1"}


def test_an_item_whose_result_would_come_too_late_is_given_up_and_its_worker_works_on(started: Started) -> None:
    """Without ``late`` it counts as lost. Items that end in time are what they are."""
    with started(2) as executor:
        left = iter([None, 0.2, None, None])
        late = executor.map(_nap, [0, 60, 0, 0], left=lambda: next(left), late=lambda item: -item)
        assert list(late) == [0, -60, 0, 0]
        lost = executor.map(_nap, [60], left=lambda: 0.2, lost=_said)
        assert list(lost) == ["60: no time was left for it"]
        assert list(executor.map(_nap, [0, 0, 0])) == [0, 0, 0]


def _nap(seconds: int) -> int:
    time.sleep(seconds)
    return seconds
