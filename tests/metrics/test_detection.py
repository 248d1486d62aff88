"""Average precision, beside COCO's own code."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from allencv_al.metrics.detection import COCO_RANGE, box_iou
from allencv_al.service.pipeline.pipeline_errors import PipelineError
from allencv_al.service.pipeline.tasks.pipeline_metrics import detection_metrics


def scene(seed: int, images: int = 6, classes: int = 3) -> tuple[dict[int, Any], dict[int, Any]]:
    """Return noisy detections of random boxes."""
    generator = np.random.default_rng(seed)
    predictions, labels = {}, {}
    for image in range(images):
        count = int(generator.integers(0, 8))
        corners = generator.uniform(0, 80, (count, 2))
        truth = np.hstack([corners, corners + generator.uniform(5, 40, (count, 2))])
        objects = generator.integers(0, classes, count)
        labels[image] = {"boxes": truth, "objects": objects}
        kept = generator.random(count) < 0.8
        noisy = truth[kept] + generator.normal(0, 2, (int(kept.sum()), 4))
        noisy[:, 2:] = np.maximum(noisy[:, 2:], noisy[:, :2] + 1)
        extra = int(generator.integers(0, 4))
        corners = generator.uniform(0, 80, (extra, 2))
        boxes = np.vstack(
            [noisy, np.hstack([corners, corners + generator.uniform(5, 40, (extra, 2))])]
        )
        found = np.concatenate([objects[kept], generator.integers(0, classes, extra)])
        predictions[image] = {
            "boxes": boxes,
            "objects": found,
            "scores": generator.random(len(boxes)),
        }
    return predictions, labels


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(12))
def test_it_is_what_coco_says(seed: int) -> None:
    pytest.importorskip("pycocotools")
    import torch
    from torchmetrics.detection import MeanAveragePrecision

    predictions, labels = scene(seed)
    oracle = MeanAveragePrecision(
        class_metrics=True,
        iou_thresholds=list(COCO_RANGE),
        rec_thresholds=np.linspace(0, 1, 101).tolist(),  # its own are float32: 0.7 is 0.69999999
    )

    def tensors(of: dict[str, Any]) -> dict[str, Any]:
        named = {"boxes": torch.tensor(of["boxes"]), "labels": torch.tensor(of["objects"])}
        return {**named, "scores": torch.tensor(of["scores"])} if "scores" in of else named

    oracle.update([tensors(p) for p in predictions.values()], [tensors(t) for t in labels.values()])
    expected = oracle.compute()
    found = detection_metrics(predictions, labels)
    assert found["mAP"] == pytest.approx(float(expected["map_50"]), abs=1e-6)
    assert found["mAP_coco"] == pytest.approx(float(expected["map"]), abs=1e-6)
    per_class = dict(
        zip(expected["classes"].tolist(), expected["map_per_class"].tolist(), strict=True)
    )
    for name, value in found["AP_coco"].items():
        theirs = per_class[int(name)]
        assert (value is None and theirs == -1) or value == pytest.approx(theirs, abs=1e-6)


BOX, FAR = [0, 0, 10, 10], [50, 50, 60, 60]


def one(boxes: Any, objects: Any, **more: Any) -> dict[int, Any]:
    return {0: {"boxes": boxes, "objects": objects, **more}}


def test_the_right_detection_before_a_wrong_one_is_perfect() -> None:
    """The original sorted by rising score, and found 0.5 here."""
    predictions = one([BOX, FAR], [1, 1], scores=[0.9, 0.1])
    assert detection_metrics(predictions, one([BOX], [1]))["mAP"] == pytest.approx(1)
    wrong_first = one([BOX, FAR], [1, 1], scores=[0.1, 0.9])
    assert detection_metrics(wrong_first, one([BOX], [1]))["mAP"] == pytest.approx(0.5)


def test_a_second_detection_of_a_box_is_wrong() -> None:
    predictions = one([BOX, BOX, FAR], [1, 1, 1], scores=[0.9, 0.8, 0.7])
    found = detection_metrics(predictions, one([BOX, FAR], [1, 1]))
    # recall 0.5 at precision 1, recall 1 at 2/3: 51 recalls of the first, 50 of the second
    assert found["mAP"] == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_difficult_boxes_count_for_nothing() -> None:
    labels = one([BOX, FAR], [1, 1], difficulties=[0, 1])
    for boxes, scores in (([BOX], [0.5]), ([FAR, BOX], [0.9, 0.5])):
        predictions = one(boxes, [1] * len(boxes), scores=scores)
        assert detection_metrics(predictions, labels)["mAP"] == pytest.approx(1)
    easy = one([BOX, FAR], [1, 1])
    assert detection_metrics(one([BOX], [1], scores=[0.5]), easy)["mAP"] < 0.6


def test_classes_without_truth_are_named_and_left_out() -> None:
    predictions = one([BOX, BOX], [1, 2], scores=[0.9, 0.8])
    found = detection_metrics(predictions, one([BOX], [1]), {1: "car", 2: "dog", 3: "cat"})
    assert found["AP"] == {"1": pytest.approx(1), "2": None, "3": None}
    assert found["mAP"] == pytest.approx(1)
    assert found["classes_without_truth"] == ["2", "3"]
    empty = detection_metrics(one([], [], scores=[]), one([BOX], [1]))
    assert empty["AP"] == {"1": 0.0}


@pytest.mark.parametrize("seed", range(5))
def test_overlaps_are_those_of_torchvision(seed: int) -> None:
    import torch
    from torchvision.ops import box_iou as oracle

    predictions, labels = scene(seed, images=1)
    first, second = predictions[0]["boxes"], labels[0]["boxes"]
    expected = oracle(torch.tensor(first), torch.tensor(second)).numpy()
    assert np.allclose(box_iou(first, second), expected)


@pytest.mark.parametrize(
    ("predictions", "labels", "message"),
    [
        (one([BOX], [1], scores=[1.0]), {1: {"boxes": [], "objects": []}}, "alone: 0, 1"),
        (one([BOX], [1, 2], scores=[1.0]), one([], []), "1 boxes and 2 objects"),
        (one([[1, 2, 3]], [1], scores=[1.0]), one([], []), r"expected \[n, 4\]"),
        (one([BOX], [1], scores=[np.nan]), one([], []), "finite"),
        (one([BOX], ["cat"], scores=[1.0]), one([], []), "objects: expected numbers"),
        ({0: 3}, one([], []), "expected a dictionary with boxes"),
    ],
)
def test_what_does_not_fit_is_said(predictions: Any, labels: Any, message: str) -> None:
    with pytest.raises(PipelineError, match=message):
        detection_metrics(predictions, labels)
