"""The examples of docs/how_to/extend run as printed; its tables name the fields that are there."""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from allencv_al import active_learning
from allencv_al.common import Registrable
from allencv_al.labels.exchange.label_entry import LabelEntry
from allencv_al.training import TrainerCallback

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "how_to" / "extend"
PAGES = sorted(path for path in FOLDER.glob("*.md") if path.name != "index.md")
BLOCK = re.compile(r"^```(python|text)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
TABLE = re.compile(r"^## `(\w+)`\n((?:(?!## ).*\n)*)", re.MULTILINE)


@pytest.fixture(autouse=True)
def _registered_names(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Take the names of the examples out of the registries again."""
    registries: dict[type, dict[str, Any]] = sys.modules[Registrable.__module__]._registries
    before = {base: dict(names) for base, names in registries.items()}
    yield
    for base, names in registries.items():
        for name in set(names) - set(before.get(base, {})):
            if not names[name][0].__module__.startswith("allencv_al."):
                del names[name]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_the_example_prints_what_the_page_shows(
    page: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blocks = BLOCK.findall(page.read_text(encoding="utf-8"))
    code = "".join(text for language, text in blocks if language == "python")
    exec(compile(code, str(page), "exec"), {"__name__": f"extend_{page.stem}"})
    assert capsys.readouterr().out == "".join(text for name, text in blocks if name == "text") != ""


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_the_example_imports_public_names(page: Path) -> None:
    imports = re.findall(r"^from (allencv_al\S*) import", page.read_text("utf-8"), re.MULTILINE)
    assert imports
    # Formats are part of the package: their page is for contributors
    assert all(module.count(".") <= 1 for module in imports) or page.stem == "exchange_format"


TABLES = [
    (page, name, text) for page in PAGES for name, text in TABLE.findall(page.read_text("utf-8"))
]


@pytest.mark.parametrize(("page", "name", "text"), TABLES, ids=[name for _, name, _ in TABLES])
def test_the_table_names_every_field(page: Path, name: str, text: str) -> None:
    cls = LabelEntry if name == "LabelEntry" else getattr(active_learning, name)
    fields = {field.name for field in dataclasses.fields(cls)}
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == fields


def test_the_moments_of_callbacks_are_all_there() -> None:
    _, _, moments = (FOLDER / "callback.md").read_text("utf-8").partition("## Moments")
    named = set(re.findall(r"^\| `(\w+)\(", moments, re.MULTILINE))
    methods = {name for name in vars(TrainerCallback) if re.match(r"on_|(load_)?state_dict", name)}
    assert named == methods


def test_the_index_names_every_page() -> None:
    text = (FOLDER / "index.md").read_text("utf-8")
    assert {page.stem for page in PAGES} <= set(re.findall(r"^(\w+)$", text, re.MULTILINE))
