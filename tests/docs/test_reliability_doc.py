"""The page on reliability names tests that are there, and figures that they print."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
TEXT = (REPOSITORY / "docs" / "explanation" / "reliability.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", sorted(set(re.findall(r"tests/[\w/]+(?:\.py)?", TEXT))))
def test_what_it_names_is_there(path: str) -> None:
    assert (REPOSITORY / path).exists()


def test_each_figure_has_a_test_that_prints_it() -> None:
    sources = "".join(
        path.read_text(encoding="utf-8") for path in (REPOSITORY / "tests" / "abuse").glob("*.py")
    )
    rows = re.findall(r"^\| ([AF]\d+ [^|,]+)", TEXT, re.MULTILINE)
    assert len(rows) > 10
    for row in rows:
        words = re.sub(r"\d+ (?=annotators)", "{people} ", row.strip())
        assert words in sources, row
