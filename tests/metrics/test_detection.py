"""Average precision beside a brute-force one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from allencv_al.metrics.detection import COCO_RANGE
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


def iou(first: Any, second: Any) -> float:
    width, height = np.minimum(first[2:], second[2:]) - np.maximum(first[:2], second[:2])
    shared = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return float(shared / (sum(areas) - shared))


def brute_force_ap(predictions: Any, labels: Any, number: int, least: float) -> float | None:
    """Return the AP of one class by its definition, one detection and one recall at a time."""
    ranked = sorted(
        (-score, image, place)
        for image, found in predictions.items()
        for place, (kind, score) in enumerate(zip(found["objects"], found["scores"], strict=True))
        if kind == number
    )
    wanted = {
        (image, place)
        for image, truth in labels.items()
        for place, kind in enumerate(truth["objects"])
        if kind == number
    }
    if not wanted:
        return None
    free, curve = set(wanted), []
    for rank, (_, image, place) in enumerate(ranked, 1):
        box = predictions[image]["boxes"][place]
        overlaps = {
            (iou(box, labels[image]["boxes"][other]), other) for of, other in free if of == image
        }
        best, other = max(overlaps, default=(0.0, 0))
        if best >= least:
            free.remove((image, other))
        right = len(wanted) - len(free)
        curve.append((right / len(wanted), right / rank))
    at_recalls = [
        max((precision for reached, precision in curve if reached >= recall), default=0.0)
        for recall in np.linspace(0, 1, 101)
    ]
    return float(np.mean(at_recalls))


@pytest.mark.parametrize("seed", range(12))
def test_average_precision_is_that_of_its_definition(
    seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    predictions, labels = scene(seed)
    found = detection_metrics(predictions, labels)
    assert capsys.readouterr() == ("", "")
    for name in found["classes"]:
        expected = [brute_force_ap(predictions, labels, int(name), least) for least in COCO_RANGE]
        if expected[0] is None:
            assert found["AP"][name] is None and found["AP_coco"][name] is None
        else:
            assert found["AP"][name] == pytest.approx(expected[0], abs=1e-9)
            assert found["AP_coco"][name] == pytest.approx(np.mean(expected), abs=1e-9)
    for mean, per_class in (("mAP", "AP"), ("mAP_coco", "AP_coco")):
        known = [value for value in found[per_class].values() if value is not None]
        assert found[mean] == pytest.approx(np.mean(known))


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


def test_only_the_best_hundred_detections_of_a_class_count() -> None:
    scores = np.linspace(0.9, 0.1, 101)
    predictions = one([FAR] * 100 + [BOX], [1] * 101, scores=scores)
    found = detection_metrics(predictions, one([BOX], [1]))
    assert found["mAP"] == 0
    assert found["recall"] == 1  # of all detections


def test_no_images_have_no_scores() -> None:
    found = detection_metrics({}, {}, {0: "car"})
    assert found["mAP"] is None and found["AP_coco"] == {"0": None}
    assert found["confusion_matrix"] == [[0, 0], [0, 0]]


@pytest.mark.parametrize(
    ("predictions", "labels", "message"),
    [
        (
            one([BOX], [1], scores=[1.0]),
            {1: {"boxes": [], "objects": []}},
            "without label: 0; labels without prediction: 1",
        ),
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
