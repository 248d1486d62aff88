import json

import numpy as np
import pytest
import torch

from allencv_al.common.errors import DataError
from allencv_al.data.image_io import load_mask
from allencv_al.data.instance import Instance
from allencv_al.tasks import label_task
from allencv_al.tasks.single_label import softmax_scores


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
