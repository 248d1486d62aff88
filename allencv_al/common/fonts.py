"""Installed fonts for the letters that matplotlib's own font lacks: Chinese, Thai, emoji ..."""

from __future__ import annotations

import logging
import os
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import groupby
from pathlib import Path

from allencv_al.common.names import listed

logger = logging.getLogger(__name__)

_BACKEND_VARIABLE = "MPLBACKEND"

# Weights and widths that a text is not set in, and emoji that are pictures, which cannot be drawn
_OTHER_STYLES = (
    *("bold", "black", "heavy", "light", "thin", "medium", "italic", "oblique", "condensed"),
    *("mono", "serif", "display", "coloremoji", "color emoji", "lastresort"),
)
_INVISIBLE = ("Cc", "Cf", "Cs", "Zs", "Zl", "Zp")
_VARIATION_SELECTORS = range(0xFE00, 0xFE10)
_PACKAGES = {
    "fonts-noto-cjk": ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO", "IDEOGRAPHIC"),
    "fonts-thai-tlwg": ("THAI",),
}
_PACKAGE_OF_THE_OTHERS = "fonts-noto-core"
_PACKAGE_OF_EMOJI = "fonts-symbola"
_FIRST_EMOJI = 0x1F000

_said: set[str] = set()


@dataclass(frozen=True, slots=True)
class Font:
    """An installed font.

    Args:
        path: Its file.
        family: Its name.
        letters: Those of a text that it is there for.
    """

    path: Path
    family: str
    letters: frozenset[str]


@contextmanager
def importing_matplotlib() -> Iterator[None]:
    """Import matplotlib in the block, whatever backend the environment names.

    It reads `MPLBACKEND` then, and a backend that is not installed here, such as a notebook's, ends
    the import with an error.
    """
    before = os.environ.pop(_BACKEND_VARIABLE, None)
    try:
        yield
    finally:
        if before is not None:
            os.environ[_BACKEND_VARIABLE] = before


@cache
def own_font(bold: bool = False) -> Path:
    """Return the file of the font that comes with matplotlib: most alphabets, but not all."""
    with importing_matplotlib():
        import matplotlib

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name


def further_fonts(text: str) -> tuple[Font, ...]:
    """Return installed fonts for the letters of a text that `own_font` lacks, as few as will do.

    What no font has is said once, with what to install.
    """
    missing = {letter for letter in set(text) if not _needs_no_glyph(letter)}
    missing -= _own_letters()
    return _fonts_of(frozenset(missing)) if missing else ()


def runs(text: str, fonts: Sequence[Font]) -> Iterator[tuple[str, Font | None]]:
    """Yield the parts of a text that are set in one font each; None is `own_font`.

    Args:
        text: The text.
        fonts: From `further_fonts`.
    """
    of_letters: list[Font | None] = []
    for letter in text:
        if of_letters and (unicodedata.combining(letter) or _needs_no_glyph(letter)):
            of_letters.append(of_letters[-1])
        else:
            found = (font for font in fonts if letter in font.letters)
            of_letters.append(next(found, None))
    for font, part in groupby(zip(text, of_letters, strict=True), key=lambda pair: pair[1]):
        yield "".join(letter for letter, _ in part), font


def _needs_no_glyph(letter: str) -> bool:
    return unicodedata.category(letter) in _INVISIBLE or ord(letter) in _VARIATION_SELECTORS


@cache
def _own_letters() -> frozenset[str]:
    _, letters = _read(own_font())
    return letters


@lru_cache(maxsize=64)
def _fonts_of(missing: frozenset[str]) -> tuple[Font, ...]:
    candidates = []
    for path in _installed():
        family, letters = _read(path)
        if letters & missing:
            candidates.append(Font(path, family, letters & missing))
    chosen: list[Font] = []
    while missing and candidates:
        best = max(candidates, key=lambda font: len(font.letters & missing))
        if not best.letters & missing:
            break
        chosen.append(best)
        missing -= best.letters
    _say_missing(missing)
    return tuple(chosen)


@cache
def _installed() -> list[Path]:
    """Return the files of upright fonts of ordinary weight, the best known first."""
    with importing_matplotlib():
        from matplotlib.font_manager import findSystemFonts
    paths = [Path(name) for name in findSystemFonts()]
    plain = [path for path in paths if not any(s in path.stem.lower() for s in _OTHER_STYLES)]
    return sorted(plain, key=lambda path: ("notosans" not in path.stem.lower(), str(path)))


def _read(path: Path) -> tuple[str, frozenset[str]]:
    """Return the family and the letters of a font; none of one that cannot be scaled."""
    with importing_matplotlib():
        from matplotlib.ft2font import FT2Font
    try:
        font = FT2Font(str(path))
        letters = frozenset(map(chr, font.get_charmap())) if font.scalable else frozenset()
    except (OSError, RuntimeError):  # damaged
        return "", frozenset()
    return font.family_name, letters


def _say_missing(letters: frozenset[str]) -> None:
    new = sorted(letters - _said)
    if not new:
        return
    _said.update(new)
    packages = sorted({_package(letter) for letter in new})
    shown = listed([f"{c} ({unicodedata.name(c, 'unnamed')})" for c in new])
    logger.warning(
        "no installed font that can be drawn has %s: pictures show boxes in their place. On "
        "Debian and Ubuntu: apt install %s; elsewhere the Noto fonts (said once)",
        *(shown, " ".join(packages)),
    )


def _package(letter: str) -> str:
    if ord(letter) >= _FIRST_EMOJI and unicodedata.category(letter) == "So":
        return _PACKAGE_OF_EMOJI
    script = unicodedata.name(letter, "").split(" ")[0].split("-")[0]
    found = (package for package, scripts in _PACKAGES.items() if script in scripts)
    return next(found, _PACKAGE_OF_THE_OTHERS)
