import base64
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from allencv_al.common.errors import DataError
from allencv_al.data.drawn_masks import palette_png
from allencv_al.data.image_io import load_mask
from allencv_al.data.instance import Instance
from allencv_al.predictors.prediction_json import to_json_value
from allencv_al.tasks import label_task
from allencv_al.tasks.segmentation_task import PALETTE, VOID
from allencv_al.tasks.unit_scores import softmax_scores


def test_scores_are_those_of_the_pixels_aggregated():
    logits = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(1))
    found = label_task("segmentation").unit_scores({"logits": logits})
    for image, row in zip(logits, found, strict=True):
        pixels = [softmax_scores(image[:, y, x]) for y in range(4) for x in range(5)]
        units = torch.stack(pixels)
        # A hundredth of 20 pixels is less than one: the top is the highest
        wanted = [units.mean(0), units.sum(0), units.amax(0), units.amax(0)]
        assert row.T.numpy() == pytest.approx(torch.stack(wanted).numpy(), abs=1e-5)


def test_the_mean_of_models_is_that_of_their_probabilities():
    generator = torch.Generator().manual_seed(2)
    members = [{"logits": 3 * torch.randn(2, 3, 4, 5, generator=generator)} for _ in range(3)]
    mean = label_task("segmentation").mean_outputs(members)["logits"]
    shares = torch.stack([one["logits"].softmax(1) for one in members]).mean(0)
    torch.testing.assert_close(mean.exp(), shares)


def test_a_mask_in_memory_is_a_label_of_its_pixels():
    mask = np.array([[0, 1, 255], [2, 2, 0]], np.uint8)
    task, item = label_task("segmentation"), Instance("a", b"", mask=mask)
    text = task.text_of(item)
    assert json.loads(text)["size"] == [2, 3]
    assert task.problem(text) is None
    labeled = task.labeled(Instance("a", b""), text)
    assert (load_mask(labeled.mask) == mask).all()
    assert task.text_of(labeled) == text
    assert task.shown(text) == "classes 1, 2, 255"


@pytest.mark.parametrize(
    "text",
    [
        "cat",
        "[]",
        '{"size": [2, 3]}',
        '{"size": [2], "counts": {}}',
        '{"size": [2, 3], "counts": {"1": "03"}}',
        '{"size": [2, 3], "counts": {"256": "06"}}',
        '{"size": [2, 3], "counts": {"cat": "06"}}',
        '{"size": [2, 3], "counts": []}',
    ],
)
def test_a_text_that_is_no_mask_is_refused(text):
    with pytest.raises(DataError, match=r"a: expected (the file of )?a mask"):
        label_task("segmentation").labeled(Instance("a", b""), text)


def test_a_data_set_may_be_moved_with_its_masks(tmp_path: Path, monkeypatch) -> None:
    task = label_task("segmentation")
    item = Instance("a", tmp_path / "images" / "a.jpg", mask=tmp_path / "masks" / "a.png")
    text = task.text_of(item)
    assert text == '{"png": "../masks/a.png"}'
    assert task.labeled(item.unlabeled(), text) == item
    moved = task.labeled(Instance("a", Path("/elsewhere/images/a.jpg")), text)
    assert moved.mask == Path("/elsewhere/masks/a.png")
    monkeypatch.chdir(tmp_path)
    assert task.text_of(replace(item, image="images/a.jpg")) == text
    in_memory = Instance("a", b"", mask=Path("masks/a.png"))
    assert task.labeled(in_memory.unlabeled(), task.text_of(in_memory)) == in_memory


def test_a_person_reads_shares_and_sees_the_classes_but_not_background_and_void():
    task = label_task("segmentation")
    mask = Image.fromarray(np.array([[0, 1], [2, 255]], np.uint8))
    mask.putpalette([0, 0, 0, 200, 0, 0, 0, 200, 0, *[0] * 759])
    stream = io.BytesIO()
    mask.save(stream, "PNG")
    png = base64.b64encode(stream.getvalue()).decode()
    prediction = {"mask": {"png": png}, "shares": {"sky": 0.004, "dog": 0.4, "cat": 0.596}}
    assert task.caption(prediction) == "cat 60 %, dog 40 %"
    drawn = np.asarray(task.drawn(Image.new("RGB", (4, 4), "white"), prediction))
    assert (drawn[:2, :2] == 255).all() and (drawn[2:, 2:] == 255).all()
    assert drawn[0, 3, 0] > drawn[0, 3, 1] and drawn[3, 0, 1] > drawn[3, 0, 0]
    assert task.caption({"probs": []}) is None


def test_pixels_are_judged_by_their_share_of_the_image(tmp_path: Path) -> None:
    truth, found = np.zeros((20, 50), np.uint8), np.zeros((20, 50), np.uint8)
    truth[:10], found[:5] = 1, 1
    truth[19], found[18] = VOID, VOID  # of no class on one of the sides
    found[10, :4] = 1  # too few to be shown
    Image.fromarray(truth).save(tmp_path / "mask.png")
    item = Instance("a", tmp_path / "a.png", mask=tmp_path / "mask.png")
    task = label_task("segmentation")
    row = to_json_value({"mask": Image.fromarray(found)})
    assert task.judged(item, row, ("ground", "shape")) == [
        ("ground", "ground", 0.396),
        ("shape", "ground", 0.25),
        ("shape", "shape", 0.25),
    ]
    assert task.judged(item.unlabeled(), row, ()) == []
    other = to_json_value({"mask": Image.fromarray(found[:10])})
    assert task.judged(item, other, ()) == []  # of another size, so of another image


def test_a_label_is_drawn_in_the_colors_of_predictions(tmp_path: Path) -> None:
    mask = np.zeros((4, 4), np.uint8)
    mask[:, 2:] = 1
    Image.fromarray(mask).save(tmp_path / "mask.png")
    item = Instance("a", tmp_path / "a.png", mask=tmp_path / "mask.png")
    task = label_task("segmentation")
    palette = Image.fromarray(mask)
    palette.putpalette(PALETTE)
    image = Image.new("RGB", (8, 8), "white")
    drawn = task.label_drawn(image, item)
    predicted = task.drawn(image, to_json_value({"mask": palette}))
    np.testing.assert_array_equal(np.asarray(drawn), np.asarray(predicted))
    assert len(np.unique(np.asarray(drawn).reshape(-1, 3), axis=0)) == 2


def test_a_prediction_is_a_draft_of_its_pixels():
    mask = np.array([[0, 1, 255], [2, 2, 0]], np.uint8)
    task, png = label_task("segmentation"), palette_png(mask, PALETTE)
    draft = task.draft({"mask": {"png": base64.b64encode(png).decode()}, "shares": {}})
    assert draft is not None
    text, _ = draft
    assert task.problem(text) is None
    assert load_mask(task.labeled(Instance("a", b""), text).mask).tolist() == mask.tolist()
    assert task.mask_png(text, b"") == png
    assert task.draft({"class": "cat"}) is None
