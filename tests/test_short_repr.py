"""What Python shows of a public object: one short line with its name, and no rows, scores or weights."""

from dataclasses import replace

import tiny

from autoprompt import LabelWords, PromptClassifier, PromptModel, SearchResult, Template, load, run
from autoprompt.candidate import Candidate, Settings
from autoprompt.corpus import load as load_corpus
from autoprompt.leaderboard import DataRow, Group, Leaderboard, compare_entries
from autoprompt.leaderboard.inspecting import Inspection
from autoprompt.leaderboard.merging import Merged
from autoprompt.progress import Silent
from autoprompt.results import EvaluationResult, RunResult, RunVerification, Verification
from autoprompt.short_repr import short_repr

LONG = "a word " * 2000


def check(thing: object, *expected: str) -> None:
    """A line that fits a screen and says what is expected."""
    shown = repr(thing)
    assert shown.startswith(f"{type(thing).__name__}(")
    assert "\n" not in shown
    assert len(shown) < 600
    for text in expected:
        assert text in shown


def test_values_are_cut_and_dicts_keep_their_order():
    class Thing:
        pass

    assert short_repr(Thing(), "x", b=1 / 3, a={"z": 1, "a": 2}) == "Thing('x', b=0.33333, a={'z': 1, 'a': 2})"
    assert short_repr(Thing(), {}, {n: n for n in range(9)}) == "Thing({}, {0: 0, 1: 1, 2: 2, 3: 3, ...})"
    assert short_repr(Thing(), [[[[[1]]]]], {1: {2: {3: {4: 5}}}}) == "Thing([[[[...]]]], {1: {2: {3: {...}}}})"
    assert len(short_repr(Thing(), LONG, [LONG] * 100, Template(LONG + "{label}"))) < 500


def test_parts_of_a_prompt():
    template = Template("{text}\nMood: {label}")
    words = LabelWords((("neg", "bad"), ("pos", "good")))
    settings = Settings("tail", 5e-4, 8, 4, 8)
    assert repr(template) == r"Template('{text}\nMood: {label}')"
    assert repr(words) == "LabelWords({'neg': 'bad', 'pos': 'good'})"
    assert repr(settings) == "Settings('tail', learning_rate=0.0005, batch_size=8, epochs=4, rank=8)"
    assert repr(Settings("none")) == "Settings('none')"
    check(Candidate(template, words, settings), r"Candidate('{text}\nMood: {label}', label_words=", "tuning='tail'")
    many = LabelWords(tuple((f"label {number} {LONG}", f"word {number}") for number in range(500)))
    check(Candidate(Template(LONG + "{text}{label}"), many, settings))


def test_a_corpus_is_named_with_its_counts(corpus_folder):
    corpus = load_corpus(str(corpus_folder))
    check(corpus, repr(str(corpus.name))[:20], "labels=('negative', 'positive')", f"train={len(corpus.train)}")
    check(corpus.train[0], "Example({'text': ", "label=")
    check(replace(corpus.train[0], fields={"text": LONG}))
    check(corpus.summary, f"rows={corpus.summary.rows}")


def test_a_search_and_its_leaderboard(finished):
    options, values = finished
    result = RunResult.from_dict(values)
    check(result, repr(result.run), "best=", "verdict=")
    check(result.best, "ScoredPrompt(entry=", "validation=Score(loss=")
    check(result.difference or result.best)
    shown = repr(SearchResult(replace(result, best=replace(result.best, template=LONG)), options.leaderboard))
    assert max(map(len, shown.splitlines())) < 300
    with Leaderboard.open(options.leaderboard, read_only=True) as board:
        check(board, "Leaderboard('", "read_only=True")
        record = board.run(result.run)
        check(record, f"RunRecord({result.run!r}", "status='finished'")
        evaluations = board.evaluations(result.run)
        check(evaluations[-1], "EvaluationRecord('", "rung=", "loss=")
        entries = list(board.listed_entries(result.run, None))
        check(entries[0], "Entry('", "template=")
        check(entries[0].row, "EntryRow('", "status='complete'")
        check(board.attached(DataRow, result.run)[0], "DataRow({'text': ")
        others = [e.row.entry for e in entries if e.row.rung == entries[0].row.rung][:2]
        check(compare_entries(board, *others), "EntryComparison('", "difference=")
        check(board.inspect(), "Inspection(runs=1, ")
    check(Merged(["a" * 12] * 50), "Merged(added=[")
    check(Inspection(problems=[LONG] * 100))
    check(Group("a", "b" * 64, "complete", 1, 32, False), "n=32")


def test_what_verify_and_evaluate_return(finished):
    options, values = finished
    found = run.verify(values["best"]["entry"], options.leaderboard, Silent())
    check(found, f"Verification({values['best']['entry'][:12]!r}, verdict='exact'", "evaluations=")
    check(found.evaluations[0], "RepeatedEvaluation(split=")
    check(RunVerification("r" * 12, "exact", 0, 32, (), (found,) * 50), "entries=50")
    metrics = {f"metric {number}": 0.5 for number in range(50)} | {"loss": 1 / 3, "accuracy": 0.75}
    one = EvaluationResult(LONG, {"a": "b"}, "tail", {"epochs": 1}, "test", metrics, 40, 1.0, {"rows": [LONG] * 50})
    check(one, "tuning='tail', split='test', n=40, loss=0.33333, accuracy=0.75")
    assert isinstance(found, Verification)


def test_estimators_and_prompts(finished, model_folders, tmp_path):
    options, values = finished
    with Leaderboard.open(options.leaderboard, read_only=True) as board:
        run.export(board, values["best"]["entry"], tmp_path / "best.json", with_weights=True)
    prompt = load(tmp_path / "best.json")
    check(prompt, "Prompt('", "labels=('negative', 'positive')", "tuning='tail'")
    check(prompt.weights, "Weights('best.weights/", "'adapter_model.safetensors'")
    prompt.predict(["a text"])
    check(prompt.session.predictor(), "Predictor('")
    model = PromptModel.from_pretrained(str(model_folders["llama"]))
    check(model, "PromptModel('", "family='causal')")
    model.fit(tiny.rows(0), "{text} It was {label}", epochs=1)
    check(model, "template='{text} It was {label}'")
    shown = repr(PromptClassifier(prompt, epochs=2))
    assert "prompt=Prompt(" in shown
    assert len(shown) < 600
