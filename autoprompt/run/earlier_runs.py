"""What a run takes over from earlier ones and stores with itself: the start of a warm search, or a prompt to score."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from autoprompt.candidate import Candidate
from autoprompt.results import Transferred, WarmStart
from autoprompt.transfer import Profile


@dataclass(frozen=True)
class WarmStartData:
    """What a search begins with. ``prompts``: the most promising first. ``operators``: tries and wins by name."""

    prompts: tuple[Candidate, ...]
    operators: Mapping[str, tuple[float, float]]
    sources: tuple[WarmStart, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "prompts": [candidate.to_dict() for candidate in self.prompts],
            "operators": {name: list(counts) for name, counts in self.operators.items()},
            "sources": [source.to_dict() for source in self.sources],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> WarmStartData:
        """The inverse of ``to_dict``."""
        return cls(
            tuple(Candidate.from_dict(candidate) for candidate in values["prompts"]),
            {name: (tries, wins) for name, (tries, wins) in dict(values["operators"]).items()},
            tuple(WarmStart(**source) for source in values["sources"]),
        )


@dataclass(frozen=True)
class TransferredPrompt:
    """An entry's prompt that is scored on other data, and the profile of those that it was found on."""

    origin: Transferred
    candidate: Candidate
    profile: Profile

    @property
    def split(self) -> str:
        """The rows that it is scored on."""
        return self.origin.split

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            **self.origin.to_dict(),
            "candidate": self.candidate.to_dict(),
            "profile": asdict(self.profile),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TransferredPrompt:
        """The inverse of ``to_dict``."""
        own = dict(values)
        candidate, profile = Candidate.from_dict(own.pop("candidate")), Profile(**own.pop("profile"))
        return cls(Transferred(**own), candidate, profile)
