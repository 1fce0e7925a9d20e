"""Tiny models and a tiny corpus, built once; ``--device`` runs the model contracts elsewhere than on the CPU."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import commands
import contract
import pytest
import runs
import scipy.linalg  # noqa: F401  # its threads are only limited once they are loaded
import tiny
import tiny_families
import torch
from plain import Plain
from threadpoolctl import threadpool_limits

from autoprompt.corpus import Corpus, load
from autoprompt.models import LanguageModel, load_model
from autoprompt.progress import Silent
from autoprompt.run import SearchOptions, search

CAUSAL = ("llama", "gpt2", "llama-closed")
"""With <s> before a text, with no special tokens, and with both <s> and </s> and trimmed character spans."""


def pytest_xdist_auto_num_workers() -> int:
    """One process more than there are cores: many tests wait for a process, a signal or a disk."""
    return len(os.sched_getaffinity(0)) + 1 if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1) + 1


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--device", default="cpu", help="where the model contracts run: cpu, cuda or mps")
    parser.addoption(
        "--float32",
        action="store_true",
        help="no bf16 on CUDA: the contracts of all families compare with plain passes by float32's tolerances",
    )


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """As in a worker's process: on small matrices a second thread costs several times what it saves."""
    torch.set_num_threads(1)
    threadpool_limits(1, "blas")


@pytest.fixture(scope="session", autouse=True)
def _own_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The key of this user's runs is one of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _precision(request: pytest.FixtureRequest) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        if request.config.getoption("--float32"):
            patch.setattr("autoprompt.models.families.base.LanguageModel.on_device", lambda _: nullcontext())
        yield


@pytest.fixture(scope="session")
def device(request: pytest.FixtureRequest) -> str:
    return str(request.config.getoption("--device"))


@pytest.fixture(scope="session")
def tolerance(device: str) -> float:
    """How far two ways of computing one score may lie apart: CUDA computes in bf16."""
    return 1e-4 if device == "cpu" else 0.1


@pytest.fixture(scope="session")
def model_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {
        "llama": tiny.save_llama(root / "llama", tiny.byte_level("<s> $A")),
        "gpt2": tiny.save_gpt2(root / "gpt2", tiny.byte_level(None)),
        "llama-closed": tiny.save_llama(root / "llama-closed", tiny.byte_level("<s> $A </s>", trim=True), seed=1),
        "words": tiny.save_llama(root / "words", tiny.word_level()),
        "dropping": tiny.save_gpt2(root / "dropping", tiny.dropping()),
    }


@pytest.fixture(scope="session")
def corpus_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    tiny.write_corpus(folder)
    return folder


@pytest.fixture(scope="session")
def corpus(corpus_folder: Path) -> Corpus:
    return load(str(corpus_folder))


@pytest.fixture(scope="session")
def shared_models(model_folders: dict[str, Path], device: str) -> dict[str, LanguageModel]:
    """One resident model of each kind, for tests that leave it as it was."""
    return {name: load_model(folder, device=device) for name, folder in model_folders.items()}


@pytest.fixture(params=[CAUSAL[0], *(pytest.param(name, marks=pytest.mark.slow) for name in CAUSAL[1:])])
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def model(family: str, shared_models: dict[str, LanguageModel]) -> LanguageModel:
    return shared_models[family]


@pytest.fixture
def fresh_model(family: str, model_folders: dict[str, Path], device: str) -> LanguageModel:
    """A model that nothing has touched."""
    return load_model(model_folders[family], device=device)


@pytest.fixture(scope="module")
def inline() -> Iterator[None]:
    """Searches of the module's tests work in this process."""
    with commands.inline():
        yield


@pytest.fixture(scope="session")
def _small_search(
    model_folders: dict[str, Path], corpus_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[SearchOptions, dict[str, Any]]:
    options = runs.small(model_folders["llama"], corpus_folder, tmp_path_factory.mktemp("source"))
    with commands.inline():
        return options, search(options, Silent()).to_dict()


@pytest.fixture(scope="module")
def finished(
    inline: None,  # noqa: ARG001
    _small_search: tuple[SearchOptions, dict[str, Any]],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[SearchOptions, dict[str, Any]]:
    """A small search that is done, in a leaderboard of the module's own, with its result."""
    options, result = _small_search
    board = runs.copied(options.leaderboard, tmp_path_factory.mktemp("finished"))
    return replace(options, leaderboard=board), result


@pytest.fixture(scope="module")
def own_cluster() -> Iterator[Any]:
    """A Ray cluster of this process alone, with three cores and what it takes for a GPU; its workers find the tests'
    modules."""
    from autoprompt.execution.ray_cluster import joined_cluster, ray

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        ray.init(address="local", num_cpus=3, num_gpus=1, include_dashboard=False, log_to_driver=False)
        with joined_cluster(None, 1, print) as cluster:
            yield cluster
        assert ray.is_initialized(), "who joined leaves it as it was"
        ray.shutdown()


# Every family


@pytest.fixture(scope="session")
def family_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of each model, made on first use."""
    root = tmp_path_factory.mktemp("families")
    return cache(lambda name: tiny_families.save(name, root / name))


@pytest.fixture(scope="session")
def fresh(family_folder: Callable[[str], Path], device: str) -> Callable[..., Any]:
    """A model that nothing has touched."""

    def load(name: str, **options: Any) -> Any:
        given = {"device": device, "labels": tiny.LABELS, "max_length": 64} | options
        return load_model(family_folder(name), **given)

    return load


@pytest.fixture(scope="session")
def shared(fresh: Callable[..., Any]) -> Callable[[str], Any]:
    """One resident model of each name, which all tests use one after the other."""
    return cache(fresh)


@pytest.fixture(scope="session")
def plain(family_folder: Callable[[str], Path], shared: Callable[[str], Any]) -> Callable[[str], Plain]:
    """transformers alone; a head that the checkpoint lacks is the resident model's."""

    @cache
    def load(name: str) -> Plain:
        made = Plain.of(contract.FAMILY[name], family_folder(name))
        if contract.FAMILY[name] == "classifier":
            model = shared(name)
            made.columns = (1, 0) if "none" in contract.MODES[name] else (0, 1)
            if "none" not in contract.MODES[name]:
                made.network = type(made.network).from_pretrained(
                    family_folder(name), num_labels=2, ignore_mismatched_sizes=True, dtype=torch.float32
                ).eval()  # fmt: skip
                own = dict(model.model.named_parameters())
                made.network.load_state_dict({n: own[n].detach() for n in model.head.names}, strict=False)
                made.network.config.pad_token_id = model.pad
        return made

    return load
