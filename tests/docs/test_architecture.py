"""The table of rooms in the architecture page is that of the package and of its import contract."""

from __future__ import annotations

import re
import tomllib

from fixtures.doc_page import REPOSITORY

PAGE = REPOSITORY / "docs" / "architecture.md"
ROW = re.compile(r"^\| (?P<floor>\d) \| `(?P<room>\w+)/`.*?\| (?P<files>\d+) \|", re.MULTILINE)


def rows() -> dict[str, tuple[int, int]]:
    """Return floor and number of files by room."""
    return {
        row["room"]: (int(row["floor"]), int(row["files"]))
        for row in ROW.finditer(PAGE.read_text(encoding="utf-8"))
    }


def test_the_rooms_and_their_files_are_those_of_the_package() -> None:
    package = REPOSITORY / "allencv_al"
    folders = [path.parent for path in package.glob("*/__init__.py")]
    counts = {folder.name: len(list(folder.rglob("*.py"))) for folder in folders}
    assert {room: files for room, (_, files) in rows().items()} == counts


def test_the_floors_are_those_of_the_import_contract() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    layers = project["tool"]["importlinter"]["contracts"][0]["layers"]
    order = [re.findall(r"allencv_al\.(\w+)", layer) for layer in reversed(layers)]
    found = {room: floor for room, (floor, _) in rows().items()}
    floors = [sorted({found[room] for room in layer if room in found}) for layer in order]
    # `metrics` shares a floor of the page with the two above it
    assert [floor for floor in floors if floor] == sorted(floor for floor in floors if floor)
    assert all(len(floor) <= 1 for floor in floors)
