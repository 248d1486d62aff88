"""docs/reference/strategies.md speaks of every registered strategy, and its configs build."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import pytest

from allencv_al.common.config.sources.jsonnet_file import evaluate_snippet
from allencv_al.selection.pool.unlabeled_pool import OUTPUTS
from allencv_al.selection.strategies import QueryStrategy

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "strategies.md"
TEXT = PAGE.read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## `(\w+)`\n(.*?)(?=^## |\Z)", TEXT, re.DOTALL | re.MULTILINE))
SNIPPETS = re.findall(r"^```jsonnet\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
POINTS = ("Needs:", "Cost:", "Source:", "Use it when", "Not when")
PRESENT = [name for name in sorted(QueryStrategy.builtin) if name in SECTIONS]


def build(snippet: str) -> QueryStrategy:
    return QueryStrategy.from_params(json.loads(evaluate_snippet("docs", snippet, {})))


def points_of(section: str) -> dict[str, str]:
    found = re.findall(r"^\* \*\*(.+?)\*\*(.*?)(?=^\* \*\*|\Z)", section, re.DOTALL | re.MULTILINE)
    return dict(found)


def test_every_registered_strategy_has_a_section_and_no_other_has() -> None:
    assert sorted(SECTIONS) == sorted(QueryStrategy.builtin)


@pytest.mark.parametrize("name", PRESENT)
def test_a_section_says_what_it_does_and_all_else(name: str) -> None:
    section = SECTIONS[name]
    assert re.match(r"\n[A-Z][^\n]{20,}", section), "the first line says what it does"
    points = points_of(section)
    assert tuple(points) == POINTS
    assert all(len(text.split()) >= 1 for text in points.values())


@pytest.mark.parametrize("name", PRESENT)
def test_what_a_strategy_needs_is_what_its_class_says(name: str) -> None:
    if importlib.util.find_spec(QueryStrategy.builtin[name]) is None:
        pytest.skip(f"{QueryStrategy.builtin[name]} is not there")
    needs: frozenset[str] = getattr(QueryStrategy.by_name(name), "needs", frozenset())
    told = points_of(SECTIONS[name])["Needs:"]
    # What comes after a semicolon is taken where it is there
    required = told.split(";")[0]
    named = {output for output in OUTPUTS if f"`{output}`" in required}
    assert needs <= named, "the page leaves something out"
    if name not in wrappers():
        assert named == needs


def wrappers() -> set[str]:
    return set(re.findall(r"^## `(\w+)`$", TEXT.partition("\n## Wrappers\n")[2], re.MULTILINE))


def test_each_wrapper_is_shown_in_one_line_of_config() -> None:
    shown = {re.search(r'type: "(\w+)"', snippet)[1] for snippet in SNIPPETS}  # type: ignore[index]
    assert shown == wrappers()
    assert all(snippet.count("\n") == 1 for snippet in SNIPPETS)
    for snippet in SNIPPETS:
        assert isinstance(build(snippet), QueryStrategy)


def test_links_lead_to_sections() -> None:
    assert set(re.findall(r"\]\(#([\w-]+)\)", TEXT)) <= set(SECTIONS)
