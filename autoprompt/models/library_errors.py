"""Errors of other libraries on a model that does not fit them, as InputError."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from autoprompt.errors import AutopromptError, InputError, first_line


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Inside the block whatever another library raises becomes an InputError: ``what`` with its reason in brackets.

    A stranger's files fail in as many ways as the libraries have lines. Panics of tokenizers are no Exceptions.
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
