"""A library of ways to ask for a label after the text: where a search begins.

Written for this project, for tasks in general: none was chosen or worded by looking at a data set.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from autoprompt.template import LABEL, LabelWords, Literal, Slot, Soft, Template, edits

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
    return list(_worded(TAILS, name, words))


def heads(name: str, words: LabelWords) -> list[str]:
    """The literal texts before the data, worded likewise."""
    return list(_worded(HEADS, name, words))


@lru_cache(maxsize=256)  # asked for with each draw
def _worded(texts: tuple[str, ...], name: str, words: LabelWords) -> tuple[str, ...]:
    options = _options(words.words)
    filled = [
        text.replace("{Name}", name.capitalize()).replace("{name}", name.lower()).replace("{options}", options)
        for text in texts
        if options or "{options}" not in text
    ]
    return tuple(dict.fromkeys(filled))


def with_tail(template: Template, tail: str) -> Template:
    """``tail`` in place of the words that ask for the label; trainable vectors among them stay.

    Nothing but fields and trainable vectors is kept after the label.
    """
    head, asked = template.head().segments, edits.question(template)
    after = template.segments[len(head) + len(asked) + 1 :]
    if not edits.fields_after(template):
        after = tuple(s for s in after if isinstance(s, Soft))
    if not any(isinstance(s, Slot) for s in head):
        tail = tail.lstrip()
    vectors = [s for s in asked if isinstance(s, Soft)]
    first = int(bool(vectors) and asked[0] == vectors[0])
    return Template((*head, *vectors[:first], Literal(tail), *vectors[first:], Slot(LABEL), *after))


def with_head(template: Template, head: str) -> Template:
    """``head`` in place of what stood before the first field; solved examples and trainable vectors stay."""
    segments = template.segments
    first = next((i for i, s in enumerate(segments) if edits.is_field(s)), 0)
    start = segments.index(Slot(LABEL)) + 1 if Slot(LABEL) in segments[:first] else 0
    before = segments[start:first]
    if start:  # the label's sentence comes first: end it as it was ended
        text = next((s.text for s in before if isinstance(s, Literal)), "")
        head = ("\n" if text.startswith("\n") else ". ") + head
    kept = [s for s in before if not isinstance(s, Literal)]
    return Template((*segments[:start], *kept, Literal(head), *segments[first:]))


def body(template: Template) -> Template:
    """The fields and what stands between them, with all solved examples and the trainable vectors up to there."""
    segments = template.head().segments
    if edits.fields_after(template):
        label = template.segments.index(Slot(LABEL))
        last = max(i for i, s in enumerate(template.segments) if edits.is_field(s))
        after = template.segments[label + 1 : last + 1]
        skipped = next(i for i, s in enumerate(after) if edits.is_field(s))
        joint = [Literal(" ")] if any(edits.is_field(s) for s in segments) else []
        segments = (*segments, *joint, *after[skipped:])
    first = next((i for i, s in enumerate(segments) if isinstance(s, Slot)), 0)
    return Template((*(s for s in segments[:first] if not isinstance(s, Literal)), *segments[first:]))


def _options(words: Sequence[str]) -> str:
    if not 2 <= len(words) <= MAX_OPTIONS:
        return ""
    return ", ".join(words[:-1]) + " or " + words[-1]
