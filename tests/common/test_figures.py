"""Pictures are drawn whatever the environment says of displays, and none ends a run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from allencv_al.common.figures import write_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

pytestmark = pytest.mark.draws

DRAW_ALL = """
import os, sys
from pathlib import Path
from allencv_al.labels.contact_sheet import write_contact_sheet
from allencv_al.reports.line_chart import ChartText, write_line_chart
from allencv_al.data.vocabulary import Vocabulary
from allencv_al.training.learning_rate_finder import LearningRateCurve
from allencv_al.training.run_plots import write_confusion_matrix, write_training_curves

folder = Path(sys.argv[1])
write_training_curves(folder / "1.png", [{"training_loss": 1.0}])
write_confusion_matrix(folder / "2.png", [[1]], Vocabulary({"labels": {"a": 1}}), "test")
write_line_chart(folder / "3.png", [], ChartText())
write_contact_sheet(folder / "4.png", [], "none")
LearningRateCurve([1.0, 2.0, 3.0], [3.0, 2.0, 1.0]).write_picture(folder / "5.png")
assert os.environ["MPLBACKEND"] == sys.argv[2]
"""
DRAW_ONE = """
import os, sys
from pathlib import Path
from allencv_al.common.figures import write_figure

assert write_figure(Path(sys.argv[1], "1.png"), lambda figure: figure.add_subplot())
assert os.environ["MPLBACKEND"] == sys.argv[2]
"""


def dot(figure: Figure) -> None:
    figure.add_subplot().plot([1], [1], marker=".")


@pytest.mark.parametrize(
    ("backend", "program", "count"),
    [
        ("nonsense", DRAW_ALL, 5),
        pytest.param(
            *("module://matplotlib_inline.backend_inline", DRAW_ONE, 1), marks=pytest.mark.slow
        ),
    ],
)
def test_a_backend_that_is_not_there_is_not_asked_for(
    tmp_path: Path, backend: str, program: str, count: int
) -> None:
    command = [sys.executable, "-c", program, str(tmp_path), backend]
    environment = {**os.environ, "MPLBACKEND": backend}
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stderr) == (0, "")
    names = [f"{number}.png" for number in range(1, count + 1)]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    for path in tmp_path.iterdir():
        Image.open(path).load()


def test_a_picture_that_cannot_be_drawn_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(figure: Figure) -> None:
        raise RuntimeError("latex could not be found")

    assert not write_figure(tmp_path / "a.png", fail, 2, 2)
    assert f"{tmp_path / 'a.png'}: not drawn: RuntimeError: latex could not be" in caplog.text
    (tmp_path / "file").touch()
    assert not write_figure(tmp_path / "file" / "a.png", dot, 2, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_user_s_settings_neither_count_nor_change(tmp_path: Path) -> None:
    import matplotlib

    with matplotlib.rc_context({"text.usetex": True, "savefig.dpi": 7}):
        assert write_figure(tmp_path / "a.png", dot, 2, 1)
        assert matplotlib.rcParams["text.usetex"] is True
    with Image.open(tmp_path / "a.png") as image:
        assert image.size == (220, 110)
