"""Detectors in one stage, and torchvision's own."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from allencv_al.common import ConfigurationError
from allencv_al.common.config.config_check import ConfigView
from allencv_al.common.config.specs.object_specs import ObjectSpec
from allencv_al.common.config.specs.type_specs import Scope
from allencv_al.data.vocabulary import Vocabulary
from allencv_al.models import Model

PYRAMID: dict[str, Any] = {
    "type": "feature_pyramid",
    "output_channels": 32,
    "backbone": {"type": "conv_maps", "base_channels": 4, "num_levels": 4, "skip_levels": 2},
}
IMAGES = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
TARGETS: dict[str, Any] = {
    "boxes": [torch.tensor([[5.0, 5, 30, 30]]), torch.tensor([[20.0, 20, 60, 50]])],
    "box_labels": [torch.tensor([0]), torch.tensor([1])],
}


def build(**config: Any) -> Model:
    torch.manual_seed(0)
    vocab = Vocabulary({"labels": {"cat": 1, "dog": 1}})
    return Model.from_params(config, vocab=vocab)


@pytest.mark.parametrize("name", ["fcos", "retinanet"])
def test_boxes_are_found_by_training(name: str) -> None:
    model = build(type=name, backbone=PYRAMID, score_thresh=0.05)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    first = None
    for _ in range(6):
        optimizer.zero_grad()
        loss = model(IMAGES, **TARGETS)["loss"]
        loss.backward()
        optimizer.step()
        first = loss.item() if first is None else first
    assert first is not None and loss.item() < first


def test_the_anchors_follow_the_steps_of_the_maps() -> None:
    network: Any = build(type="retinanet", backbone=PYRAMID).network
    assert [sizes[0] for sizes in network.anchor_generator.sizes] == [16, 32, 64]
    network = build(type="fcos", backbone=PYRAMID).network
    assert network.anchor_generator.sizes == ((4,), (8,), (16,))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"type": "fcos", "backbone": {**PYRAMID, "output_channels": 16}},
            "expected maps of a multiple of 32 channels, found 16",
        ),
        (
            {"type": "retinanet", "backbone": PYRAMID["backbone"]},
            'expected maps of one width, found 16, 32 channels; put "feature_pyramid" around',
        ),
    ],
)
def test_maps_that_do_not_fit_are_a_fault_of_the_backbone(config: Any, message: str) -> None:
    view = ObjectSpec(Model).view(config, "model", Scope(assume_injected=True))
    assert isinstance(view, ConfigView)
    kind: Any = Model.by_name(config["type"])
    (fault,) = kind.shape_faults(view, (3, 64, 64))
    assert fault.path == "model.backbone" and message in fault.message
    with pytest.raises(ConfigurationError, match="backbone: "):
        build(**config)


def test_anchors_of_another_number_of_maps_are_an_error() -> None:
    with pytest.raises(ConfigurationError, match="anchor_sizes: expected a list for each of the 3"):
        build(type="retinanet", backbone=PYRAMID, anchor_sizes=[[16], [32]])
    ratios = [[1.0]]
    with pytest.raises(ConfigurationError, match="expected one list for each of the 2 lists"):
        build(
            type="retinanet",
            backbone=PYRAMID,
            anchor_sizes=[[16], [32]],
            anchor_aspect_ratios=ratios,
        )


@pytest.mark.parametrize("name", ["ssdlite320_mobilenet_v3_large", "retinanet_resnet50_fpn_v2"])
def test_a_detector_of_torchvision_is_built_without_downloads(name: str) -> None:
    with torch.device("meta"):
        model: Any = build(type="torchvision_detection", model=name)
    norms = [m for m in model.network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert {norm.momentum for norm in norms} <= {0.1}


def test_a_size_that_has_no_effect_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="min_size: ssd300_vgg16 has a size of its own"):
        build(type="torchvision_detection", model="ssd300_vgg16", min_size=64)


def test_ssdlite_learns_and_detects() -> None:
    model = build(type="ssdlite")
    loss = model(IMAGES, **TARGETS)["loss"]
    loss.backward()
    assert torch.isfinite(loss)
    with torch.no_grad():
        assert len(model.eval()(IMAGES)["boxes"]) == 2
    with pytest.raises(ConfigurationError, match="weights: expected null or one of COCO_V1"):
        build(type="ssdlite", weights="X")
