"""A reader of written pages that is stricter than a browser, and material for reports."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from overrides import overrides
from PIL import Image

from allencv_al.active_learning.rounds.curves import Curve
from allencv_al.active_learning.rounds.round_record import Pick, RoundRecord

VOID = {"br", "hr", "img", "meta", "link"}

HOSTILE = (
    '<img src=x onerror="alert(1)">',
    "</title></style><script>alert(1)</script>",
    "quote \" and ' and & and &lt;",
    "two\nlines\tand a \x00 and \x1b[31m",
    "猫 кошка قطة",
    "evil \u202egnp.exe",
    "half \udc80 a character",
)


@dataclass
class Page:
    """What a page holds, for those who look at it and for those who would run it."""

    text: str = ""
    tags: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    tables: list[list[list[str]]] = field(default_factory=list)

    def of(self, name: str) -> list[dict[str, str]]:
        return [attributes for tag, attributes in self.tags if tag == name]

    def table(self, caption: str) -> list[list[str]]:
        """The rows of the table whose caption begins so, heads first."""
        return next(rows[1:] for rows in self.tables if rows[0][0].startswith(caption))


class _Reader(HTMLParser):
    """Fails where tags do not nest; browsers would guess, each in its way."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.page = Page()
        self.open: list[str] = []

    @overrides
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"an attribute twice in {tag}"
        self.page.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.page.tables.append([])
        if tag in ("caption", "tr"):
            self.page.tables[-1].append([])
        if tag in ("caption", "td", "th"):
            self.page.tables[-1][-1].append("")

    @overrides
    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    @overrides
    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open):
            self.page.text += data
        if {"td", "th", "caption"} & set(self.open):
            self.page.tables[-1][-1][-1] += data


def read_page(path: Path) -> Page:
    """Read a written page and hold it to what every report promises."""
    content = path.read_text(encoding="utf-8")
    assert content.startswith("<!DOCTYPE html>\n")
    reader = _Reader()
    reader.feed(content)
    reader.close()
    assert reader.open == []
    page = reader.page
    _check_safe(page, content)
    _check_accessible(page)
    return page


def _check_safe(page: Page, content: str) -> None:
    assert {name for name, _ in page.tags}.isdisjoint(
        {"script", "iframe", "object", "embed", "link", "base", "form", "foreignobject"}
    )
    for name, attributes in page.tags:
        assert not [key for key in attributes if key.startswith("on")], f"a handler in {name}"
        for key in ("src", "href", "srcset", "action", "xlink:href"):
            address = attributes.get(key, "#")
            assert address.startswith(("#", "data:image/png;", "data:image/jpeg;")), address
    styles = content.partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in styles
    assert "@import" not in styles
    policy = [m for m in page.of("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    assert policy[0]["content"].startswith("default-src 'none';")
    assert "\u202e" not in content


def _check_accessible(page: Page) -> None:
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {a["href"][1:] for a in page.of("a")} <= set(ids)
    assert page.of("html")[0]["lang"] == "en"
    for landmark in ("h1", "header", "nav", "main"):
        assert len(page.of(landmark)) == 1
    assert all("alt" in image for image in page.of("img"))
    drawings = [svg for svg in page.of("svg") if svg.get("aria-hidden") != "true"]
    assert all(svg["role"] == "img" and svg["aria-label"] for svg in drawings)
    assert all(table for table in page.tables)
    scopes = {head.get("scope") for head in page.of("th")}
    assert scopes <= {"col", "row"}


@pytest.fixture(name="read_page")
def read_page_fixture():
    return read_page


@pytest.fixture
def hostile_names() -> tuple[str, ...]:
    return HOSTILE


def png(side: int = 12, seed: int = 0, noise: bool = False) -> bytes:
    values = np.random.default_rng(seed).integers(0, 255, (side, side, 3), dtype=np.uint8)
    if not noise:
        values[:] = values[0, 0]
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture(name="png")
def png_fixture():
    return png


@pytest.fixture
def make_curves():
    """Curves of some strategies that rise at different rates, `seeds` of each."""

    def make(strategies: tuple[str, ...] = ("random", "margin"), seeds: int = 3) -> list[Curve]:
        labels = np.arange(10, 110, 10)
        return [
            Curve(
                name,
                seed,
                labels,
                0.9
                - 0.4 * np.exp(-(0.02 + 0.01 * place) * labels)
                + np.random.default_rng([seed, place]).uniform(-0.02, 0.02, len(labels)),
            )
            for place, name in enumerate(strategies)
            for seed in range(seeds)
        ]

    return make


@pytest.fixture
def make_records():
    """The rounds of a run over some classes, 4 picks each, the last round without."""

    def make(
        rounds: int = 3, classes: tuple[str, ...] = ("cat", "dog"), batch: int = 4
    ) -> list[RoundRecord]:
        return [RoundRecord(0, 0, picks=_picks(0, batch, classes), pool_size=100)] + [
            RoundRecord(
                number,
                batch * number,
                {"accuracy": 0.5 + 0.1 * number, "negative_log_likelihood": 1.0 / number},
                confusion_matrix=[
                    [number if row == column else 1 for column in classes] for row in classes
                ],
                classes=classes,
                batch_classes={classes[0]: batch - 1, classes[-1]: 1} if number < rounds else {},
                seconds={"train": 1.25 * number, "select": 0.5, "annotate": 100.0},
                select_peak_mb=2.0,
                picks=_picks(number, batch, classes) if number < rounds else (),
                pool_size=100 - batch * number,
            )
            for number in range(1, rounds + 1)
        ]

    return make


def _picks(number: int, batch: int, classes: tuple[str, ...]) -> list[Pick]:
    return [
        Pick(
            id=f"photos/{number}_{rank}.png",
            score=0.125 * (rank + 1),
            reason={"rank": rank, "cluster": 7},
            predicted=None if number == 0 else classes[rank % len(classes)],
            label=classes[0],
        )
        for rank in range(batch)
    ]
