"""Tables in reports: they scroll inside their box where a window is narrow."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from allencv_al.reports.html import Markup, Node, tag


@dataclass(frozen=True)
class Column:
    """A column.

    Args:
        title: Its head.
        hint: What it means, shown when one points at the head.
        text: Whether it holds words, which stand left; numbers stand right.
    """

    title: str
    hint: str = ""
    text: bool = False


def table(
    caption: str, columns: Sequence[Column], rows: Iterable[Sequence[Node]], class_: str = ""
) -> Markup:
    """Return a table whose first column names its rows.

    Args:
        caption: What it shows.
        columns: One for each cell of a row.
        rows: The cells, texts or markup; a cell that `shaded` made is taken as it is.
        class_: For the style.
    """
    head = [
        tag("th", column.title, scope="col", title=column.hint or None, class_=_kind(column))
        for column in columns
    ]
    body = [
        tag(
            "tr",
            *(
                _cell(place, column, cell)
                for place, (column, cell) in enumerate(zip(columns, row, strict=True))
            ),
        )
        for row in rows
    ]
    whole = tag(
        "table",
        tag("caption", caption),
        tag("thead", tag("tr", *head)),
        "\n",
        tag("tbody", *body),
        class_=class_ or None,
    )
    # Who has no mouse scrolls it with the keyboard, for which it must take the focus
    return tag("div", whole, class_="scroll", role="region", tabindex=0, aria_label=caption)


class ShadedCell(Markup):
    """A cell that `shaded` made."""

    __slots__ = ()


def shaded(content: Node, share: float, kind: str = "") -> ShadedCell:
    """Return a cell with a background between none (share 0) and full (1)."""
    style = f"--share:{min(max(share, 0.0), 1.0):.3f}"
    return ShadedCell(tag("td", content, style=style, class_=f"shaded {kind}".rstrip()))


def _cell(place: int, column: Column, cell: Node) -> Markup:
    if isinstance(cell, ShadedCell):
        return cell
    if place == 0:
        return tag("th", cell, scope="row", class_=_kind(column))
    return tag("td", cell, class_=_kind(column))


def _kind(column: Column) -> str | None:
    return "text" if column.text else None
