"""Limit on the size of the network that a config builds, set by the size of the weights."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from autoprompt.errors import InputError
from autoprompt.model_folder import weight_files
from autoprompt.safetensors_header import held

_SPARE_PARAMETERS = 1_000
_SPARE_BYTES = 1 << 28
"""Allowance for fresh heads and for tables that no weights file contains, such as masks of positions."""
_COPIES = 3
"""Registrations of one parameter: when it is made, when it is loaded, and when it is tied to another."""


@contextmanager
def bounded_by_weights(folder: Path) -> Iterator[None]:
    """Inside the block, this thread can build no network with many times the parameters or bytes of the weights.

    transformers builds a network without allocating memory before it reads the weights, so a config of a kilobyte may
    ask for a terabyte or for billions of layers. Raises InputError for such a config, and for weights that are not
    safetensors.
    """
    weights = held(weight_files(folder))
    count, size = weights.tensors, weights.size
    left = [_COPIES * count + _SPARE_PARAMETERS, _COPIES * size + _SPARE_BYTES]
    thread = threading.get_ident()

    def registered(_module: Any, _name: str, tensor: Any) -> None:
        if tensor is None or threading.get_ident() != thread:
            return
        left[0] -= 1
        left[1] -= tensor.numel() * tensor.element_size()
        if min(left) < 0:
            raise InputError(
                f"The config of the model in {folder} asks for many times what its weights hold ({size >> 20} MiB in "
                f"{count} tensors); use another model."
            )

    from torch.nn.modules import module as modules

    handles = [
        modules.register_module_parameter_registration_hook(registered),
        modules.register_module_buffer_registration_hook(registered),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
