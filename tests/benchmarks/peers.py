"""Programs that people would use instead, each in a virtual environment of its own: they want other versions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench import SCRATCH

HERE = Path(__file__).parent
# Exact, so that a table can be made again.
PACKAGES = {
    "nanogcg": ("torch==2.13.0", "transformers==4.47.1", "nanogcg==0.3.0"),
    "setfit": (
        "torch==2.13.0",
        "transformers==4.49.0",
        "datasets==3.6.0",
        "setfit==1.1.2",
        "sentence-transformers==4.1.0",
        "accelerate",
    ),
}


def ask(peer: str, question: dict[str, Any]) -> dict[str, Any]:
    """What ``peer_NAME.py`` answers: one JSON object in, one out."""
    return _answer(peer, [str(_python(peer)), str(HERE / f"peer_{peer}.py")], question)


def ask_checkout(folder: Path, question: dict[str, Any]) -> dict[str, Any]:
    """What another checkout of this project finds, in this environment: see ``peer_checkout.py``."""
    # Not in the current folder: a checkout there would be found first.
    command = [sys.executable, str(HERE / "peer_checkout.py")]
    return _answer(str(folder), command, question, cwd="/", env={**os.environ, "PYTHONPATH": str(folder.resolve())})


def _answer(name: str, command: list[str], question: dict[str, Any], **where: Any) -> dict[str, Any]:
    run = subprocess.run(command, input=json.dumps(question), capture_output=True, text=True, check=False, **where)
    if run.returncode:
        raise SystemExit(f"{name} failed:\n{run.stderr[-3000:]}")
    answer: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return answer


def _python(peer: str) -> Path:
    """The peer's interpreter; its environment is made on first use."""
    folder = SCRATCH / peer
    python = folder / "bin" / "python"
    stamp = folder / ".installed"
    wanted = "\n".join(PACKAGES[peer])
    if not stamp.is_file() or stamp.read_text() != wanted:
        print(f"  installing {peer}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *PACKAGES[peer]], check=True)
        stamp.write_text(wanted)
    return python
