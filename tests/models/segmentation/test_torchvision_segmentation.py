"""torchvision's segmentation networks."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from allencv_al.common import ConfigurationError
from allencv_al.data.vocabulary import Vocabulary
from allencv_al.models import Model
from allencv_al.models.segmentation.torchvision_segmentation import (
    TorchvisionSegmentation,
)

SMALL = "lraspp_mobilenet_v3_large"


def build(model: str, **changes: Any) -> TorchvisionSegmentation:
    config = {"type": "torchvision_segmentation", "model": model, "num_classes": 4, **changes}
    built = Model.from_params(config, vocab=Vocabulary({}))
    assert isinstance(built, TorchvisionSegmentation)
    return built


# The others differ from these in their depth alone
@pytest.mark.parametrize("name", [SMALL, "deeplabv3_mobilenet_v3_large", "fcn_resnet50"])
def test_every_network_gives_logits_of_the_images_size(name: str) -> None:
    with torch.device("meta"):
        model = build(name).eval()
        found = model.scores(torch.empty(2, 3, 33, 50))
    assert found["logits"].shape == (2, 4, 33, 50)


def test_it_learns_and_embeds() -> None:
    model = build(SMALL)
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert {norm.momentum for norm in norms} == {0.1}, "torchvision's 0.01 lags in short trainings"
    images, masks = torch.rand(2, 3, 33, 33), torch.randint(4, (2, 33, 33))
    model(images, mask=masks)["loss"].backward()
    assert model.eval().embed(images).shape == (2, 960)


def test_the_second_output_adds_half_its_loss() -> None:
    with torch.device("meta"):
        model = build("fcn_resnet50", aux_loss=True)
        found = model.scores(torch.empty(2, 3, 32, 32))
    assert found["aux"].shape == found["logits"].shape
    logits = torch.zeros(1, 4, 2, 2)
    gold = torch.tensor([[[0, 1], [255, 255]]])
    more = model.more_loss({"aux": logits}, gold)
    torch.testing.assert_close(more, torch.tensor(4.0).log() / 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": "IMAGENET1K_V1"}, "weights: expected null or one of COCO_WITH_VOC_LABELS_V1"),
        ({"weights_backbone": "X"}, "weights_backbone: expected null or one of IMAGENET1K_V1"),
        ({"aux_loss": True}, f"aux_loss: {SMALL} has no second output"),
    ],
)
def test_wrong_options_are_named(changes: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        build(SMALL, **changes)
