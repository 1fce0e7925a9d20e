"""Finding a model by name (embedded, local folder, Hub), and loading it safely from its folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from autoprompt import artifacts
from autoprompt.errors import InputError, NotFoundError, UsageError, closest, first_line, parameter
from autoprompt.model_folder import MAX_JSON, TOKENIZERS, check_folder, check_weights, weight_files
from autoprompt.models.families.registry import FAMILIES, family_of
from autoprompt.models.library_errors import as_input_error
from autoprompt.models.size_bound import bounded_by_weights
from autoprompt.models.types import ModelSource, pick_device
from autoprompt.untrusted import read_json

_SHOWN = 200
_FILES = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]


def locate_model(name: str, progress: artifacts.Progress | None = None) -> ModelSource:
    """Find an embedded model, a local folder or a Hub model (downloaded when missing).

    The name of a Hub model may end in ``@revision``: a commit, tag or branch. Without a revision, the copy on this
    machine is used, or else the newest version is downloaded. ``progress`` is called during the first download of an
    embedded model. Raises InputError for a model that is unreachable or gated, has pickle-only weights, remote code or
    no tokenizer, or belongs to no family.
    """
    folder, revision = _folder(name, progress)
    config = check_folder(folder, name)
    family = _family(folder, config)
    check_weights(folder, name)
    return ModelSource(name, folder, config, family, revision)


def _folder(name: str, progress: artifacts.Progress | None) -> tuple[Path, str]:
    """The model's folder and, for a Hub model, the commit."""
    if name in {artifact.name for artifact, _ in artifacts.list_artifacts("model")}:
        return artifacts.ensure(name, progress=progress), ""
    path = _expanded(name)
    if path.is_absolute() or name.startswith(("./", "../", "~")):
        if not _is_folder(path):
            raise NotFoundError(f"There is no model folder {str(path)[:_SHOWN]}; check the path.")
        return path, ""
    if _is_folder(path):
        raise InputError(f"{name!r} is a folder here and may be a Hub model too; write ./{name} for the folder.")
    repository, _, revision = name.partition("@")
    folder = _from_hub(repository, revision or None)
    return folder, folder.name


def _expanded(name: str) -> Path:
    """The path with ``~`` expanded; unchanged for an unknown user."""
    try:
        return Path(name).expanduser()
    except (RuntimeError, ValueError):
        return Path(name)


def _is_folder(path: Path) -> bool:
    """Whether the path is a folder; False for a name that is too long or has characters that no path has."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def _from_hub(name: str, revision: str | None) -> Path:
    """The folder of a snapshot; the folder's name is the commit.

    Completes a snapshot that lacks files because another program fetched only some of them or was stopped.
    """
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
    )

    lacking = ""
    try:
        folder = Path(snapshot_download(name, revision=revision, local_files_only=True, allow_patterns=_FILES))
        lacking = _lacking(folder)
        if not lacking:
            return folder
    except HFValidationError as error:
        raise NotFoundError(
            f"{name[:_SHOWN]!r} is neither an embedded model, a folder, nor a Hub model's name{_meant(name[:_SHOWN])}."
        ) from error
    except LocalEntryNotFoundError:
        pass
    try:
        HfApi().model_info(name, revision=revision, timeout=10)  # fails within seconds if something is wrong
        # Download by the revision's name, not its commit: the cache then records which commit the name stands for.
        return Path(snapshot_download(name, revision=revision, allow_patterns=_FILES))
    except HfHubHTTPError as error:
        raise NotFoundError(
            f"The Hub refused the model {name!r} ({first_line(error)}); check the name and your access."
        ) from error
    except (OSError, OfflineModeIsEnabled, _transport_error()) as error:
        here = f"only partly on this machine ({lacking} missing)" if lacking else "not on this machine"
        raise InputError(
            f"The model {name!r} is {here} and the Hugging Face Hub cannot be reached "
            f"({type(error).__name__}); connect, or use an embedded model (see `autoprompt models list`) or a folder"
            f"{_meant(name)}."
        ) from error


def _meant(name: str) -> str:
    """``; did you mean 'NAME'`` with an embedded model of a similar name; empty without one."""
    return closest(name, (artifact.name for artifact, _ in artifacts.list_artifacts("model")))


def _lacking(folder: Path) -> str:
    """Which files of a model a snapshot lacks, as part of an error message; empty for a complete snapshot."""
    if not (folder / "config.json").is_file():
        return "config.json is"
    weights = weight_files(folder)
    if not weights or not all(part.is_file() for part in weights):
        return "weights are"
    # The tokenizer's config (the first pattern) does not contain its vocabulary.
    known = any(path for pattern in TOKENIZERS[1:] for path in folder.glob(pattern))
    return "" if known else "the tokenizer is"


def _transport_error() -> type[Exception]:
    """The base of connection errors of the HTTP library that huggingface_hub uses."""
    from huggingface_hub import get_session

    module = __import__(type(get_session()).__module__.split(".")[0])
    error: type[Exception] = module.TransportError
    return error


def read_family(folder: Path) -> str:
    """The family of the model in a folder (see ``FAMILIES``). Raises InputError for a model of no family."""
    config = read_json(folder / "config.json", "The file", MAX_JSON)
    return _family(folder, config if isinstance(config, dict) else {})


def _family(folder: Path, config: Mapping[str, Any]) -> str:
    family = family_of(config)
    if family is None:
        raise InputError(
            f"The model in {folder} (type {config.get('model_type')!r:.80}) is neither a causal, masked, "
            "encoder-decoder nor classification model of transformers; use one such as smollm2-135m."
        )
    return family


def load_safely(folder: Path, load: Callable[..., Any], **options: Any) -> Any:
    """Load from a local folder with ``load`` (a ``from_pretrained``), without a progress bar or code from the folder.

    ``options``: further arguments of ``load``, such as a network's dtype. Raises InputError.
    """
    from transformers.utils import logging

    bars, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # no warning about a fresh head, which is intended
    try:
        with as_input_error(f"The model in {folder} cannot be loaded"), bounded_by_weights(folder):
            return load(folder, local_files_only=True, use_safetensors=True, trust_remote_code=False, **options)
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def auto_class(family: str) -> Any:
    """The class of transformers that loads a family's checkpoints."""
    import transformers

    return getattr(transformers, FAMILIES[family].auto_class)


def load_network(folder: Path, family: str) -> Any:
    """The network in a folder, in float32. Raises InputError for a checkpoint without all weights of the family."""
    import torch

    network, report = load_safely(
        folder, auto_class(family).from_pretrained, dtype=torch.float32, output_loading_info=True
    )
    if report["missing_keys"]:
        raise InputError(
            f"The model in {folder} lacks weights that a {family} model needs ({min(report['missing_keys'])}); "
            "use another model, or this one as a classifier."
        )
    return network


def check_device(device: str) -> str:
    """Return the device to use. Raises UsageError for a device that this machine does not have."""
    if device == "auto":
        return str(pick_device(device))
    import torch

    counts = {"cpu": 1, "cuda": 0, "mps": int(torch.backends.mps.is_available())}
    if torch.cuda.is_available():
        counts["cuda"] = torch.cuda.device_count()
    try:
        named = torch.device(device)
    except RuntimeError:
        named = None
    if named is None or not (named.index or 0) < counts.get(named.type, 0):
        there = [f"{kind}:{n}" if kind == "cuda" else kind for kind, count in counts.items() for n in range(count)]
        raise UsageError(
            f"The device {device!r} is not on this machine, which has {', '.join(there)}; use "
            f"{parameter('device', 'auto')} or one that is there."
        )
    return device
