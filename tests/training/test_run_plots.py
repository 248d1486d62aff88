from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from allencv_al.data.vocabulary import Vocabulary
from allencv_al.training import run_plots
from allencv_al.training.run_plots import (
    _matrix_side,
    _shortened,
    write_confusion_matrix,
    write_training_curves,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

pytestmark = pytest.mark.draws

Make = Callable[..., Any]


def history(epochs: int = 4) -> list[dict[str, Any]]:
    return [
        {
            "epoch": epoch,
            "training_epochs": epoch + 1,
            "training_loss": 1 / (epoch + 1),
            "validation_loss": 1.2 / (epoch + 1),
            "validation_accuracy": 0.5,
            "validation_confusion_matrix": [[1, 2], [3, 4]],
            "best_epoch": epoch,
        }
        for epoch in range(epochs)
    ]


def colors(path: Path) -> int:
    with Image.open(path) as image:
        found = image.convert("RGB").getcolors(1 << 24)
    assert found is not None
    return len(found)


def test_curves_are_drawn(tmp_path: Path) -> None:
    assert write_training_curves(tmp_path / "curves.png", history())
    assert colors(tmp_path / "curves.png") > 20
    assert [path.name for path in tmp_path.iterdir()] == ["curves.png"]


def test_each_metric_has_a_panel_and_bookkeeping_has_none(tmp_path: Path) -> None:
    sizes = []
    for number in (1, 2):
        kept = [{k: v for k, v in m.items() if number == 2 or "accuracy" not in k}
                for m in history()]  # fmt: skip
        assert write_training_curves(tmp_path / "curves.png", kept)
        with Image.open(tmp_path / "curves.png") as image:
            sizes.append(image.width)
    assert sizes[1] == 2 * sizes[0]


@pytest.mark.parametrize("epochs", [1, 40])
def test_any_number_of_epochs_can_be_drawn(tmp_path: Path, epochs: int) -> None:
    assert write_training_curves(tmp_path / "curves.png", history(epochs))
    assert (tmp_path / "curves.png").exists()


def test_without_any_metric_there_is_no_picture(tmp_path: Path) -> None:
    assert not write_training_curves(tmp_path / "curves.png", [])
    assert not write_training_curves(tmp_path / "curves.png", [{"epoch": 0}])
    assert not (tmp_path / "curves.png").exists()


@pytest.mark.parametrize("classes", [2, 15, 50])
def test_a_confusion_matrix_of_any_size_is_drawn(tmp_path: Path, classes: int) -> None:
    names = {f"class {index:03}": 1 for index in range(classes)}
    matrix = np.random.default_rng(0).integers(0, 9, (classes, classes))
    path = tmp_path / "matrix.png"
    assert write_confusion_matrix(
        path, matrix.tolist(), Vocabulary({"labels": names}), "validation"
    )
    assert colors(path) > 20


def test_the_diagonal_is_darker_where_predictions_are_right(tmp_path: Path) -> None:
    vocab = Vocabulary({"labels": {"a": 1, "b": 1}})
    darkness = []
    for name, matrix in (("right", [[9, 0], [0, 9]]), ("wrong", [[0, 9], [9, 0]])):
        path = tmp_path / f"{name}.png"
        assert write_confusion_matrix(path, matrix, vocab, "test")
        pixels = np.asarray(Image.open(path).convert("L"), dtype=float)
        height, width = pixels.shape
        # the first class's own cell is in the upper left of the axes
        darkness.append(pixels[height // 4 : height // 3, width // 4 : width // 3].mean())
    assert darkness[0] < darkness[1]


@pytest.mark.parametrize("name", ["$x_{", "a_b^c", "<b>", "猫", "$", "\\frac"])
def test_class_names_are_text_and_no_formulas(tmp_path: Path, name: str) -> None:
    vocab = Vocabulary({"labels": {name: 2, "other": 1}})
    assert write_confusion_matrix(tmp_path / "matrix.png", [[1, 0], [0, 1]], vocab, "test")


def test_a_class_beyond_the_vocabulary_has_its_number(tmp_path: Path) -> None:
    vocab = Vocabulary({"labels": {"a": 1}})
    assert write_confusion_matrix(tmp_path / "matrix.png", [[1, 0], [0, 1]], vocab, "test")


def test_an_empty_row_is_no_division_by_zero(tmp_path: Path) -> None:
    vocab = Vocabulary({"labels": {"a": 1, "b": 1}})
    assert write_confusion_matrix(tmp_path / "matrix.png", [[0, 0], [0, 1]], vocab, "test")


def test_matplotlib_is_not_imported_before_it_is_needed() -> None:
    code = (
        "import sys, allencv_al.training.trainers.gradient_descent_trainer, "
        "allencv_al.training.callbacks.standard_callbacks; "
        "sys.exit('matplotlib' in sys.modules or 'tensorboard' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def drawn(path: Path, names: list[str]) -> np.ndarray:
    vocab = Vocabulary({"labels": {name: len(names) - i for i, name in enumerate(names)}})
    assert write_confusion_matrix(path, np.eye(len(names)), vocab, "test")
    with Image.open(path) as image:
        return np.asarray(image.convert("L"))


def test_above_40_classes_each_has_its_name_and_the_picture_grows(tmp_path: Path) -> None:
    path = tmp_path / "matrix.png"
    first = drawn(path, [f"class {index:03}" for index in range(60)])
    second = drawn(path, [f"class {index:03}" for index in range(59)] + ["class 959"])
    assert first.shape == second.shape
    changed = np.argwhere(first != second)
    assert 0 < len(changed) < first.size / 1000  # one name, beside the matrix and below it
    assert _matrix_side(300) > _matrix_side(150) > _matrix_side(60) == 16


def test_with_too_many_classes_the_picture_says_where_the_table_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    titles = []
    monkeypatch.setattr(
        run_plots, "write_figure", lambda path, draw: titles.append(title_of(draw)) or True
    )
    vocab = Vocabulary({"labels": {"a": 1}})
    write_confusion_matrix(tmp_path / "matrix.png", np.eye(301), vocab, "validation")
    [title] = titles
    assert title.startswith("validation: 301 classes")
    assert "metrics.json" in title
    assert "vocabulary/labels.txt" in title


def title_of(draw: Callable[[Figure], None]) -> str:
    from matplotlib.figure import Figure

    figure = Figure()
    draw(figure)
    return str(figure.axes[0].get_title())


def test_a_long_name_leaves_room_for_the_matrix(tmp_path: Path) -> None:
    image = drawn(tmp_path / "matrix.png", ["a" * 400, "b"])
    assert (image < 100).any()  # the cells of the diagonal
    assert len(_shortened("a" * 400)) == 40
    assert _shortened("two\nlines") == "two lines"
