"""Overlaps of masks beside scikit-learn and torchmetrics."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score, jaccard_score
from torchmetrics.classification import MulticlassJaccardIndex

from allencv_al.metrics import Metric
from allencv_al.metrics.segmentation import SegmentationMetrics

VOID = 255


def masks(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return logits `[B, C, H, W]` and masks; class 4 is only predicted, class 5 is nowhere."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(3, 6, 9, 7, generator=generator)
    logits[:, 5] = -9
    gold = torch.randint(4, (3, 9, 7), generator=generator)
    return logits, gold.where(torch.rand(gold.shape, generator=generator) > 0.2, VOID)


@pytest.mark.parametrize("seed", range(4))
def test_overlaps_are_those_of_the_libraries(seed: int) -> None:
    logits, gold = masks(seed)
    predicted, known = logits.argmax(1), gold != VOID
    metrics = SegmentationMetrics(6)
    for begin in range(3):
        part = slice(begin, begin + 1)
        metrics(predicted[part], gold[part], known[part])
    found = metrics.values([f"c{i}" for i in range(6)], reset=True)
    pixels = gold[known].numpy(), predicted[known].numpy()
    iou = np.append(jaccard_score(*pixels, labels=range(5), average=None), np.nan)
    dice = f1_score(*pixels, labels=range(6), average=None, zero_division=np.nan)
    assert found["per_class_iou"]["c5"] is None  # in no mask and no prediction
    assert found["per_class_iou"]["c4"] == 0
    np.testing.assert_allclose(np.array([*found["per_class_iou"].values()], float), iou, rtol=1e-9)
    np.testing.assert_allclose(np.array([*found["per_class_dice"].values()], float), dice)
    assert found["miou"] == pytest.approx(np.nanmean(iou), rel=1e-9)
    assert found["mean_dice"] == pytest.approx(np.nanmean(dice), rel=1e-9)
    assert found["accuracy"] == pytest.approx(np.mean(pixels[0] == pixels[1]))
    shares = np.bincount(pixels[0], minlength=6) / len(pixels[0])
    assert found["frequency_weighted_iou"] == pytest.approx(np.nansum(shares * iou), rel=1e-9)
    oracle = MulticlassJaccardIndex(6, ignore_index=VOID, validate_args=False)
    assert found["miou"] == pytest.approx(float(oracle(predicted, gold)), rel=1e-6)  # float32
    assert metrics.values([f"c{i}" for i in range(6)])["miou"] == 0


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("miou", "miou"),
        ("mean_dice", "mean_dice"),
        ("frequency_weighted_iou", "frequency_weighted_iou"),
        ("per_class_iou", "per_class_iou"),
        ("per_class_dice", "per_class_dice"),
        ("categorical_accuracy", "accuracy"),
    ],
)
def test_a_registered_metric_takes_pixels(name: str, key: str) -> None:
    logits, gold = masks(0)
    known = gold != VOID
    metric = Metric.from_params(name)
    metric(logits.movedim(1, -1), gold.where(known, 0), known)
    whole = SegmentationMetrics(6)
    whole(logits.argmax(1), gold, known)
    expected = whole.values([str(i) for i in range(6)])[key]
    if isinstance(expected, dict):
        expected = list(expected.values())
    assert metric.get_metric() == expected
