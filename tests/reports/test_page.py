"""Pages: whatever a text holds, it stays a text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allencv_al.reports import page
from allencv_al.reports.page import TextTable, readable, write_page

TEMPLATE = """{% extends "reports/page.html.j2" %}
{% from "reports/macros.html.j2" import table %}
{% block lead %}{% endblock %}
{% block one %}{{ table(one) }}{% endblock %}
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Writes a page with one section, which is a table."""
    (tmp_path / "reports").mkdir()
    for source in Path(page.__file__).parent.glob("*.j2"):
        (tmp_path / "reports" / source.name).write_bytes(source.read_bytes())
    (tmp_path / "one.html.j2").write_text(TEMPLATE)
    monkeypatch.setattr(page, "_PACKAGE", tmp_path)
    page._templates.cache_clear()

    def write(table: TextTable, config: dict | None = None, **context: Any) -> Path:
        path = tmp_path / "page.html"
        defaults = {"kind": "Test", "name": "x", "figures": {}, "notes": []}
        environment = {"versions": {"python": "3"}, "platform": "Linux", "command": "secret"}
        values = {**defaults, "sections": {"one": "One"}, "one": table, **context}
        write_page(path, "one.html.j2", config, environment, **values)
        return path

    yield write
    page._templates.cache_clear()


@given(st.text(alphabet=st.characters(codec=None)))
def test_what_is_readable_can_be_written_and_reorders_nothing(content: str) -> None:
    shown = readable(content)
    shown.encode("utf-8")
    assert not set(shown) & set("\x00\x1b\u202e\u2066\ufeff\udc80")


def test_control_characters_are_seen() -> None:
    assert readable("a\x00b\x1bc\x7fd") == "a␀b␛c\ufffdd"
    assert readable("a\tb\n") == "a\tb\n"
    assert readable("\udc80") == "\ufffd"


def test_names_from_strangers_stay_texts_wherever_they_stand(
    write, read_page, hostile_names
) -> None:
    rows = [(name, name) for name in hostile_names]
    hints = dict(zip(hostile_names, hostile_names, strict=True))
    for name in hostile_names:
        table = TextTable(name, (name, "x"), rows, hints)
        path = write(table, {name: name}, kind=name, name=name, figures={name: name}, notes=[name])
        found = read_page(path)  # which fails where markup got in
        assert readable(name) in found.text
        assert found.of("th")[0]["title"] == readable(name)


def test_a_page_has_its_style_within_and_a_policy_that_nothing_runs(write) -> None:
    content = write(TextTable("t", ("a",), [])).read_text(encoding="utf-8")
    assert content.startswith('<!DOCTYPE html>\n<html lang="en">')
    assert "script-src" not in content  # default-src holds for scripts too
    assert "default-src 'none'" in content
    assert "prefers-color-scheme: dark" in content


def test_a_table_has_hints_shades_and_smaller_second_lines(write, read_page) -> None:
    table = TextTable(
        "Some numbers", ("Name", "A", "B"), [("x", "1\n(0 to 2)", "3")], {"A": "hint"},
        shades=[[None, ("right", 0.25)]],
    )  # fmt: skip
    path = write(table)
    found = read_page(path)
    assert found.table("Some numbers") == [["Name", "A", "B"], ["x", "1(0 to 2)", "3"]]
    assert found.of("th")[1]["title"] == "hint"
    assert found.of("td")[1] == {"class": "shaded right", "style": "--share:0.250"}
    assert "<td>1<small>(0 to 2)</small></td>" in path.read_text(encoding="utf-8")


def test_figures_without_a_value_and_sections_that_are_not_named_are_left_out(
    write, read_page
) -> None:
    figures = {"Full": "1", "Empty": ""}
    found = read_page(write(TextTable("One table", ("a",), []), figures=figures, sections={}))
    assert "Full" in found.text
    assert "Empty" not in found.text
    assert [section["id"] for section in found.of("section")] == ["origin"]


def test_the_origin_shows_machine_versions_and_config(write, read_page) -> None:
    found = read_page(write(TextTable("t", ("a",), []), {"a": "<b>"}))
    assert found.table("Machine")[1:] == [["platform", "Linux"]]
    assert found.table("Versions")[1:] == [["python", "3"]]
    assert '"a": "<b>"' in found.text
    assert "whole config" not in read_page(write(TextTable("t", ("a",), []))).text
