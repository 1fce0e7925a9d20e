"""Members of an axis by name, those of other packages included."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import fakes
import pytest

from autoprompt.candidate import Candidate, Settings
from autoprompt.errors import InputError, UsageError
from autoprompt.metrics import metric_names, score
from autoprompt.optimizer import SearchConfig, Space
from autoprompt.optimizer.operators import all_operators
from autoprompt.registry import OPERATORS, STRATEGIES
from autoprompt.template import LabelWords, Template

MANUAL = Candidate(
    Template.parse("{text}\nMood: {label}"),
    LabelWords((("neg", "bad"), ("pos", "good"))),
    Settings("tail", 5e-4, 8, 4, 8),
)
PLUGIN = Path(__file__).parent / "example" / "plugin"


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The example package as an installer leaves it: its module, and its entry points beside it."""
    project = tomllib.loads((PLUGIN / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    shutil.copy(PLUGIN / "autoprompt_shout.py", tmp_path)
    info = tmp_path / "autoprompt_shout-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 0.1.0\n")
    lines = [
        line
        for group, points in project["entry-points"].items()
        for line in (f"[{group}]", *(f"{name} = {value}" for name, value in points.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "autoprompt_shout", raising=False)
    return tmp_path


def test_every_member_of_ours_is_called_as_it_is_registered() -> None:
    for registry in (STRATEGIES, OPERATORS):
        assert {name: member.name for name, member in registry.items()} == {name: name for name in registry}
    assert sorted(STRATEGIES) == ["genetic", "gradient", "grid", "hybrid", "random"]


def test_names_are_known_without_importing_a_strategy() -> None:
    code = (
        "import sys; from autoprompt.registry import STRATEGIES; print(*STRATEGIES); "
        "print([m for m in sys.modules if m == 'torch' or m.startswith('autoprompt.optimizer')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines() == ["genetic gradient grid hybrid random", "[]"]


def test_an_unknown_member_is_refused_with_those_that_are_there() -> None:
    with pytest.raises(UsageError, match=r"The strategy 'best' is unknown; use one of genetic, gradient, grid"):
        STRATEGIES["best"]


def test_two_members_of_one_name_are_an_error_of_the_code() -> None:
    with pytest.raises(ValueError, match=r"two members .* are called 'phrase'"):
        OPERATORS.register("phrase")(object)


@pytest.mark.usefixtures("plugin")
def test_an_operator_of_another_package_breeds_and_can_be_listed() -> None:
    assert "shout" in OPERATORS
    assert [operator.name for operator in all_operators(gradients=True)][-1] == "shout"
    config = SearchConfig.model_validate({"search": {"operators": ["shout"], "immigrants": False}})
    _, found = fakes.run_search(Space(MANUAL, "mood", ("word",), config), "genetic", 30)
    shouted = [e for _, e in found if "MOOD" in e.candidate.template.format()]
    assert shouted, "a child of the manual template"


@pytest.mark.usefixtures("plugin")
def test_a_strategy_of_another_package_searches() -> None:
    assert list(STRATEGIES)[-1] == "backwards"
    outcome, _ = fakes.run_search(Space(MANUAL, "mood", ("word",), SearchConfig()), "backwards", 10)
    assert outcome.fitted <= 10


def test_a_package_that_cannot_be_loaded_is_named(plugin: Path) -> None:
    (plugin / "autoprompt_shout.py").write_text("import a_module_that_is_not_there\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"'shout' cannot be loaded from autoprompt_shout:Shout .*uninstall"):
        OPERATORS["shout"]


def test_without_the_package_its_names_are_unknown() -> None:
    assert "shout" not in OPERATORS
    with pytest.raises(Exception, match="operators"):
        SearchConfig.model_validate({"search": {"operators": ["shout"]}})


def test_a_metric_of_another_package_scores(plugin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    points = plugin / "autoprompt_shout-0.1.0.dist-info" / "entry_points.txt"
    points.write_text("[autoprompt.classification_metrics]\nfirst = autoprompt_first:first\n", encoding="utf-8")
    (plugin / "autoprompt_first.py").write_text("def first(log_probs, gold, n_labels):\n    return float(gold[0])\n")
    monkeypatch.syspath_prepend(plugin / "elsewhere")  # what was found is remembered for a search path
    assert score([[-0.1, -2.0], [-2.0, -0.1]], [1, 0], 2, "first").value == 1.0
    assert metric_names("classification")[-1] == "first"
