"""Datasets of the Hugging Face Hub, through the datasets library."""

import contextlib
import importlib
import os
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any

from autoprompt.corpus.readers import Table, check_characters
from autoprompt.errors import InputError

_REACH_SECONDS = 5


def read_hub(name: str) -> dict[str, Table]:
    """The train, validation and test tables (those that exist) of ``dataset`` or ``dataset/configuration``.

    Raises InputError, within seconds when offline, for whatever keeps the dataset from being loaded.
    """
    parts = name.strip("/").split("/")
    if not all(parts) or len(parts) > 3 or ".." in parts:
        raise InputError(
            f"hub:{name} is no dataset's name; write hub:DATASET, hub:OWNER/DATASET or hub:DATASET/CONFIGURATION."
        )
    loaded: Any = _load(name, parts)
    if not isinstance(loaded, Mapping):
        raise InputError(f"hub:{name} has no splits; use another dataset.")
    splits = dict(loaded)
    found = {}
    for split in ("train", "validation", "test"):
        # Some have several of a kind, such as validation_matched.
        match = [key for key in sorted(splits, key=lambda key: (key != split, key)) if key.startswith(split)]
        if match:
            found[split] = _table(f"hub:{name} {match[0]}", splits[match[0]])
    if "train" not in found:
        raise InputError(f"hub:{name} has no train split but {', '.join(splits) or 'none'}; use another dataset.")
    return found


def _load(name: str, parts: list[str]) -> Any:
    import datasets

    missing: Exception | None = None
    with _offline_unless_reachable() as offline:
        for path, configuration in _readings(parts):
            if os.path.exists(path):
                raise InputError(
                    f"hub:{name} is hidden by the local {path!r}; run from another folder, or give ./{path}."
                )
            try:
                return datasets.load_dataset(path, configuration)
            except datasets.exceptions.DatasetNotFoundError as error:
                missing = error
            except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
                if not offline:
                    raise InputError(
                        f"hub:{name} cannot be loaded: {_reason(error)}; check its name and access."
                    ) from error
                missing = error
    if offline:
        raise InputError(
            f"hub:{name} cannot be loaded: the Hugging Face Hub is not reachable and no copy is cached; "
            "go online, or use a file or an embedded corpus."
        ) from missing
    raise InputError(f"hub:{name} does not exist on the Hub or needs a login; check the name.") from missing


def _readings(parts: list[str]) -> list[tuple[str, str | None]]:
    """Path and configuration: "glue/sst2" can be an owner's dataset or a configuration, the Hub knows which."""
    if len(parts) == 1:
        return [(parts[0], None)]
    if len(parts) == 2:
        return [("/".join(parts), None), (parts[0], parts[1])]
    return [("/".join(parts[:2]), parts[2])]


def _reason(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].rstrip(".")[:300]


@contextlib.contextmanager
def _offline_unless_reachable() -> Iterator[bool]:
    """Whether the Hub is out of reach; then the libraries use their cache at once instead of retrying."""
    constants: Any = importlib.import_module("huggingface_hub.constants")
    config: Any = importlib.import_module("datasets.config")
    before = constants.HF_HUB_OFFLINE, config.HF_HUB_OFFLINE
    offline = any(before) or not _reachable(constants.ENDPOINT)
    constants.HF_HUB_OFFLINE = config.HF_HUB_OFFLINE = offline
    try:
        yield offline
    finally:
        constants.HF_HUB_OFFLINE, config.HF_HUB_OFFLINE = before


def _reachable(endpoint: str) -> bool:
    """Whether anything answers; unlike a bare connection, this goes through the configured proxy."""
    request = urllib.request.Request(endpoint, method="HEAD")  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=_REACH_SECONDS):  # noqa: S310
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def _table(source: str, split: Any) -> Table:
    rows = tuple(split)
    places = tuple(f"row {number}" for number in range(1, len(rows) + 1))
    for row, place in zip(rows, places, strict=True):
        check_characters(row, f"{source}: {place}")
    names = {
        column: tuple(feature.names)
        for column, feature in split.features.items()
        if type(feature).__name__ == "ClassLabel"
    }
    return Table(source, tuple(split.column_names), rows, places, names)
