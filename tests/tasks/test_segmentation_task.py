import numpy as np
import pytest
import torch

from allencv_al.common.errors import DataError
from allencv_al.data.instance import Instance
from allencv_al.tasks import label_task
from allencv_al.tasks.single_label import softmax_scores


def test_scores_are_means_over_the_pixels():
    logits = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(1))
    found = label_task("segmentation").unit_scores({"logits": logits})
    for image, row in zip(logits, found, strict=True):
        pixels = [softmax_scores(image[:, y, x]) for y in range(4) for x in range(5)]
        assert row.tolist() == pytest.approx(torch.stack(pixels).mean(0).tolist(), abs=1e-6)


def test_a_mask_without_a_file_is_no_label_to_store():
    item = Instance("a", b"", mask=np.zeros((2, 2), np.uint8))
    with pytest.raises(DataError, match="a: a mask in memory has no file"):
        label_task("segmentation").text_of(item)
