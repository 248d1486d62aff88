"""The gallery of mistakes: what it counts, what it shows first, and what it leads to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from allencv_al.data.dataset_readers.base import Dataset
from allencv_al.data.dataset_readers.image_classification_directory import (
    ImageClassificationDirectory,
)
from allencv_al.data.instance import Instance
from allencv_al.data.vocabulary import Vocabulary
from allencv_al.models import Model
from allencv_al.reports.mistakes import MOST_CERTAIN, MOST_OF_A_PAIR, MistakeGallery

PIXELS = np.full((8, 8, 3), 128, np.uint8)


class Told(Model):
    """A model whose outputs a test tells."""

    def __init__(self, classes: Sequence[str], task: str = "single_label") -> None:
        super().__init__(Vocabulary({"labels": dict.fromkeys(classes, 1)}))
        self.label_task = task  # type: ignore[misc]

    def forward(self, image: torch.Tensor, label: torch.Tensor | None = None) -> dict[str, Any]:
        return {"logits": image.mean(dim=(1, 2, 3))[:, None].expand(-1, len(self.class_names()))}


def gallery(model: Model, items: Sequence[Instance]) -> MistakeGallery:
    return MistakeGallery(model, Dataset(ImageClassificationDirectory(), items))


def images(labels: Sequence[str]) -> list[Instance]:
    return [Instance(f"folder/{number}.png", PIXELS, label) for number, label in enumerate(labels)]


def outputs(probabilities: Sequence[Sequence[float]], classes: Sequence[str]) -> dict[str, Any]:
    probs = torch.tensor(probabilities)
    best = probs.argmax(dim=1)
    return {"probs": probs, "prediction": best, "class": [classes[i] for i in best.tolist()]}


@pytest.fixture
def told(tmp_path: Path) -> tuple[MistakeGallery, Path]:
    """A gallery of five images in two batches, of which three are predicted wrongly."""
    classes = ("cat", "dog", "emu")
    items = images(["cat", "cat", "dog", "cat", "emu"])
    found = gallery(Told(classes), items)
    ids = [item.id for item in items]
    first = [[0.9, 0.1, 0.0], [0.3, 0.7, 0.0], [0.8, 0.2, 0.0]]
    found.note(ids[:3], outputs(first, classes))
    found.note(ids[3:], outputs([[0.0, 0.95, 0.05], [0.1, 0.2, 0.7]], classes))
    return found, tmp_path / "mistakes.html"


def captions(page: Any) -> list[str]:
    return [one["title"] for one in page.of("span") if one.get("class") == "file"]


def test_the_most_certain_mistake_is_first(told: Any, read_page: Any) -> None:
    found, path = told
    assert found.write(path, "test")
    page = read_page(path)
    order = ["folder/3.png", "folder/2.png", "folder/1.png"]
    assert captions(page)[:3] == order
    # By classes: the most frequent pair first, in it the most certain one
    assert captions(page)[3:] == ["folder/3.png", "folder/1.png", "folder/2.png"]
    assert [one["id"] for one in page.of("article")] == ["pair-0-1", "pair-1-0"]
    assert "95.0%" in page.text


def test_a_number_of_the_matrix_leads_to_its_images(told: Any, read_page: Any) -> None:
    found, path = told
    found.write(path, "test")
    page = read_page(path)
    assert page.table("What is taken for what") == [
        ["true \\ predicted", "cat", "dog", "emu", "right"],
        ["cat", "1", "2", "·", "33.3%"],
        ["dog", "1", "·", "·", "0.0%"],
        ["emu", "·", "·", "1", "100.0%"],
    ]
    targets = {one["href"] for one in page.of("a")}
    assert {"#pair-0-1", "#pair-1-0"} <= targets
    places = {one["id"] for _, one in page.tags if "id" in one}
    assert {target[1:] for target in targets} <= places
    assert not page.of("script")


def test_without_mistakes_only_the_matrix_is_there(tmp_path: Path, read_page: Any) -> None:
    classes = ("cat", "dog")
    found = gallery(Told(classes), images(["dog"]))
    found.note(["folder/0.png"], outputs([[0.2, 0.8]], classes))
    assert found.write(tmp_path / "page.html", "test")
    page = read_page(tmp_path / "page.html")
    assert "No prediction differs from its label." in page.text
    assert not page.of("img") + page.of("article")


def test_unlabeled_images_and_foreign_outputs_make_no_page(tmp_path: Path) -> None:
    found = gallery(Told(("cat",)), [Instance("a", PIXELS), Instance("b", PIXELS, "cat")])
    found.note(["a"], outputs([[1.0]], ("cat",)))
    found.note(["b"], {"numbers": torch.zeros(1)})
    assert not found.write(tmp_path / "page.html", "test")
    assert not (tmp_path / "page.html").exists()


def test_a_model_whose_outputs_cannot_be_read_costs_the_page_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = gallery(Told(("cat",)), [Instance("a", PIXELS, "cat")])
    for _ in range(2):
        found.note(["a"], {"class": ["cat"], "own": [object()]})
    assert not found.write(tmp_path / "page.html", "test")
    assert [record.message.partition(":")[0] for record in caplog.records] == ["mistakes"]


def test_the_page_stays_small_and_says_what_it_leaves_out(tmp_path: Path, read_page: Any) -> None:
    classes = [f"class {number:02}" for number in range(50)]
    items = images([classes[number % 50] for number in range(2000)])
    found = gallery(Told(classes), items)
    # 40 of each class, taken for the next one
    rows = [
        [0.9 if place == (number + 1) % 50 else 0.0 for place in range(50)] for number in range(50)
    ]
    ids = [item.id for item in items]
    for start in range(0, 2000, 50):
        found.note(ids[start : start + 50], outputs(rows, classes))
    found.write(tmp_path / "page.html", "test")
    page = read_page(tmp_path / "page.html")
    assert len(page.of("article")) == 20
    # The most certain ones twice: as they are, and with what speaks for the predicted class
    assert len(page.of("img")) == 2 * MOST_CERTAIN + 20 * MOST_OF_A_PAIR
    assert page.text.count("and 16 more mistakes not shown here") == 20
    assert "Mistakes of 30 more pairs of classes are not shown here." in page.text
    _, first, *_ = page.table("Most frequent confusions among 50 classes")
    assert first == ["class 00", "class 01", "40", "100.0%"]


def test_names_of_strangers_stay_texts(tmp_path: Path, read_page: Any, hostile_names: Any) -> None:
    names = Told(hostile_names).class_names()
    found = gallery(Told(hostile_names), [Instance(name, PIXELS, name) for name in names])
    # Each is taken for the next one
    found.note(names, outputs(np.roll(np.eye(len(names)), 1, axis=1).tolist(), names))
    found.write(tmp_path / "page.html", "test")
    page = read_page(tmp_path / "page.html")
    assert not page.of("script")
    assert {one["src"].partition(",")[0] for one in page.of("img")} == {"data:image/png;base64"}


def test_an_image_that_cannot_be_shown_costs_no_page(tmp_path: Path, read_page: Any) -> None:
    classes = ("cat", "dog")
    found = gallery(Told(classes), [Instance("a", tmp_path / "gone.png", "cat")])
    found.note(["a"], outputs([[0.0, 1.0]], classes))
    found.write(tmp_path / "page.html", "test")
    assert read_page(tmp_path / "page.html").text.count("no picture") == 2


def test_of_several_classes_missed_and_added_ones_are_apart(tmp_path: Path, read_page: Any) -> None:
    items = [Instance("a", PIXELS, labels=("cat", "dog")), Instance("b", PIXELS, labels=())]
    found = gallery(Told(("cat", "dog"), "multi_label"), items)
    shares = [{"cat": 0.9, "dog": 0.1}, {"cat": 0.6, "dog": 0.2}]
    found.note(["a", "b"], {"classes": [["cat"], ["cat"]], "probabilities": shares})
    found.write(tmp_path / "page.html", "test")
    page = read_page(tmp_path / "page.html")
    assert page.table("What is taken for what") == [
        ["true \\ predicted", "cat", "dog", "(none)", "right"],
        ["cat", "1", "·", "·", "100.0%"],
        ["dog", "·", "·", "1", "0.0%"],
        ["(none)", "1", "·", "·", "0.0%"],
    ]
    assert "dog missed" in page.text
    assert "cat where there is none" in page.text
    assert captions(page)[:2] == ["a", "b"]  # 90 % sure that there is no dog, 60 % of the cat


def test_masks_are_drawn_beside_each_other(tmp_path: Path, read_page: Any) -> None:
    file = tmp_path / "a.png"
    Image.fromarray(np.full((40, 20, 3), 90, np.uint8)).save(file)
    mask = np.zeros((40, 20), np.uint8)
    mask[:10] = 1
    mask_file = tmp_path / "mask.png"
    Image.fromarray(mask).save(mask_file)

    class Halves(Told):
        """Takes the upper half of any image for a shape."""

        def forward(self, image: torch.Tensor, label: torch.Tensor | None = None) -> dict[str, Any]:
            found = torch.zeros(len(image), *image.shape[2:], dtype=torch.uint8)
            found[:, : image.shape[2] // 2] = 1
            return {"predicted_mask": found}

        def make_output_human_readable(self, outputs: dict[str, Any]) -> dict[str, Any]:
            return {"mask": [Image.fromarray(one.numpy()) for one in outputs["predicted_mask"]]}

    reader = ImageClassificationDirectory.from_params(
        {"augmentation": [{"type": "resize", "height": 8, "width": 8}]}
    )
    item = Instance("a.png", file, mask=mask_file)
    model = Halves(("ground", "shape"), "segmentation")
    found = MistakeGallery(model, Dataset(reader, [item]))
    # Predicted again, in the pixels of the file: those of the batch are others
    found.note(["a.png"], model(torch.zeros(1, 3, 8, 8)))
    found.write(tmp_path / "page.html", "test")
    page = read_page(tmp_path / "page.html")
    assert page.table("What is taken for what")[1:3] == [
        ["ground", "1", "1", "50.0%"],
        ["shape", "·", "1", "100.0%"],
    ]
    assert "25.0%" in page.text  # the share of the image that is wrong
    assert [one["alt"] for one in page.of("img")][:2] == ["label of a.png", "prediction for a.png"]
    assert len({one["src"] for one in page.of("img")}) == 2
