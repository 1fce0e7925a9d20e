"""Tiny models and a tiny corpus, built once; ``--device`` runs the model contracts elsewhere than on the CPU."""

from pathlib import Path

import pytest
import tiny
import torch

from autoprompt.corpus import Corpus, load
from autoprompt.models import LanguageModel, load_model

FAMILY = ("llama", "gpt2", "llama-closed")
"""With <s> before a text, with no special tokens, and with both <s> and </s> and trimmed character spans."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--device", default="cpu", help="where the model contracts run: cpu, cuda or mps")


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


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


@pytest.fixture(params=FAMILY)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def model(family: str, shared_models: dict[str, LanguageModel]) -> LanguageModel:
    return shared_models[family]


@pytest.fixture
def fresh_model(family: str, model_folders: dict[str, Path], device: str) -> LanguageModel:
    """A model that nothing has touched."""
    return load_model(model_folders[family], device=device)
