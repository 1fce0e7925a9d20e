"""A Ray cluster of several nodes on this machine: the same results as here, whatever happens to the nodes."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import commands
import pytest
import runs

import autoprompt
from autoprompt import run
from autoprompt.errors import UsageError
from autoprompt.execution import LocalExecutor, scratch
from autoprompt.leaderboard import Leaderboard
from autoprompt.manifest import files_of
from autoprompt.progress import Silent
from autoprompt.run import ModelOptions
from autoprompt.run.backends import open_backend
from autoprompt.run.backends.ray import check_node, node_facts

pytestmark = pytest.mark.alone

Process = subprocess.Popen[str]
EVALUATIONS = 12
MINUTE = 60.0


class Nodes:
    """A cluster whose head has no core; nodes come and go."""

    def __init__(self, folder: Path) -> None:
        from ray.cluster_utils import Cluster

        self.folder = folder
        self.cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})

    @property
    def address(self) -> str:
        return str(self.cluster.address)

    def add(self, name: str, **variables: str) -> Any:
        """A node with one core and a folder for temporary files of its own."""
        (self.folder / name).mkdir()
        return self.cluster.add_node(num_cpus=1, env_vars={"TMPDIR": str(self.folder / name), **variables})

    def kill(self, node: Any) -> None:
        self.cluster.remove_node(node, allow_graceful=False)


@pytest.fixture
def nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Nodes]:
    monkeypatch.setenv("PYTHONPATH", str(Path(autoprompt.__file__).parent.parent))
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.chdir(tmp_path)  # which Ray's workers look into for modules
    found = Nodes(tmp_path)
    yield found
    found.cluster.shutdown()


@pytest.fixture(scope="module")
def expected(model_folders: dict[str, Path], corpus_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The digest of the search in this process."""
    folder = tmp_path_factory.mktemp("local")
    options = runs.small(model_folders["llama"], corpus_folder, folder)
    options = run.SearchOptions(**vars(options) | {"max_evaluations": EVALUATIONS})
    with commands.inline():
        result = run.search(options, Silent()).to_dict()
    return digest(options.leaderboard, result["run"])


def digest(leaderboard: Path, reference: str) -> str:
    with Leaderboard.open(leaderboard, read_only=True) as board:
        return board.digest(board.run(reference).id)


def started(nodes: Nodes, model: Path, corpus: Path, *more: object) -> Process:
    """The search on the cluster, as a process of its own."""
    folder = nodes.folder
    (folder / "small.toml").write_text(runs.SMALL)
    return commands.start(
        "search", corpus, "--model", model, "--max-evaluations", EVALUATIONS, "--config", folder / "small.toml",
        "--fix", "epochs=1", "--no-refit", "--unlabeled", runs.more_rows(folder), "--leaderboard", folder / "lb.sqlite",
        "--name", "there", "--json",
        "--executor", "ray", "--ray-address", nodes.address, *more,
    )  # fmt: skip


def ended(process: Process, code: int = 0) -> tuple[str, str]:
    out, err = process.communicate(timeout=2 * MINUTE)
    assert process.returncode == code, err
    return out, err


def wait_for_evaluations(leaderboard: Path, count: int, process: Process) -> None:
    """Until so many are stored."""
    deadline = time.monotonic() + MINUTE
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        if leaderboard.exists():
            with Leaderboard.open(leaderboard, read_only=True) as board:
                if board.runs() and len(board.evaluations(board.runs()[0].id)) >= count:
                    return
        time.sleep(0.1)
    raise AssertionError("nothing was evaluated within a minute")


def left_behind(folder: Path) -> list[str]:
    return [path.name for path in folder.glob("*/autoprompt-*")]


@contextmanager
def bare_node(nodes: Nodes, model: Path) -> Iterator[None]:
    """A node with one core where the model's folder is empty; to hide it takes root, and others get it full."""
    hide = 'mount -t tmpfs none "$0" && exec "$@"'
    start = [Path(sys.executable).parent / "ray", "start", "--address", nodes.address, "--num-cpus", "1", "--block"]
    able = os.geteuid() == 0 and shutil.which("unshare")
    (nodes.folder / "bare").mkdir()
    with (nodes.folder / "bare.log").open("w") as log:
        process = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", hide, model, *start] if able else start,
            stdout=log, stderr=log, start_new_session=True, env=os.environ | {"TMPDIR": str(nodes.folder / "bare")},
        )  # fmt: skip
    try:
        yield
    finally:
        process.terminate()
        process.wait(MINUTE)


@pytest.mark.slow
def test_fault_52_two_nodes_give_what_one_process_gives(
    nodes: Nodes, model_folders: dict[str, Path], corpus_folder: Path, expected: str
) -> None:
    """One of them has not the model's files, which are brought there."""
    nodes.add("one")
    with bare_node(nodes, model_folders["llama"]):
        out, _ = ended(started(nodes, model_folders["llama"], corpus_folder, "--workers", 2))
    assert digest(nodes.folder / "lb.sqlite", json.loads(out)["run"]) == expected
    with Leaderboard.open(nodes.folder / "lb.sqlite", read_only=True) as board:
        assert board.runs()[0].config.workers == 2
    assert left_behind(nodes.folder) == []


@pytest.mark.slow
def test_a_node_killed_half_way_changes_no_result(
    nodes: Nodes, model_folders: dict[str, Path], corpus_folder: Path, expected: str
) -> None:
    nodes.add("one")
    victim = nodes.add("two")
    process = started(nodes, model_folders["llama"], corpus_folder, "--workers", 2)
    wait_for_evaluations(nodes.folder / "lb.sqlite", 10, process)
    nodes.kill(victim)
    out, _ = ended(process)
    assert digest(nodes.folder / "lb.sqlite", json.loads(out)["run"]) == expected


@pytest.mark.slow
def test_a_driver_that_is_stopped_and_one_that_is_lost_are_resumed(
    nodes: Nodes, model_folders: dict[str, Path], corpus_folder: Path, expected: str
) -> None:
    nodes.add("one")
    board = nodes.folder / "lb.sqlite"
    process = started(nodes, model_folders["llama"], corpus_folder, "--workers", 1)
    wait_for_evaluations(board, 6, process)
    os.killpg(process.pid, signal.SIGINT)
    _, err = ended(process, 130)
    assert "Stopped; go on with: autoprompt resume" in err
    assert left_behind(nodes.folder) == []
    with Leaderboard.open(board, read_only=True) as stopped:
        assert stopped.run("there").status == "stopped"
        count = len(stopped.evaluations())
    again = ("resume", "there", "--leaderboard", board, "--executor", "ray", "--ray-address", nodes.address)
    process = commands.start(*again)
    wait_for_evaluations(board, count + 4, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    done = commands.spawn(*again)
    assert done.code == 0, done.err
    assert digest(board, "there") == expected


@pytest.mark.slow
def test_unfit_nodes_are_left_out_no_free_core_is_said_and_a_node_that_joins_late_is_used(
    nodes: Nodes, model_folders: dict[str, Path], corpus_folder: Path, expected: str
) -> None:
    (nodes.folder / "without").mkdir()
    (nodes.folder / "without" / "autoprompt.py").write_text("raise ImportError('there is no autoprompt here')\n")
    nodes.add("lacking", PYTHONPATH=str(nodes.folder / "without"))
    process = started(nodes, model_folders["llama"], corpus_folder, "--workers", 1)
    _, err = ended(process, UsageError.exit_code)
    assert "there is no autoprompt here" in err.splitlines()[-1]
    assert err.splitlines()[-1].endswith("install the same there as here.")
    package = nodes.folder / "other" / "autoprompt"
    shutil.copytree(Path(autoprompt.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    with (package / "errors.py").open("a") as file:
        file.write("# changed\n")
    nodes.add("older", PYTHONPATH=str(package.parent))
    process = started(nodes, model_folders["llama"], corpus_folder, "--workers", 3, "--name", "three")
    assert process.stderr is not None
    said = []
    while "Ray has no free CPU for 1 of 3 workers: they start when" not in "".join(said[-1:]):
        said.append(process.stderr.readline())
        assert said[-1], "".join(said)
    nodes.add("late")
    out, _ = ended(process)
    other = r"is left out: it has autoprompt [0-9a-f]{12} where this machine has [0-9a-f]{12}"
    assert re.search(other, "".join(said))
    assert digest(nodes.folder / "lb.sqlite", json.loads(out)["run"]) == expected


def _read(path: Any) -> tuple[str, str]:
    """Where it lies here, and what it holds."""
    folder = Path(path)
    return str(folder), (folder / "config.json").read_text()


def _nothing() -> None:
    """No initializer."""


@pytest.mark.slow
def test_files_that_a_node_lacks_are_brought_there_once(own_cluster: Any, tmp_path: Path) -> None:
    """Here the node has others at the same place."""
    import ray

    from autoprompt.execution.ray_cluster import RayExecutor

    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    carried = own_cluster.carry(folder, files_of(folder))
    executor = RayExecutor(own_cluster, 2, _nothing, ())
    assert set(executor.map(_read, [carried] * 4)) == {(str(folder), "{}")}
    executor.close()
    ray.get(ray.get_actor(own_cluster.name).parts.remote(str(folder / "config.json")))
    (folder / "config.json").write_text("another")
    executor = RayExecutor(own_cluster, 2, _nothing, ())
    ((place, content),) = set(executor.map(_read, [carried] * 4))
    assert (place != str(folder), content) == (True, "{}")
    executor.close()
    assert not Path(place).exists()


def _visible(number: int) -> tuple[int, str]:
    time.sleep(0.3 if number < 2 else 0.0)
    return os.getpid(), os.environ["CUDA_VISIBLE_DEVICES"]


@pytest.mark.slow
def test_workers_share_a_gpu_of_the_cluster(own_cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The GPU is Ray's word alone: nothing is computed on it."""
    from autoprompt.execution.ray_cluster import RayExecutor

    with open_backend(ModelOptions(executor="ray"), Silent()) as backend:
        assert (backend.device, backend.workers) == ("cuda", 1)
    with open_backend(ModelOptions(executor="ray", workers_per_gpu=2), Silent()) as backend:
        assert (backend.device, backend.workers) == ("cuda", 2)
        executor = backend.executor(_nothing, ())
        found = set(executor.map(_visible, range(6)))
        assert (len(found), {seen for _, seen in found}) == (2, {"0"})
        executor.close()
    with open_backend(ModelOptions(executor="ray", device="cpu"), Silent()) as backend:
        assert (backend.device, backend.workers) == ("cpu", 3)
    for device in ("mps", "cuda:1"):
        options = ModelOptions(executor="ray", device=device)
        with pytest.raises(UsageError, match="not available in the Ray cluster"), open_backend(options, Silent()):
            pass
    said: list[str] = []
    monkeypatch.setattr("autoprompt.execution.ray_cluster.PATIENCE", 0.1)
    monkeypatch.setattr(own_cluster, "tell", said.append)
    executor = RayExecutor(own_cluster, 2, _nothing, (), gpus=1.0)
    assert {seen for _, seen in executor.map(_visible, range(12))} == {"0"}
    executor.close()
    assert "Ray has no free GPU for 1 of 2 workers" in "".join(said)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("address", "said"), [("127.0.0.1:1", "cannot be joined"), ("ray://127.0.0.1:10001", "on a node of the cluster")]
)
def test_a_cluster_that_is_not_there(address: str, said: str, corpus_folder: Path, tmp_path: Path) -> None:
    board = tmp_path / "lb.sqlite"
    found = commands.spawn(
        "search", corpus_folder, "--executor", "ray", "--ray-address", address, "--leaderboard", board, timeout=60
    )
    commands.refused(found, 2, address, said)
    assert not board.exists()


def test_places_that_do_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    for options, said in (
        (ModelOptions(executor="slurm"), "unknown; use one of local, ray"),
        (ModelOptions(ray_address="auto"), "add executor='ray'"),
        (ModelOptions(workers=0), "workers is 0"),
        (ModelOptions(device="cpu", workers_per_gpu=2), "use workers"),
    ):
        with pytest.raises(UsageError, match=re.escape(said)), open_backend(options, Silent()):
            pass
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "autoprompt.execution.ray_cluster", raising=False)
    with pytest.raises(UsageError, match=r"pip install 'autoprompt-engine\[ray\]'"):
        open_backend(ModelOptions(executor="ray"), Silent()).__enter__()


def test_nodes_are_judged_by_what_scores_depend_on() -> None:
    own = node_facts("cpu")
    assert check_node("here", own, own) is None
    warned = check_node("old", own | {"kernels": "DEFAULT"}, own)
    assert warned is not None
    assert "last digits" in warned
    with pytest.raises(UsageError, match=r"The node old .*torch 1\.0 where this machine has 2"):
        check_node("old", own | {"torch": "1.0"}, own)
    with pytest.raises(UsageError, match="ModuleNotFoundError: no such thing"):
        check_node("old", "ModuleNotFoundError: no such thing", own)


def _join(name: str) -> str:
    folder = scratch.shared_folder(name)
    (folder / str(os.getpid())).touch()
    return str(folder)


def _work_in(folder: str) -> None:
    tempfile.tempdir = folder


def _leave(_: object) -> None:
    scratch.leave()


@pytest.mark.slow
def test_a_nodes_folder_goes_with_its_last_worker(tmp_path: Path) -> None:
    one, two = (LocalExecutor(1, _work_in, (str(tmp_path),)) for _ in range(2))
    names = [uuid.uuid4().hex for _ in range(2)]
    (first,), (second,) = one.map(_join, names[:1]), two.map(_join, names[:1])
    assert first == second == str(tmp_path / f"autoprompt-{names[0]}")
    assert len(list(Path(first).iterdir())) == 2
    list(one.map(_leave, [None]))
    assert Path(first).is_dir()
    list(two.map(_leave, [None]))
    assert list(tmp_path.iterdir()) == []
    list(one.map(_join, names[1:]))
    list(two.map(_join, names[1:]))
    one.close()  # as if killed: nothing is given up
    assert len(list(tmp_path.iterdir())) == 2
    list(two.map(_leave, [None]))
    assert list(tmp_path.iterdir()) == []
    two.close()
    assert tempfile.gettempdir() != str(tmp_path)
