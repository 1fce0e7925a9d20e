"""The winner as a file: what is written is what was found, runs anywhere, and is checked when it comes back."""

import ast
import copy
import json
import pickle
import subprocess
import sys
import types
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prompt_files import inert_module

from autoprompt.candidate import Candidate, Demo, Settings
from autoprompt.errors import InputError, StorageError, UsageError
from autoprompt.export import FORMAT, VERSION, Prompt, load, save, written_out
from autoprompt.export.schema import PromptFile
from autoprompt.template import LabelWords, Literal, Slot, Template

TEXT = st.text(st.characters(codec="utf-8"), max_size=30)
QUOTES = st.text(st.sampled_from("\"'\\{}\n\r\t\0#%é🙂\u2028\u202e ab"), max_size=20)
ANY = TEXT | QUOTES
VALUES = st.recursive(
    ANY | st.integers() | st.none(), lambda v: st.lists(v, max_size=3) | st.dictionaries(ANY, v, max_size=3)
)


def prompt(template: str = "{text}\nMood: {label}", words: dict[str, str] | None = None, **changes) -> Prompt:
    words = {"neg": "bad", "pos": "good"} if words is None else words
    values = {
        "format": FORMAT,
        "version": VERSION,
        "template": template,
        "label_words": words,
        "labels": list(words),
        "settings": Settings.default("tail", 32).to_dict(),
        "model": "tiny",
        "corpus": "rows.csv",
        "fingerprint": "f" * 64,
        "entry": "e" * 64,
        "run": "r" * 12,
        "scores": {"validation": {"loss": 0.5, "accuracy": 0.75, "metric": "accuracy", "value": 0.75, "n": 32}},
        "family": "causal",
        "max_length": 128,
        "model_revision": "c" * 40,
        "chat": None,
        "label_column": "label",
        "target_length": 0,
        "model_files": {},
    }
    return Prompt.from_dict(values | changes)


@st.composite
def templates(draw) -> Template:
    def literal() -> Literal:
        return Literal(draw(ANY))

    fields = [Slot(name) for name in draw(st.permutations(["text", "second field", "größe"]))]
    return Template((literal(), *fields[:1], literal(), *fields[1:], literal(), Slot("label"), literal()))


def module_of(path: Path) -> types.ModuleType:
    module = types.ModuleType("best")
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), module.__dict__)  # noqa: S102
    return module


@pytest.mark.parametrize("name", ["best.json", "ein übler name.json"])
def test_json_comes_back_as_it_was(tmp_path, name):
    saved = prompt('{{Zitat}} "{text}"\r\nStimmung: {label}!', {"neg": "trüb", "pos": "🙂 'gut'"})
    save(saved, tmp_path / name)
    loaded = load(tmp_path / name)
    assert loaded == saved
    assert load(str(tmp_path / name)).candidate == saved.candidate
    assert loaded.render(text="so {text}") == '{Zitat} "so {text}"\r\nStimmung: '
    assert loaded.render(text="x", label="neg") == '{Zitat} "x"\r\nStimmung: trüb!'
    assert [p.name for p in tmp_path.iterdir()] == [name]


@settings(max_examples=150, deadline=None)
@given(
    templates(), ANY.filter(str.strip), st.fixed_dictionaries(dict.fromkeys(("text", "second field", "größe"), VALUES))
)
def test_the_module_renders_what_the_template_renders(tmp_path_factory, template, word, fields):
    path = tmp_path_factory.mktemp("module") / "best.py"
    words = {"one": word, "other": word + "x"}
    save(prompt(template.format(), words), path)
    module = module_of(path)
    assert template.format() == module.TEMPLATE
    assert words == module.LABEL_WORDS
    assert module.render(**fields) == template.render(fields)
    assert module.render(label="one", **fields) == template.render(fields, word)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert {type(node) for node in tree.body} == {ast.Expr, ast.Assign, ast.FunctionDef}
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    for node in tree.body:
        if isinstance(node, ast.Assign):
            ast.literal_eval(node.value)


@settings(max_examples=100, deadline=None)
@given(
    templates(),
    ANY.filter(str.strip),
    st.tuples(ANY, ANY),
    st.fixed_dictionaries(dict.fromkeys(("text", "second field", "größe"), VALUES)),
)
def test_a_chat_format_stands_around_what_is_asked(tmp_path_factory, template, word, chat, fields):
    folder = tmp_path_factory.mktemp("chat")
    saved = prompt(template.format(), {"one": word, "other": word + "x"}, chat=chat)
    for name in ("best.json", "best.py"):
        save(saved, folder / name)
    asked = chat[0] + template.render(fields).rstrip() + chat[1]
    answer = template.render(fields, word)[len(template.render(fields)) :]
    for found in (saved, load(folder / "best.json"), module_of(folder / "best.py")):
        assert found.render(**fields) == asked
        assert found.render(label="one", **fields) == asked + answer


@pytest.mark.parametrize("chat", [None, ("<user>", "</user><bot>")])
def test_the_turns_of_a_chat_say_what_render_says(chat):
    given = prompt("Is it good? {text}\nAnswer: {label}", chat=chat)
    asked = given.messages(text="a film")
    assert asked == [{"role": "user", "content": "Is it good? a film\nAnswer:"}]
    answered = given.messages(text="a film", label="pos")
    assert answered == [*asked, {"role": "assistant", "content": "good"}]
    for turn in answered:
        assert turn["content"] in given.render(text="a film", label="pos")
    with pytest.raises(InputError, match="unknown"):
        given.messages(text="a film", label="none")


@pytest.mark.parametrize("version", [0, 2, 5, True, 1.0, "1", None, 10**400])
def test_a_file_of_another_version_is_refused(tmp_path, version):
    values = prompt().to_dict() | {"version": version if version != 10**400 else 10**30}
    (tmp_path / "best.json").write_text(json.dumps(values), encoding="utf-8")
    with pytest.raises(InputError, match="upgrade autoprompt, or export it again"):
        load(tmp_path / "best.json")


def test_the_module_says_how_the_model_was_loaded(tmp_path):
    save(prompt(), tmp_path / "best.py")
    known = module_of(tmp_path / "best.py").PROVENANCE
    assert {name: known[name] for name in ("family", "max_length", "model_revision")} == {
        "family": "causal",
        "max_length": 128,
        "model_revision": "c" * 40,
    }


@given(template=templates(), word=ANY.filter(str.strip))
@settings(deadline=None, max_examples=50)
def test_fault_46_the_module_holds_literals_and_comes_back_through_ast(tmp_path_factory, template, word):
    path = tmp_path_factory.mktemp("literals") / "best.py"
    saved = prompt(template.format(), {"neg": "other " + word, "pos": word})
    save(saved, path)
    inert_module(path, saved)


def test_the_module_runs_in_a_bare_python(tmp_path):
    saved = prompt('{{"{text}"}}\nIt\'s {größe} \\n {label}', {"neg": "schlecht", "pos": "gut 'ja'"})
    save(saved, tmp_path / "best.py")
    fields = {"text": "a 'b' \"c\" {text} \\ \n ü🙂", "größe": {"k": [1, {"x": "y"}], "l": "m"}}
    program = (
        "import json, runpy, sys; m = runpy.run_path(sys.argv[1]); f = json.loads(sys.stdin.buffer.read());"
        "out = [m['render'](**f), m['render'](label='pos', **f), m['SETTINGS'], m['PROVENANCE']['entry']];"
        "sys.stdout.buffer.write(json.dumps(out).encode())"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program, str(tmp_path / "best.py")],
        input=json.dumps(fields).encode(),
        capture_output=True,
        check=True,
        timeout=30,
    )
    assert json.loads(done.stdout) == [
        saved.render(**fields),
        saved.render(label="pos", **fields),
        saved.settings,
        saved.entry,
    ]


HOSTILE = (
    "{label}",
    "{text} }}{{ {",
    "a \\ \\n \"quoted\" 'too'",
    '"""\\',
    "{demos:2}{soft:3}",
    "%s {0} \u2028\r\n🙂",
    "",
)


def solved(words: dict[str, str], demos: list[tuple[dict[str, object], str]], template: str) -> Candidate:
    found = tuple(Demo.of(f"r{number}", fields, label) for number, (fields, label) in enumerate(demos))
    label_words = LabelWords(tuple(words.items()))
    return Candidate(Template.parse(template), label_words, Settings.default("tail", 32), found)


def both_renders(path: Path, candidate: Candidate, fields: dict[str, object], label: str) -> set[tuple[str, str]]:
    """What best.json and best.py of a candidate with solved examples give: up to the label, and all of it."""
    values = written_out(candidate).to_dict()
    saved = prompt(values["template"], values["label_words"])
    save(saved, path / "best.json")
    save(saved, path / "best.py")
    loaded, module = load(path / "best.json"), module_of(path / "best.py")
    assert loaded == saved
    assert saved.template == module.TEMPLATE
    assert saved.label_words == module.LABEL_WORDS
    return {(p.render(**fields), p.render(label=label, **fields)) for p in (loaded, module)}


def test_solved_examples_are_written_out(tmp_path):
    demos = [({"text": text}, ("neg", "pos")[number % 2]) for number, text in enumerate(HOSTILE)]
    candidate = solved({"neg": "bad {", "pos": "good"}, demos, "Is it {{good}}?\n{demos:7}Text: {text}\nMood: {label}.")
    shown = "".join(f"Text: {text}\nMood: {('bad {', 'good')[number % 2]}.\n\n" for number, text in enumerate(HOSTILE))
    for text in HOSTILE:
        asked = f"Is it {{good}}?\n{shown}Text: {text}\nMood: "
        assert both_renders(tmp_path, candidate, {"text": text}, "neg") == {(asked, f"{asked}bad {{.")}
    program = "import runpy, sys; print(ascii(runpy.run_path(sys.argv[1])['render'](text='x')))"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program, str(tmp_path / "best.py")],
        capture_output=True, check=True, timeout=30, text=True,
    )  # fmt: skip
    assert ast.literal_eval(done.stdout) == f"Is it {{good}}?\n{shown}Text: x\nMood: "


@settings(max_examples=100, deadline=None)
@given(templates(), st.lists(st.tuples(ANY, ANY), min_size=1, max_size=3), VALUES, ANY)
def test_any_solved_example_comes_out_as_it_was_shown(tmp_path_factory, template, examples, value, target):
    names = ("text", "second field", "größe")
    demos = [(dict(zip(names, (text, value, label), strict=True)), label) for text, label in examples]
    asked = Template((*Template.parse(f"{{demos:{len(demos)}}}").segments, *template.segments))
    candidate = solved({}, demos, asked.format())
    shown = asked.render_demos([(demo.fields, demo.label) for demo in candidate.demos])
    fields = dict.fromkeys(names, value)
    (found,) = both_renders(tmp_path_factory.mktemp("demos"), candidate, fields, target)
    assert found == (shown + template.render(fields), shown + template.render(fields, target))


@pytest.mark.parametrize("target", [*HOSTILE, "neg"])
def test_without_label_words_the_target_stands_for_itself(tmp_path, target):
    candidate = solved({}, [({"talk": "so {talk}"}, "{label}\\")], "{demos:1}{talk}\nGist: {label}!")
    asked = "so {talk}\nGist: {label}\\!\n\nx\nGist: "
    assert both_renders(tmp_path, candidate, {"talk": "x"}, target) == {(asked, f"{asked}{target}!")}
    assert module_of(tmp_path / "best.py").LABEL_WORDS == {}


def test_trainable_vectors_stay_here(tmp_path):
    with pytest.raises(InputError, match="the model and its weights") as caught:
        written_out(solved({"neg": "bad", "pos": "good"}, [], "{soft:8}{text}{label}"))
    assert "\n" not in str(caught.value)
    for name in ("best.json", "best.py"):
        for part in ("{soft:8}", "{demos:2}"):
            with pytest.raises(UsageError, match="no text of their own"):
                save(prompt(part + "{text}{label}"), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_what_render_cannot_do(tmp_path):
    saved = prompt()
    save(saved, tmp_path / "best.py")
    with pytest.raises(InputError, match="'maybe'"):
        saved.render(text="x", label="maybe")
    with pytest.raises(InputError, match="'text'"):
        saved.render()
    with pytest.raises(KeyError, match="maybe"):
        module_of(tmp_path / "best.py").render(text="x", label="maybe")


@pytest.mark.parametrize(
    "change",
    [
        {"format": "something"}, {"version": 3}, {"version": "1"}, {"extra": 1}, {"scores": []},
        {"chat": ["<s>"]}, {"max_length": "some"},
        {"template": "{text.__class__} {label}"}, {"template": "{text"}, {"template": 7},
        {"label_words": {"neg": "same", "pos": "same"}}, {"label_words": ["bad"]}, {"label_words": {"neg": ""}},
        {"settings": {"tuning": "magic"}}, {"settings": {"tuning": "tail"}},
        {"settings": {"tuning": "tail", "learning_rate": "fast", "batch_size": 8, "epochs": 8, "rank": 8}},
        {"settings": {"tuning": "tail", "learning_rate": -1.0, "batch_size": 8, "epochs": 8, "rank": 8}},
        {"template": "{text} without a place"}, {"template": "{soft:4}{text}{label}"},
        {"template": "{demos:4}{text}{label}"}, {"demos": []},
    ],
    ids=str,
)  # fmt: skip
def test_fault_16_a_tampered_file_is_refused(tmp_path, change):
    path = tmp_path / "best.json"
    path.write_text(json.dumps(prompt().to_dict() | change), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load(path)
    assert caught.value.exit_code == 3
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", sorted(prompt().to_dict().keys() - {"format", "version", "weights", "ensemble"}))
def test_a_missing_key_is_named(tmp_path, key):
    values = prompt().to_dict()
    del values[key]
    (tmp_path / "best.json").write_text(json.dumps(values), encoding="utf-8")
    with pytest.raises(InputError, match=f"'{key}'"):
        load(tmp_path / "best.json")


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"{", b"\xff\xfe", b'{"a": 1}', b"[" * 100000])
def test_fault_16_a_foreign_file_is_refused(tmp_path, content):
    (tmp_path / "best.json").write_bytes(content)
    with pytest.raises(InputError):
        load(tmp_path / "best.json")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"none\.json"):
        load(tmp_path / "none.json")
    with pytest.raises(InputError):
        load(tmp_path)


def test_a_prompt_shows_its_own_names_only_and_holds_what_the_file_format_has():
    found = prompt()
    values = set(PromptFile.model_fields)
    assert values == {field.name for field in fields(Prompt)} - {"_place"}
    assert {name for name in dir(found) if not name.startswith("_")} == values | {
        "binding", "candidate", "evaluate", "fit", "found_at", "from_dict", "members", "messages", "model_place",
        "pinned_model", "predict", "predict_proba", "render", "session", "to_dict", "with_ensemble", "with_weights",
    }  # fmt: skip
    assert {name for name in dir(found.with_weights("w", {"a": "b" * 64}).weights) if not name.startswith("_")} == {
        "binding", "files", "folder",
    }  # fmt: skip
    with pytest.raises(AttributeError):
        found.template = "{text}{label}"


def test_copies_of_a_prompt_are_equal_and_keep_where_it_was_read(tmp_path):
    save(
        prompt(model="./model", model_revision="").with_weights("w/0", {"a.safetensors": "b" * 64}),
        tmp_path / "best.json",
    )
    (tmp_path / "model").mkdir()
    loaded = load(tmp_path / "best.json")
    for found in (copy.copy(loaded), copy.deepcopy(loaded), pickle.loads(pickle.dumps(loaded))):  # noqa: S301
        assert found == loaded
        assert found.model_place == str(tmp_path / "model")
    assert Prompt.from_dict(loaded.to_dict()) == loaded
    assert loaded != prompt()
    with pytest.raises(TypeError, match="unhashable"):
        hash(loaded)


def test_a_prompt_is_shown_in_one_short_line():
    assert repr(prompt()) == ("Prompt('{text}\\nMood: {label}', labels=('neg', 'pos'), tuning='tail', model='tiny')")
    written = repr(prompt(words={}, labels=[], target_length=20))
    assert "target_length=20" in written
    many = [f"label {number}" for number in range(500)]
    large = prompt("a word " * 10_000 + "{text}{label}", words={}, labels=many, model="m" * 4000)
    assert len(repr(large)) < 300


def test_only_two_kinds_of_files(tmp_path):
    with pytest.raises(UsageError, match=r"best\.json"):
        save(prompt(), tmp_path / "best.txt")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_fault_48_a_failed_writing_leaves_the_old_file(tmp_path, monkeypatch, failure):
    path = tmp_path / "best.json"
    save(prompt(), path)
    before = path.read_bytes()

    def fail(_):
        raise failure

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(StorageError if isinstance(failure, OSError) else KeyboardInterrupt):
        save(prompt("{text} other {label}"), path)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_none_is_refused(tmp_path):
    (tmp_path / "file").touch()
    for place in (tmp_path / "file" / "best.py", tmp_path / "none" / "best.py"):
        with pytest.raises(StorageError, match=r"best\.py"):
            save(prompt(), place)


def test_the_file_has_the_rights_that_others_have(tmp_path):
    (tmp_path / "plain").touch()
    save(prompt(), tmp_path / "best.py")
    assert (tmp_path / "best.py").stat().st_mode == (tmp_path / "plain").stat().st_mode
