"""HTML reports: Jinja templates, whose pages need nothing beside themselves.

Names of classes and files come from strangers: every text is escaped, and characters that deceive a
reader are replaced, wherever a template writes it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from allencv_al.common.files.atomic_file import write_text
from allencv_al.reports import figure_formats

if TYPE_CHECKING:
    from jinja2 import Environment

_PACKAGE = Path(__file__).parents[1]
STYLE = Path(__file__).with_name("report.css").read_text(encoding="utf-8")
_FORMATS = ("count", "percent", "significant")
_OTHER_FACTS = ("versions", "command", "code")

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
# These reorder or hide the text around them; letters that write right to left need none of them
_INVISIBLE = re.compile("[\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2060-\u2069\ufeff]")


@dataclass(frozen=True)
class TextTable:
    """A table of texts, whose first column names the rows.

    Args:
        caption: The title of the table.
        columns: The heads.
        rows: The cells. What follows a line break within a cell is shown smaller.
        hints: Explanations of heads, by head.
        texts: Number of first columns that hold words, which stand left; numbers stand right.
        shades: A class of `report.css` and a share from 0 to 1 for the background of each cell
            after the first of a row; None for no background.
        style: Further classes of `report.css`.
        links: The places in the page that cells lead to, by row and column, both from 0.
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    hints: Mapping[str, str] = field(default_factory=dict)
    texts: int = 1
    shades: Sequence[Sequence[tuple[str, float] | None]] = ()
    style: str = ""
    links: Mapping[tuple[int, int], str] = field(default_factory=dict)


def readable(text: str) -> str:
    """Return `text` without characters that break a page or deceive its reader.

    Control characters become visible signs. Halves of characters, as in file names that are not
    UTF-8, and marks that reorder text become the replacement character.
    """
    return _INVISIBLE.sub("\ufffd", _CONTROL.sub(_visible, text))


def write_page(
    path: Path,
    template: str,
    config: Mapping[str, Any] | None,
    environment: Mapping[str, Any] | None,
    **context: Any,
) -> None:
    """Write a report as one HTML file, atomically.

    Args:
        path: The file to write.
        template: The template, by its path within this package; it extends `reports/page.html.j2`,
            which lists the variables that every page needs.
        config: The config; None where it is unknown.
        environment: From `describe_environment()`; None for that of this process.
        **context: The variables of the template.
    """
    facts = known_environment(environment)
    machine = [
        (name.replace("_", " "), str(value))
        for name, value in facts.items()
        if name not in _OTHER_FACTS and value is not None
    ]
    versions = [(name, str(version)) for name, version in (facts.get("versions") or {}).items()]
    content = (
        _templates()
        .get_template(template)
        .render(
            style=Markup(STYLE),  # noqa: S704  a file of this package
            machine=TextTable("Machine", ("Fact", "Value"), machine, texts=2),
            versions=TextTable("Versions", ("Package", "Version"), versions, texts=2),
            config=None
            if config is None
            else json.dumps(config, indent=2, ensure_ascii=False, default=str),
            **context,
        )
    )
    write_text(path, content)


def known_environment(environment: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return the environment if known, else that of this process, which did not start the run."""
    if environment is not None:
        return environment
    from allencv_al.training.run_records import describe_environment

    return {name: value for name, value in describe_environment().items() if name != "started"}


@cache
def _templates() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    templates = Environment(
        loader=FileSystemLoader(_PACKAGE),
        autoescape=True,
        finalize=_finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    templates.filters |= {name: getattr(figure_formats, name) for name in _FORMATS}
    return templates


def _finalize(value: Any) -> Any:
    """Make what a template writes readable; Jinja escapes it afterwards."""
    return readable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _visible(match: re.Match[str]) -> str:
    code = ord(match.group())
    return chr(0x2400 + code) if code < 0x20 else "\ufffd"
