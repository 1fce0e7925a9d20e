"""Schema of a prompt file: the types and bounds of its values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from autoprompt.models import FAMILIES
from autoprompt.short_repr import short_repr
from autoprompt.untrusted import relative_parts

FORMAT = "autoprompt-prompt"
VERSION = 1
MAX_FILE = 8 << 20
"""Most bytes of a prompt file."""
MAX_LABELS = 10_000
_MAX_FILES = 10_000
_MAX_TOKENS = 1_000_000
_MAX_WRITTEN = 100_000
MAX_TOGETHER = 64
"""Most prompts of one file."""


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("it has control characters")
    return text


def _plain(name: str) -> str:
    relative_parts(name)
    return name


def _place(name: str) -> str:
    relative_parts(name, most=2)
    return name


def _model_file(name: str) -> str:
    relative_parts(name, most=8)
    return name


def _family(name: str) -> str:
    if name not in FAMILIES:
        raise ValueError(f"the families are {', '.join(FAMILIES)}")
    return name


Text = Annotated[str, Field(max_length=1_000_000)]
Label = Annotated[str, Field(max_length=10_000)]
Labels = Annotated[tuple[Label, ...], Field(max_length=MAX_LABELS)]
LabelWordsMap = Annotated[dict[Label, Label], Field(max_length=MAX_LABELS)]
Column = Annotated[str, Field(min_length=1, max_length=1_000)]
Name = Annotated[str, Field(max_length=4_096), AfterValidator(_printable)]
Id = Annotated[str, Field(pattern=r"^\w{0,64}$")]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Number = Annotated[int, Field(strict=True, ge=-(2**53), le=2**53)]
Real = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Flag = Annotated[bool, Field(strict=True)]
Word = Annotated[str, Field(max_length=1_000)]
Family = Annotated[str, AfterValidator(_family)]
Value = Flag | Number | Real | Word | None
SettingsMap = Annotated[dict[Word, Value], Field(max_length=16)]
Scores = Annotated[dict[Word, Annotated[dict[Word, Value], Field(max_length=64)]], Field(max_length=16)]
Tokens = Annotated[int, Field(strict=True, ge=1, le=_MAX_TOKENS)]
Written = Annotated[int, Field(strict=True, ge=0, le=_MAX_WRITTEN)]
ModelFiles = Annotated[dict[Annotated[str, AfterValidator(_model_file)], Digest], Field(max_length=_MAX_FILES)]
WeightFiles = Annotated[dict[Annotated[str, AfterValidator(_plain)], Digest], Field(min_length=1, max_length=16)]


@dataclass(frozen=True)
class Weights:
    """Fine-tuned weights beside a prompt file: their folder, and its files with their SHA-256.

    ``binding``: a SHA-256 over these files and everything in the prompt file that they were trained with: template,
    label words, settings, labels in their order, label column, how the model was loaded, and the model's files.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    folder: Annotated[str, AfterValidator(_place)]
    files: WeightFiles
    binding: Digest

    def __repr__(self) -> str:
        return short_repr(self, self.folder, files=list(self.files))


@dataclass(frozen=True)
class Member:
    """A further prompt of an ensemble: what it does not share with the file's own. ``Prompt`` says what values mean."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    template: Text
    label_words: LabelWordsMap
    settings: SettingsMap
    entry: Id
    scores: Scores
    weights: Weights | None = None

    def __repr__(self) -> str:
        return short_repr(self, self.template, tuning=self.settings.get("tuning"))


class PromptFile(BaseModel):
    """The content of a prompt file; ``Prompt`` says what the values mean."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Word
    version: Number
    template: Text
    label_words: LabelWordsMap
    settings: SettingsMap
    model: Name
    corpus: Text
    fingerprint: Id
    entry: Id
    run: Id
    scores: Scores
    family: Family
    max_length: Tokens
    model_revision: Name
    chat: tuple[Text, Text] | None
    labels: Labels
    label_column: Column
    target_length: Written
    model_files: ModelFiles
    weights: Weights | None = None
    ensemble: Annotated[tuple[Member, ...], Field(max_length=MAX_TOGETHER - 1)] = ()
