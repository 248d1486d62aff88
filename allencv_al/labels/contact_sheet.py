"""The contact sheet: one image with a thumbnail, the score and the prediction of each pick."""

from __future__ import annotations

import io
import math
import unicodedata
from bisect import bisect_left
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from allencv_al.common.errors import ImageDecodeError
from allencv_al.common.files.atomic_file import write_bytes
from allencv_al.common.fonts import Font, further_fonts, own_font, runs
from allencv_al.data.image_io import load_reduced
from allencv_al.data.instance import Instance
from allencv_al.labels.label_table import PickedImage

MOST_PICKS = 200
THUMBNAIL_SIDE = 176

_MARGIN = 20
_GAP = 16  # between cells
_LINE = 18
_TEXT_LINES = 3
_HEADER = 46
_LEAST_COLUMNS, _MOST_COLUMNS = 3, 10  # fewer leave no room for the title
_SMALL, _MEDIUM, _LARGE = 12, 13, 17

_PAGE = "#f6f7f9"
_FRAME = "#e3e6ea"
_ABSENT = "#c3c8ce"
_STRONG = "#1b1f24"
_WEAK = "#5b6570"

_MOST_CHARACTERS = 300  # of a fitted text; longer ones only cost drawing time


def thumbnail(instance: Instance, side: int) -> Image.Image:
    """Return an upright RGB thumbnail, at most `side` pixels wide and high, aspect kept.

    An image smaller than half that size is enlarged by a whole factor, which keeps its pixels
    exact.

    Args:
        instance: The image.
        side: Maximal length of the longer side in pixels.

    Raises:
        ImageDecodeError: The image cannot be read.
    """
    image = Image.fromarray(load_reduced(instance.image, side))
    longer = max(image.size)
    if longer > side:
        width, height = (max(1, round(length * side / longer)) for length in image.size)
        return image.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=2.0)
    factor = side // longer
    if factor < 2:
        return image
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)


def thumbnail_png_bytes(instance: Instance, side: int) -> bytes:
    """Return `thumbnail` as the bytes of a PNG file.

    Args:
        instance: The image.
        side: Maximal length of the longer side in pixels.

    Raises:
        ImageDecodeError: The image cannot be read.
    """
    return png_bytes(thumbnail(instance, side))


def write_contact_sheet(path: str | Path, picks: Sequence[PickedImage], title: str = "") -> None:
    """Draw the first 200 picks into a PNG file, in their order.

    An image that cannot be read gets a gray cell. One image is in memory at a time.

    Args:
        path: The PNG file to write.
        picks: The picked images.
        title: Heading of the sheet.
    """
    shown = picks[:MOST_PICKS]
    if len(shown) < len(picks):
        title = f"{title} · the first {len(shown)} of {len(picks)} are shown".removeprefix(" · ")
    columns = min(max(_LEAST_COLUMNS, math.ceil(math.sqrt(len(shown)))), _MOST_COLUMNS)
    rows = math.ceil(len(shown) / columns)
    cell_height = THUMBNAIL_SIDE + _TEXT_LINES * _LINE + 8
    width = 2 * _MARGIN + columns * (THUMBNAIL_SIDE + _GAP) - _GAP
    height = _MARGIN + _HEADER + rows * (cell_height + _GAP)
    sheet = Image.new("RGB", (width, height), _PAGE)
    texts = (f"{pick.predicted}{_file_name(pick.instance)}" for pick in shown)
    pen = _Pen(sheet, "".join([title, *texts]))
    pen.write_fitted((_MARGIN, _MARGIN), title, width - 2 * _MARGIN, _LARGE, _STRONG)
    for index, pick in enumerate(shown):
        row, column = divmod(index, columns)
        x = _MARGIN + column * (THUMBNAIL_SIDE + _GAP)
        y = _MARGIN + _HEADER + row * (cell_height + _GAP)
        _draw_thumbnail(sheet, pen, (x, y), pick)
        _draw_caption(pen, (x, y + THUMBNAIL_SIDE + 6), pick)
    write_bytes(path, png_bytes(sheet))


class _Pen:
    """Writes text on an image, in further fonts where the first one lacks letters.

    Args:
        sheet: The image.
        text: All text to be written, to choose the fonts by.
    """

    def __init__(self, sheet: Image.Image, text: str) -> None:
        self.draw = ImageDraw.Draw(sheet)
        self._fonts = further_fonts(text)

    def length(self, text: str, size: int) -> float:
        return sum(_font(size, font).getlength(part) for part, font in runs(text, self._fonts))

    def write(
        self, place: tuple[float, float], text: str, size: int, color: str, bold: bool = False
    ) -> float:
        """Write a text and return the x coordinate of its end."""
        x, y = place
        baseline = y + _font(size, None, bold).getmetrics()[0]
        for part, found in runs(text, self._fonts):
            font = _font(size, found, bold)
            self.draw.text((x, baseline), part, color, font, anchor="ls")
            x += font.getlength(part)
        return x

    def write_fitted(
        self, place: tuple[float, float], text: str, width: int, size: int, color: str
    ) -> float:
        return self.write(place, self._fitted(text, width, size), size, color)

    def _fitted(self, text: str, width: int, size: int) -> str:
        """Return the text, its middle left out to fit: both ends of a file name matter."""
        text = _drawable(text)
        if self.length(text, size) <= width:
            return text

        def shortened(kept: int) -> str:
            return f"{text[: kept - kept // 2]}…{text[len(text) - kept // 2 :]}"

        def is_too_long(kept: int) -> bool:
            return self.length(shortened(kept), size) > width

        kept = bisect_left(range(1, len(text)), True, key=is_too_long)
        return shortened(kept)


def _draw_thumbnail(
    sheet: Image.Image, pen: _Pen, place: tuple[int, int], pick: PickedImage
) -> None:
    x, y = place
    side = THUMBNAIL_SIDE
    try:
        small = thumbnail(pick.instance, side)
    except ImageDecodeError:
        pen.draw.rectangle((x, y, x + side - 1, y + side - 1), fill=_ABSENT)
        text = "cannot be read"
        left = x + (side - pen.length(text, _MEDIUM)) / 2
        pen.write((left, y + side / 2 - _LINE / 2), text, _MEDIUM, _WEAK)
        return
    if pick.overlay is not None:
        small = pick.overlay(small)
    pen.draw.rectangle((x, y, x + side - 1, y + side - 1), fill=_FRAME)
    sheet.paste(small, (x + (side - small.width) // 2, y + (side - small.height) // 2))


def _draw_caption(pen: _Pen, place: tuple[int, int], pick: PickedImage) -> None:
    x, y = place
    score = f"score {pick.score:#.4g}".removesuffix(".")
    pen.write((x, y), str(pick.rank), _MEDIUM, _STRONG, bold=True)
    pen.write((x + THUMBNAIL_SIDE - pen.length(score, _SMALL), y + 1), score, _SMALL, _WEAK)
    if pick.predicted is not None:
        y += _LINE
        # Drawn on its own: behind Arabic or Hebrew it would be laid out from right to left
        share = "" if pick.probability is None else f" ({100 * pick.probability:.0f} %)"
        width = THUMBNAIL_SIDE - math.ceil(pen.length(share, _MEDIUM))
        text = f"predicted {pick.predicted}"
        end = pen.write_fitted((x, y), text, width, _MEDIUM, _STRONG)
        pen.write((end, y), share, _MEDIUM, _STRONG)
    pen.write_fitted((x, y + _LINE), _file_name(pick.instance), THUMBNAIL_SIDE, _SMALL, _WEAK)


def _file_name(instance: Instance) -> str:
    image = instance.image
    return Path(image).name if isinstance(image, str | Path) else instance.id


def _drawable(text: str) -> str:
    """Replace characters without a glyph by escapes: line ends, controls, undecodable bytes."""
    if len(text) > _MOST_CHARACTERS:
        text = f"{text[: _MOST_CHARACTERS // 2]}…{text[-_MOST_CHARACTERS // 2 :]}"
    return "".join(
        f"\\x{ord(c) & 0xFF:02x}" if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") else c
        for c in text
        if unicodedata.category(c) != "Cf"  # such as marks of the writing direction
    )


@cache
def _font(size: int, font: Font | None = None, bold: bool = False) -> ImageFont.FreeTypeFont:
    # Pillow's own font has no letters beyond ASCII
    return ImageFont.truetype(own_font(bold) if font is None else font.path, size)


def png_bytes(image: Image.Image) -> bytes:
    """Return an image as the bytes of a PNG file."""
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()
