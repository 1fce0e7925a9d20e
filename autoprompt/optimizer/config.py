"""What a search may vary: ranges and sizes from a TOML file, and the genes that ``--fix`` holds still."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from autoprompt.candidate import MOST
from autoprompt.duration import parse_duration
from autoprompt.errors import InputError, UsageError, parameter
from autoprompt.registry import OPERATORS
from autoprompt.template import MAX_PARTS
from autoprompt.untrusted import read_toml

MAX_FILE = 1 << 20
"""Bytes of a search configuration."""
MAX_SIZE = 100_000
"""The most that any size may be: a search of more would never get anywhere."""
_WANTED = {
    "learning_rate": f"a number above 0 and at most {MOST['learning_rate']:g}",
    **{n: f"a whole number above 0 and at most {MOST[n]}" for n in ("batch_size", "epochs", "rank")},
    "calibration": "true or false",
    "demos": f"a whole number from 0 to {MAX_PARTS['demos']}",
    "soft": f"a whole number from 0 to {MAX_PARTS['soft']}",
    "template": "a template's text",
    "label_words": 'a JSON object of texts such as {"neg": "bad", "pos": "good"}',
}
GENES = tuple(_WANTED)
"""What ``--fix`` can name."""
_FLAGS = ("positions", "label_words", "immigrants", "ladder", "halving", "surrogate", "racing")


def _distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(set(values)) < len(values):
        raise ValueError("a value stands twice")
    return values


def _known_operator(name: str) -> str:
    if name not in OPERATORS:
        raise ValueError("no operator has this name")
    return name


_SOME = (Field(min_length=1), AfterValidator(_distinct))
_Rate = Annotated[float, Field(strict=True, gt=0, le=MOST["learning_rate"], allow_inf_nan=False)]
_Limit = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
_Seconds = Annotated[_Limit, BeforeValidator(lambda value: parse_duration(value) if isinstance(value, str) else value)]
_Batch = Annotated[int, Field(strict=True, gt=0, le=MOST["batch_size"])]
_Epochs = Annotated[int, Field(strict=True, gt=0, le=MOST["epochs"])]
_Rank = Annotated[int, Field(strict=True, gt=0, le=MOST["rank"])]
_Demos = Annotated[int, Field(strict=True, ge=0, le=MAX_PARTS["demos"])]
_Operator = Annotated[str, Field(strict=True), AfterValidator(_known_operator)]
_Soft = Annotated[int, Field(strict=True, ge=0, le=MAX_PARTS["soft"])]
_Flag = Annotated[bool, Field(strict=True)]
_Size = Annotated[int, Field(strict=True, ge=1, le=MAX_SIZE)]
Rates = Annotated[tuple[_Rate, ...], _SOME[0], _SOME[1]]
Flags = Annotated[tuple[_Flag, ...], _SOME[0], _SOME[1]]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SettingsRanges(_Section):
    """The values that hyperparameters are drawn from; None: the tuning mode's own (see ``space``).

    A range that the tuning mode has no use for is left aside, so that one file serves several modes.
    """

    learning_rate: Rates | None = None
    batch_size: Annotated[tuple[_Batch, ...], _SOME[0], _SOME[1]] | None = None
    epochs: Annotated[tuple[_Epochs, ...], _SOME[0], _SOME[1]] | None = None
    """Whole passes over the training rows, not factors. None: four, seven and ten tenths of the default's;
    without label words a half, one and one and a half."""
    rank: Annotated[tuple[_Rank, ...], _SOME[0], _SOME[1]] | None = None
    calibration: Flags | None = None
    """None: both where nothing is tuned, else off."""


class TemplateRanges(_Section):
    """What templates may be. Solved examples and trainable vectors cost time with every row: the search puts none
    into a template that has none unless it is told how many to try."""

    max_length: _Size = 120
    """Characters of literal text."""
    positions: _Flag = True
    """Whether fields change places, and, where the model allows it, the label stands before the text."""
    label_words: _Flag | None = None
    """Whether label words vary. None: where nothing is tuned, or the operators name them: a fine-tune learns the words
    it is given, and lost accuracy with those that the model favours (``results/benchmarks/heredity.md``)."""
    soft: Annotated[tuple[_Soft, ...], _SOME[0], _SOME[1]] | None = None
    """How many trainable vectors; None: as the templates given have them."""
    demos: Annotated[tuple[_Demos, ...], _SOME[0], _SOME[1]] | None = None
    """How many solved examples; None: as the templates given have them."""


class SearchRules(_Section):
    """How much a generation holds, and by what its proposals are chosen."""

    pool: _Size = 12
    """Candidates that one generation scores frozen; the best of them are fine-tuned."""
    survivors: _Size = 6
    """Candidates of one generation that are fine-tuned."""
    population: _Size = 8
    """Fine-tuned candidates that the genetic strategies breed from."""
    finalists: _Size = 5
    """At most, beside ``manual_tuned``, which is always one."""
    operators: Annotated[tuple[_Operator, ...], _SOME[0], _SOME[1]] | None = None
    """Of the genetic strategies; None: all that change a gene which is not fixed."""
    immigrants: _Flag = True
    """Whether the genetic strategies draw half of each later generation's pool anew, all genes that are free, whatever
    the operators, and breed but the other half."""
    ladder: _Flag = True
    """Whether frozen scores choose who is fine-tuned; without them it is the order of the proposals."""
    halving: _Flag = True
    """Whether fine-tunes that are behind early on are stopped."""
    surrogate: _Flag = True
    """Whether what was fine-tuned has a say in who is next."""
    time_limit: _Seconds | None = None
    """Seconds after which one evaluation counts as hanging, in a file as text: "90s"; None: twenty times what the
    slowest one took so far, at least five minutes."""
    racing: _Flag = True
    """Whether a paired test drops finalists and names ties; without it the lowest estimated error wins."""


class SearchConfig(_Section):
    """The file of ``--config``. A range of one value fixes its gene, for ``manual_tuned`` as well."""

    settings: SettingsRanges = SettingsRanges()
    template: TemplateRanges = TemplateRanges()
    search: SearchRules = SearchRules()

    @classmethod
    def load(cls, path: Path) -> SearchConfig:
        """Read a TOML file. Raises InputError naming the file, the key and what would do."""
        what = "The search configuration"
        values = read_toml(path, what, MAX_FILE)
        where = f"{what} {path}"
        search = values.get("search")
        if isinstance(search, dict) and not isinstance(search.get("time_limit", ""), str):
            raise InputError(_refusal(where, values, ("search", "time_limit")))  # a number has no unit
        try:
            return cls.model_validate(values)
        except UsageError as error:  # a text that is no duration
            raise InputError(_refusal(where, values, ("search", "time_limit"))) from error
        except ValidationError as error:
            raise InputError(_refusal(where, values, error.errors()[0]["loc"])) from error

    def fixed(self, genes: Mapping[str, Any]) -> SearchConfig:
        """The same with one value for each gene named; ``template`` and ``label_words`` are checked alone.

        Raises UsageError for unknown genes and unusable values.
        """
        ranges: dict[str, dict[str, Any]] = {"settings": {}, "template": {}}
        for name, value in genes.items():
            if name not in GENES:
                raise UsageError(f"{parameter('fix')} names the unknown gene {name!r}; use one of {', '.join(GENES)}.")
            if name in ("template", "label_words"):
                _check_text(name, value)
            else:
                ranges["template" if name in TemplateRanges.model_fields else "settings"][name] = (value,)
        try:
            checked = SearchConfig.model_validate(ranges)
        except ValidationError as error:
            name = str(error.errors()[0]["loc"][1])
            raise UsageError(_misfit(name, genes[name])) from error
        update = {
            section: getattr(self, section).model_copy(update={n: getattr(getattr(checked, section), n) for n in names})
            for section, names in ranges.items()
        }
        return self.model_copy(update=update)


def parse_fix(texts: Sequence[str]) -> dict[str, Any]:
    """``NAME=VALUE`` texts as values by gene. Raises UsageError for anything that is no such pair."""
    genes: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or name not in GENES:
            raise UsageError(
                f"{parameter('fix')} {text!r} is not NAME=VALUE with a known gene; use one of {', '.join(GENES)}."
            )
        if name in genes:
            raise UsageError(f"{parameter('fix')} gives {name} twice; keep one.")
        if name == "template":
            genes[name] = value.replace("\\n", "\n")
            continue
        try:
            genes[name] = json.loads(value.lower() if name == "calibration" else value)
        except (ValueError, RecursionError) as error:
            raise UsageError(_misfit(name, value)) from error
    SearchConfig().fixed(genes)
    return genes


def _check_text(name: str, value: Any) -> None:
    """A template's text or label words: what only the data can judge further."""
    words = isinstance(value, Mapping) and all(isinstance(v, str) for pair in value.items() for v in pair)
    if not (isinstance(value, str) if name == "template" else words):
        raise UsageError(_misfit(name, value))


def _misfit(name: str, value: Any) -> str:
    return f"{parameter('fix')} {name} does not take {reprlib.repr(value)}; give {_WANTED[name]}."


def _refusal(where: str, values: Mapping[str, Any], place: Sequence[int | str]) -> str:
    """One sentence on the first thing that does not fit; ``place``: section, key, and number in a range."""
    section = str(place[0])
    if section not in SearchConfig.model_fields:
        known = ", ".join(f"[{name}]" for name in SearchConfig.model_fields)
        return f"{where} has {section!r}, which is not a section; use {known}."
    fields = getattr(SearchConfig(), section).__class__.model_fields
    known = ", ".join(fields)
    if len(place) == 1:
        return f"{where} has {section} = {reprlib.repr(values[section])}; write a section [{section}] with {known}."
    name = str(place[1])
    if name not in fields:
        return f"{where} has the unknown key {name!r} in [{section}]; use {known}."
    if name == "time_limit":
        wanted = 'a duration with its unit, such as "90s" or "5m"'
    elif name in _FLAGS:
        wanted = "true or false"
    elif name in _WANTED or name == "operators":
        wanted = f"a list of values, none twice, each {_WANTED.get(name) or 'one of ' + ', '.join(OPERATORS)}"
    else:
        wanted = f"a whole number from 1 to {MAX_SIZE}"
    return f"{where} has {name} = {reprlib.repr(values[section][name])} in [{section}]; give {wanted}."
