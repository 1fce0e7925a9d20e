"""Reading a data file's bytes and text: decompression within limits, and decoding."""

import bz2
import codecs
import gzip
import importlib
import lzma
import stat
import zlib
from pathlib import Path
from typing import IO, Any

from autoprompt.corpus.readers.options import FileOptions
from autoprompt.errors import InputError, first_line, parameter

COMPRESSED = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".zst": "zstd"}
LEAST_LIMIT = 64 << 20
MOST_LIMIT = 2 << 30
MOST_RATIO = 500
"""Text compresses to a fifth, a table of equal rows to a fiftieth; a file beyond this ratio was made to fill a disk."""
_BLOCK = 1 << 20
_MARKS = (  # UTF-32 before UTF-16, because its mark begins with that of UTF-16
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_MAGIC = (
    (b"\x1f\x8b", "gzip data", "end its name in .gz"),
    (b"\x28\xb5\x2f\xfd", "zstd data", "end its name in .zst"),
    (b"\xfd7zXZ", "xz data", "end its name in .xz"),
    (b"BZh", "bzip2 data", "end its name in .bz2"),
    (b"PK\x03\x04", "a zip archive or Excel workbook", "unpack it, or end its name in .xlsx"),
    (b"PAR1", "parquet data", "end its name in .parquet"),
)


def extension(path: Path) -> str:
    """The file name's extension in lower case, without that of a compression: ``.csv`` for Rows.CSV.gz."""
    name = path.with_suffix("") if path.suffix.lower() in COMPRESSED else path
    return name.suffix.lower()


def stem(path: Path) -> str:
    """The file name without its extensions: ``Rows`` for Rows.csv.gz."""
    return (path.with_suffix("") if path.suffix.lower() in COMPRESSED else path).stem


def limit_of(size: int) -> int:
    """The most bytes that a compressed file of ``size`` bytes may expand to."""
    return min(max(LEAST_LIMIT, MOST_RATIO * size), MOST_LIMIT)


def check_file(path: Path) -> int:
    """Return the size in bytes. Raises InputError for an empty file and for one that is not a regular file."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise InputError(f"{path} is not a regular file; give a file.")
    if found.st_size == 0:
        raise InputError(f"{path} is empty; give a file with rows.")
    return found.st_size


def bytes_of(path: Path) -> bytes:
    """Return the file's bytes, decompressed if its name ends in .gz or another compression's extension.

    Raises InputError for a broken file and for one that expands too far, and OSError for errors of the disk.
    """
    kind = COMPRESSED.get(path.suffix.lower())
    if kind is None:
        return path.read_bytes()
    limit = limit_of(path.stat().st_size)
    parts: list[bytes] = []
    held = 0
    try:
        with _stream(path, kind) as stream:
            while part := stream.read(_BLOCK):
                held += len(part)
                if held > limit:
                    raise InputError(
                        f"{path} expands to more than {limit >> 20} MiB; decompress it yourself if it is meant to."
                    )
                parts.append(part)
    except (EOFError, zlib.error, lzma.LZMAError, OSError, ValueError) as error:
        if isinstance(error, OSError) and error.strerror and error.errno:  # an error of the disk
            raise
        raise InputError(
            f"{path} is not a complete {kind} file ({first_line(error)}); copy it again, or decompress it."
        ) from error
    return b"".join(parts)


def _stream(path: Path, kind: str) -> IO[bytes]:
    if kind != "zstd":
        openers: dict[str, Any] = {"gzip": gzip.open, "bzip2": bz2.open, "xz": lzma.open}
        opened: IO[bytes] = openers[kind](path)
        return opened
    # pyarrow, because Python before 3.14 has no zstd; by name, because it has no type annotations.
    pa: Any = importlib.import_module("pyarrow")
    stream: IO[bytes] = pa.CompressedInputStream(pa.OSFile(str(path)), "zstd")
    return stream


def text_of(path: Path, options: FileOptions) -> str:
    """Return the file as text, without its byte order mark, which takes precedence over ``options.encoding``.

    Raises InputError, with the line, for bytes that are invalid in the encoding and for NUL characters; OSError for
    errors of the disk.
    """
    raw = bytes_of(path)
    mark, encoding = next(
        ((mark, name) for mark, name in _MARKS if raw.startswith(mark)), (b"", options.encoding or "utf-8")
    )
    body = raw.removeprefix(mark)
    try:
        text = body.decode(encoding)
    except UnicodeDecodeError as error:
        raise _undecodable(path, body, error, encoding, options) from error
    except (UnicodeError, ValueError) as error:
        raise InputError(
            f"{path} is not {encoding} ({first_line(error)}); give another {parameter('encoding')}."
        ) from error
    _check_text(path, text)
    return text


def _undecodable(path: Path, body: bytes, error: UnicodeDecodeError, encoding: str, options: FileOptions) -> InputError:
    for magic, what, advice in _MAGIC:
        if body.startswith(magic):
            return InputError(f"{path} holds {what}; {advice}.")
    # Some codecs report a position in an internal buffer, which may be outside the file.
    start = min(error.start, max(len(body) - 1, 0))
    line = body.count(b"\n", 0, start) + 1
    if options.encoding is None and 4 * body.count(b"\0") > len(body):
        return InputError(
            f"{path} looks like UTF-16 without a byte order mark; give {parameter('encoding', 'utf-16-le')} or "
            "utf-16-be."
        )
    name = encoding.upper() if encoding.startswith("utf") else encoding
    advice = (
        f"save the file as UTF-8, or name its encoding ({parameter('encoding', 'cp1252')} for Windows, Western Europe)"
        if options.encoding is None
        else f"give another {parameter('encoding')}"
    )
    return InputError(f"{path}:{line} holds the byte 0x{body[start]:02x}, which is not {name}; {advice}.")


def _check_text(path: Path, text: str) -> None:
    if "\0" in text:
        place = text.index("\0")
        line = text.count("\n", 0, place) + 1
        sample = text[:1000]
        advice = (
            f"if the file is UTF-16, give {parameter('encoding', 'utf-16-le')}"
            if sample.count("\0") > len(sample) / 4
            else ""
        )
        raise InputError(f"{path}:{line} holds a NUL character; {advice or 'remove it'}.")
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:  # UTF-7 and some others decode to lone surrogates
            line = text.count("\n", 0, error.start) + 1
            raise InputError(
                f"{path}:{line} holds the lone surrogate \\u{ord(text[error.start]):04x}; remove it."
            ) from error
