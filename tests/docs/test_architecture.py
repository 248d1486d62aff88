"""The table of rooms in the architecture page is that of the package and of its import contract."""

from __future__ import annotations

import re
import tomllib

from fixtures.doc_page import REPOSITORY

PAGE = REPOSITORY / "docs" / "architecture.md"
ROW = re.compile(r"^\| (?P<floor>\d) \| `(?P<room>\w+)/`", re.MULTILINE)


def floors() -> dict[str, int]:
    """Return the floor of each room."""
    found = ROW.finditer(PAGE.read_text(encoding="utf-8"))
    return {row["room"]: int(row["floor"]) for row in found}


def test_the_rooms_are_those_of_the_package() -> None:
    package = REPOSITORY / "allencv_al"
    assert set(floors()) == {path.parent.name for path in package.glob("*/__init__.py")}


def test_the_floors_are_those_of_the_import_contract() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    layers = project["tool"]["importlinter"]["contracts"][0]["layers"]
    order = [re.findall(r"allencv_al\.(\w+)", layer) for layer in reversed(layers)]
    found = floors()
    layered = [sorted({found[room] for room in layer if room in found}) for layer in order]
    # `metrics` shares a floor of the page with the two above it
    assert [floor for floor in layered if floor] == sorted(floor for floor in layered if floor)
    assert all(len(floor) <= 1 for floor in layered)
