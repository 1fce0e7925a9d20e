"""Files from strangers: only regular ones of a bounded size are read, as strict JSON or TOML."""

import json
import math
import os
import socket
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoprompt.errors import InputError
from autoprompt.untrusted import MAX_DEPTH, open_regular, parse_json, read_bytes, read_json, read_toml, relative_parts

MOST = 1 << 20
TEXT = st.text(st.characters(codec="utf-8"), max_size=10)
PLAIN = st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(PLAIN | TEXT, lambda v: st.lists(v, max_size=3) | st.dictionaries(TEXT, v, max_size=3))


def outcome(read: Callable[[], Any]) -> Any:
    """What is read, or the refusal."""
    try:
        return read()
    except InputError as error:
        return error


@settings(max_examples=200, deadline=None)
@given(JSON)
def test_what_json_writes_is_read(value):
    assert parse_json(json.dumps(value).encode(), "It") == value
    assert parse_json(json.dumps(value, ensure_ascii=False, indent=1).encode(), "It") == value


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60) | st.text(st.sampled_from('[]{}",:0129eE+-.\\untrfalse NI'), max_size=60).map(str.encode))
def test_any_bytes_are_a_value_or_one_sentence(data):
    """What is read, the standard library reads alike, but for what is refused."""
    found = outcome(lambda: parse_json(data, "The file x"))
    if isinstance(found, InputError):
        assert str(found).startswith("The file x is not valid JSON (")
        assert "\n" not in str(found)
    else:
        assert found == json.loads(data.decode())


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("NaN", "NaN"), ("[Infinity]", "Infinity"), ("-Infinity", "-Infinity"), ("1e999", "not finite"),
        ("-1e400", "not finite"), ("1" + "0" * 40, "40 digits"), ("9" * 5_000, "40 digits"),
        ('{"a": 1, "b": 2, "a": 3}', "'a' stands twice"), ('[{"": {"": 1, "": 2}}]', "'' stands twice"),
        ("[" * 65 + "]" * 65, "64 levels"), ('{"a":' * 65 + "1" + "}" * 65, "64 levels"), ("[" * 100_000, ""),
        ('"\\ud800"', "surrogates"), ('["\\uDFFF"]', "surrogates"), ('{"\\udc00": 1}', "surrogates"),
        ("\ufeff{}", ""), ("", ""), ("{}x", ""), ("01", ""), ("'a'", ""), ('{"a"}', ""),
    ],
)  # fmt: skip
def test_what_is_no_sensible_json_is_refused(text, part):
    with pytest.raises(InputError, match="is not valid JSON") as caught:
        parse_json(text.encode(), "It")
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_what_looks_odd_is_read():
    assert parse_json(b'"\\ud83d\\ude42"', "It") == "🙂"
    assert parse_json(b"1000000000000000019884624838656", "It") == 1000000000000000019884624838656
    assert parse_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, "It") == json.loads("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    assert math.isclose(parse_json(b"1e308", "It"), 1e308)


@pytest.mark.timeout(30)
@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "random", "loop", "gone", "socket", "large", "name"])
def test_what_is_no_file_of_this_size_is_refused_at_once(tmp_path, kind):
    place: Path = tmp_path / "f"
    made: dict[str, Any] = {
        "pipe": lambda: os.mkfifo(place), "folder": place.mkdir, "device": lambda: place.symlink_to("/dev/zero"),
        "random": lambda: place.symlink_to("/dev/urandom"), "loop": lambda: place.symlink_to("f"),
        "gone": lambda: place.symlink_to("g"), "large": lambda: (place.touch(), os.truncate(place, 1 << 40)),
        "name": lambda: None, "socket": lambda: socket.socket(socket.AF_UNIX).bind(str(place)),
    }  # fmt: skip
    made[kind]()
    if kind == "name":
        place = Path("a\0b")
    for read in (read_bytes, read_json, read_toml):
        with pytest.raises(InputError, match=r"^The file .* (cannot be read|has more than 1 MiB)") as caught:
            read(place, "The file", MOST)
        assert "\n" not in str(caught.value)


def test_a_link_to_a_file_is_read(tmp_path):
    (tmp_path / "real").write_text("[1]")
    (tmp_path / "link").symlink_to("real")
    assert read_json(tmp_path / "link", "The file", MOST) == [1]
    with open_regular(tmp_path / "link") as file:
        assert file.read() == b"[1]"
    assert read_bytes(tmp_path / "real", "The file", 3) == b"[1]"
    with pytest.raises(InputError, match="has more than"):
        read_bytes(tmp_path / "real", "The file", 2)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=40) | st.text(st.sampled_from("[]{}=\"'\n ab.01#"), max_size=40).map(str.encode))
def test_any_bytes_are_toml_or_one_sentence(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_bytes(data)
    found = outcome(lambda: read_toml(path, "The file", MOST))
    if isinstance(found, InputError):
        assert "is not valid TOML" in str(found)
        assert "\n" not in str(found)
    else:
        assert found == tomllib.loads(data.decode())


@pytest.mark.parametrize("name", ["a", "a.json", "ü b", "-x", "..a", "a..b"])
def test_a_plain_name(name):
    assert relative_parts(name) == [name]
    assert relative_parts(f"{name}/{name}", most=2) == [name, name]


@pytest.mark.parametrize(
    "name", ["", ".", "..", "/a", "a/", "a//b", "../a", "a/..", "a\\b", "c:", "a\0", "a\n", "\x1b", "a/b", "x" * 201],
    ids=ascii,
)  # fmt: skip
def test_a_path_is_no_plain_name(name):
    with pytest.raises(ValueError, match="no plain name"):
        relative_parts(name)
