"""Conversion of other libraries' errors on an unsuitable model into InputError."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from autoprompt.errors import AutopromptError, InputError, first_line


@contextmanager
def as_input_error(what: str) -> Iterator[None]:
    """Inside the block, any error of another library becomes an InputError: ``what``, then the reason in brackets.

    Files from strangers can make a library fail on any line, so all exceptions are converted. Panics of tokenizers do
    not derive from Exception.
    """
    try:
        yield
    except AutopromptError:
        raise
    except Exception as error:
        raise InputError(f"{what} ({first_line(error)}).") from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise InputError(f"{what} ({first_line(error)}).") from error
