"""Check the layout of the package: circles, names used twice, crowded folders, long files,
modules without tests.

Usage: python .ci/house.py [--once]

Imports inside functions and under `TYPE_CHECKING` count: they hide a circle, and do not open it.
`--once` also lists the modules that only one other module imports (nothing to check, but to read).
"""

from __future__ import annotations

import ast
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

PACKAGE = "allencv_al"
MOST_FILES = 16
MOST_LINES = 500
# Files that play the same part in twin folders
TWINS = {"__init__", "__main__", "base", "app"}
# One file per subcommand, query strategy, model
FAMILIES = {"commands", "strategies", "models"}
# Models without behavior; the tests of the routes read them
UNTESTED = {"allencv_al.service.labeling.labeling_answers"}


def main(arguments: list[str]) -> int:
    """Print each problem; return 1 if there is one."""
    root = Path(__file__).resolve().parent.parent
    texts = {
        _module(path.relative_to(root)): path.read_text(encoding="utf-8")
        for path in sorted((root / PACKAGE).rglob("*.py"))
    }
    trees = {name: ast.parse(text) for name, text in texts.items()}
    packages = {
        _module(path.parent.relative_to(root)) for path in (root / PACKAGE).rglob("__init__.py")
    }
    graph = {name: set(_imports(name, tree, trees)) - {name} for name, tree in trees.items()}
    modules = set(trees) - packages
    problems = [
        *_circles(graph),
        *_classes(trees),
        *_modules(modules),
        *_folders(modules),
        *_lengths(texts),
        *_tests(modules, root),
    ]
    for problem in problems:
        print(problem)
    if "--once" in arguments:
        users = Counter(used for names in graph.values() for used in names)
        print(*(name for name in sorted(modules) if users[name] == 1), sep="\n")
    return int(bool(problems))


def _module(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def _imports(name: str, tree: ast.Module, known: dict[str, ast.Module]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module in known:
            for alias in node.names:
                below = f"{node.module}.{alias.name}"
                yield below if below in known else node.module


def _circles(graph: dict[str, set[str]]) -> Iterator[str]:
    graph = {name: set(used) for name, used in graph.items()}
    while True:
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            circle = error.args[1]
            yield f"a circle of imports: {' <- '.join(circle)}"
            graph[circle[1]].discard(circle[0])
        else:
            return


def _classes(trees: dict[str, ast.Module]) -> Iterator[str]:
    places = defaultdict(list)
    for name, tree in trees.items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                places[node.name].append(name)
    yield from _twice("class", places)


def _modules(modules: set[str]) -> Iterator[str]:
    places = defaultdict(list)
    for name in modules:
        last = name.rpartition(".")[2]
        if last not in TWINS:
            places[last].append(name)
    yield from _twice("module", places)


def _twice(kind: str, places: dict[str, list[str]]) -> Iterator[str]:
    for name, found in sorted(places.items()):
        if len(found) > 1:
            yield f"{kind} {name}: expected once, found in {', '.join(sorted(found))}"


def _folders(modules: set[str]) -> Iterator[str]:
    counts = Counter(name.rpartition(".")[0] for name in modules)
    for folder, count in sorted(counts.items()):
        if count > MOST_FILES and folder.rpartition(".")[2] not in FAMILIES:
            yield f"{folder}: {count} files side by side; expected at most {MOST_FILES}"


def _lengths(texts: dict[str, str]) -> Iterator[str]:
    for name, text in texts.items():
        count = len(text.splitlines())
        if count > MOST_LINES:
            yield f"{name}: {count} lines; expected at most {MOST_LINES}"


def _tests(modules: set[str], root: Path) -> Iterator[str]:
    for module in sorted(modules - UNTESTED):
        folder, _, name = module.partition(".")[2].rpartition(".")
        path = Path("tests", *folder.split("."), f"test_{name}.py")
        if name != "__main__" and not (root / path).is_file():
            yield f"{module}: expected its tests in {path}, found no such file"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
