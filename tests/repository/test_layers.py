"""Which module may import which: the architecture, checked on the syntax tree of every file."""

import ast
import re
import tomllib

import pytest
from paths import ROOT as REPOSITORY

ROOT = REPOSITORY / "autoprompt"
MODULE_NAME = re.compile(r"autoprompt(\.\w+){2,}(?=:\w+$|$)")

ABOVE_RUN = {
    *("artifacts", "corpus", "template", "candidate", "metrics", "models", "evaluator", "optimizer", "execution"),
    *("leaderboard", "transfer", "manifest", "report", "export", "files", "duration", "terminal"),
    *("untrusted", "model_folder", "safetensors_header", "results", "executors"),
}
# The data flows one way: a row may import the modules named in it, and these.
EVERYWHERE = {"errors", "hashing", "registry", "short_repr", "tuning_modes"}
MAY_IMPORT = {
    "errors": set(),
    "hashing": set(),
    "registry": set(),
    "short_repr": set(),
    "tuning_modes": set(),
    "duration": set(),
    "executors": set(),
    "stage_times": {"optimizer"},
    "terminal": set(),
    "interpreter": set(),
    "untrusted": set(),
    "files": {"untrusted"},
    "safetensors_header": {"untrusted"},
    "model_folder": {"safetensors_header", "untrusted"},
    "artifacts": {"files", "interpreter", "untrusted"},
    "corpus": {"artifacts", "untrusted"},
    "template": set(),
    "candidate": {"template"},
    "metrics": set(),
    "results": {"metrics"},
    "models": {
        "corpus",
        "template",
        "candidate",
        "artifacts",
        "model_folder",
        "safetensors_header",
        "untrusted",
    },
    "evaluator": {"corpus", "template", "candidate", "metrics", "models"},
    "optimizer": {
        "corpus",
        "template",
        "candidate",
        "metrics",
        "evaluator",
        "models",
        "duration",
        "untrusted",
    },
    "execution": {"files", "interpreter", "terminal"},
    "predicting": {"corpus", "candidate", "metrics", "models", "evaluator", "manifest", "model_folder", "files"},
    "leaderboard": {"results", "candidate", "metrics", "files", "terminal"},
    "transfer": {"corpus", "template", "candidate", "metrics", "leaderboard", "files", "untrusted"},
    "manifest": {"corpus", "candidate", "files", "model_folder"},
    "report": {"results", "leaderboard", "metrics", "template", "manifest", "files", "terminal"},
    "export": {"models", "candidate", "template", "files", "untrusted", "predicting"},
    "run": ABOVE_RUN,
    "api": ABOVE_RUN | {"run", "estimators", "tracking", "search_result", "progress"},
    "search_result": ABOVE_RUN | {"run", "progress"},
    "estimators": ABOVE_RUN | {"run", "predicting"},
    "cli": ABOVE_RUN | {"run", "api", "progress", "stage_times", "predicting", "files", "tracking", "interpreter"},
    "trackers": set(),
    "tracking": {"evaluator", "run", "optimizer", "trackers"},
    "progress": ABOVE_RUN | {"run", "stage_times"},
}
# Modules of another package that are imported past its door, and why.
PAST_THE_DOOR = {
    "autoprompt.corpus.readers.formats": "a registry names where its members are",
    "autoprompt.metrics.classification": "a registry names where its members are",
    "autoprompt.metrics.generation": "a registry names where its members are",
    "autoprompt.optimizer.operators": "a registry names where its members are",
    "autoprompt.optimizer.strategies": "a registry names where its members are",
    "autoprompt.models.adaptation.methods": "the table of tuning modes names the class of each, without loading torch",
    "autoprompt.run.backends.local": "the table of executors names the function that opens each, without loading any",
    "autoprompt.run.backends.ray": "the table of executors names the function that opens each, without loading any",
}
# Only inside functions: loading the module must not load them.
LAZILY = {"export": {"predicting"}}
METADATA = {"__version__"}
MAX_LINES = 350


def owner(path, root):
    """The row of a file: a package is judged by its top-level name."""
    return path.relative_to(root).with_suffix("").parts[0]


def imported(tree, package):
    """(module named, line, whether loading the file leaves it out) for every import of ours."""
    inside = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        or (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
        for child in ast.walk(node)
    }
    for node in ast.walk(tree):
        for name in _named(node, package):
            parts = name.split(".")
            if parts[0] == "autoprompt" and len(parts) > 1:
                yield parts[1], node.lineno, id(node) in inside
            elif name == "autoprompt":
                yield "autoprompt", node.lineno, id(node) in inside


def _named(node, package):
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
        module = ".".join(part for part in (base, node.module) if part)
        if module == "autoprompt":
            return [f"autoprompt.{alias.name}" for alias in node.names if alias.name not in METADATA]
        return [module]
    if isinstance(node, ast.Call) and ast.unparse(node.func) in ("import_module", "importlib.import_module"):
        return [arg.value for arg in node.args[:1] if isinstance(arg, ast.Constant)]
    return []


def violations(root):
    found = []
    for path in sorted(root.rglob("*.py")):
        if path == root / "__init__.py":  # exports public names of any module, lazily
            continue
        where, name = path.relative_to(root), owner(path, root)
        if name not in MAY_IMPORT:
            found.append(f"{where}: the module {name} is not in the table")
            continue
        package = ("autoprompt", *path.relative_to(root).parts[:-1])
        for target, line, inside in imported(ast.parse(path.read_text("utf-8")), package):
            allowed = MAY_IMPORT[name] | EVERYWHERE | {name}
            if target not in allowed:
                found.append(f"{where}:{line}: {name} may not import {target}")
            elif target in LAZILY.get(name, ()) and not inside:
                found.append(f"{where}:{line}: {name} may import {target} inside functions only")
    return found


def past_doors(root):
    """(place, module) of each import of a module inside another package; module names in strings count, too."""
    packages = {path.parent.name for path in root.glob("*/__init__.py")}
    for path in sorted(root.rglob("*.py")):
        where, name = path.relative_to(root), owner(path, root)
        package = ("autoprompt", *where.parts[:-1])
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            named = _named(node, package)
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                named = [found[0]] if (found := MODULE_NAME.match(node.value)) else []
            for module in named:
                parts = module.split(".")
                if parts[0] == "autoprompt" and len(parts) > 2 and parts[1] in packages - {name}:
                    yield f"{where}:{node.lineno}", module


def test_what_a_package_needs_of_another_is_at_its_door():
    found = [(place, module) for place, module in past_doors(ROOT) if module not in PAST_THE_DOOR]
    assert found == []


def test_each_exception_at_the_doors_is_needed():
    assert {module for _, module in past_doors(ROOT)} >= set(PAST_THE_DOOR)


@pytest.mark.parametrize(
    "source",
    [
        "from autoprompt.models.loading import load",
        "from ..models.loading import load",
        "def f():\n    import autoprompt.models.loading",
        "HOME = 'autoprompt.models.loading:load'",
    ],
)
def test_an_import_past_a_door_is_found(tmp_path, source):
    for name in ("models", "run"):
        (tmp_path / name).mkdir()
        door = "from autoprompt.models import load\nDOC = 'autoprompt.models has it'"
        (tmp_path / name / "__init__.py").write_text(door)
    (tmp_path / "run" / "a.py").write_text(source)
    ((place, module),) = past_doors(tmp_path)
    assert (place.partition(":")[0], module) == ("run/a.py", "autoprompt.models.loading")


def test_every_module_imports_only_what_its_row_names():
    assert violations(ROOT) == []


def test_the_tree_was_looked_at():
    assert {"errors", "template", "candidate", "metrics", "leaderboard"} <= {
        owner(path, ROOT) for path in ROOT.rglob("*.py")
    }


def test_a_row_names_only_modules_that_the_table_has_and_no_two_import_each_other():
    for name, others in MAY_IMPORT.items():
        assert others <= set(MAY_IMPORT), name
        assert all(name not in MAY_IMPORT[other] for other in others), name


@pytest.mark.parametrize(
    ("file", "source", "expected"),
    [
        ("metrics/types.py", "import autoprompt.candidate", "types.py:1: metrics may not import candidate"),
        ("template.py", "def f():\n    from autoprompt import metrics", "template.py:2: template may not import"),
        ("models/causal.py", "from ..optimizer import racing", "causal.py:1: models may not import optimizer"),
        ("models/a/b.py", "from ...optimizer import racing", "b.py:1: models may not import optimizer"),
        ("corpus.py", "from . import models", "corpus.py:1: corpus may not import models"),
        (
            "run.py",
            "import importlib\nimportlib.import_module('autoprompt.cli')",
            "run.py:2: run may not import cli",
        ),
        ("corpus.py", "from autoprompt import PromptModel", "corpus may not import PromptModel"),
        ("corpus.py", "import autoprompt", "corpus may not import autoprompt"),
        ("export.py", "from autoprompt import predicting", "export may import predicting inside functions only"),
        ("helpers.py", "", "the module helpers is not in the table"),
    ],
)
def test_a_forbidden_import_is_found(tmp_path, file, source, expected):
    place = tmp_path / file
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(source)
    (found,) = violations(tmp_path)
    assert expected in found


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("models/causal.py", "from autoprompt.models.loading import x\nfrom . import tuning\nfrom .tuning import y"),
        ("models/causal.py", "from ..corpus import Corpus\nfrom autoprompt.errors import InputError"),
        ("export.py", "def load():\n    from autoprompt import predicting"),
        ("export.py", "if TYPE_CHECKING:\n    from autoprompt.predicting import Session"),
        ("manifest.py", "from autoprompt import __version__"),
        ("cli/board.py", "from autoprompt import artifacts, progress, run, api"),
        ("__init__.py", "from autoprompt.cli import main"),
    ],
)
def test_an_allowed_import_is_allowed(tmp_path, file, source):
    place = tmp_path / file
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(source)
    assert violations(tmp_path) == []


def module_names(root):
    """The file of each module of the package, by the module's full name."""
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = ("autoprompt", *path.relative_to(root).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def import_graph(root):
    """Module -> modules of ours that it imports anywhere: inside functions and for type checking, too.

    ``from autoprompt.pkg import name`` imports the module ``autoprompt.pkg.name`` if there is one, else the package.
    """
    modules = module_names(root)
    graph = {}
    for name, path in modules.items():
        package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
        targets = set()
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom):
                base = package[: len(package) - node.level + 1] if node.level else []
                home = ".".join([*base, *([node.module] if node.module else [])])
                full = (f"{home}.{alias.name}" for alias in node.names)
                targets |= {named if named in modules else home for named in full}
            else:
                targets.update(_named(node, package))
        graph[name] = targets & set(modules)
    return graph


def cycles(graph):
    """Groups of modules that import each other: the strongly connected components (Tarjan 1972)."""
    number, lowest, stack, found = {}, {}, [], []

    def visit(module):
        number[module] = lowest[module] = len(number)
        stack.append(module)
        for target in sorted(graph[module]):
            if target not in number:
                visit(target)
                lowest[module] = min(lowest[module], lowest[target])
            elif target in stack:
                lowest[module] = min(lowest[module], number[target])
        if lowest[module] == number[module]:
            place = stack.index(module)
            group = sorted(stack[place:])
            del stack[place:]
            if len(group) > 1 or module in graph[module]:
                found.append(group)

    for module in sorted(graph):
        if module not in number:
            visit(module)
    return sorted(found)


def test_no_modules_import_each_other():
    assert cycles(import_graph(ROOT)) == []


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (
            {"a/x.py": "from autoprompt.a import y", "a/y.py": "from .x import f"},
            [["autoprompt.a.x", "autoprompt.a.y"]],
        ),
        (
            {"a.py": "if TYPE_CHECKING:\n    from autoprompt.b import B", "b.py": "def f():\n    import autoprompt.a"},
            [["autoprompt.a", "autoprompt.b"]],
        ),
        (
            {"a/__init__.py": "from autoprompt.a import x", "a/x.py": "from autoprompt.a import name"},
            [["autoprompt.a", "autoprompt.a.x"]],
        ),
        (
            {"a.py": "from importlib import import_module\nimport_module('autoprompt.b')", "b.py": "from . import a"},
            [["autoprompt.a", "autoprompt.b"]],
        ),
        (
            {"a/__init__.py": "from autoprompt.a.x import f\nfrom . import y", "a/x.py": "from autoprompt.a import y",
             "a/y.py": "import autoprompt.b", "b.py": "import ast"},
            [],
        ),
    ],
)  # fmt: skip
def test_a_cycle_is_found_wherever_the_imports_stand(tmp_path, files, expected):
    for file, source in files.items():
        place = tmp_path / file
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(source)
    assert cycles(import_graph(tmp_path)) == expected


def test_no_module_is_long():
    lengths = {str(p.relative_to(ROOT)): len(p.read_text("utf-8").splitlines()) for p in ROOT.rglob("*.py")}
    assert {file: lines for file, lines in lengths.items() if lines > MAX_LINES} == {}


def test_every_package_is_installed():
    listed = tomllib.loads((ROOT.parent / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"][
        "packages"
    ]
    folders = {path.parent.relative_to(ROOT.parent).as_posix().replace("/", ".") for path in ROOT.rglob("__init__.py")}
    assert set(listed) - {"autoprompt.cards"} == folders - {"autoprompt.cards"}
