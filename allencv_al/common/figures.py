"""Pictures drawn with matplotlib: on no display, alike everywhere, and never worth a run."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from allencv_al.common.atomic_file import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

logger = logging.getLogger(__name__)

_BACKEND_VARIABLE = "MPLBACKEND"


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
            # Matplotlib's own font lacks many scripts; a box in place of a letter is no failure
            warnings.filterwarnings("ignore", message=r"Glyph .* missing")
            # The object API with its own canvas: pyplot keeps global state and looks for a display
            figure = Figure(figsize=(width, height), dpi=dpi, layout="constrained")
            FigureCanvasAgg(figure)
            draw(figure)
            with atomic_path(path) as temporary:
                figure.savefig(temporary, format="png")
    except Exception as error:  # whatever it is, the run that it shows is worth more
        logger.warning("%s: not drawn: %s: %s", path, type(error).__name__, error)
        return False
    return True


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
