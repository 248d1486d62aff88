"""COCO's figures beside pycocotools' own reading of a data set."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from allencv_al.metrics import Metric

Side = list[dict[str, torch.Tensor]]


def scene(seed: int, images: int = 12, classes: int = 3) -> tuple[Side, Side]:
    """Return noisy detections and true boxes of all sizes, with crowds and empty images."""
    random = np.random.default_rng(seed)
    found, true = [], []
    for _ in range(images):
        count = int(random.integers(0, 6))
        corners = random.uniform(0, 300, (count, 2))
        boxes = np.hstack([corners, corners + 10 ** random.uniform(0.8, 2.2, (count, 2))])
        labels = random.integers(0, classes, count)
        extra = int(random.integers(0, 4))
        more = random.uniform(0, 300, (extra, 2))
        detected = np.vstack(
            [
                boxes + random.normal(0, 2, boxes.shape),
                np.hstack([more, more + random.uniform(5, 99, (extra, 2))]),
            ]
        )
        detected[:, 2:] = np.maximum(detected[:, 2:], detected[:, :2] + 1)
        kinds = np.concatenate([labels, random.integers(0, classes + 1, extra)])
        found.append(
            {
                "boxes": torch.tensor(detected),
                "labels": torch.tensor(kinds),
                "scores": torch.tensor(random.random(len(detected))),
            }
        )
        crowd = torch.tensor(random.random(count) < 0.2)
        true.append({"boxes": torch.tensor(boxes), "labels": torch.tensor(labels), "crowd": crowd})
    return found, true


def coco_figures(found: Side, true: Side, classes: int) -> dict[str, float | None]:
    def rows(side: Side) -> list[dict[str, Any]]:
        return [
            {
                "id": 0,
                "image_id": image,
                "category_id": int(label),
                "bbox": [*box[:2], *(box[2:] - box[:2])],
                "area": float(np.prod(box[2:] - box[:2])),
                "iscrowd": int(of["crowd"][place]) if "crowd" in of else 0,
                **({"score": float(of["scores"][place])} if "scores" in of else {}),
            }
            for image, of in enumerate(side)
            for place, (box, label) in enumerate(
                zip(of["boxes"].numpy(), of["labels"], strict=True)
            )
        ]

    gold = COCO()
    with contextlib.redirect_stdout(io.StringIO()):
        gold.dataset = {
            "images": [{"id": image} for image in range(len(true))],
            "categories": [{"id": number} for number in range(classes)],
            "annotations": [{**row, "id": i + 1} for i, row in enumerate(rows(true))],
        }
        gold.createIndex()
        result = COCO()
        result.dataset = {
            **gold.dataset,
            "annotations": [{**row, "id": i + 1} for i, row in enumerate(rows(found))],
        }
        result.createIndex()
        evaluation = COCOeval(gold, result, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    places = {"mAP": 0, "AP50": 1, "AP75": 2, "mAP_small": 3, "mAP_medium": 4, "mAP_large": 5}
    stats = {name: evaluation.stats[place] for name, place in (places | {"AR100": 8}).items()}
    return {name: None if value < 0 else value for name, value in stats.items()}


@pytest.mark.parametrize("seed", range(6))
def test_figures_are_those_of_pycocotools(seed: int) -> None:
    found, true = scene(seed)
    metric = Metric.from_params({"type": "mean_average_precision", "num_classes": 4})
    metric(found[:5], true[:5])
    metric(found[5:], true[5:])
    figures: Any = metric.get_metric()
    expected = coco_figures(found, true, 4)
    per_class = figures.pop("per_class_AP")
    assert figures == pytest.approx(expected, abs=1e-9)
    assert per_class[3] is None, "a class that is only predicted has none"
    assert np.mean([value for value in per_class if value is not None]) == pytest.approx(
        expected["mAP"]
    )


def boxes(*corners: list[float], **more: Any) -> dict[str, torch.Tensor]:
    values = {name: torch.tensor(value) for name, value in more.items()}
    labels = torch.zeros(len(corners), dtype=torch.int64)
    return {"boxes": torch.tensor(corners).reshape(-1, 4), "labels": labels, **values}


BOX = [0.0, 0.0, 10.0, 10.0]


def figures_of(found: Side, true: Side) -> dict[str, Any]:
    metric = Metric.from_params("mean_average_precision")
    metric(found, true)
    value: Any = metric.get_metric()
    return dict(value)


def test_a_wrong_detection_on_an_empty_image_costs() -> None:
    hit, empty = boxes(BOX, scores=[0.5]), boxes()
    wrong = boxes(BOX, [50.0, 50.0, 60.0, 60.0], scores=[0.9, 0.8])
    alone = figures_of([hit], [boxes(BOX)])
    assert alone["mAP"] == alone["mAP_small"] == 1 and alone["mAP_large"] is None
    assert figures_of([hit, wrong], [boxes(BOX), empty])["mAP"] == pytest.approx(1 / 3)


def test_images_without_true_boxes_have_no_figures() -> None:
    found = figures_of([boxes(BOX, scores=[0.5])], [boxes()])
    assert found["mAP"] is None and found["per_class_AP"] == [None]
    assert figures_of([boxes(scores=[])], [boxes(BOX)])["mAP"] == 0


def test_detections_in_a_crowd_do_not_count() -> None:
    crowd = boxes(BOX, [50.0, 0.0, 150.0, 100.0], crowd=[False, True])
    inside = boxes(BOX, [60.0, 10.0, 70.0, 20.0], scores=[0.5, 0.9])
    assert figures_of([inside], [crowd])["mAP"] == 1


def test_a_restored_state_goes_on_with_new_images() -> None:
    first, second = Metric.from_params("mean_average_precision"), scene(1)
    first(*scene(0))
    other = Metric.from_params("mean_average_precision")
    other.load_state(first.state())
    for metric in (first, other):
        metric(*second)
    assert first.get_metric() == other.get_metric()


def test_boxes_without_scores_or_labels_for_each_are_an_error() -> None:
    metric = Metric.from_params("mean_average_precision")
    with pytest.raises(ValueError, match="scores: expected 1, one for each box, found 2"):
        metric([boxes(BOX, scores=[0.1, 0.2])], [boxes(BOX)])
