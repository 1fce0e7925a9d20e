"""Metrics of generated text against sacrebleu, rouge_score and SQuAD's script, and what holds for any text."""

import math
import re
import string
from collections import Counter

import pytest
import sacrebleu
from hypothesis import given
from hypothesis import strategies as st
from rouge_score import tokenize
from rouge_score.rouge_scorer import RougeScorer

from autoprompt.errors import InputError, UsageError
from autoprompt.metrics import example_values, generation_metrics, generation_score
from autoprompt.registry import GENERATION_METRICS

ROUGE = ["rouge1", "rouge2", "rougeL"]
# The predictions of sacrebleu's README, with its first set of references.
PREDICTIONS = ["The dog bit the man.", "It wasn't surprising.", "The man had just bitten him."]
REFERENCES = ["The dog bit the man.", "It was not unexpected.", "The man bit him first."]
# Russian, Greek, Hindi, Arabic: words with spaces, told apart by letters and marks that are not Latin.
SPACED = ["мама мыла раму", "καλημέρα σας κόσμε", "मैं हिन्दी बोलता हूँ", "اللغة العربية جميلة"]
UNSPACED = ["猫が好きです", "我喜欢喝绿茶", "ฉันชอบกินข้าว", "ខ្ញុំចូលចិត្តបាយ"]

ascii_texts = st.text(st.characters(codec="ascii"), max_size=40)
# Few words, so that n-grams of all orders match now and then.
worded = st.lists(st.sampled_from(["the", "a", "cat", "sat.", "on", "Мир", "猫が", "!", "42"]), max_size=9).map(
    " ".join
)
texts = st.one_of(st.text(max_size=30), worded)
rows = st.lists(st.tuples(texts, texts), min_size=1, max_size=6)


def blank(text):
    return not text.strip()


@pytest.mark.parametrize("tail", [[], SPACED, UNSPACED, [""], [" "]])
def test_bleu_and_chrf_are_those_of_sacrebleu(tail):
    predictions, references = PREDICTIONS + tail[::-1], REFERENCES + tail
    found = generation_metrics(predictions, references)
    assert found["bleu"] == pytest.approx(sacrebleu.corpus_bleu(predictions, [references]).score / 100, abs=1e-12)
    assert found["chrf"] == pytest.approx(sacrebleu.corpus_chrf(predictions, [references]).score / 100, abs=1e-12)
    assert 0 < found["bleu"] < 1
    assert 0 < found["chrf"] < 1


def test_bleu_and_chrf_of_a_row_are_those_of_sacrebleu():
    pairs = list(zip(PREDICTIONS, REFERENCES, strict=True))
    bleu = [sacrebleu.sentence_bleu(p, [r], use_effective_order=True).score / 100 for p, r in pairs]
    chrf = [sacrebleu.sentence_chrf(p, [r]).score / 100 for p, r in pairs]
    assert example_values("bleu", PREDICTIONS, REFERENCES) == pytest.approx(bleu, abs=1e-12)
    assert example_values("chrf", PREDICTIONS, REFERENCES) == pytest.approx(chrf, abs=1e-12)


def test_every_row_counts_for_bleu_and_chrf():
    references = ["one two three four", "five six seven eight", "nine ten eleven twelve"]
    predictions = [references[0], "", "~"]
    # The shape that is easily taken for the right one: sacrebleu is content and sees the first row alone.
    wrong = [[reference] for reference in references]
    assert sacrebleu.corpus_bleu(predictions, wrong).score == pytest.approx(100)
    assert sacrebleu.corpus_chrf(predictions, wrong).score == pytest.approx(100)
    found = generation_metrics(predictions, references)
    assert found["bleu"] == pytest.approx(sacrebleu.corpus_bleu(predictions, [references]).score / 100, abs=1e-12)
    assert found["chrf"] == pytest.approx(sacrebleu.corpus_chrf(predictions, [references]).score / 100, abs=1e-12)
    assert max(found["bleu"], found["chrf"]) < 0.5


def test_short_answers_have_a_bleu_though_sacrebleu_by_default_gives_none():
    answers = ["red apple", "two pears"]
    assert sacrebleu.corpus_bleu(answers, [answers]).score == pytest.approx(0)
    assert generation_metrics(answers, answers)["bleu"] == pytest.approx(1)
    assert 0 < generation_metrics(answers, ["red apple", "two plums"])["bleu"] < 1
    # One prediction of four tokens, and the two agree.
    predictions, references = [*answers, "as long as needed"], [*answers, "as short as needed"]
    expected = sacrebleu.corpus_bleu(predictions, [references]).score / 100
    assert generation_metrics(predictions, references)["bleu"] == pytest.approx(expected, abs=1e-12)


def test_predictions_that_look_tokenized_raise_no_warning(caplog):
    generation_metrics(["a cat ."] * 200, ["a cat."] * 200)
    assert not caplog.records


@given(ascii_texts, ascii_texts)
def test_rouge_is_that_of_the_package_on_ascii_text(prediction, reference):
    expected = RougeScorer(ROUGE, use_stemmer=False).score(reference, prediction)
    for name in ROUGE:
        value = 1.0 if blank(prediction) and blank(reference) else expected[name].fmeasure
        assert example_values(name, [prediction], [reference]) == [value], name


def test_rouge_is_the_mean_of_the_packages_values():
    scorer = RougeScorer(ROUGE, use_stemmer=False)
    parts = [scorer.score(r, p) for p, r in zip(PREDICTIONS, REFERENCES, strict=True)]
    found = generation_metrics(PREDICTIONS, REFERENCES)
    for name in ROUGE:
        assert found[name] == pytest.approx(sum(part[name].fmeasure for part in parts) / len(parts), abs=1e-12)
        assert 0 < found[name] < 1


@pytest.mark.parametrize("text", [*SPACED, *UNSPACED])
def test_rouge_reads_other_scripts_where_the_packages_own_words_are_none(text):
    assert tokenize.tokenize(text, None) == []
    part = text.rpartition(" ")[0] or text[:-2]
    for name in ROUGE:
        same, shorter, other = example_values(name, [text, part, "nothing here"], [text] * 3)
        assert (same, other) == (1, 0), name
        assert 0 < shorter < 1, name


def test_rouge_counts_characters_of_scripts_without_spaces():
    found = generation_metrics(["猫が好き。GPU 2"], ["猫が嫌い、gpu 2"])
    assert found["rouge1"] == pytest.approx(4 / 6)  # 猫 が gpu 2
    assert found["rouge2"] == pytest.approx(2 / 5)  # 猫が, gpu 2


@pytest.mark.parametrize("text", SPACED)
def test_rouge_of_words_with_marks_is_that_of_whole_words(text):
    class Spaces:
        def tokenize(self, text):
            return text.split()

    other = " ".join([*text.split()[:2], "слово"])
    expected = RougeScorer(ROUGE, tokenizer=Spaces()).score(text, other)
    for name in ROUGE:
        assert example_values(name, [other], [text]) == [expected[name].fmeasure], name
        # Case, punctuation and the form of accents are no difference.
        assert example_values(name, [f"«{text.upper()}»!"], [text]) == [1], name


@pytest.mark.parametrize(
    ("prediction", "reference", "exact", "f1"),
    [
        ("Paris", "paris", 1, 1),
        ("The  Eiffel Tower!", "eiffel tower", 1, 1),
        ("an apple a day", "Apple, day.", 1, 1),
        ("a red apple", "the green apple", 0, 0.5),  # 1 of 2, 1 of 2
        ("in the city of Paris", "Paris", 0, 0.4),  # 1 of 4 in, city, of, paris; 1 of 1
        ("cat cat cat", "cat", 0, 0.5),  # a word counts as often as both have it: 1 of 3, 1 of 1
        ("cat cat dog", "cat cat", 0, 0.8),  # 2 of 3, 2 of 2
        ("London", "Paris", 0, 0),
        ("", "Paris", 0, 0),
        ("Paris", "", 0, 0),
        ("", "", 1, 1),
        ("the", "", 1, 1),  # nothing is left of either
        ("well-known", "wellknown", 1, 1),
        ("¿Qué?", "qué", 1, 1),
        ("Москва.", "москва", 1, 1),
        ("東京。", "東京", 1, 1),
        ("cafe\u0301", "café", 1, 1),
        ("a\u0300 la carte", "la carte", 0, 0.8),  # an accent does not make the letter an article
    ],
)
def test_exact_match_and_token_f1_by_hand(prediction, reference, exact, f1):
    assert example_values("exact_match", [prediction], [reference]) == [exact]
    assert example_values("token_f1", [prediction], [reference]) == [pytest.approx(f1)]


def squad(prediction, reference):
    """(exact, F1) as in the evaluation script of SQuAD 2.0."""

    def tokens(text):
        text = "".join(c for c in text.lower() if c not in set(string.punctuation))
        return re.compile(r"\b(a|an|the)\b", re.UNICODE).sub(" ", text).split()

    gold, found = tokens(reference), tokens(prediction)
    same = sum((Counter(gold) & Counter(found)).values())
    if not gold or not found:
        return int(gold == found), int(gold == found)
    if same == 0:
        return 0, 0
    precision, recall = same / len(found), same / len(gold)
    return int(gold == found), 2 * precision * recall / (precision + recall)


squad_words = st.lists(st.sampled_from(["The", "a", "An", "cat", "dog,", "!", "x"]), max_size=6).map(" ".join)


@given(st.one_of(ascii_texts, squad_words), st.one_of(ascii_texts, squad_words))
def test_exact_match_and_token_f1_are_those_of_squads_script(prediction, reference):
    exact, f1 = squad(prediction, reference)
    assert example_values("exact_match", [prediction], [reference]) == [exact]
    assert example_values("token_f1", [prediction], [reference]) == [pytest.approx(f1)]


@given(rows)
def test_every_value_is_a_fraction(pairs):
    predictions, references = zip(*pairs, strict=True)
    for name, value in generation_metrics(predictions, references).items():
        assert 0 <= value <= 1, name
        assert all(0 <= one <= 1 for one in example_values(name, predictions, references)), name


@given(st.lists(texts, min_size=1, max_size=6))
def test_text_equal_to_its_reference_has_1(references):
    found = generation_metrics(references, references)
    named = {"exact_match", "token_f1", "bleu", "chrf"}
    counts = [len(re.findall(r"[^\W_]+", text)) for text in references if not blank(text)]
    # rouge-score gives 0 to a text without the n-gram asked for, even against itself.
    named |= {"rouge1", "rougeL"} if all(counts) else set()
    named |= {"rouge2"} if all(count > 1 for count in counts) else set()
    for name in named:
        assert found[name] == pytest.approx(1), name
        assert example_values(name, references, references) == pytest.approx([1] * len(references)), name


@given(rows, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_changes_no_corpus_value(pairs, random):
    shuffled = random.sample(pairs, len(pairs))
    assert generation_metrics(*zip(*pairs, strict=True)) == generation_metrics(*zip(*shuffled, strict=True))


@given(rows)
def test_the_corpus_value_is_the_mean_of_the_rows_but_for_bleu_and_chrf(pairs):
    predictions, references = zip(*pairs, strict=True)
    found = generation_metrics(predictions, references)
    assert tuple(found) == tuple(GENERATION_METRICS)
    for name in set(GENERATION_METRICS) - {"bleu", "chrf"}:
        values = example_values(name, predictions, references)
        assert found[name] == pytest.approx(sum(values) / len(values), abs=1e-12), name


@pytest.mark.parametrize("empty", ["", " ", "\n\t"])
def test_a_blank_prediction_has_0_unless_the_reference_is_blank_too(empty):
    for name in GENERATION_METRICS:
        assert example_values(name, [empty, empty, "cat sat"], ["cat sat", "", empty]) == [0, 1, 0], name
    assert set(generation_metrics([empty] * 2, ["cat sat", "on mats"]).values()) == {0}
    assert set(generation_metrics([empty] * 2, ["", ""]).values()) == {1}


@pytest.mark.parametrize("metric", tuple(GENERATION_METRICS))
def test_a_score_holds_loss_exact_matches_and_the_metric(metric):
    found = generation_score([1.0, 2.0, 6.0], PREDICTIONS, REFERENCES, metric)
    assert (found.loss, found.accuracy, found.metric, found.n) == (3.0, pytest.approx(1 / 3), metric, 3)
    assert found.value == generation_metrics(PREDICTIONS, REFERENCES)[metric]


@pytest.mark.parametrize(("predictions", "references"), [([], []), (["x"], []), ([], ["x"]), (["x"], ["x", "y"])])
def test_rows_that_do_not_fit_are_refused(predictions, references):
    for call in (
        lambda: generation_metrics(predictions, references),
        lambda: example_values("bleu", predictions, references),
        lambda: generation_score([1.0] * len(predictions), predictions, references, "bleu"),
    ):
        with pytest.raises(InputError, match="do not fit"):
            call()


@pytest.mark.parametrize("losses", [[], [1.0], [1.0, math.nan], [1.0, math.inf]])
def test_losses_that_do_not_fit_are_refused(losses):
    with pytest.raises(InputError, match="loss"):
        generation_score(losses, ["x", "y"], ["x", "y"], "chrf")


@pytest.mark.parametrize("metric", ["rougeLsum", "accuracy"])
def test_a_metric_of_no_generation_task_is_named(metric):
    with pytest.raises(UsageError, match=f"'{metric}'.*exact_match, token_f1"):
        example_values(metric, ["x"], ["x"])
    with pytest.raises(UsageError, match=f"'{metric}'"):
        generation_score([1.0], ["x"], ["x"], metric)
