"""Line charts as pictures and within pages, and the looks of their lines."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from allencv_al.reports import line_chart
from allencv_al.reports.line_chart import (
    SERIES,
    ChartText,
    CurveLine,
    line_looks,
    page_chart,
    value_range,
    write_line_chart,
)
from allencv_al.reports.page import STYLE

pytestmark = pytest.mark.draws

LIGHT = STYLE.partition("@media")[0]


def line(name: str, *values: float, baseline: bool = False) -> CurveLine:
    return CurveLine(name, np.arange(1.0, len(values) + 1), np.array(values), baseline=baseline)


def share_of(path: Path, name: str) -> float:
    """The share of the pixels that have exactly this color of the style sheet."""
    color = _variables(LIGHT)[name]
    wanted = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    return float((pixels == wanted).all(axis=2).mean())


def test_lines_look_different_from_each_other() -> None:
    lines = [line(str(number), 0.5) for number in range(28)]
    looks = line_looks([line("random", 0.5, baseline=True), *lines])
    assert looks[0].color == "baseline"
    assert looks[0].dash
    assert len(set(looks)) == len(looks)
    # The color of a strategy does not depend on where the baseline stands
    assert line_looks([*lines[:3], line("random", 0.5, baseline=True)])[:3] == looks[1:4]


def test_a_chart_shows_all_of_its_lines_and_no_impossible_number() -> None:
    band = CurveLine("a", np.ones(1), np.array([0.5]), np.array([0.2]), np.array([0.999]))
    low, high = value_range([band, line("b", 0.4, 0.6)])
    assert 0 <= low < 0.2
    assert high == 1.0
    low, high = value_range([line("flat", 0.7)])
    assert low < 0.7 < high
    assert value_range([]) == (0.0, 1.0)


def _luminance(color: str) -> float:
    parts = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def _contrast(one: str, other: str) -> float:
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def _variables(part: str) -> dict[str, str]:
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", part))


def test_colors_can_be_told_from_the_page_light_and_dark() -> None:
    light, _, rest = STYLE.partition("@media (prefers-color-scheme: dark)")
    dark = rest.partition("* { box-sizing")[0]
    for part in (light, dark):
        colors = _variables(part)
        # WCAG 2.2: graphics need a contrast of 3, text of 4.5
        for name in ("baseline", *SERIES):
            assert _contrast(colors[name], colors["card"]) >= 3, name
        for ink in ("ink", "soft", "link", "wrong-ink"):
            assert _contrast(colors[ink], colors["card"]) >= 4.5, ink
            assert _contrast(colors[ink], colors["page"]) >= 4.5, ink
        for ground in ("right", "wrong", "note"):
            assert _contrast(colors["ink"], colors[ground]) >= 4.5, ground


def three_lines() -> list[CurveLine]:
    x = np.arange(10.0, 60, 10)
    rising = np.linspace(0.5, 0.9, 5)
    return [
        CurveLine("random", x, rising - 0.1, rising - 0.15, rising - 0.05, baseline=True),
        CurveLine("margin", x, rising, rising - 0.02, rising + 0.02),
        CurveLine("badge", x, rising + 0.05),
    ]


def test_a_picture_has_the_colors_of_its_lines(tmp_path: Path) -> None:
    write_line_chart(tmp_path / "curve.png", three_lines(), ChartText(title="run"))
    for name in ("baseline", *SERIES[:2]):
        assert share_of(tmp_path / "curve.png", name) > 0.0005
    assert share_of(tmp_path / "curve.png", SERIES[2]) == 0


@pytest.mark.parametrize("count", [0, 1, 60])
def test_any_number_of_lines_and_points_can_be_drawn(tmp_path: Path, count: int) -> None:
    lines = [CurveLine(f"_{n}", np.array([10.0]), np.array([0.5])) for n in range(count)]
    write_line_chart(tmp_path / "curve.png", lines, ChartText())
    with Image.open(tmp_path / "curve.png") as image:
        assert image.format == "PNG"
        assert image.width > 500


def test_names_from_strangers_are_drawn_as_they_are(
    tmp_path: Path, hostile_names, caplog: pytest.LogCaptureFixture
) -> None:
    names = [*hostile_names, "$\\frac{", "$x$ costs $5", "_hidden", "x" * 500]
    lines = [CurveLine(name, np.arange(1.0, 4), np.array([0.1, 0.2, 0.3])) for name in names]
    with caplog.at_level(logging.WARNING, logger=line_chart.__name__):
        write_line_chart(tmp_path / "few.png", lines[:3], ChartText(y="$", title=names[-4]))
        write_line_chart(tmp_path / "many.png", lines * 2, ChartText(title=names[4]))
        chart = page_chart(lines, ChartText(y=names[6]), names[1])
    # That this machine lacks a font is no fault of the names
    assert not [record for record in caplog.records if record.name == line_chart.__name__]
    for name in ("few.png", "many.png"):
        assert (tmp_path / name).stat().st_size > 1000
    for name in ("_hidden", "$x$ costs $5", "&lt;img src=x onerror=", "x" * 27 + "…"):
        assert name in chart.wide
    for drawing in (chart.wide, chart.narrow):
        assert not re.search("<script|<img|\u202e|\x1b", drawing)


def test_a_drawing_of_a_page_follows_its_colors_and_has_no_ids_of_others() -> None:
    text = ChartText(x="error", whole=False)
    chart, other = (page_chart(three_lines(), text, summary) for summary in ("one", "two"))
    assert [*chart.looks] == ["random", "margin", "badge"]
    for drawing, class_ in ((chart.wide, "wide"), (chart.narrow, "narrow")):
        assert drawing.startswith("<svg ")
        assert f'role="img" aria-label="one" class="{class_}"' in drawing
        assert set(re.findall(r"#[0-9a-f]{6}", drawing)) == set()
        for name in ("ink", "line", "baseline", *SERIES[:2]):
            assert f"var(--{name})" in drawing
        # An address of a name space would look like something from outside
        assert not re.search(r"https?:|<style|<metadata|font-family", drawing)
        ids = set(re.findall(r' id="([^"]*)"', drawing))
        assert set(re.findall(r'(?:href="|url\()#(\w+)', drawing)) == ids
        assert not any(f' id="{id}"' in one for id in ids for one in (other.wide, other.narrow))
    assert ">badge</text>" in chart.wide
    assert ">badge</text>" not in chart.narrow  # the legend of the page has the names


def test_equal_charts_are_equal_to_the_byte() -> None:
    assert page_chart(three_lines(), ChartText(), "x") == page_chart(
        three_lines(), ChartText(), "x"
    )


def test_marked_points_show_their_numbers() -> None:
    chart = page_chart(three_lines(), ChartText(), "x")
    assert chart.wide.count("<title>") == 15
    assert "<title>margin: accuracy 60.0% at 20 labels</title>" in chart.wide
    unmarked = page_chart(three_lines(), ChartText(marked=False), "x")
    assert "<title>" not in unmarked.wide
    many = CurveLine("many", np.arange(1.0, 100), np.linspace(0, 1, 99))
    assert "<title>" not in page_chart([many], ChartText(), "x").wide


def test_a_chart_that_cannot_be_drawn_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> bytes:
        raise RuntimeError("no font")

    monkeypatch.setattr(line_chart, "svg_bytes", fail)
    chart = page_chart(three_lines(), ChartText(), "x")
    assert (chart.wide, chart.narrow) == ("", "")
    assert "chart of the report: not drawn: RuntimeError: no font" in caplog.text


def test_the_legend_of_many_lines_lies_within_the_drawing() -> None:
    lines = [CurveLine(f"line {place}", np.arange(1.0, 3), np.ones(2) / 2) for place in range(80)]
    wide = page_chart(lines, ChartText(marked=False), "x").wide
    box = re.search(r'viewBox="0 0 \d+ (\d+)"', wide)
    assert box is not None
    entries = re.findall(r"<text[^>]* y=\"(-?[\d.]+)\"[^>]*>line \d+<", wide) or re.findall(
        r"<text[^>]*translate\(-?[\d.]+ (-?[\d.]+)\)[^>]*>line \d+<", wide
    )
    assert len(entries) == 80
    assert 0 < min(map(float, entries)) < max(map(float, entries)) < float(box[1])
