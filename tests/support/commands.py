"""The command line for tests: in this process with its worker inside, where speed counts, or as users start it."""

import io
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

# A shell without job control starts its background jobs with SIGINT ignored, and what they start inherits it.
_LISTENING = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
COMMAND = [sys.executable, "-c", f"{_LISTENING}; from autoprompt.cli import main; main()"]


@dataclass(frozen=True)
class Result:
    """What a command left behind."""

    code: int
    out: str
    err: str


class Inline:
    """An executor of one worker, this process; it takes the place of the spawned ones."""

    workers = 1

    def __init__(self, _workers: int, initializer: Callable[..., None], arguments: tuple[Any, ...], **_: Any) -> None:
        initializer(*arguments)

    def map(
        self,
        function: Callable[[Any], Any],
        items: Sequence[Any],
        gate: Callable[[], bool] | None = None,
        idle: Callable[[], None] = lambda: None,
        **_: Any,
    ) -> Iterator[Any]:
        """One item after the other."""
        for item in items:
            if gate is not None and not gate():
                return
            idle()
            yield function(item)

    def carry(self, path: Path) -> Path:
        """It is here."""
        return path

    def close(self) -> None:
        """Nothing to end."""


@contextmanager
def inline() -> Iterator[None]:
    """Inside the context searches work in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("autoprompt.run.backends.local.LocalExecutor", Inline)
        yield


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> Result:
    """``autoprompt ARGUMENTS`` in this process, with its error messages and exit code."""
    capsys.readouterr()
    code = _code(arguments)
    captured = capsys.readouterr()
    return Result(code, captured.out, captured.err)


def call_for_module(*arguments: object) -> Result:
    """The same for fixtures of a module, which have no ``capsys``."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = _code(arguments)
    return Result(code, out.getvalue(), err.getvalue())


def _code(arguments: Sequence[object]) -> int:
    from autoprompt.cli import main

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with pytest.MonkeyPatch.context() as patch, inline():
        patch.setattr(sys, "argv", ["autoprompt", *map(str, arguments)])
        try:
            main()
        except SystemExit as stop:
            code = stop.code
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
    assert isinstance(code, int)
    return code


def refused(result: Result, code: int, *parts: str) -> None:
    """The exit code, and one sentence on standard error with these parts: no traceback, nothing on standard output."""
    assert result.code == code, result.err
    assert "Traceback" not in result.err
    assert result.out == ""
    sentence = result.err.strip().splitlines()[-1]
    assert sentence.startswith("Error: ")
    assert sentence.endswith(".")
    for part in parts:
        assert part in sentence


def start(*arguments: object, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """The command as a process of its own, in a process group of its own."""
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env=os.environ | dict(env or {}),
        start_new_session=True,
    )


def spawn(*arguments: object, env: Mapping[str, str] | None = None, timeout: float = 200) -> Result:
    """The command from start to end as a process of its own."""
    with start(*arguments, env=env) as process:
        out, err = process.communicate(timeout=timeout)
    return Result(process.returncode, out, err)


def copied(folder: Path, to: Path) -> Path:
    """A copy to spoil."""
    shutil.copytree(folder, to)
    return to
