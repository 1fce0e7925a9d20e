"""What one search learns serves the next: profiles, lessons, bundles, warm starts."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import commands
import pytest
import runs

import autoprompt
from autoprompt import run
from autoprompt.candidate import Candidate, Settings
from autoprompt.corpus import load
from autoprompt.errors import InputError
from autoprompt.leaderboard import Leaderboard
from autoprompt.progress import Silent
from autoprompt.template import LabelWords, Template
from autoprompt.transfer import (
    Lesson,
    Profile,
    Source,
    adapt,
    adapted_sources,
    operators,
    prompts,
    read_bundle,
    read_sources,
    similarity,
    sources_of,
    write_bundle,
)
from autoprompt.transfer.profile import matched_labels, texts_of

FILMS = Profile(
    "classification", "sentiment", ("neg", "pos"), ("text",), texts_of([{"text": "A fine film, all in all."}])
)
TAIL = Settings("tail", 5e-4, 8, 4, 8)


pytestmark = pytest.mark.usefixtures("inline")


@pytest.fixture(scope="module")
def searched(finished: tuple[run.SearchOptions, dict[str, Any]]) -> run.SearchOptions:
    """Of a finished search."""
    return finished[0]


@pytest.fixture
def elsewhere(model_folders: dict[str, Path], tmp_path: Path) -> run.SearchOptions:
    """A search of the same kind on other data, not begun."""
    rows = [
        ("a dull story", "negative"),
        ("one warm film", "positive"),
        ("bad and long", "negative"),
        ("so good", "positive"),
    ]
    path = tmp_path / "reviews.csv"
    lines = [f"{text} {n},{label}" for n in range(20) for text, label in rows]
    path.write_text("\n".join(["review,label", *lines]) + "\n")
    return runs.small(model_folders["llama"], path, tmp_path)


# Profiles


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        (("neg", "pos"), ("negative", "positive"), {"neg": "negative", "pos": "positive"}),
        (("pos", "neg"), ("Neg", "POS"), {"pos": "POS", "neg": "Neg"}),
        (("a", "b"), ("ab", "b"), {"b": "b"}),
        (("sport", "sports"), ("sports",), {"sports": "sports"}),
        ((), ("x",), {}),
    ],
)
def test_labels_of_the_same_meaning_are_matched_once(one, other, found):
    assert matched_labels(one, other) == found


def test_a_corpus_is_most_like_itself_and_unlike_another_task():
    assert similarity(FILMS, FILMS).value == pytest.approx(1)
    news = Profile("classification", "topic", ("world", "sport", "money", "science"), ("title", "text"),
                   texts_of([{"title": "DOW UP 3.5%", "text": "Stocks rose on Monday. " * 40}]))  # fmt: skip
    reviews = replace(FILMS, label_column="stars", labels=("negative", "positive"), fields=("review",),
                      texts=texts_of([{"text": "Not worth the price; it broke in 2 days."}]))  # fmt: skip
    far, near = similarity(FILMS, news), similarity(FILMS, reviews)
    assert 0 < far.value < near.value < 1
    assert near.parts["labels"] == 1
    assert similarity(FILMS, replace(FILMS, task="generation")).value == 0
    assert similarity(replace(FILMS, texts={}), FILMS).parts["texts"] == 0


# Lessons to candidates


def a_lesson(template: str = "{text} It was {label}", tuning: Settings = TAIL, **words: str) -> Lesson:
    return Lesson(template, words or {"neg": "bad", "pos": "good"}, tuning.to_dict(), 0.9, 32, {})


def manual(template: str = "{review}\nOpinion: {label}", **words: str) -> Candidate:
    pairs = words or {"negative": "negative", "positive": "positive"}
    return Candidate(Template.parse(template), LabelWords(tuple(pairs.items())), replace(TAIL, epochs=9))


REVIEWS = replace(FILMS, labels=("negative", "positive"), fields=("review",))


def test_a_prompt_takes_on_the_other_corpus_fields_labels_and_keeps_its_settings():
    found = adapt(a_lesson().candidate, FILMS, REVIEWS, manual())
    assert found is not None
    assert found.template.format() == "{review} It was {label}"
    assert found.label_words.mapping() == {"negative": "bad", "positive": "good"}
    assert found.settings == TAIL


def test_what_does_not_fit_stays_as_it_is_here():
    stars = manual(**{"1": "one", "2": "two"})
    other = adapt(a_lesson().candidate, FILMS, replace(REVIEWS, labels=("1", "2")), stars)
    assert other is not None
    assert other.label_words == stars.label_words
    lora = adapt(a_lesson(tuning=Settings("lora", 1e-3, 8, 4, 8)).candidate, FILMS, REVIEWS, manual())
    assert lora is not None
    assert lora.settings == manual().settings


def test_fields_find_their_place_by_name_then_in_order():
    pair = replace(FILMS, fields=("premise", "hypothesis"))
    lesson = a_lesson("{premise} ? {label}, {hypothesis}")
    for own, expected in (
        (("hypothesis", "premise"), "{premise} ? {label}, {hypothesis}"),
        (("first", "second"), "{first} ? {label}, {second}"),
        (("other", "premise"), "{premise} ? {label}, {other}"),
    ):
        found = adapt(lesson.candidate, pair, replace(pair, fields=own), manual("{premise}{label}"))
        assert found is not None
        assert found.template.format() == expected
    assert adapt(lesson.candidate, pair, REVIEWS, manual()) is None


# A run's lessons


def prompt(of: Any) -> tuple[Any, ...]:
    return of.template, of.label_words, of.settings


def test_a_run_teaches_how_its_prompts_fared_against_its_own_manual_one(searched):
    (source,) = read_sources(searched.leaderboard)
    assert source.profile.labels == ("negative", "positive")
    assert source.profile.fields == ("text",)
    assert source.profile.texts["words"] > 1
    with Leaderboard.open(searched.leaderboard, read_only=True) as board:
        entries = board.entries(source.run)
    tuned = next(e for e in entries if e.role == "manual_tuned")
    assert 0 < len(source.lessons) <= 8
    assert prompt(tuned) not in map(prompt, source.lessons)
    assert [lesson.better for lesson in source.lessons] == sorted((o.better for o in source.lessons), reverse=True)
    for lesson in source.lessons:
        of_it = next(e for e in entries if prompt(e) == prompt(lesson))
        assert of_it.validation is not None
        assert lesson.score == of_it.validation.to_dict()
        if of_it.rung == tuned.rung and tuned.validation is not None:
            assert (lesson.better > 0.5) == (of_it.validation.loss < tuned.validation.loss)


def test_several_runs_that_speak_for_one_prompt_count_together(searched, corpus_folder):
    (source,) = read_sources(searched.leaderboard)
    lessons = (a_lesson("{text} Well: {label}", negative="bad", positive="good"),
               replace(a_lesson("{text} So: {label}", negative="bad", positive="good"), better=0.95))  # fmt: skip
    broken = a_lesson("{text} {label")
    twice = [replace(source, run=name, lessons=(broken, *lessons[:1])) for name in "ab"]
    corpus = load(str(corpus_folder))
    found = adapted_sources([*twice, replace(source, run="c", lessons=lessons[1:])], corpus, manual("{text}{label}"))
    assert [c.template.format() for c in prompts(found)] == ["{text} Well: {label}", "{text} So: {label}"]
    counted = [replace(one, source=replace(one.source, operators={"words": (6, 3)})) for one in found]
    assert operators(counted) == {"words": (4.0, 2.0)}
    assert operators([replace(one, candidates=()) for one in counted]) == {}


# Bundles


def shingles(text: str, size: int = 3) -> set[tuple[str, ...]]:
    words = text.split()
    return {tuple(words[n : n + size]) for n in range(len(words) - size + 1)}


def test_a_bundle_is_read_as_it_was_written_and_holds_no_row(searched, tmp_path, capsys):
    out = tmp_path / "bundle.json"
    commands.call(capsys, "export", "--bundle", "--out", out, "--leaderboard", searched.leaderboard)
    assert read_bundle(out) == read_sources(out)
    with Leaderboard.open(searched.leaderboard, read_only=True) as board:
        (source,) = sources_of(board)
    assert read_bundle(out)[0].lessons == source.lessons
    text = json.dumps(json.loads(out.read_text()), ensure_ascii=False)
    corpus = load(searched.corpus)
    rows = [str(row.fields["text"]) for split in (corpus.train, corpus.validation, corpus.test) for row in split]
    assert not [row for row in rows if row in text or shingles(row) & shingles(text)]
    assert str(searched.leaderboard.parent) not in text
    assert str(Path(searched.model.model).parent) not in text


def test_solved_examples_are_rows_and_stay_at_home(model_folders, corpus_folder, tmp_path):
    options = runs.small(model_folders["llama"], corpus_folder, tmp_path)
    run.search(replace(options, templates=("{demos:2}{text} It was {label}",), max_evaluations=4), Silent()).to_dict()
    assert all("demos" not in lesson.template for s in read_sources(options.leaderboard) for lesson in s.lessons)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "leaderboard or bundle .* is not valid JSON"),
        ("[]", "is no bundle"),
        ('{"format": "autoprompt-bundle", "version": 99}', "version 99, not 1; upgrade autoprompt"),
        ('{"format": "autoprompt-bundle", "version": 1, "sources": [{"run": 1}]}', "damaged at '0."),
    ],
)
def test_a_strangers_file_is_refused_in_one_sentence(tmp_path, text, said):
    path = tmp_path / "bundle.json"
    path.write_text(text)
    with pytest.raises(InputError, match=said):
        read_sources(path)


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("0.lessons.0.better", 2),
        ("0.lessons.0.better", "1"),
        ("0.lessons.0.n", -1),
        ("0.lessons.0.template", "{text}{label}" + "x" * 200_000),
        ("0.lessons.0.settings.epochs", [4]),
        ("0.profile.texts.words", -1.0),
        ("0.profile.fields", ["text"] * 2_001),
        ("0.operators.words.1", 10**13),
        ("0.operators.words.0", -2),
        ("0.run", "\x1b[2J"),
        ("0.profile.labels", "neg"),
    ],
)
def test_a_strangers_values_are_bounded(tmp_path, where, value):
    source = Source("a", "films", "tiny", FILMS, (a_lesson(),), {"words": (6, 3)})
    path = tmp_path / "bundle.json"
    write_bundle([source], path)
    assert read_bundle(path) == [source]
    values = json.loads(path.read_text())
    *steps, last = [int(step) if step.isdigit() else step for step in where.split(".")]
    place = values["sources"]
    for step in steps:
        place = place[step]
    place[last] = value
    path.write_text(json.dumps(values))
    with pytest.raises(InputError, match=re.escape(f"damaged at '{where}")):
        read_bundle(path)


@pytest.mark.parametrize("value", ["NaN", "-Infinity", "1e400", "1" + "0" * 400])
def test_a_number_that_is_none_is_refused(tmp_path, value):
    path = tmp_path / "bundle.json"
    write_bundle([Source("a", "films", "tiny", FILMS, (replace(a_lesson(), better=0.75),), {})], path)
    path.write_text(path.read_text().replace("0.75", value))
    with pytest.raises(InputError, match="is not valid JSON"):
        read_bundle(path)


@pytest.mark.parametrize(
    "settings",
    [{"epochs": 10**9}, {"learning_rate": 10**39}, {"learning_rate": 1e39}, {"rank": 10**6}, {"batch_size": 10**9},
     {"epochs": 10_000}, {"epochs": 4_000, "batch_size": 1}],
    ids=str,
)  # fmt: skip
def test_a_bundle_that_asks_for_endless_fine_tunes_gets_none(tmp_path, corpus_folder, settings):
    """Values beyond the bounds are no candidate; within them, the manual prompt's settings stand in."""
    corpus = load(str(corpus_folder))
    words = LabelWords((("positive", "good"), ("negative", "bad")))
    manual = Candidate(Template.parse("{text}\nSentiment: {label}"), words, TAIL)
    lesson = replace(a_lesson(), settings=a_lesson().settings | settings)
    path = tmp_path / "bundle.json"
    write_bundle([Source("a", "films", "tiny", replace(FILMS, labels=("neg", "pos")), (lesson,), {})], path)
    (found,) = adapted_sources(read_bundle(path), corpus, manual)
    allowed = settings.get("epochs") in (10_000, 4_000)
    assert [candidate.settings for candidate, _ in found.candidates] == [TAIL] * allowed
    mild = replace(lesson, settings=TAIL.change(epochs=8).to_dict())
    (found,) = adapted_sources([Source("a", "films", "tiny", FILMS, (mild,), {})], corpus, manual)
    assert [candidate.settings.epochs for candidate, _ in found.candidates] == [8]


def test_labels_are_matched_each_once_by_name_then_by_beginning():
    one, other = ("neg", "Pos.", "positive", "ab"), ("positively", "POS", "negative", "abc", "neg")
    assert matched_labels(one, other) == {"neg": "neg", "Pos.": "POS", "positive": "positively"}
    many = tuple(f"label {number}" for number in range(2_000))
    assert matched_labels(many, many[::-1]) == {label: label for label in many}


def test_what_cannot_be_exported_or_begun_with(tmp_path, capsys, corpus_folder):
    board = tmp_path / "lb.sqlite"
    search = ("search", corpus_folder, "--model", tmp_path / "nowhere")  # which is not looked for
    Leaderboard.open(board).close()
    for arguments, code, said in (
        (("export", "--bundle", "--out", "b.json", "--leaderboard", board), 3, "No run has fine-tuned prompts"),
        (("export", "--bundle", "--out", "b.py", "--leaderboard", board), 2, "name it bundle.json"),
        (("export", "12345678", "--bundle", "--out", "b.json", "--leaderboard", board), 2, "leave ENTRY"),
        (("export", "--bundle", "--run", "none", "--out", "b.json", "--leaderboard", board), 3, "is not in"),
        ((*search, "--warm-start", tmp_path / "none", "--leaderboard", board), 3, "cannot be read"),
        ((*search, "--warm-start", board, "--leaderboard", board), 3, "leave --warm-start out"),
        ((*search, "--warm-start", board, "--strategy", "random"), 2, "genetic and hybrid"),
    ):
        commands.refused(commands.call(capsys, *arguments), code, said)


# Warm starts


def told(options: run.SearchOptions) -> tuple[dict[str, Any], list[str]]:
    said: list[str] = []

    class Noting(Silent):
        def note(self, text: str) -> None:
            said.append(text)

    return run.search(options, Noting()).to_dict(), said


def test_a_warm_search_says_what_it_takes_over_and_tunes_the_best_of_it(searched, elsewhere, tmp_path, capsys):
    warm = replace(elsewhere, warm_start=(searched.leaderboard,))
    result, said = told(warm)
    (source,) = read_sources(searched.leaderboard)
    (used,) = result["warm_start"]
    assert (used["run"], used["prompts"]) == (source.run, len(source.lessons))
    (taken,) = [text for text in said if f"of run {source.run}" in text]
    assert f"similarity {used['similarity']:.2f} (labels 1.00" in taken
    best = source.lessons[0]
    with Leaderboard.open(warm.leaderboard, read_only=True) as board:
        known = board.run(result["run"])
        tuned = [e for e in board.evaluations(known.id) if e.rung == 1 and e.role == "search"]
        origins = {o.entry: o.operator for o in board.attached(autoprompt.leaderboard.Origin, known.id)}
    taken = [e for e in tuned if origins[e.entry] == "taught"]
    assert best.template.replace("{text}", "{review}") in [e.candidate.template.format() for e in taken]
    pool = [entry for entry, operator in origins.items() if operator == "taught"]
    assert 0 < len(pool) <= 3, "half of the pool stays fresh"
    shown = commands.call(capsys, "report", result["run"], "--out", tmp_path, "--leaderboard", warm.leaderboard)
    assert shown.code == 0
    for page in ("report.md", "report.html"):
        text = (tmp_path / page).read_text()
        assert f"{used['prompts']} prompts of run {source.run} on" in text
        assert "autoprompt search" not in text, "no command says where these prompts came from"


@pytest.mark.slow
def test_a_warm_search_that_was_killed_goes_on_without_the_other_leaderboard(searched, elsewhere, tmp_path):
    bundle = tmp_path / "bundle.json"
    with Leaderboard.open(searched.leaderboard, read_only=True) as board:
        write_bundle(sources_of(board), bundle)
    whole = runs.facts(elsewhere.leaderboard, told(replace(elsewhere, warm_start=(bundle,)))[0])
    other = replace(elsewhere, warm_start=(bundle,), leaderboard=tmp_path / "other.sqlite")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("autoprompt.evaluator.Evaluator.fit", _interrupted)
        with pytest.raises(KeyboardInterrupt):
            run.search(other, Silent()).to_dict()
    bundle.unlink()
    with Leaderboard.open(other.leaderboard, read_only=True) as board:
        (begun,) = board.runs()
    assert runs.facts(other.leaderboard, run.resume(begun.id, other.leaderboard, Silent()).to_dict()) == whole


def _interrupted(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


def test_a_fixed_template_leaves_other_prompts_out(searched, elsewhere):
    fixed = replace(
        elsewhere, warm_start=(searched.leaderboard,), fix={**elsewhere.fix, "template": "{review}? {label}"}
    )
    result, _ = told(fixed)
    with Leaderboard.open(fixed.leaderboard, read_only=True) as board:
        entries = board.entries(result["run"])
    assert {e.template for e in entries if e.role == "search"} == {"{review}? {label}"}
    assert not [e for e in entries if e.status == "failed"]


@pytest.mark.slow
def test_from_python(searched, elsewhere, tmp_path):
    result = autoprompt.search(
        elsewhere.corpus, model=elsewhere.model.model, max_evaluations=3, workers=1, config=elsewhere.config,
        fix={"epochs": 1}, leaderboard=tmp_path / "python.sqlite", warm_start=searched.leaderboard,
    ).to_dict()  # fmt: skip
    assert result["warm_start"][0]["prompts"] > 0


# Another run's prompt elsewhere


def best_of(options: run.SearchOptions) -> str:
    with Leaderboard.open(options.leaderboard, read_only=True) as board:
        return board.entries(board.runs()[-1].id)[0].entry


def test_an_entry_is_scored_on_other_data_beside_the_manual_prompt(searched, elsewhere, tmp_path, capsys):
    board = Path(shutil.copy(searched.leaderboard, tmp_path / "own.sqlite"))
    entry = best_of(searched)
    found = commands.call(
        capsys, "evaluate", elsewhere.corpus, "--entry", entry[:10], "--leaderboard", board, "--split", "test",
        "--workers", 1, "--json",
    )  # fmt: skip
    assert found.code == 0, found.err
    result = json.loads(found.out)
    assert result["transfer"]["entry"] == entry
    assert result["model"] == searched.model.model, "the entry's own where none is named"
    assert "{review}" in result["best"]["template"]
    assert result["best"]["settings"]["epochs"] == 1
    assert result["evaluations"] == 2
    tuned = result["baselines"]["manual_tuned"]
    assert result["difference"]["value"] == pytest.approx(
        result["best"]["test"]["accuracy"] - tuned["test"]["accuracy"], abs=1e-9
    )
    with Leaderboard.open(board, read_only=True) as opened:
        kept = opened.run(result["run"])
        assert (kept.strategy, kept.status) == ("transfer", "finished")
        assert {e.role for e in opened.evaluations(kept.id)} == {"manual_tuned", "search", "finalist"}
    assert run.verify_run(result["run"], board, Silent()).to_dict()["verdict"] == "exact"
    assert run.resume(result["run"], board, Silent()).to_dict() == result
    for asked, said in (
        ([result["run"]], "strategy transfer"),
        ([result["run"], result["transfer"]["run"]], "Transferred prompts"),
    ):
        shown = commands.call(capsys, "report", *asked, "--out", tmp_path / said, "--leaderboard", board)
        assert shown.code == 0, shown.err
        pages = [(tmp_path / said / name).read_text() for name in ("report.md", "report.html")]
        assert all(said in page for page in pages)
    alone = (tmp_path / "strategy transfer" / "report.md").read_text()
    assert re.search(rf"autoprompt evaluate \S+ .*--entry {entry[:12]} --split test", alone)
    found = result["difference"]
    assert all(f"{100 * found['value']:+.1f} points ({100 * found['low']:+.1f} to" in page for page in pages)


def test_what_cannot_be_scored_elsewhere(searched, tmp_path, capsys):
    pairs = tmp_path / "pairs.jsonl"
    rows = [{"number": n, "label": "ab"[n % 2]} for n in range(20)]
    pairs.write_text("\n".join(map(json.dumps, rows)))
    entry = best_of(searched)
    known = ("--leaderboard", searched.leaderboard)
    for arguments, code, said in (
        (("evaluate", pairs), 2, "--template TEXT or --entry ENTRY"),
        (("evaluate", pairs, "--entry", entry, "--template", "{number}{label}", *known), 2, "give one of the two"),
        (("evaluate", pairs, "--entry", entry, "--epochs", 2, *known), 2, "brings its own settings"),
        (("evaluate", pairs, "--entry", "0123456789", *known), 3, "is not in"),
    ):
        commands.refused(commands.call(capsys, *arguments), code, said)
