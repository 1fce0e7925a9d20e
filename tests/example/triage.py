"""Label texts with a prompt that autoprompt found, by whatever model answers it."""

import json
import sys
from collections.abc import Iterable, Iterator

import best


def requests(texts: Iterable[str]) -> Iterator[dict]:
    """One request a text: the prompt up to the label, and how long the answer may be."""
    longest = max(len(word) for word in best.LABEL_WORDS.values())
    for text in texts:
        yield {"prompt": best.render(text=text), "max_characters": longest, "entry": best.PROVENANCE["entry"]}


def label_of(answer: str) -> str | None:
    """The label whose word the answer begins with, the longest first; None for any other answer."""
    said = answer.strip().casefold()
    for label, word in sorted(best.LABEL_WORDS.items(), key=lambda item: -len(item[1])):
        if said.startswith(word.casefold()):
            return label
    return None


def main() -> None:
    """``requests`` or ``labels``, over the lines of standard input."""
    lines = (line.rstrip("\n") for line in sys.stdin)
    if sys.argv[1:] == ["requests"]:
        for request in requests(lines):
            print(json.dumps(request, ensure_ascii=False))
    elif sys.argv[1:] == ["labels"]:
        for line in lines:
            print(label_of(line) or "unknown")
    else:
        sys.exit("usage: python triage.py requests|labels")


if __name__ == "__main__":
    main()
