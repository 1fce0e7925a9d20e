"""Prefix cache: keys and values of the tokens up to the end of the text, computed once and shared.

A block of rows depends only on the rows and the template's head, so a state has the same bits whichever process
computes it. Blocks are stored in a folder as safetensors files that every process maps into memory, or loads to its
GPU.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from autoprompt.models.saving import save

BLOCK_ROWS = 8
LIMIT_BYTES = 2 << 30
"""Maximum bytes for all processes that share a folder; the least recently used blocks are deleted first."""


def group_by_length(lengths: Sequence[int], size: int = BLOCK_ROWS) -> list[list[int]]:
    """Row indices grouped by similar length, shortest first."""
    order = sorted(range(len(lengths)), key=lambda row: (lengths[row], row))
    return [order[start : start + size] for start in range(0, len(order), size)]


class PrefixStore:
    """Blocks in a folder, or in process memory if ``folder`` is None.

    A process that uses a GPU holds its blocks in the GPU's memory.
    """

    def __init__(self, folder: Path | None, limit: int = LIMIT_BYTES, *, device: str = "cpu") -> None:
        self.folder = folder
        self.limit = limit
        self.device = device
        self._memory: OrderedDict[str, Tensor] = OrderedDict()

    def get(self, key: str, compute: Callable[[], Tensor]) -> Tensor:
        """The block of this key, computed if no process has stored it yet."""
        if key in self._memory:
            self._memory.move_to_end(key)
            self._touch(key)
            return self._memory[key]
        block = self._load(key)
        if block is None:
            block = compute()
            self._save(key, block)
            # Map it from its file like every other block, so that all processes share its memory.
            saved = self._load(key)
            block = block if saved is None else saved
        self._memory[key] = block
        self._shrink_memory()
        return block

    def _path(self, key: str) -> Path | None:
        return self.folder / f"{key}.safetensors" if self.folder else None

    def _load(self, key: str) -> Tensor | None:
        path = self._path(key)
        if path is None or not path.is_file():
            return None
        try:
            block = load_file(path, device=self.device)["kv"]
            self._touch(key)
        except FileNotFoundError:  # another process deleted it to make room
            return None
        return block

    def _touch(self, key: str) -> None:
        """Mark the block as in use, for all processes."""
        path = self._path(key)
        if path is not None:
            with contextlib.suppress(FileNotFoundError):
                os.utime(path)

    def _save(self, key: str, block: Tensor) -> None:
        path = self._path(key)
        if path is None:
            return
        self._shrink_folder(block.nbytes)
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
        os.close(handle)
        save({"kv": block.contiguous().cpu()}, Path(temporary), "The cached prefixes")
        Path(temporary).replace(path)

    def _shrink_folder(self, needed: int) -> None:
        assert self.folder is not None  # noqa: S101
        files = []
        for path in self.folder.glob("*.safetensors"):
            with contextlib.suppress(FileNotFoundError):
                files.append((path.stat().st_mtime_ns, path.name, path.stat().st_size))
        total = sum(size for _, _, size in files) + needed
        for _, name, size in sorted(files):
            if total <= self.limit:
                break
            (self.folder / name).unlink(missing_ok=True)
            self._memory.pop(name.removesuffix(".safetensors"), None)
            total -= size

    def _shrink_memory(self) -> None:
        for key in list(self._memory)[:-1]:
            path = self._path(key)
            if path is not None and not path.is_file():  # its file is gone, but the mapped block still takes memory
                del self._memory[key]
        while len(self._memory) > 1 and sum(block.nbytes for block in self._memory.values()) > self.limit:
            self._memory.popitem(last=False)
