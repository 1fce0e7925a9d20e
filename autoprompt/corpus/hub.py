"""Datasets of the Hugging Face Hub, through the datasets library."""

import contextlib
import importlib
import lzma
import re
import tarfile
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoprompt.corpus.memory import table_of
from autoprompt.corpus.readers import Table
from autoprompt.corpus.split_names import UNLABELED, split_of
from autoprompt.errors import InputError, first_line

_REACH_SECONDS = 5
_NAME = re.compile(r"(?P<path>[\w.-]+(?:/[\w.-]+){0,2})(?::(?P<configuration>[^@\s]+))?(?:@(?P<revision>[\w./-]+))?")


@dataclass(frozen=True)
class HubData:
    """The train, validation and test tables of a dataset (those that exist), its commit, and tables without labels."""

    tables: dict[str, Table]
    revision: str
    warnings: tuple[str, ...]
    unlabelled: tuple[Table, ...] = ()


def read_hub(name: str) -> HubData:
    """Load a dataset from the Hub, or its cached copy where the Hub is not reachable.

    ``name`` is ``dataset`` or ``owner/dataset``, optionally with ``/configuration`` or ``:configuration`` and
    ``@revision`` (a commit, tag or branch). Raises InputError, within seconds when offline, if the dataset cannot be
    loaded for any reason. No code of a dataset is ever run: a dataset with a loading script is refused.
    """
    wanted = _parse(name)
    builder, loaded = _load(wanted)
    if not isinstance(loaded, Mapping):
        raise InputError(f"hub:{name} has no splits; use another dataset.")
    splits = dict(loaded)
    found = {}
    used = set()
    for split in ("train", "validation", "test"):
        # Some datasets have several splits of a kind, such as validation_matched.
        match = [key for key in sorted(splits, key=lambda key: (key != split, key)) if key.startswith(split)]
        if match:
            found[split] = table_of(splits[match[0]], f"hub:{name} {match[0]}")
            used.add(match[0])
    if "train" not in found:
        raise InputError(f"hub:{name} has no train split but {', '.join(splits) or 'none'}; use another dataset.")
    warnings = []
    if _from_cache(builder):
        warnings = [f"hub:{name} is the cached copy, revision {builder.hash}: the Hub could not be asked for it."]
    bare = [split for split in splits if split_of(split) == UNLABELED]
    left = [split for split in splits if split not in used and split not in bare]
    if left:
        warnings.append(f"Not used of hub:{name}: the splits {', '.join(map(repr, left))}.")
    unlabelled = tuple(table_of(splits[split], f"hub:{name} {split}") for split in bare if len(splits[split]))
    return HubData(found, str(builder.hash), tuple(warnings), unlabelled)


@dataclass(frozen=True)
class _Wanted:
    """A parsed name; ``readings`` are the pairs of path and configuration that it can mean."""

    name: str
    readings: tuple[tuple[str, str | None], ...]
    revision: str | None


def _parse(name: str) -> _Wanted:
    match = _NAME.fullmatch(name.strip("/"))
    parts = match["path"].split("/") if match else []
    configuration = match["configuration"] if match else None
    if not match or ".." in parts or len(parts) > (2 if configuration else 3):
        raise InputError(
            f"hub:{name} is not the name of a dataset; write hub:OWNER/DATASET, and add "
            ":CONFIGURATION or @REVISION if you want one."
        )
    readings: list[tuple[str, str | None]] = [("/".join(parts[:2]), configuration or "".join(parts[2:]) or None)]
    if len(parts) == 2 and not configuration:
        readings.append((parts[0], parts[1]))  # "glue/sst2": the Hub knows whether glue is an owner
    return _Wanted(name, tuple(readings), match["revision"])


def _load(wanted: _Wanted) -> tuple[Any, Any]:
    """Return the datasets builder, which knows the commit, and the dataset. Raises InputError."""
    with _offline_unless_reachable() as offline:
        if not offline:
            path, configuration, revision = _ask(wanted)
            return _build(wanted, path, configuration, revision)
        reason = "no copy is cached"
        for path, configuration in wanted.readings:
            try:
                return _build(wanted, _cached_name(path), configuration, wanted.revision)
            except _CannotLoadError as error:
                if isinstance(error.__cause__, ValueError):  # there is a copy, but not of this configuration
                    reason = f"the cached copy does not serve ({first_line(error.__cause__)})"
    raise InputError(
        f"hub:{wanted.name} cannot be loaded: the Hugging Face Hub is not reachable and {reason}; "
        "go online, or use a file or an embedded corpus."
    )


def _ask(wanted: _Wanted) -> tuple[str, str | None, str]:
    """Return the dataset's current name on the Hub ("glue" has an owner now), its configuration, and the commit."""
    from huggingface_hub import HfApi, errors

    for path, configuration in wanted.readings:
        try:
            info = HfApi().dataset_info(path, revision=wanted.revision, timeout=_REACH_SECONDS)
        except errors.RevisionNotFoundError as error:
            raise InputError(
                f"hub:{wanted.name} has no revision {wanted.revision!r}; name a commit, tag or branch that it has."
            ) from error
        except errors.GatedRepoError as error:
            raise InputError(_gated(wanted)) from error
        except errors.RepositoryNotFoundError:
            continue
        except (OSError, ValueError, KeyError, _request_error()) as error:  # no answer, or not a dataset's description
            raise InputError(_refusal(wanted, error)) from error
        return info.id, configuration, str(info.sha)
    raise InputError(f"hub:{wanted.name} does not exist on the Hub or needs a login; check the name.")


class _CannotLoadError(InputError):
    """Raised where the datasets library could not load a dataset."""


def _build(wanted: _Wanted, path: str, configuration: str | None, revision: str | None) -> tuple[Any, Any]:
    import datasets

    try:
        # Without the prefix, a local folder of this name would be read instead.
        builder = datasets.load_dataset_builder(f"hf://datasets/{path}", configuration, revision=revision)
        _require_revision(wanted, builder, revision)
        builder.download_and_prepare()
        return builder, builder.as_dataset()
    except _failures() as error:
        raise _CannotLoadError(_refusal(wanted, error)) from error


def _failures() -> tuple[type[Exception], ...]:
    """The errors that datasets raises for files that it cannot read: mostly errors of the libraries that it uses."""
    # Imported by name, because they have no type annotations.
    yaml: Any = importlib.import_module("yaml")
    pyarrow: Any = importlib.import_module("pyarrow")
    exceptions: Any = importlib.import_module("datasets.exceptions")
    card = (ValueError, TypeError, AttributeError, LookupError, yaml.YAMLError)  # malformed or unexpected YAML
    archive = (tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error, EOFError)
    # A loading script raises RuntimeError, an empty file StopIteration.
    files = (exceptions.DatasetsError, OSError, RuntimeError, StopIteration, pyarrow.ArrowException)
    return (*card, *archive, *files, _request_error())


def _request_error() -> type[Exception]:
    """The base class of the errors that huggingface_hub's HTTP library raises when it gets no answer."""
    from huggingface_hub import get_session

    library = importlib.import_module(type(get_session()).__module__.partition(".")[0])
    error: type[Exception] = library.RequestError
    return error


def _cached_name(path: str) -> str:
    """The dataset's name, with its owner if ``path`` has none and the cache has exactly one dataset of that name."""
    import datasets

    if "/" in path:
        return path
    known = [folder.name for folder in Path(datasets.config.HF_DATASETS_CACHE).glob(f"*___{path}")]
    return known[0].replace("___", "/") if len(known) == 1 else path


def _require_revision(wanted: _Wanted, builder: Any, revision: str | None) -> None:
    """Raise InputError if datasets fell back on a cached copy of another revision, which it does without an error."""
    if _from_cache(builder) and revision not in (None, builder.hash):
        raise InputError(
            f"hub:{wanted.name} cannot be loaded: the Hugging Face Hub is not reachable and the cached copy is of "
            f"revision {builder.hash}; go online, or name that one."
        )


def _from_cache(builder: Any) -> bool:
    return type(builder).__module__.startswith("datasets.packaged_modules.cache")


def _refusal(wanted: _Wanted, error: Exception) -> str:
    """The message, with a remedy. Two cases are recognised by their text: datasets has no exceptions for them."""
    if "is a gated dataset" in str(error):
        return _gated(wanted)
    if "Dataset scripts are no longer supported" in str(error):
        return (
            f"hub:{wanted.name} has a loading script, and code of a dataset is never run; use one of plain data files, "
            "or the Hub's own conversion of it, @refs/convert/parquet."
        )
    return f"hub:{wanted.name} cannot be loaded: {first_line(error)}; check its name and access."


def _gated(wanted: _Wanted) -> str:
    return f"hub:{wanted.name} is gated; ask for access on its page of the Hub, and log in with hf auth login."


@contextlib.contextmanager
def _offline_unless_reachable() -> Iterator[bool]:
    """Yield whether the Hub is unreachable; if so, the libraries use their cache at once and do not retry."""
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
    """Whether the endpoint answers at all. Unlike a plain connection, this request uses the configured proxy."""
    request = urllib.request.Request(endpoint, method="HEAD")  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=_REACH_SECONDS):  # noqa: S310
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
