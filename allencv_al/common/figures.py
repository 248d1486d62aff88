"""Pictures drawn with matplotlib: on no display, alike everywhere, and never worth a run."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from allencv_al.common.files.atomic_file import atomic_path
from allencv_al.common.fonts import further_fonts, importing_matplotlib

if TYPE_CHECKING:
    from matplotlib.figure import Figure

logger = logging.getLogger(__name__)

_OWN_FAMILY = "DejaVu Sans"


def write_figure(
    path: str | Path,
    draw: Callable[[Figure], None],
    width: float = 6.4,
    height: float = 4.8,
    dpi: int = 110,
) -> bool:
    """Draw a figure into a PNG file; a picture that cannot be drawn is a warning.

    Args:
        path: The file to write.
        draw: Draws on the empty figure.
        width: In inches; `draw` may change it.
        height: In inches, likewise.
        dpi: Pixels for each inch.

    Returns:
        Whether it was drawn.
    """
    try:
        with importing_matplotlib():
            from matplotlib import style
            from matplotlib.backends.backend_agg import FigureCanvasAgg
            from matplotlib.figure import Figure
        # The defaults, not a matplotlibrc: one that asks for LaTeX would ask for it here too
        with style.context("default"), warnings.catch_warnings():
            # A letter that no installed font has is said by `further_fonts`
            warnings.filterwarnings("ignore", message=r"Glyph .* missing")
            # The object API with its own canvas: pyplot keeps global state and looks for a display
            figure = Figure(figsize=(width, height), dpi=dpi, layout="constrained")
            FigureCanvasAgg(figure)
            draw(figure)
            _set_fonts(figure)
            with atomic_path(path) as temporary:
                figure.savefig(temporary, format="png")
    except Exception as error:  # whatever it is, the run that it shows is worth more
        logger.warning("%s: not drawn: %s: %s", path, type(error).__name__, error)
        return False
    return True


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
