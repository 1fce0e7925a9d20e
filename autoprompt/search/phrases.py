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

HEADS = (
    "Text: ",
    "Review: ",
    "Article: ",
    "Comment: ",
    "Sentence: ",
    "Question: ",
    "Message: ",
    "Document: ",
    "Input: ",
    '"',
    "{Name}?\n",
    "{Name}, {options}?\n",
    "What is the {name} of this text?\n\n",
    "The {name} is {options}.\n\n",
)
"""What stands before the text primes the frozen model while it reads: it matters as much as what follows."""

MAX_OPTIONS = 4
"""More label words than this are not spelled out in a phrase: each token of the tail costs time."""


def tails(name: str, words: LabelWords) -> list[str]:
    """The literal texts after the data, worded for a label column and its label words."""
    return _worded(TAILS, name, words)


def heads(name: str, words: LabelWords) -> list[str]:
    """The literal texts before the data, worded likewise."""
    return _worded(HEADS, name, words)


def _worded(texts: Sequence[str], name: str, words: LabelWords) -> list[str]:
    options = _options(words.words)
    filled = [
        text.replace("{Name}", name.capitalize()).replace("{name}", name.lower()).replace("{options}", options)
        for text in texts
        if options or "{options}" not in text
    ]
    return list(dict.fromkeys(filled))


def with_tail(template: Template, tail: str) -> Template:
    """The template's head, then ``tail``, then the label."""
    return Template((*template.head().segments, Literal(tail), Slot(LABEL)))


def with_head(template: Template, head: str) -> Template:
    """The template with ``head`` in place of what stood before its first field."""
    tail = template.segments[len(template.head().segments) :]
    return Template((Literal(head), *body(template).segments, *tail))


def body(template: Template) -> Template:
    """The head without literal text before its first field."""
    segments = template.head().segments
    first = next((i for i, s in enumerate(segments) if isinstance(s, Slot)), 0)
    return Template(segments[first:])


def _options(words: Sequence[str]) -> str:
    if len(words) > MAX_OPTIONS:
        return ""
    return ", ".join(words[:-1]) + " or " + words[-1]
