"""CONTRIBUTING.md names classes and methods that are there."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROWS = [
    (family.strip(), base, write)
    for line in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").splitlines()
    if line.count("|") == 5 and (found := re.search(r"`([\w/]+)\.py: (\w+)`", line))
    for family, base, write in [(line.split("|")[1], found.groups(), line.split("|")[3])]
]


def test_the_table_is_found() -> None:
    assert {"dataset reader", "model", "query strategy", "metric"} <= {row[0] for row in ROWS}


@pytest.mark.parametrize(("family", "base", "write"), ROWS, ids=[row[0] for row in ROWS])
def test_a_row_names_methods_of_its_base(family: str, base: tuple[str, str], write: str) -> None:
    module, name = base
    cls = getattr(importlib.import_module(f"allencv_al.{module.replace('/', '.')}"), name)
    methods = re.findall(r"`(\w+)(?:\([^`]*\))?`", write)
    assert methods
    for method in methods:
        assert callable(getattr(cls, method, None)), f"{name} has no {method}"
