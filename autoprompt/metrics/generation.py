"""Metrics of generated text against one reference for each row, as fractions of 1.

    exact_match, token_f1    SQuAD's: lower case, without punctuation (Unicode's, as in MLQA) and English articles
    bleu, chrf               sacrebleu's, counted over the whole corpus
    rouge1, rouge2, rougeL   F-measures of the package rouge-score without stemming, their mean over the rows

BLEU and token_f1 split words at white space alone; for Chinese, Japanese and the like, read chrF or ROUGE.
"""

from __future__ import annotations

import math
import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from autoprompt.errors import InputError
from autoprompt.metrics.types import Score
from autoprompt.registry import GENERATION_METRICS

if TYPE_CHECKING:
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

_ARTICLES = re.compile(r"\b(a|an|the)\b")
# Scripts that put no space between words: Thai, Lao, Burmese, Khmer; kana and Chinese characters.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]"
)


@dataclass(frozen=True)
class TextMetric:
    """A metric of generated text.

    ``row``: returns the function of one (prediction, reference); called where the metric is used, so that a library is
    imported only then. ``corpus``: the function of all (predictions, references); None takes the mean over the rows.
    """

    row: Callable[[], Callable[[str, str], float]]
    corpus: Callable[[Sequence[str], Sequence[str]], float] | None = None


def generation_metrics(predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """Return every metric by name. Raises InputError when the two are not of one length or empty."""
    _check(predictions, references)
    return {metric: _value(metric, predictions, references) for metric in GENERATION_METRICS}


def example_values(metric: str, predictions: Sequence[str], references: Sequence[str]) -> list[float]:
    """The metric of each row alone; BLEU with the n-gram orders that the row has.

    A blank prediction of a blank reference has 1. Raises UsageError for an unknown metric, InputError when the
    two are not of one length or empty.
    """
    row = GENERATION_METRICS[metric].row()
    _check(predictions, references)
    return [
        1.0 if _blank(prediction) and _blank(reference) else min(1.0, row(prediction, reference))
        for prediction, reference in zip(predictions, references, strict=True)
    ]


def generation_score(
    losses: Sequence[float], predictions: Sequence[str], references: Sequence[str], metric: str
) -> Score:
    """Score one evaluation: the mean of the losses, the share of exact matches, the metric.

    Raises UsageError for an unknown metric, InputError when the three are not of one length, empty, or a loss is
    not finite.
    """
    _check(predictions, references)
    if len(losses) != len(predictions):
        raise InputError(f"{len(losses)} losses do not fit {len(predictions)} predictions; score each row once.")
    if not all(math.isfinite(loss) for loss in losses):
        raise InputError("A row has a loss that is not finite; count it as a failure.")
    return Score(
        loss=math.fsum(losses) / len(losses),
        accuracy=_value("exact_match", predictions, references),
        metric=metric,
        value=_value(metric, predictions, references),
        n=len(losses),
    )


def _check(predictions: Sequence[str], references: Sequence[str]) -> None:
    if len(predictions) != len(references) or not len(references):
        raise InputError(
            f"{len(predictions)} predictions do not fit {len(references)} references; predict each row once."
        )


def _blank(text: str) -> bool:
    return not text.strip()


def _value(metric: str, predictions: Sequence[str], references: Sequence[str]) -> float:
    corpus = GENERATION_METRICS[metric].corpus
    if corpus is None:
        return math.fsum(example_values(metric, predictions, references)) / len(references)
    if all(map(_blank, predictions)) and all(map(_blank, references)):
        return 1.0
    return min(1.0, float(corpus(predictions, references)))


def _sacrebleu(metric: str) -> BLEU | CHRF:
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    # The effective order changes the corpus value only where no prediction has four tokens: sacrebleu's default
    # is 0 there even for equal texts. Forcing silences a warning about predictions that end in " .".
    return BLEU(effective_order=True, force=True) if metric == "bleu" else CHRF()


def _token_f1(prediction: str, reference: str) -> float:
    found, gold = _squad_tokens(prediction), _squad_tokens(reference)
    if not found or not gold:
        return float(found == gold)
    shared = (Counter(found) & Counter(gold)).total()
    return 2 * shared / (len(found) + len(gold))


def _squad_tokens(text: str) -> list[str]:
    """Words as SQuAD's evaluation script compares them."""
    lowered = unicodedata.normalize("NFC", text).lower()
    return _ARTICLES.sub(" ", "".join(c for c in lowered if not _is_punctuation(c))).split()


@cache
def _is_punctuation(character: str) -> bool:
    return character in string.punctuation or unicodedata.category(character).startswith("P")


class _RougeTokenizer:
    """Lower-cased words of letters, marks and digits of any script.

    rouge-score's own drops all but a-z and 0-9; on ASCII text the two agree. Characters of scripts without spaces
    are words of their own.
    """

    def tokenize(self, text: str) -> list[str]:
        return "".join(map(_spaced, unicodedata.normalize("NFC", text).lower())).split()


@cache
def _spaced(character: str) -> str:
    if unicodedata.category(character)[0] not in "LMN":
        return " "
    return f" {character} " if _UNSPACED.match(character) else character


def _exact_match(prediction: str, reference: str) -> float:
    return float(_squad_tokens(prediction) == _squad_tokens(reference))


def _rouge(name: str) -> TextMetric:
    def row() -> Callable[[str, str], float]:
        from rouge_score.rouge_scorer import RougeScorer

        scorer = RougeScorer([name], tokenizer=_RougeTokenizer())
        return lambda prediction, reference: float(scorer.score(reference, prediction)[name].fmeasure)

    return TextMetric(row)


def _of_sacrebleu(name: str) -> TextMetric:
    def row() -> Callable[[str, str], float]:
        scorer = _sacrebleu(name)
        return lambda prediction, reference: scorer.sentence_score(prediction, [reference]).score / 100

    def corpus(predictions: Sequence[str], references: Sequence[str]) -> float:
        # sacrebleu takes a list of reference sets, each as long as the predictions. Given a list of references for
        # each row it raises nothing and scores the first row alone.
        return float(_sacrebleu(name).corpus_score(predictions, [references]).score) / 100

    return TextMetric(row, corpus)


GENERATION_METRICS.register("exact_match")(TextMetric(lambda: _exact_match))
GENERATION_METRICS.register("token_f1")(TextMetric(lambda: _token_f1))
GENERATION_METRICS.register("bleu")(_of_sacrebleu("bleu"))
GENERATION_METRICS.register("chrf")(_of_sacrebleu("chrf"))
GENERATION_METRICS.register("rouge1")(_rouge("rouge1"))
GENERATION_METRICS.register("rouge2")(_rouge("rouge2"))
GENERATION_METRICS.register("rougeL")(_rouge("rougeL"))
