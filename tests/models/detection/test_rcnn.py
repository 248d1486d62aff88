"""Detectors in two stages, with AllenCV's keys."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from allencv_al.common import ConfigurationError
from allencv_al.data.vocabulary import Vocabulary
from allencv_al.models import Model

BACKBONE: dict[str, Any] = {
    "type": "feature_pyramid",
    "output_channels": 8,
    "backbone": {"type": "conv_maps", "base_channels": 4, "num_levels": 4, "skip_levels": 2},
}
# The keys of AllenCV's fixtures, with smaller numbers
RPN: dict[str, Any] = {
    "type": "rpn",
    "backbone": BACKBONE,
    "anchor_sizes": [[16], [32], [64]],
    "anchor_aspect_ratios": [[0.5, 1.0, 2.0]] * 3,
    "batch_size_per_image": 10000000,
    "match_thresh_low": 0.0,
    "match_thresh_high": 0.001,
    "post_nms_top_n": 20,
}
HEAD: dict[str, Any] = {
    "feature_extractor": {
        "type": "flatten",
        "input_channels": 8,
        "input_height": 7,
        "input_width": 7,
        "feedforward": {"num_layers": 1, "hidden_dims": 8, "activations": "relu"},
    },
    "matcher_low_thresh": 0.0001,
    "matcher_high_thresh": 0.0001,
}
POINTS = {
    "feature_extractor": {
        "type": "feedforward",
        "num_layers": 1,
        "hidden_channels": 4,
        "activations": "relu",
    }
}
IMAGES = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
TARGETS: dict[str, Any] = {
    "boxes": [torch.tensor([[5.0, 5, 30, 30], [20, 20, 60, 50]]), torch.zeros(0, 4)],
    "box_labels": [torch.tensor([0, 1]), torch.zeros(0, dtype=torch.int64)],
}
RPN_LOSSES, ROI_LOSSES = {"rpn_cls_loss", "rpn_reg_loss"}, {"roi_cls_loss", "roi_reg_loss"}


def build(**config: Any) -> Model:
    torch.manual_seed(0)
    vocab = Vocabulary({"labels": {"cat": 1, "dog": 1}})
    return Model.from_params(config, vocab=vocab)


def test_proposals_have_boxes_and_scores_without_names() -> None:
    model = build(**RPN)
    outputs = model(IMAGES, **TARGETS)
    assert outputs.keys() - {"loss"} == RPN_LOSSES
    outputs["loss"].backward()
    with torch.no_grad():
        found = model.eval()(IMAGES, **TARGETS)
    assert [len(scores) for scores in found["scores"]] == [len(boxes) for boxes in found["boxes"]]
    assert all(len(boxes) <= 20 for boxes in found["boxes"])
    readable = model.make_output_human_readable(found)
    assert readable["objects"][0][0]["label"] == "object"
    assert list(model.collect_metrics()["per_class_AP"]) == ["object"]
    assert model.embed(IMAGES).shape == (2, 8)


@pytest.mark.parametrize("agnostic", [False, True])
@pytest.mark.parametrize("train_rpn", [False, True])
def test_the_second_stage_names_them(agnostic: bool, train_rpn: bool) -> None:
    model = build(
        type="faster_rcnn",
        rpn=RPN,
        roi_box_head=HEAD,
        train_rpn=train_rpn,
        class_agnostic_bbox_reg=agnostic,
    )
    outputs = model(IMAGES, **TARGETS)
    assert outputs.keys() - {"loss"} == ROI_LOSSES | (RPN_LOSSES if train_rpn else set())
    outputs["loss"].backward()
    network: Any = model.network
    assert all((p.grad is not None) == train_rpn for p in network.rpn.parameters())
    assert any(p.grad is not None for p in network.backbone.parameters())
    with torch.no_grad():
        found = model.eval()(IMAGES, **TARGETS)
    assert {int(label) for labels in found["labels"] for label in labels} <= {0, 1}
    assert list(model.collect_metrics()["per_class_AP"]) == ["cat", "dog"]


def points(*rows: list[float]) -> list[torch.Tensor]:
    return [torch.tensor(rows), torch.zeros(0, len(rows[0]))]


def keypoint_model() -> Model:
    return build(
        type="keypoint_rcnn", rpn=RPN, roi_box_head=HEAD, roi_keypoint_head=POINTS, num_keypoints=2
    )


@pytest.mark.parametrize(
    "keypoints",
    [
        points([10, 10, 2], [20, 20, 0], [30, 30, 2], [40, 40, 1]),
        points([10, 10], [20, 20], [30, 30], [40, 40]),
    ],
    ids=["visibility", "places"],
)
def test_keypoints_of_each_box(keypoints: list[torch.Tensor]) -> None:
    model = keypoint_model()
    outputs = model(IMAGES, **TARGETS, keypoints=keypoints)
    assert outputs.keys() - {"loss"} == {*ROI_LOSSES, "keypoint_loss"}
    outputs["loss"].backward()
    with torch.no_grad():
        readable = model.eval().make_output_human_readable(model(IMAGES))
    best = readable["objects"][0][0]
    assert len(best["keypoints"]) == 2 and len(best["keypoints"][0]) == 3


def test_the_place_of_an_absent_keypoint_changes_no_loss() -> None:
    model = keypoint_model()
    losses = []
    for place in (20.0, 45.0):
        torch.manual_seed(0)  # of the proposals that are learned
        rows = points([10, 10, 2], [place, place, 0], [30, 30, 2], [40, 40, 1])
        losses.append(model(IMAGES, **TARGETS, keypoints=rows)["keypoint_loss"].item())
    assert losses[0] == losses[1] > 0


def test_keypoints_learn_in_channels_last() -> None:
    model = keypoint_model().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    keypoints = points([10, 10, 2], [20, 20, 0], [30, 30, 2], [40, 40, 1])
    images = IMAGES.to(memory_format=torch.channels_last)
    model(images, **TARGETS, keypoints=keypoints)["loss"].backward()


def test_keypoints_of_another_number_are_an_error() -> None:
    with pytest.raises(ValueError, match="image 0 of the batch: expected 2 for each of 2 boxes"):
        keypoint_model()(IMAGES, **TARGETS, keypoints=points([1.0, 1.0], [2.0, 2.0], [3.0, 3.0]))
    with pytest.raises(ValueError, match="keypoints: the images have none"):
        keypoint_model()(IMAGES, **TARGETS)


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(ConfigurationError, match="match_thresh_low: expected at most"):
        build(**{**RPN, "match_thresh_low": 0.5})
    with pytest.raises(ConfigurationError, match="anchor_sizes: expected a list for each of the 3"):
        build(**{**RPN, "anchor_sizes": [[16]]})
    with pytest.raises(ConfigurationError, match='rpn: expected a model of type "rpn", found Fcos'):
        fcos = {"type": "fcos", "backbone": {**BACKBONE, "output_channels": 32}}
        build(type="faster_rcnn", rpn=fcos, roi_box_head=HEAD)
