"""What a result depended on: for now the machine and the versions; hashes of inputs stand in the run itself."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("autoprompt-engine", "torch", "transformers", "tokenizers", "peft", "deap", "numpy", "scikit-learn")


def environment(device: str) -> dict[str, str]:
    """Package versions, Python, machine and device, as text."""
    facts = {"python": platform.python_version(), "machine": platform.machine(), "device": device}
    for name in PACKAGES:
        try:
            facts[name] = version(name)
        except PackageNotFoundError:
            facts[name] = "not installed"
    return facts
