import numpy as np
import pytest
import torch
from scipy.stats import entropy

from allencv_al.tasks import label_task
from allencv_al.tasks.base import AGGREGATES
from allencv_al.tasks.unit_scores import softmax_scores


def test_scores_equal_those_of_scipy():
    logits = torch.randn(7, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float32)
    p = np.sort(np.exp(logits.numpy()) / np.exp(logits.numpy()).sum(1, keepdims=True), axis=1)
    wanted = np.stack([1 - p[:, -1], 1 - (p[:, -1] - p[:, -2]), entropy(p, axis=1)], axis=1)
    assert softmax_scores(logits).numpy() == pytest.approx(wanted, abs=1e-6)
    found = label_task("single_label").unit_scores({"logits": logits})
    for column in range(len(AGGREGATES)):  # of one unit, all are the same
        assert torch.equal(found[:, :, column], softmax_scores(logits))


def test_one_class_and_certain_classes_have_no_uncertainty():
    assert softmax_scores(torch.zeros(2, 1)).tolist() == [[0.0, 0.0, 0.0]] * 2
    assert softmax_scores(torch.tensor([[200.0, 0.0]])).tolist() == [[0.0, 0.0, 0.0]]
