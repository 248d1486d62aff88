"""The feature parts of torchvision's classifiers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from allencv_al.modules.im2im_encoders import TorchvisionEncoder
from allencv_al.modules.torchvision_networks import (
    build_classifier,
    classifier_names,
    feature_part,
)

# One of each family whose head is pooling and a linear layer, so that it can be done by hand.
LINEAR_HEADS = (
    "densenet121",
    "efficientnet_b0",
    "googlenet",
    "mnasnet0_5",
    "mobilenet_v2",
    "regnet_y_400mf",
    "resnet18",
    "shufflenet_v2_x0_5",
    "swin_t",
)


# And of the others; every name is tried in the slow test.
OTHER_HEADS = ("convnext_tiny", "mobilenet_v3_small", "squeezenet1_0")
LARGE = ("swin_t", "convnext_tiny")  # more than 100 MB


@pytest.mark.parametrize("name", LINEAR_HEADS)
def test_pooling_and_head_give_torchvisions_logits(name: str) -> None:
    torch.manual_seed(0)
    network = build_classifier(name).eval()
    if name == "googlenet":
        network.transform_input = True  # as torchvision sets it for the published weights
    part = feature_part(name, network)
    head = network.get_submodule(part.head.rstrip("."))
    image = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        features = part.sequential().eval()(image)
        logits = head(features.mean((2, 3)))
        assert torch.allclose(logits, network(image), atol=1e-4)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow) if name in LARGE else name
        for name in (*LINEAR_HEADS, *OTHER_HEADS)
    ],
)
def test_weights_with_torchvisions_names_are_read(name: str, tmp_path: Path) -> None:
    with torch.device("meta"):  # random values take most of the time
        state = build_classifier(name).state_dict()
    torch.save(
        {key: torch.full_like(v, 0.25, device="cpu") for key, v in state.items()},
        tmp_path / "w.pth",
    )
    encoder = TorchvisionEncoder(name, weights=str(tmp_path / "w.pth"))
    assert all(parameter.eq(0.25).all() for parameter in encoder.parameters())


@pytest.mark.slow
# Less one: regnets cannot be built on "meta", and this one's weights are 2.6 GB.
@pytest.mark.parametrize("name", sorted({*classifier_names()} - {"regnet_y_128gf"}))
def test_every_classifier_has_a_feature_map(name: str) -> None:
    with torch.device("meta"):
        channels, height, width = TorchvisionEncoder(name).output_shape(3, 224, 224)
    assert channels >= 256
    assert height == width
    assert height in (5, 6, 7, 13)


def test_old_densenet_names_are_read(tmp_path: Path) -> None:
    state = build_classifier("densenet121").state_dict()
    old = {
        name.replace(".norm1.", ".norm.1.").replace(".conv2.", ".conv.2."): tensor
        for name, tensor in state.items()
    }
    assert old.keys() != state.keys()
    torch.save(old, tmp_path / "w.pth")
    encoder = TorchvisionEncoder("densenet121", weights=str(tmp_path / "w.pth"))
    assert torch.equal(encoder.model[0].weight, state["features.conv0.weight"])
