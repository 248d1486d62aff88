"""The targets, the metrics and the outputs of models of boxes."""

from __future__ import annotations

import contextlib
import io
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from allencv_al.common import ConfigurationError
from allencv_al.data.batch import collate
from allencv_al.data.dataset_readers import DatasetReader
from allencv_al.data.vocabulary import Vocabulary
from allencv_al.models import Model
from allencv_al.models.detection.detection_model import DetectionModel
from allencv_al.models.model import model_outputs
from allencv_al.predictors.prediction_json import dump_line, rows_of_outputs
from allencv_al.selection.pool.unlabeled_pool import Pool
from allencv_al.selection.strategies.base import QueryStrategy
from allencv_al.tasks.base import label_task
from allencv_al.tasks.score_axes import AGGREGATES

NAMES = Vocabulary({"labels": {"cat": 1, "dog": 1}})
PYRAMID: dict[str, Any] = {
    "type": "feature_pyramid",
    "output_channels": 32,
    "backbone": {"type": "conv_maps", "base_channels": 4, "num_levels": 4, "skip_levels": 2},
}
IMAGES = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
BOXES = [torch.tensor([[5.0, 5, 30, 30], [20, 20, 60, 50]]), torch.zeros(0, 4)]
LABELS = [torch.tensor([0, 1]), torch.zeros(0, dtype=torch.int64)]


def build(**changes: Any) -> DetectionModel:
    torch.manual_seed(0)
    config = {"type": "fcos", "backbone": PYRAMID, "score_thresh": 0.0, **changes}
    model = Model.from_params(config, vocab=NAMES)
    assert isinstance(model, DetectionModel)
    return model


def test_an_image_without_boxes_is_learned_too() -> None:
    model = build()
    outputs = model(IMAGES, boxes=BOXES, box_labels=LABELS)
    parts = [part.item() for name, part in outputs.items() if name != "loss"]
    assert outputs["loss"].item() == pytest.approx(sum(parts))
    outputs["loss"].backward()
    nothing = [BOXES[1]] * 2, [LABELS[1]] * 2
    assert torch.isfinite(model(IMAGES, boxes=nothing[0], box_labels=nothing[1])["loss"])


def test_parts_of_the_loss_are_metrics_of_training_and_survive_a_checkpoint() -> None:
    model = build()
    for _ in range(2):
        outputs = model(IMAGES, boxes=BOXES, box_labels=LABELS)
    found = model.collect_metrics()
    assert found["bbox_ctrness"] == pytest.approx(outputs["bbox_ctrness"].item(), rel=1e-4)
    other = build()
    other.load_metric_state(model.metric_state())
    assert other.collect_metrics() == found


def test_evaluation_counts_boxes_by_class_names() -> None:
    model = build(metrics={"coco": "mean_average_precision"}).eval()
    with torch.no_grad():
        outputs = model(IMAGES, boxes=BOXES, box_labels=LABELS)
    assert "loss" not in outputs
    metrics = model.collect_metrics(reset=True)
    assert list(metrics["per_class_AP"]) == ["cat", "dog"]
    assert metrics["coco_mAP"] == metrics["mAP"]
    # The network finds what is there: class 0 outside is torchvision's class 1
    found = [{"boxes": BOXES[0], "labels": LABELS[0] + 1, "scores": torch.ones(2)}]
    empty = {"boxes": BOXES[1], "labels": LABELS[1], "scores": torch.zeros(0)}
    model.network.forward = lambda images: [*found, empty]  # type: ignore[method-assign]
    model(IMAGES, boxes=BOXES, box_labels=LABELS)
    assert model.collect_metrics()["per_class_AP"] == {"cat": 1.0, "dog": 1.0}


def test_readable_outputs_are_objects() -> None:
    model = build(detections_per_img=3).eval()
    with torch.no_grad():
        outputs = model(IMAGES)
    rows = rows_of_outputs(model.make_output_human_readable(outputs), 2)
    assert list(rows[0]) == ["objects"]
    best, *others = rows[0]["objects"]
    assert set(best) == {"label", "score", "x", "y", "width", "height"}
    assert best["label"] in ("cat", "dog")
    assert len(others) == 2 and best["score"] >= others[0]["score"]
    assert len(dump_line(rows[0])) < 1000, "no logits of anchors"


def test_the_embedding_is_the_mean_of_the_coarsest_map() -> None:
    assert build().eval().embed(IMAGES).shape == (2, 32)


@pytest.mark.parametrize(
    ("boxes", "labels", "message"),
    [
        ([[5.0, 5, 5, 30]], [0], r"image 0 of the batch has a box without area, \[5"),
        ([[5.0, 5, 9, 30]], [2], "image 0 of the batch: class index 2: expected 0 to 1"),
        ([[5.0, 5, 9, 30]], [-1], "class index -1"),
        ([[5.0, 5, 9, 30]], [0, 1], "has 1 boxes and 2 labels"),
    ],
)
def test_wrong_targets_are_named(boxes: Any, labels: Any, message: str) -> None:
    targets = [torch.tensor(boxes)], [torch.tensor(labels)]
    with pytest.raises(ValueError, match=message):
        build()(IMAGES[:1], boxes=targets[0], box_labels=targets[1])


def test_fewer_classes_than_names_are_refused() -> None:
    assert build(num_labels=3).class_names() == ["cat", "dog", "2"]
    with pytest.raises(ConfigurationError, match="num_labels: expected at least 2"):
        build(num_labels=1)


def test_images_keep_their_size_inside_unless_one_is_given() -> None:
    def inside(**sizes: int) -> Any:
        network: Any = build(**sizes).network
        shapes = {
            tuple(network.train(mode).transform([IMAGES[0]])[0].tensors.shape[2:])
            for mode in (True, False)
        }
        assert len(shapes) == 1, "training and evaluation see the same"
        return shapes.pop()

    assert inside() == (64, 64)
    assert inside(min_size=96) == inside(max_size=96) == (96, 96)
    assert inside(min_size=200, max_size=128) == (224, 224)  # multiples of 32


RCNN = {
    "type": "faster_rcnn",
    "rpn": {"type": "rpn", "backbone": PYRAMID, "post_nms_top_n": 40},
    "roi_box_head": {"feature_extractor": {"type": "flatten"}, "decoder_thresh": 0.01},
}
SOFTMAX = ("faster_rcnn", "ssdlite")


@pytest.mark.parametrize(
    "config",
    [
        {"type": "fcos", "backbone": PYRAMID, "score_thresh": 0.0},
        {"type": "retinanet", "backbone": PYRAMID, "score_thresh": 0.0},
        RCNN,
        {"type": "ssdlite"},
    ],
    ids=lambda config: config["type"],
)
def test_doubts_come_from_the_class_scores_behind_each_detection(config: Any) -> None:
    torch.manual_seed(0)
    model: Any = Model.from_params(config, vocab=NAMES).eval()
    network = model.network
    for one in network.parameters():  # untrained heads score all places alike
        one.data.add_(torch.randn(one.shape) * 0.02)
    seen: list[Any] = []
    head = network.roi_heads.box_predictor if config is RCNN else network.head
    head.register_forward_hook(lambda module, inputs, outputs: seen.append(outputs))
    with torch.no_grad():
        outputs = model(IMAGES[:1])
    logits = seen[0][0] if config is RCNN else seen[0]["cls_logits"][0]
    centers = seen[0]["bbox_ctrness"][0].sigmoid() if config["type"] == "fcos" else None
    found = list(zip(*(outputs[name][0] for name in ("scores", "labels", "doubts")), strict=True))
    assert len(found) > 5
    for score, label, doubts in found[:6]:
        shares = logits.softmax(-1) if config["type"] in SOFTMAX else logits.sigmoid()
        own = shares if centers is None else (shares * centers).sqrt()
        column = int(label) + 1
        row = min(range(len(own)), key=lambda n: abs(float(own[n, column] - score)))
        parts = shares[row]
        if config["type"] not in SOFTMAX:  # without the column of the background
            parts = torch.stack([parts[1:], 1 - parts[1:]])
        p = sorted(parts.reshape(-1, parts.shape[-1])[0].tolist(), reverse=True)
        entropy = -float((parts * parts.log()).sum())
        expected = [1 - p[0], 1 - (p[0] - p[1]), entropy]
        assert doubts.tolist() == pytest.approx(expected, abs=1e-5)


def test_the_uncertainty_of_an_image_is_the_sum_over_its_detections() -> None:
    model = build(score_thresh=0.05).eval()
    with torch.no_grad():
        outputs = model(IMAGES)
        scores = model.task.unit_scores(outputs)
    assert scores.shape == (2, 3, len(AGGREGATES)) and len(outputs["doubts"][0]) > 0
    summed = scores[0, :, AGGREGATES.index("sum")]
    torch.testing.assert_close(summed, outputs["doubts"][0].sum(dim=0))


def test_crowds_from_the_file_to_the_figures_are_those_of_pycocotools(tmp_path: Path) -> None:
    """A reader, a flip, a batch and the model's metrics, against COCO's own file and code."""
    width, height = 60, 40
    Image.new("RGB", (width, height)).save(tmp_path / "a.png")
    boxes = [([2, 2, 20, 20], 1, 0), ([20, 5, 36, 30], 1, 1), ([30, 20, 10, 10], 2, 0)]
    content = {
        "images": [{"id": 7, "file_name": "a.png", "width": width, "height": height}],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
        "annotations": [
            {"id": n, "image_id": 7, "category_id": c, "bbox": b, "area": b[2] * b[3], "iscrowd": k}
            for n, (b, c, k) in enumerate(boxes, start=1)
        ],
    }
    file = tmp_path / "a.json"
    file.write_text(json.dumps(content), encoding="utf-8")
    found = [([3, 2, 20, 21], 1, 0.6), ([24, 6, 9, 9], 1, 0.9), ([30, 22, 10, 10], 2, 0.5)]
    found += [([44, 2, 12, 12], 1, 0.8), ([0, 20, 9, 9], 2, 0.7)]

    augmentation = [{"type": "flip", "p": 1.0}]
    reader = DatasetReader.from_params({"type": "coco", "augmentation": augmentation})
    [item] = reader.read(file)
    sample = reader.load(item, seed=0)
    tensors = collate([item], [sample], NAMES).tensors
    assert [len(tensors["boxes"][0]), len(tensors["ignored_boxes"][0])] == [2, 1]
    model = build().eval()
    corners = [[width - x - w, y, width - x, y + h] for (x, y, w, h), _, _ in found]
    model._detect = lambda images: [  # type: ignore[method-assign]
        {
            "boxes": torch.tensor(corners, dtype=torch.float32),
            "labels": torch.tensor([label - 1 for _, label, _ in found]),
            "scores": torch.tensor([score for *_, score in found], dtype=torch.float64),
        }
    ]
    model(**{**tensors, "image": tensors["image"].float() / 255})
    figures = model.get_metrics()

    with contextlib.redirect_stdout(io.StringIO()):
        gold = COCO(str(file))
        rows = [
            {"image_id": 7, "category_id": label, "bbox": box, "score": score}
            for box, label, score in found
        ]
        evaluation = COCOeval(gold, gold.loadRes(rows), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    expected = {"mAP": 0, "AP50": 1, "AP75": 2, "AR100": 8}
    assert {name: figures[name] for name in expected} == pytest.approx(
        {name: evaluation.stats[place] for name, place in expected.items()}, abs=1e-9
    )
    assert 0 < figures["mAP"] < 1


@pytest.mark.parametrize("size", [{}, {"min_size": 128}], ids=["as it is", "resized"])
def test_a_feature_is_the_mean_of_the_finest_map_over_the_box(size: Any) -> None:
    model = build(**size).eval()
    maps: list[torch.Tensor] = []
    network: Any = model.network
    network.backbone.register_forward_hook(
        lambda _, __, found: maps.append(next(iter(found.values())))
    )
    detect, boxes = model._detect, torch.tensor([[16.0, 32, 48, 64], [0, 0, 64, 64], [0, 0, 9, 9]])
    found = {
        "boxes": boxes,
        "labels": torch.tensor([1, 0, 1]),
        "scores": torch.tensor([0.5, 0.9, 0.04]),
    }
    nothing = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0), "scores": torch.zeros(0)}
    model._detect = lambda images: (detect(images), [found, nothing])[1]  # type: ignore[method-assign]
    with torch.no_grad():
        rows = model_outputs(model, IMAGES, {"objects"})["objects"]
    [finest] = maps
    cells = finest.shape[-1] / 64
    assert rows.shape == (2, 20, 3 + finest.shape[1])
    assert rows[0, :2, :2].tolist() == [[0, pytest.approx(0.9)], [1, 0.5]], "the surest first"
    assert rows[0, 1, 2].item() == pytest.approx(math.log(2))
    left, top, right, bottom = (int(value * cells) for value in boxes[0].tolist())
    mean = finest[0, :, top:bottom, left:right].mean(dim=(1, 2))
    assert torch.allclose(rows[0, 1, 3:], mean / mean.norm(), atol=1e-5)
    assert (rows[0, 2:, 0] == -1).all() and (rows[1, :, 0] == -1).all() and not rows[1, :, 1:].any()


def test_boxes_are_chosen_by_ppal_and_other_labels_refuse_it() -> None:
    strategy = QueryStrategy.by_name("ppal")()
    assert strategy.for_task(label_task("detection")).needs == {"objects"}
    for other in ("single_label", "multi_label", "segmentation"):
        with pytest.raises(
            ConfigurationError, match='"ppal" reads objects, and labels of the kind'
        ):
            strategy.for_task(label_task(other))
    with torch.no_grad():
        objects = build(score_thresh=0.2).eval().objects(IMAGES)
    assert len(strategy.select(Pool(["a", "b"], objects=objects.numpy()), 1)) == 1
