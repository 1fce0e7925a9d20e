"""Public predictors shared by threads: no error, and the answers of one thread to the last bit."""

import copy
import os
import pickle
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import contract
import numpy as np
import pytest
import sharing
import tiny
import torch
from joblib import parallel_backend
from prompt_files import a_prompt
from sharing import answers_differ, together
from sklearn.model_selection import cross_val_predict

from autoprompt import PromptClassifier, PromptModel, artifacts, load
from autoprompt.candidate import Settings
from autoprompt.errors import UsageError
from autoprompt.export import save
from autoprompt.models.locks import ReentrantLock, SharedVariable
from autoprompt.predicting import session as sessions

ROWS = tiny.rows(0)
TEXTS = [
    "A joy.",
    "The soup was cold.",
    "The lamp is ugly and badly made.",
    "It made us smile all day, again and again.",
]
FAMILIES = {"llama": "tail", "bert": "lora", "t5": "full", "encoder": "head"}
"""One model a family, with a tuning mode that changes the network in another way each."""
RATE = 5e-3


def template_of(name: str) -> str:
    return "{text}{label}" if contract.FAMILY[name] == "classifier" else "{text}\nMood: {label}"


@pytest.fixture(scope="module")
def fitted(family_folder):
    """A fitted model of each name."""
    made = {}

    def model(name: str) -> PromptModel:
        if name not in made:
            made[name] = PromptModel.from_pretrained(str(family_folder(name)), max_length=64).fit(
                ROWS, template_of(name), tuning=FAMILIES[name], epochs=1, learning_rate=RATE
            )
        return made[name]

    return model


@pytest.fixture(scope="module")
def best(model_folders, tmp_path_factory):
    """A prompt file that needs no fine-tune, and its model."""
    path = tmp_path_factory.mktemp("best") / "best.json"
    save(a_prompt(model_folders["llama"]), path)
    return path


def probabilities(predictor, text: str) -> list[float]:
    (row,) = predictor.predict_proba([text])
    return list(row)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_model_of_each_family(fitted, name):
    assert answers_differ(lambda text: probabilities(fitted(name), text), TEXTS, threads=4, calls=6) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["llama", "roberta", "t5", "encoder", "bart-head"])
def test_eight_threads_of_twenty_calls(family_folder, name):
    model = PromptModel.from_pretrained(str(family_folder(name)), max_length=64)
    for tuning in contract.MODES[name]:
        settings = {} if tuning == "none" else {"epochs": 1, "learning_rate": RATE}
        model.fit(ROWS, template_of(name), tuning=tuning, **settings)
        assert answers_differ(partial(probabilities, model), TEXTS, threads=8, calls=20) == [], tuning


@pytest.mark.slow
def test_eight_threads_on_the_real_model(tmp_path):
    artifacts.ensure("smollm2-135m")
    settings = Settings.default("tail", len(ROWS)).change(epochs=1)
    labels = {"labels": tiny.LABELS, "label_words": tiny.WORDS}
    save(a_prompt(tmp_path, settings=settings.to_dict(), **labels), tmp_path / "best.json")
    prompt = load(tmp_path / "best.json", model="smollm2-135m").fit(ROWS)
    texts = [row["text"] for row in tiny.rows(2)][:5]
    assert answers_differ(lambda text: probabilities(prompt, text), texts, threads=8, calls=12) == []


@pytest.mark.parametrize("name", ["llama", "t5"])
def test_threads_that_have_texts_written(family_folder, name):
    writer = PromptModel.from_pretrained(str(family_folder(name)), max_length=64)
    talks = [{"talk": row["text"], "gist": row["text"].split()[1]} for row in ROWS]
    writer.fit(talks, "{talk}\nGist: {gist}", target_column="gist", tuning="full", epochs=2, learning_rate=RATE)
    assert answers_differ(lambda text: writer.predict([text]), TEXTS, threads=4, calls=3) == []


def test_a_loaded_prompt_loads_its_model_once(best, monkeypatch):
    alone = load(best)
    expected = [probabilities(alone, text) for text in TEXTS]
    count = []
    loading = sessions.load_model
    monkeypatch.setattr(sessions, "load_model", lambda *given, **named: count.append(1) or loading(*given, **named))
    prompt = load(best)
    works = [lambda: [probabilities(prompt, text) for text in TEXTS]] * 6
    assert together(*works) == [expected] * 6
    assert len(count) == 1


def test_two_prompts_of_one_model(model_folders, tmp_path):
    """Each has a network of its own, and what torch and transformers keep for the whole process is not mixed up."""
    settings = Settings.default("tail", 24).change(epochs=1, learning_rate=RATE)
    changes = {"label_words": tiny.WORDS, "labels": tiny.LABELS, "settings": settings.to_dict()}
    save(a_prompt(model_folders["llama"], template="{text}\nMood: {label}", **changes), tmp_path / "one.json")
    save(a_prompt(model_folders["llama"], template="Say of {text}: {label}", **changes), tmp_path / "two.json")
    paths = (tmp_path / "one.json", tmp_path / "two.json")

    def work(path):
        prompt = load(path).fit(ROWS)
        return [probabilities(prompt, text) for text in TEXTS * 3]

    variables, state, filters = dict(os.environ), torch.get_rng_state(), list(warnings.filters)
    alone = [work(path) for path in paths]
    for _ in range(3):
        assert together(*[lambda path=path: work(path) for path in paths]) == alone
    assert (dict(os.environ), warnings.filters) == (variables, filters)
    assert torch.equal(torch.get_rng_state(), state), "the caller's random numbers stay as they were"


def test_a_prediction_beside_a_fit_has_the_old_weights_or_the_new(model_folders, tmp_path):
    settings = Settings.default("full", 24).change(epochs=1, learning_rate=RATE)
    changes = {"label_words": tiny.WORDS, "labels": tiny.LABELS, "settings": settings.to_dict()}
    save(a_prompt(model_folders["llama"], **changes), tmp_path / "best.json")
    turned = [row | {"label": other["label"]} for row, other in zip(ROWS, ROWS[1:] + ROWS[:1], strict=True)]
    prompt = load(tmp_path / "best.json")
    known = [[probabilities(prompt.fit(rows), text) for text in TEXTS] for rows in (turned, ROWS)]
    assert known[0] != known[1]

    def predict():
        return [[probabilities(prompt, text) for text in TEXTS] for _ in range(4)]

    prompt.fit(turned)
    _, *found = together(lambda: prompt.fit(ROWS) and None, predict, predict)
    for answers in (answers for each in found for answers in each):
        for place, answer in enumerate(answers):
            assert answer in (known[0][place], known[1][place])
    assert [probabilities(prompt, text) for text in TEXTS] == known[1]


def test_a_classifier_fits_other_classes_beside_predictions(model_folders):
    classifier = PromptClassifier(model=str(model_folders["llama"]), template="{text}\nMood: {label}", epochs=1)
    texts, labels = [row["text"] for row in ROWS], [row["label"] for row in ROWS]
    numbers = ["zero" if label == "positive" else "one" for label in labels]
    known = [classifier.fit(texts, y).predict(TEXTS).tolist() for y in (numbers, labels)]

    def predict():
        return [classifier.predict(TEXTS).tolist() for _ in range(5)]

    _, *found = together(lambda: classifier.fit(texts, numbers), predict, predict)
    for answers in (answers for each in found for answers in each):
        assert answers in known


def test_cross_validation_in_threads(model_folders):
    """Each fold's model is loaded and trained while others are."""
    classifier = PromptClassifier(model=str(model_folders["llama"]), template="{text}\nMood: {label}", epochs=1)
    texts, labels = np.array([row["text"] for row in ROWS], dtype=object), [row["label"] for row in ROWS]

    def folds() -> list[list[float]]:
        return cross_val_predict(classifier, texts, labels, cv=4, n_jobs=4, method="predict_proba").tolist()

    with parallel_backend("threading"), sharing.switching():
        found = folds()
    with parallel_backend("sequential"):
        assert found == folds()


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])  # noqa: S301
def test_a_copy_that_is_made_beside_predictions(fitted, copied):
    """A network is never copied half changed."""
    model = fitted("t5")
    expected = [probabilities(model, text) for text in TEXTS]

    def predict():
        return [[probabilities(model, text) for text in TEXTS] for _ in range(3)]

    found, *copies = together(predict, *[lambda: copied(model)] * 3)
    assert found == [expected] * 3
    for each in copies:
        for text, row in zip(TEXTS, expected, strict=True):
            assert probabilities(each, text) == pytest.approx(row, abs=1e-6)
        assert each.fitted.predictor.model.lock is not model.fitted.predictor.model.lock


def test_a_prompt_is_copied_and_pickled_with_its_fit(best):
    prompt = load(best)
    expected = prompt.predict_proba(TEXTS)
    for other in (copy.deepcopy(prompt), copy.copy(prompt), pickle.loads(pickle.dumps(prompt))):  # noqa: S301
        for row, known in zip(other.predict_proba(TEXTS), expected, strict=True):
            assert row == pytest.approx(known, abs=1e-6)


@pytest.mark.parametrize("threads", [1, 2])
def test_another_thread_computes_as_the_main_thread_does(fitted, threads):
    """Numbers of threads, gradients and precision are kept by each thread for itself."""
    model, before = fitted("llama"), torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        expected = [probabilities(model, text) for text in TEXTS]
        with ThreadPoolExecutor(1) as pool:  # a thread that has never used torch
            assert list(pool.map(lambda text: probabilities(model, text), TEXTS)) == expected
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    "mode",
    [
        torch.inference_mode,
        pytest.param(torch.no_grad, marks=pytest.mark.slow),
        pytest.param(torch.enable_grad, marks=pytest.mark.slow),
        lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    ],
)
def test_the_caller_s_modes_change_nothing(model_folders, mode):
    def made():
        return PromptModel.from_pretrained(str(model_folders["llama"]))

    def after_fit(model):
        return [probabilities(model.fit(ROWS, epochs=1, learning_rate=RATE), text) for text in TEXTS]

    plain = made()
    expected = after_fit(plain)
    with mode():
        assert [probabilities(plain, text) for text in TEXTS] == expected
        model = made()
        assert after_fit(model) == expected
    assert after_fit(model) == expected, "what was made in the mode can be trained outside of it"


def test_a_fork_beside_a_prediction_is_refused_in_the_child():
    lock, held, done = ReentrantLock(), threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            held.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    child = os.fork()
    if child == 0:
        try:
            with lock:
                os._exit(0)
        except UsageError as error:
            os._exit(7 if "in each process" in str(error) else 1)
        finally:
            os._exit(1)
    done.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    with lock:
        child = os.fork()  # by the thread that holds it, or by any while nobody does
        if child == 0:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("before", [None, "0"])
def test_a_variable_is_set_while_anybody_is_inside(monkeypatch, before):
    name = "AUTOPROMPT_TEST_VARIABLE"
    monkeypatch.delenv(name, raising=False)
    if before is not None:
        monkeypatch.setenv(name, before)
    variable, seen = SharedVariable(name, "1"), []

    def work() -> None:
        for _ in range(200):
            with variable.set():
                seen.append(os.environ.get(name))

    sharing.together(work, work, work)
    assert set(seen) == {"1"}
    assert os.environ.get(name) == before
