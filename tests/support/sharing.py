"""Several threads that use one thing at the same time, for tests."""

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any


@contextmanager
def switching() -> Iterator[None]:
    """Inside the context threads give way to each other a thousand times as often as usual."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(5e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def together(*works: Callable[[], Any]) -> list[Any]:
    """What each work returns; all begin at the same time, each in a thread of its own. Raises what one raised."""
    start = threading.Barrier(len(works))
    out: list[Any] = [None] * len(works)
    errors: list[BaseException] = []

    def run(number: int, work: Callable[[], Any]) -> None:
        start.wait()
        try:
            out[number] = work()
        except BaseException as error:  # raised again below
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number, work)) for number, work in enumerate(works)]
    with switching():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if errors:
        raise errors[0]
    return out


def asked_by_threads(call: Callable[[str], Any], texts: Sequence[str], threads: int, calls: int) -> list[list[Any]]:
    """The answers to each thread's ``calls`` calls [threads][calls]; each thread begins with another text."""

    def work(number: int) -> Callable[[], list[Any]]:
        return lambda: [call(texts[(number + place) % len(texts)]) for place in range(calls)]

    return together(*map(work, range(threads)))


def answers_differ(call: Callable[[str], Any], texts: Sequence[str], threads: int, calls: int) -> list[str]:
    """The texts that threads together got another answer to than one thread alone, to the last bit."""
    alone = [call(text) for text in texts]
    asked = asked_by_threads(call, texts, threads, calls)
    return [
        texts[(number + place) % len(texts)]
        for number, answers in enumerate(asked)
        for place, answer in enumerate(answers)
        if answer != alone[(number + place) % len(texts)]
    ]
