"""Figures drawn with matplotlib: without a display, alike on every machine, and never fatal."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from allencv_al.common.files.atomic_file import write_bytes
from allencv_al.common.fonts import further_fonts, importing_matplotlib

if TYPE_CHECKING:
    from matplotlib.figure import Figure

logger = logging.getLogger(__name__)

_OWN_FAMILY = "DejaVu Sans"
# Text as <text>, so that it is searchable and set in the reader's fonts
_SVG_SETTINGS = {"svg.fonttype": "none", "font.size": 12.0}
# Left out, matplotlib writes the date of drawing, and two runs would differ in it
_SVG_METADATA = {"Date": None}
_VECTOR_FORMATS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "svg": ({**_SVG_SETTINGS, "svg.hashsalt": "figure"}, {"metadata": _SVG_METADATA}),
    # Letters as fonts that publishers take, not as Type 3
    "pdf": ({"pdf.fonttype": 42}, {"metadata": {"CreationDate": None}}),
}


def write_figure(
    path: str | Path,
    draw: Callable[[Figure], None],
    width: float = 6.4,
    height: float = 4.8,
    dpi: int = 110,
) -> bool:
    """Draw a figure into a PNG, SVG or PDF file; log a warning if drawing fails.

    Args:
        path: The file to write; its suffix is the format.
        draw: Draws on the empty figure.
        width: In inches; `draw` may change it.
        height: In inches; `draw` may change it.
        dpi: Pixels per inch of a PNG.

    Returns:
        True if the file was written.
    """
    try:
        kind = Path(path).suffix.removeprefix(".")
        settings, options = _VECTOR_FORMATS.get(kind, ({}, {}))
        write_bytes(path, _drawn(draw, (width, height), dpi, settings, format=kind, **options))
    except Exception as error:  # the run is worth more than its picture
        logger.warning("%s: not drawn: %s: %s", path, type(error).__name__, error)
        return False
    return True


def svg_bytes(draw: Callable[[Figure], None], width: float, height: float, salt: str) -> bytes:
    """Return a figure as an SVG file without a background; equal figures have equal bytes.

    Args:
        draw: Draws on the empty figure.
        width: In points, which are the units of the drawing.
        height: In points.
        salt: Makes the ids of this figure differ from those of others on the same page.
    """
    settings = {**_SVG_SETTINGS, "svg.hashsalt": salt}
    options = {"format": "svg", "metadata": _SVG_METADATA, "transparent": True}
    return _drawn(draw, (width / 72, height / 72), 72, settings, **options)


def _drawn(
    draw: Callable[[Figure], None],
    size: tuple[float, float],
    dpi: int,
    settings: dict[str, Any],
    **options: Any,
) -> bytes:
    with importing_matplotlib():
        from matplotlib import style
        from matplotlib.figure import Figure
    # The defaults, not the user's matplotlibrc: one that asks for LaTeX would ask for it here too
    with style.context(["default", settings]), warnings.catch_warnings():
        # `further_fonts` names the letters that no installed font has
        warnings.filterwarnings("ignore", message=r"Glyph .* missing")
        # Not pyplot, which keeps global state and looks for a display
        figure = Figure(figsize=size, dpi=dpi, layout="constrained")
        draw(figure)
        _set_fonts(figure)
        stream = io.BytesIO()
        figure.savefig(stream, **options)
    return stream.getvalue()


def _set_fonts(figure: Figure) -> None:
    """Add installed fonts for letters that matplotlib's own font lacks."""
    from matplotlib.font_manager import fontManager
    from matplotlib.text import Text

    texts = [part for part in figure.findobj(Text) if isinstance(part, Text)]
    fonts = further_fonts("".join(text.get_text() for text in texts))
    for font in fonts:
        if all(entry.fname != str(font.path) for entry in fontManager.ttflist):
            fontManager.addfont(font.path)
    if fonts:
        for text in texts:
            text.set_fontfamily([_OWN_FAMILY, *(font.family for font in fonts)])
