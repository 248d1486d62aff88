"""HTML as values: every text is escaped, and only what was built here counts as markup.

Names of classes and files come from strangers, so no plain `str` ever becomes markup.
"""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias


class Markup(str):
    """HTML that may stand in a page as it is. Only this module makes it."""

    __slots__ = ()


Node: TypeAlias = "str | int | Iterable[Node] | None"
"""What may stand inside a tag: text, markup, nothing, or several of these."""

_VOID = frozenset({"br", "hr", "img", "meta", "link"})
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
# These reorder or hide the text around them; letters that write right to left need none of them
_INVISIBLE = re.compile("[\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2060-\u2069\ufeff]")
_PICTURES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}
# Nothing is fetched and nothing runs, whatever got into the page
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_STYLE = Path(__file__).with_name("report.css")


def readable(text: str) -> str:
    """Return `text` without characters that break a page or deceive its reader.

    Control characters become visible signs, halves of characters (as in file names that are not
    UTF-8) and marks that reorder text the sign for "not a character".
    """
    return _INVISIBLE.sub("\ufffd", _CONTROL.sub(_visible, text))


def tag(name: str, /, *children: Node, **attributes: str | int | bool | None) -> Markup:
    """Return an element.

    Args:
        name: Its name.
        *children: What it holds; plain text is escaped.
        **attributes: `class_` is `class`, `aria_label` is `aria-label`; True is an attribute
            without a value, False and None are none.
    """
    # Not through the escaping below: keys are written in this package, never by a user
    parts = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _VOID:
        return Markup(f"<{name}{parts}>")
    return Markup(f"<{name}{parts}>{join(*children)}</{name}>")


def join(*children: Node) -> Markup:
    """Return the children one behind the other, texts escaped."""
    return Markup("".join(_written(child) for child in children))


def name_text(text: str) -> Markup:
    """Return the name of a file or class, kept apart from the text around it in any script."""
    return tag("bdi", text)


def picture(content: bytes, alt: str, **attributes: str | int | bool | None) -> Markup | None:
    """Return a PNG or JPEG as an image within the page, or None where it is neither."""
    kind = next((kind for head, kind in _PICTURES.items() if content.startswith(head)), None)
    if kind is None:
        return None
    data = base64.b64encode(content).decode("ascii")
    return tag("img", src=f"data:{kind};base64,{data}", alt=alt, **attributes)


def page(title: str, *body: Node) -> str:
    """Return a whole page that needs nothing beside itself."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", Markup(_STYLE.read_text(encoding="utf-8"))),
    )
    document = tag("html", "\n", head, "\n", tag("body", "\n", *body), lang="en")
    return f"<!DOCTYPE html>\n{document}\n"


def _written(child: Node) -> str:
    if child is None:
        return ""
    if isinstance(child, Markup):
        return child
    if isinstance(child, str):
        return html.escape(readable(child), quote=False)
    if isinstance(child, int):
        return str(child)
    return "".join(_written(part) for part in child)


def _attribute(key: str, value: str | int | bool | None) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    if value is True:
        return f" {name}"
    return f' {name}="{html.escape(readable(str(value)))}"'


def _visible(match: re.Match[str]) -> str:
    code = ord(match.group())
    return chr(0x2400 + code) if code < 0x20 else "\ufffd"
