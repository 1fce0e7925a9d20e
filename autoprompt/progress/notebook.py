"""``NotebookView``: a run's progress as a bar of tqdm, for notebooks."""

from __future__ import annotations

import sys
import time
from typing import Any

from autoprompt.progress.views import View
from autoprompt.terminal import visible

_LIMITED = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}{postfix}"
_UNLIMITED = "{desc}: {elapsed}{postfix}"


class NotebookView(View):
    """A bar with the stage, the share of the budget, and the best loss so far; ``close`` takes it away."""

    def __init__(self, *limits: Any) -> None:
        super().__init__(*limits)
        from tqdm.auto import tqdm

        total = self.seconds or self.limit
        form = _LIMITED if total else _UNLIMITED
        self.bar = tqdm(total=total, desc=self.text, bar_format=form, leave=False, file=sys.stderr)

    def note(self, text: str) -> None:
        self.bar.write(f"note: {visible(text)}", file=sys.stderr)

    def changed(self, *, important: bool) -> None:
        if self.seconds:
            self.bar.n = min(self.seconds, time.monotonic() - self.started)
        elif self.limit:
            self.bar.n = min(self.limit, self.fitted)
        facts = self.facts()
        shown = {name: facts[name] for name in ("evaluations", "best so far") if name in facts}
        self.bar.set_description_str(facts["stage"], refresh=False)
        self.bar.set_postfix_str(", ".join(f"{name}: {value}" for name, value in shown.items()), refresh=important)
        if not important:
            self.bar.update(0)

    def close(self) -> None:
        """Take the bar away."""
        self.bar.close()
