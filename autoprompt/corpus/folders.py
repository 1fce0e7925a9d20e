"""Reading the splits of a folder of data files.

A file's name says its split (see ``split_names``). A file whose whole name is a split's takes precedence over one whose
name only contains it. Shards (``train-00000-of-00002.parquet``, ``part-0001.csv``) are joined in their order. Folders
written by ``datasets.save_to_disk`` are read through the lists of files that they hold.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from autoprompt.corpus.readers import FileOptions, Table, format_names, is_data_file, join_tables, read_table
from autoprompt.corpus.readers.content import extension, stem
from autoprompt.corpus.split_names import SPLIT_WORDS, UNLABELED, split_of
from autoprompt.errors import InputError
from autoprompt.untrusted import read_bytes

_SHARD = re.compile(r"(?P<series>.+?)[-_.](?P<number>\d+)-of-(?P<count>\d+)(?P<rest>.*)")
_PART = re.compile(r"(?P<series>part)[-_](?P<number>\d+).*")
_DESCRIPTIONS = frozenset({"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"})
_SHOWN = 8
_MOST_DESCRIPTION = 8 << 20
"""The most bytes of a description file that the datasets library writes."""


@dataclass(frozen=True)
class Folder:
    """The tables of the splits that were found, those of rows without labels, and notes.

    ``whole``: the folder says which rows are in which split. If False, the only table is split like a single file.
    """

    tables: dict[str, Table]
    notes: tuple[str, ...]
    whole: bool = True
    unlabelled: tuple[Table, ...] = ()


def read_folder(folder: Path, options: FileOptions) -> Folder:
    """Read a folder's splits; a note names the data files that are not used.

    Raises InputError for a folder without training rows, for two files of one split, and for missing shards.
    """
    listed = _entries(folder)
    names = {path.name for path in listed}
    if "dataset_dict.json" in names:
        return _read_saved_dict(folder, options)
    if "state.json" in names:
        return Folder({"train": _read_saved(folder, options)}, (), whole=False)
    found, left = _splits_of(folder, listed)
    if "train" not in found:
        inside = [path for path in listed if path.is_dir() and "train" in _splits_of(path, _entries(path))[0]]
        if len(inside) == 1 and not found:
            deeper = read_folder(inside[0], options)
            return replace(deeper, notes=(*_unused_note(folder, left, inside[0].name), *deeper.notes))
        parts = [path for path in left if _PART.fullmatch(path.name)]
        if parts and len(parts) == len(left) and len({extension(path) for path in parts}) == 1 and not found:
            return Folder({"train": _read_joined(folder, parts, options)}, (), whole=False)
        raise _no_train_error(folder, [*left, *(path for files in found.values() for path in files)], inside)
    tables = {split: _read_joined(folder, files, options) for split, files in found.items()}
    return _folder(tables, _unused_note(folder, left))


def _folder(tables: dict[str, Table], notes: tuple[str, ...]) -> Folder:
    labelled = {split: table for split, table in tables.items() if split != UNLABELED}
    return Folder(labelled, notes, unlabelled=tuple(table for split, table in tables.items() if split == UNLABELED))


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise InputError(f"{folder} cannot be read: {error.strerror or error}; check the path.") from error


def _splits_of(folder: Path, listed: Sequence[Path]) -> tuple[dict[str, list[Path]], list[Path]]:
    """Return the files of each split, and the data files and folders that belong to no split. Raises InputError."""
    named: dict[str, list[Path]] = {}
    containing: dict[str, list[Path]] = {}
    rest: list[Path] = []
    for path in listed:
        inside = _data_files(path)
        exact, contained = _splits_named(path)
        if not inside and not (exact and path.is_file()):
            continue
        if exact and inside:
            named.setdefault(exact, []).append(path)
        elif contained and inside and path.is_file():
            containing.setdefault(contained, []).append(path)
        elif path.is_dir() or exact or not _is_description(path):
            rest.append(path)
    found = {}
    for split in SPLIT_WORDS:
        paths = named.get(split, []) or containing.get(split, [])
        rest += containing.get(split, []) if split in named else []
        if paths:
            found[split] = _files_of(folder, split, paths)
    return found, sorted(rest)


def _data_files(path: Path) -> list[Path]:
    """The data file itself, or the data files in a folder."""
    if path.is_dir():
        try:
            return [inner for inner in _entries(path) if inner.is_file() and is_data_file(inner)]
        except InputError:  # no permission to read the folder
            return []
    return [path] if is_data_file(path) else []


def _splits_named(path: Path) -> tuple[str | None, str | None]:
    """The split that is the whole name, and the only split that the name contains; None where there is none."""
    name = path.name if path.is_dir() else stem(path)
    shard = _SHARD.fullmatch(name)
    series = shard["series"] if shard else name
    words = {split_of(word) for word in re.split(r"[-._ ]+", series)} - {None}
    return split_of(series), words.pop() if len(words) == 1 else None


def _is_description(path: Path) -> bool:
    return path.name in _DESCRIPTIONS or extension(path) == ".txt"


def _files_of(folder: Path, split: str, paths: Sequence[Path]) -> list[Path]:
    """Return one file, all shards of one series, or a folder's files. Raises InputError for more or missing ones."""
    if len(paths) == 1 and paths[0].is_dir():
        files = _data_files(paths[0])
        if len(files) > 1 and len({extension(path) for path in files}) > 1:
            raise _several_files_error(paths[0], split, files)
        return files if len(files) == 1 else _in_order(paths[0], split, files)
    shards = [_SHARD.fullmatch(stem(path)) for path in paths]
    if len(paths) > 1 and not all(shards):
        raise _several_files_error(folder, split, paths)
    return _in_order(folder, split, paths)


def _in_order(folder: Path, split: str, paths: Sequence[Path]) -> list[Path]:
    shards = {path: _SHARD.fullmatch(stem(path)) for path in paths}
    series = {
        (found["series"], found["count"], found["rest"], extension(path)) for path, found in shards.items() if found
    }
    if not series:
        return list(paths)
    if len(series) > 1:
        raise _several_files_error(folder, split, paths)
    count = int(next(iter(series))[1])
    numbers = sorted(int(found["number"]) for found in shards.values() if found)
    if len(numbers) != count:
        raise InputError(
            f"The folder {folder} has {len(numbers)} of the {count} shards of the {split} split; add the missing ones."
        )
    return sorted(paths)


def _several_files_error(folder: Path, split: str, paths: Sequence[Path]) -> InputError:
    return InputError(f"The folder {folder} has {_names(paths, ' and ')} for the {split} split; keep one of them.")


def _no_train_error(folder: Path, data: Sequence[Path], inside: Sequence[Path]) -> InputError:
    if len(inside) > 1:
        return InputError(f"The folder {folder} has training rows in {_names(inside)}; name one of these folders.")
    if data:
        return InputError(
            f"The folder {folder} has no file called train, but {_names(sorted(data))}; give one file by its name, or "
            "call the training rows train."
        )
    return InputError(
        f"The folder {folder} has no train.csv or other file of training rows ({format_names()}); add the rows."
    )


def _names(paths: Sequence[Path], link: str = ", ") -> str:
    more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    return link.join(path.name for path in paths[:_SHOWN]) + more


def _unused_note(folder: Path, left: Sequence[Path], taken: str = "") -> tuple[str, ...]:
    left = [path for path in left if path.name != taken]
    if not left:
        return ()
    return (f"Not used of the folder {folder}: {_names(left)}, which no split is called after.",)


def _read_joined(folder: Path, files: Sequence[Path], options: FileOptions) -> Table:
    tables = [read_table(path, options) for path in files]
    return join_tables(tables, f"{folder} ({len(files)} files)")


# --- folders of save_to_disk ------------------------------------------------------------------------------


def _read_saved_dict(folder: Path, options: FileOptions) -> Folder:
    tables, notes = {}, []
    splits = _listed_names(folder / "dataset_dict.json", "splits")
    for name in splits:
        split = split_of(name)
        if split is None or split in tables:
            notes.append(f"Not used of the folder {folder}: the split {name!r}.")
        else:
            tables[split] = _read_saved(folder / name, options)
    if "train" not in tables:
        raise InputError(
            f"The folder {folder} has no train split but {', '.join(map(repr, splits))}; name the folder of one."
        )
    return _folder(tables, tuple(notes))


def _read_saved(folder: Path, options: FileOptions) -> Table:
    files = [folder / name for name in _listed_names(folder / "state.json", "_data_files", "filename")]
    return _read_joined(folder, files, options)


def _listed_names(path: Path, key: str, inner: str | None = None) -> list[str]:
    """Return the names that a description file of datasets lists. Raises InputError for names outside its folder."""
    content = read_bytes(path, "The description", _MOST_DESCRIPTION)
    try:
        found: Any = json.loads(content)[key]
        names = [str(entry[inner]) if inner else str(entry) for entry in found]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise InputError(f"{path} is not as the datasets library writes it; save the dataset again.") from error
    if not names or any(not name or Path(name).name != name for name in names):
        raise InputError(f"{path} names no files beside it; save the dataset again.")
    return names
