"""HTML as values: whatever a text holds, it stays a text."""

from __future__ import annotations

import html
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from overrides import overrides

from allencv_al.reports.html import (
    Markup,
    join,
    name_text,
    page,
    picture,
    readable,
    tag,
)


class Reader(HTMLParser):
    def __init__(self, content: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict]] = []
        self.data = ""
        self.feed(content)
        self.close()

    @overrides
    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))

    @overrides
    def handle_data(self, data: str) -> None:
        self.data += data


@given(st.text(), st.text())
def test_any_text_comes_out_as_the_same_text(content: str, attribute: str) -> None:
    read = Reader(tag("p", content, title=attribute))
    assert read.tags == [("p", {"title": readable(attribute)})]
    # A parser takes every line end for a new line
    assert read.data.replace("\r\n", "\n") == readable(content).replace("\r\n", "\n")


@given(st.text(alphabet=st.characters(codec=None)))
def test_what_is_readable_can_be_written_and_reorders_nothing(content: str) -> None:
    shown = readable(content)
    shown.encode("utf-8")
    assert not set(shown) & set("\x00\x1b\u202e\u2066\ufeff\udc80")


def test_control_characters_are_seen() -> None:
    assert readable("a\x00b\x1bc\x7fd") == "a␀b␛c\ufffdd"
    assert readable("a\tb\n") == "a\tb\n"
    assert readable("\udc80") == "\ufffd"


def test_children_may_be_nested_absent_and_numbers() -> None:
    assert tag("p", "a<", None, [tag("b", 3), ["&"]]) == "<p>a&lt;<b>3</b>&amp;</p>"
    assert isinstance(join("x", tag("br")), Markup)
    assert join() == ""


def test_attributes_are_named_as_in_html() -> None:
    made = tag("th", class_="a b", aria_label='"', hidden=True, title=None, tabindex=0, open=False)
    assert made == '<th class="a b" aria-label="&quot;" hidden tabindex="0"></th>'


def test_plain_text_that_looks_like_markup_is_none() -> None:
    assert name_text("<b>") == "<bdi>&lt;b&gt;</bdi>"
    joined = "<b>" + tag("i", "x")  # adding gives a plain text again
    assert tag("p", joined) == "<p>&lt;b&gt;&lt;i&gt;x&lt;/i&gt;</p>"


@pytest.mark.parametrize(
    ("head", "kind"), [(b"\x89PNG\r\n\x1a\n", "png"), (b"\xff\xd8\xff\xe0", "jpeg")]
)
def test_a_picture_is_held_in_the_page(head: bytes, kind: str) -> None:
    made = picture(head + b"rest", 'a "b"')
    assert made is not None
    (name, attributes), *others = Reader(made).tags
    assert name == "img"
    assert not others
    assert attributes["alt"] == 'a "b"'
    assert attributes["src"].startswith(f"data:image/{kind};base64,")


@pytest.mark.parametrize("content", [b"", b"<svg onload=alert(1)>", b"GIF89a"])
def test_what_is_neither_png_nor_jpeg_is_no_picture(content: bytes) -> None:
    assert picture(content, "x") is None


def test_a_page_has_its_style_within_and_a_policy_that_nothing_runs() -> None:
    content = page("</title><script>", tag("p", "x"))
    assert content.startswith('<!DOCTYPE html>\n<html lang="en">')
    assert "<title>&lt;/title&gt;&lt;script&gt;</title>" in content
    assert "script-src" not in content  # default-src holds for scripts too
    assert "default-src 'none'" in html.unescape(content)
    assert "prefers-color-scheme: dark" in content
