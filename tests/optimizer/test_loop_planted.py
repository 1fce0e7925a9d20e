"""Does the search find what is there to be found? A planted word, which random draws mostly miss."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import planted
import pytest

from autoprompt.candidate import Candidate, Settings
from autoprompt.corpus import Corpus, load
from autoprompt.evaluator import CostModel, Evaluator, ModelCheck, WorkerSpec, start_worker, worker
from autoprompt.optimizer import Budget, Outcome, Search, Space, phrases
from autoprompt.template import LabelWords, Template

pytestmark = pytest.mark.slow

EVALUATIONS = 20
EPOCHS = 1


@dataclass(frozen=True)
class Setting:
    """A prepared worker in this process and the corpus that it holds."""

    corpus: Corpus
    manual: Candidate
    folder: Path

    def evaluator(self) -> Evaluator:
        """A fresh one: it remembers no score."""
        executor = planted.InProcess()
        return Evaluator(executor, self.corpus, CostModel(self.corpus, executor.workers), weights=self.folder)

    def candidate(self, tail: str) -> Candidate:
        """The manual candidate with another tail."""
        return replace(self.manual, template=Template.parse("{text}" + tail + "{label}"))

    def search(self, strategy: str, seed: int) -> Outcome:
        """One search of so many fine-tunes."""
        evaluator = self.evaluator()
        ready = ModelCheck(evaluator.executor, evaluator.costs).check(self.manual)
        return Search(
            evaluator=evaluator,
            space=Space(self.manual, "label", ready.vocabulary),
            strategy_name=strategy,
            seed=seed,
            budget=Budget(evaluations=EVALUATIONS),
            test_rows=0,
            record=lambda *_: None,
        ).run()


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setting]:
    folder = tmp_path_factory.mktemp("planted")
    corpus = load(str(planted.write_corpus(folder / "rows"))).without_test()
    model = planted.train_model(folder / "model")
    before = worker._WORKER
    start_worker(WorkerSpec(model, corpus, 0, "cpu", 128, folder, folder))
    words = LabelWords.of(planted.LABEL_WORDS, corpus.labels)
    settings = Settings.default("tail", len(corpus.train)).change(epochs=EPOCHS)
    yield Setting(corpus, Candidate(Template.parse("{text}\nLabel: {label}"), words, settings), folder)
    worker._WORKER = before


def accuracy(evaluation) -> float:
    labels = evaluation.candidate.label_words.labels
    return sum(p == labels[g] for p, g in zip(evaluation.predictions, evaluation.gold, strict=True)) / len(
        evaluation.gold
    )


def found(outcome: Outcome) -> bool:
    """The planted word stands between text and label, and the validation rows say that it works."""
    template = outcome.best.candidate.template
    tail = template.segments[len(template.head().segments) :]
    return any(planted.PLANTED in s.text for s in tail if hasattr(s, "text")) and accuracy(outcome.best) > 0.9


def test_only_the_planted_word_opens_the_text(setting: Setting) -> None:
    library = phrases.tails("label", setting.manual.label_words)
    assert not any(planted.PLANTED in phrase for phrase in library)
    closed, opened = (*library, " the the the "), (" zorp ", " the zorp ", "\nLabel zorp ")
    candidates = [setting.candidate(tail) for tail in (*closed, *opened)]
    frozen = setting.evaluator().frozen(candidates)
    tuned = setting.evaluator().fit(candidates)
    for number, (one, two) in enumerate(zip(frozen, tuned, strict=True)):
        if number < len(closed):
            assert one.loss > 0.5, one.candidate.template
            assert accuracy(two) < 0.9, two.candidate.template
        else:
            assert one.loss < 0.2, one.candidate.template
            assert accuracy(two) > 0.95, two.candidate.template


def test_a_gradient_points_to_it(setting: Setting) -> None:
    (proposals,) = setting.evaluator().propose([setting.manual], replacements=12, infills=12)
    assert any(planted.PLANTED in template.format() for template, _ in proposals.replacements)


@pytest.mark.parametrize("strategy", ["hybrid", "gradient"])
@pytest.mark.parametrize("seed", [0, 1])
def test_gradients_find_the_planted_word(setting: Setting, strategy: str, seed: int) -> None:
    outcome = setting.search(strategy, seed)
    assert outcome.fitted <= EVALUATIONS
    assert found(outcome), outcome.best.candidate.template.format()


def test_random_draws_mostly_miss_it(setting: Setting) -> None:
    hits = [found(setting.search("random", seed)) for seed in range(5)]
    assert sum(hits) < 3, hits
