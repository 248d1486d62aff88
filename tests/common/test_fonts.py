from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from allencv_al.common import fonts
from allencv_al.common.figures import write_figure
from allencv_al.common.fonts import further_fonts, own_font, runs

if TYPE_CHECKING:
    from matplotlib.figure import Figure

pytestmark = pytest.mark.draws

# Two words of one length in each script: as boxes they would look alike
SCRIPTS = {
    "Chinese": ("猫狗", "鸟鱼"),
    "Japanese": ("ねこ", "いぬ"),
    "Korean": ("고양", "강아"),
    "Thai": ("แมว", "นกข"),
    "Devanagari": ("बल", "कत"),
    "emoji": ("\N{DOG}", "\N{MOUSE}"),
}


@pytest.fixture(params=SCRIPTS)
def words(request: pytest.FixtureRequest) -> tuple[str, str]:
    found = SCRIPTS[request.param]
    covered = {letter for font in further_fonts("".join(found)) for letter in font.letters}
    if not set("".join(found)) <= covered:
        pytest.skip(f"no font for {request.param} is installed")
    return found


def test_letters_of_matplotlibs_own_font_need_no_other() -> None:
    assert further_fonts("cat café Ωмир قطة שלום \n\t\u200d\ufe0f") == ()
    assert list(runs("cat", ())) == [("cat", None)]
    assert own_font().is_file()
    assert own_font(bold=True).is_file()


def test_each_letter_is_set_in_a_font_that_has_it(words: tuple[str, str]) -> None:
    from matplotlib.ft2font import FT2Font

    text = f"a {words[0]} b {words[1]}"
    found = further_fonts(text)
    parts = list(runs(text, found))
    assert "".join(part for part, _ in parts) == text
    for part, font in parts:
        letters = FT2Font(str(own_font() if font is None else font.path)).get_charmap()
        assert all(ord(letter) in letters for letter in part if letter != " ")


def test_a_picture_shows_letters_and_not_boxes(tmp_path: Path, words: tuple[str, str]) -> None:
    pictures = []
    for word in words:

        def draw(figure: Figure, word: str = word) -> None:
            figure.text(0.1, 0.4, word, fontsize=20)

        assert write_figure(tmp_path / "a.png", draw, 2, 1)
        pictures.append((tmp_path / "a.png").read_bytes())
    assert pictures[0] != pictures[1]


def test_what_no_font_has_is_said_once_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(fonts, "_installed", list)
    monkeypatch.setattr(fonts, "_said", set())
    fonts._fonts_of.cache_clear()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert further_fonts("猫 แมว \N{GRINNING FACE}\N{RHINOCEROS}") == ()
        assert further_fonts("猫 cat") == ()
    fonts._fonts_of.cache_clear()
    [record] = caplog.records
    assert "猫 (CJK UNIFIED IDEOGRAPH-732B)" in record.getMessage()
    assert "apt install fonts-noto-cjk fonts-symbola fonts-thai-tlwg" in record.getMessage()


def test_a_damaged_font_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    monkeypatch.setattr(fonts, "_installed", lambda: [tmp_path / "broken.ttf"])
    fonts._fonts_of.cache_clear()
    assert further_fonts("猫") == ()
    fonts._fonts_of.cache_clear()
