"""Length limits of rows: how many rows have a text that is cut, and how long target texts are."""

from __future__ import annotations

from collections.abc import Sequence

from autoprompt.candidate import Candidate, Settings
from autoprompt.corpus import Example
from autoprompt.models.prompts.encoding import Encoder
from autoprompt.template import LABEL, LabelWords, Slot, Template, render_value


def cut_rows(
    encoder: Encoder, fields: Sequence[str], rows: Sequence[Example], candidate: Candidate | None, *, labelled: bool
) -> int:
    """Number of rows with a field that is cut in the candidate's prompt or, unless ``labelled``, a cut target text.

    Without a candidate, a template of the fields alone is assumed. Labels are names that label words replace, so they
    are never cut.
    """
    shown = candidate or Candidate(Template((*map(Slot, fields), Slot(LABEL))), LabelWords(()), Settings("none"))
    answers = encoder.answers(shown, rows) if shown.label_words.pairs else [[""]] * len(rows)
    fitted = encoder.fitted_fields(shown, rows, answers)
    targets = [] if labelled else [encoder.is_cut(row.label) for row in rows]
    cut = [any(own[n] != render_value(row.fields[n]) for n in fields) for own, row in zip(fitted, rows, strict=True)]
    return sum(map(any, zip(cut, targets or cut, strict=True)))


def target_length(encoder: Encoder, rows: Sequence[Example]) -> int:
    """Tokens of the longest target text, plus one for the space before it."""
    return 1 + max(encoder.length(encoder.cut(row.label)) for row in rows)
