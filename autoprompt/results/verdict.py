"""Verdicts in words: whether a winner is better than the tuned manual template, and how a refined entry changed."""

from __future__ import annotations

from autoprompt.results.types import Change, Difference, Refinement, RunResult

NONE_BETTER = "No prompt was measurably better than the tuned manual template"
KEEP = "keep the manual one, or give more time (a larger budget) or more rows"
DIGITS = 3
"""Decimal places of a loss; two losses that are equal in them count as unchanged."""


def verdict(result: RunResult) -> str:
    """The verdict on a run, from the paired interval of winner - ``manual_tuned`` on the rows that judge both."""
    found, manual = result.difference, result.baselines.get("manual_tuned")
    name, split = _judged(result)
    rows = _rows(result)
    if result.best and manual and result.best.entry == manual.entry:
        if result.versions and found:
            return (
                f"{NONE_BETTER}, which is the {name} itself; trained once more it differs from that by "
                f"{_said(found, rows)} on the {split} rows."
            )
        judged = f" ({_said(found, rows)} on the {split} rows)" if found else ""
        return f"{NONE_BETTER}, which is the {name} itself{judged}; {KEEP}."
    if not found:
        return f"There are no {split} rows on which the {name} and the tuned manual template could be compared."
    said, ends = _said(found, rows), found.ends
    if ends is None:
        return f"The {split} rows are too few to tell the {name} from the tuned manual template: {said}; {KEEP}."
    if ends[0] > 0:
        return f"The {name} is better than the tuned manual template on the {split} rows: {said}."
    if ends[1] < 0:
        return f"The {name} is worse than the tuned manual template on the {split} rows: {said}; {KEEP}."
    return f"{NONE_BETTER}: {name} - manual_tuned on the {split} rows is {said}, and the interval includes 0; {KEEP}."


def refinement_verdict(found: Refinement | None) -> str | None:
    """``refined from 1f2e3d4c: better on new rows (loss 0.512 to 0.301, n=4), no worse on old (0.302 to 0.302, n=32)``.

    None for a run that refined nothing.
    """
    if not found:
        return None
    new, old = _change(found.new), _change(found.validation)
    said = [f"{new[0]} on new rows ({new[1]})"] if new else ["new rows not judged"]
    said += [f"{old[0]} on old ({old[1]})"] if old else []
    return f"refined from {found.entry[:8]}: {', '.join(said)}"


def _judged(result: RunResult) -> tuple[str, str]:
    """What is judged, and on which rows."""
    return ("winner", "test") if result.transfer is None else ("transferred prompt", result.transfer.split)


def _said(found: Difference, rows: int | None) -> str:
    scale, unit, digits = (100, "points of accuracy", 1) if found.metric == "accuracy" else (1, found.metric, 3)
    value = f"{scale * found.value:+.{digits}f} {unit}"
    ends = found.ends
    counted = "" if rows is None else f", n = {rows}"
    if ends is None:
        return f"{value} (too few rows for an interval{counted})"
    low, high = (f"{scale * end:+.{digits}f}" for end in ends)
    return f"{value} (95 % interval {low} to {high}{counted})"


def _rows(result: RunResult) -> int | None:
    """The number of rows that judge."""
    if result.best is None:
        return None
    score = result.best.test if _judged(result)[1] == "test" else result.best.validation
    return score.n if score else None


def _change(scores: Change) -> tuple[str, str] | None:
    """The change of the mean loss as a word, and a text with both losses; None where nothing was evaluated."""
    before, after = scores.before, scores.after
    if before is None or after is None:
        return None
    change = round(after.loss, DIGITS) - round(before.loss, DIGITS)
    word = "better" if change < 0 else "worse" if change > 0 else "no worse"
    noise = ", no more than noise" if change and scores.clear is False else ""
    return word, f"loss {before.loss:.{DIGITS}f} to {after.loss:.{DIGITS}f}, n={after.n}{noise}"
