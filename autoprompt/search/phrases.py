"""A library of ways to ask for a label after the text: where a search begins.

Written for this project, for tasks in general: none was chosen or worded by looking at a data set.
"""

from __future__ import annotations

from collections.abc import Sequence

from autoprompt.template import LABEL, LabelWords, Literal, Slot, Template

TAILS = (
    "\n{Name}: ",
    " ",
    "\n",
    " It was ",
    " This is ",
    " It is about ",
    "\nAnswer: ",
    "\nLabel: ",
    "\nCategory: ",
    "\nIn one word: ",
    " In summary, it is ",
    " All in all, ",
    "\nThe {name} of this text is ",
    "\nThe {name} is ",
    "\nQuestion: What is the {name}?\nAnswer: ",
    "\nChoose {options}: ",
    "\nIs it {options}? ",
    "\nTopic: ",
    "\nTags: ",
    "\nOverall: ",
    "\nSummary: ",
    "\nType: ",
    " -> ",
    " (",
    " In other words, ",
    "\nI would call this ",
    "\nVerdict: ",
    "\n### Response: ",
)

HEADS = ("Text: ", "Read this: ", "Input: ", "Example: ", '"', "Here is a text.\n", "{Name}?\n")

MAX_OPTIONS = 4
"""More label words than this are not spelled out in a phrase: each token of the tail costs time."""


def tails(name: str, words: LabelWords) -> list[str]:
    """The literal texts after the data, worded for a label column and its label words."""
    options = _options(words.words)
    filled = [
        tail.replace("{Name}", name.capitalize()).replace("{name}", name.lower()).replace("{options}", options)
        for tail in TAILS
        if options or "{options}" not in tail
    ]
    return list(dict.fromkeys(filled))


def heads(name: str) -> list[str]:
    """Literal texts before the data."""
    return [head.replace("{Name}", name.capitalize()) for head in HEADS]


def with_tail(template: Template, tail: str) -> Template:
    """The template's head, then ``tail``, then the label."""
    return Template((*template.head().segments, Literal(tail), Slot(LABEL)))


def body(template: Template) -> Template:
    """The head without literal text before its first field."""
    segments = template.head().segments
    first = next((i for i, s in enumerate(segments) if isinstance(s, Slot)), 0)
    return Template(segments[first:])


def _options(words: Sequence[str]) -> str:
    if len(words) > MAX_OPTIONS:
        return ""
    return ", ".join(words[:-1]) + " or " + words[-1]
