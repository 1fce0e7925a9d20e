"""Hostile variants of valid files: values, texts, bytes, and what is no file at all."""

from __future__ import annotations

import copy
import json
import os
import pickle
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

TEXTS = (
    "", "\0", "\x1b[2J", "\u202eevil", "\ud800", "x" * 100_000, "{label}", "{text}{label}", "{{", "}",
    "{text.__class__}",
    "{soft:64}{demos:32}", "../../etc/passwd", "/dev/zero", "/proc/self/mem", "..", "~", "file:///etc/passwd", "None",
    "null", "NaN", "__import__('os').system('true')", "$(touch canary)", "; touch canary", "<script>", "🙂" * 1000,
    "a\nb", "float", "cuda:999", "auto", "load", "evil/kernel", "evil/model@main", "true",
)  # fmt: skip
NUMBERS = (0, -1, 1, 2, 3.5, 1e9, 10**9, 10**12, 2**31, 2**63, 2**64, -(2**63), 10**30, 10**400, 1e300, 1e-300, 0.1)
RAW = ("NaN", "Infinity", "-Infinity", "1e999", "1" + "0" * 5000, "[" * 3000 + "]" * 3000, '{"a":1,"a":2}', "01", "'x'")
VALUES = (*TEXTS, *NUMBERS, None, True, False, [], {}, [[]], [None] * 3, {"": ""}, {"a": {"b": {"c": []}}})
_MARK = "@@raw@@"
LOOPS = (
    "{% for i in range(10**9) %}x{% endfor %}",
    "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "{% macro f(n) %}{% if n %}{{ f(n-1) }}{{ f(n-1) }}{% endif %}{% endmacro %}{{ f(60) }}", "{{ 'a' * 10**10 }}",
    "{{ 10 ** 10 ** 8 }}", "{% set a = ['x'] %}" + "{% set a = [a, a] %}" * 60 + "{{ a }}", "{{ '%9999999999d' % 1 }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}", "{{ cycler.__init__.__globals__.os.system('touch canary') }}",
    "{{ self.__init__.__globals__ }}", "{% include '/etc/passwd' %}", "{{ raise_exception('no') }}", "{% for %}",
    "{{ lipsum(n=99999999) }}", "{{ 'a'|center(9999999999) }}", "{% if 1 %}" * 2000, "{{ " + "(" * 4000,
    "no message here",
    "{% for m in messages %}{{ m.content }}{% endfor %}", "{{ strftime_now('%' * 100000) }}", "x" * 300_000,
    "{{ namespace(__class__=1) }}", "{{ dict.fromkeys(range(99999), 'x' * 99999) }}", "{{ messages * 99999999 }}",
)  # fmt: skip


class Canary:
    """Pickled, it runs a command when it is unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Any, Any]:
        return os.system, (f"touch {self.place}",)


def pickled(place: Path) -> bytes:
    return pickle.dumps(Canary(place))


def changed_json(rng: random.Random, values: Any) -> bytes:
    """Up to three values replaced, left out, doubled or turned round; sometimes what JSON does not know."""
    values = copy.deepcopy(values)
    raw = None
    for number in range(rng.randint(1, 3)):
        holder, key = _place(rng, values)
        if holder is None:
            break
        kind = rng.randrange(9)
        if kind < 5:
            holder[key] = rng.choice(VALUES)
        elif kind == 5 and raw is None:
            raw, holder[key] = rng.choice(RAW), _MARK
        elif kind == 6 and isinstance(holder, dict):
            del holder[key]
        elif kind == 7 and isinstance(holder, dict):
            holder[rng.choice(TEXTS)] = rng.choice(VALUES)
        elif number == 0:
            holder[key] = _turned(rng, holder[key])
            break  # what is repeated ten thousand times stays small otherwise
    text = json.dumps(values)
    if raw is not None:
        text = text.replace(f'"{_MARK}"', raw)
    return text.encode("utf-8", "surrogatepass")


def _place(rng: random.Random, values: Any) -> tuple[Any, Any]:
    """A container within and one of its keys; upper levels are as likely as all that lies deep in them."""
    here = values
    while True:
        keys = list(here) if isinstance(here, dict) else list(range(min(len(here), 50)))
        if not keys:
            return None, None
        key = rng.choice(keys)
        if isinstance(here[key], dict | list) and here[key] and rng.random() < 0.7:
            here = here[key]
        else:
            return here, key


def _turned(rng: random.Random, value: Any) -> Any:
    if isinstance(value, list):
        return value[::-1] if rng.random() < 0.5 else value * rng.choice((2, 10_000))
    if isinstance(value, dict):
        return dict(reversed(value.items()))
    if isinstance(value, str):
        return value[::-1] if rng.random() < 0.5 else value * rng.choice((2, 100_000))
    return [value]


def changed_bytes(rng: random.Random, data: bytes) -> bytes:
    """Flipped, cut off, doubled, or with other bytes in between."""
    kind = rng.randrange(6)
    place = rng.randrange(len(data) + 1)
    if kind == 0:
        return data[:place]
    if kind == 1:
        return data + data
    if kind == 2:
        return data[:place] + rng.randbytes(rng.randint(1, 64)) + data[place:]
    if kind == 3:
        return rng.choice(
            (b"", b"\0" * 1000, b"\xff\xfe", b"\xef\xbb\xbf" + data, b"[" * 100_000, b"SQLite format 3\0")
        )
    flipped = bytearray(data)
    for _ in range(rng.randint(1, 20)):
        if flipped:
            flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
    return bytes(flipped)


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    import socket

    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path)[:100])


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


NO_FILES: dict[str, Callable[[Path], None]] = {
    "named pipe": _pipe,
    "folder": lambda path: path.mkdir(),
    "endless device": lambda path: path.symlink_to("/dev/zero"),
    "random device": lambda path: path.symlink_to("/dev/urandom"),
    "terminal": lambda path: path.symlink_to("/dev/tty"),
    "memory": lambda path: path.symlink_to("/proc/self/mem"),
    "link to itself": lambda path: path.symlink_to(path.name),
    "link to nothing": lambda path: path.symlink_to("gone"),
    "a terabyte of holes": _sparse,
    "socket": _socket,
    "empty": lambda path: path.touch(),
    "unreadable": lambda path: path.touch(0o000),
}


def put(path: Path, make: Callable[[Path], None]) -> None:
    """In place of what is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    try:
        make(path)
    except OSError:  # a file system without such files
        path.write_bytes(b"")
