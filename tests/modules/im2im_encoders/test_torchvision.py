from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torchvision import models

from allencv_al.common import ConfigurationError
from allencv_al.common.errors import WeightsError
from allencv_al.modules.im2im_encoders import Im2ImEncoder, TorchvisionEncoder
from allencv_al.modules.im2im_encoders.torchvision_features import (
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


@pytest.mark.parametrize("name", [*LINEAR_HEADS, *OTHER_HEADS])
def test_weights_with_torchvisions_names_are_read(name: str, tmp_path: Path) -> None:
    network = build_classifier(name)
    for parameter in network.parameters():
        parameter.data.fill_(0.25)
    torch.save(network.state_dict(), tmp_path / "w.pth")
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


def test_auxiliary_outputs_of_published_weights_are_left_out(tmp_path: Path) -> None:
    with torch.device("meta"):
        network = models.get_model("googlenet", aux_logits=True, init_weights=True)
    state = {name: torch.zeros(tensor.shape) for name, tensor in network.state_dict().items()}
    torch.save(state, tmp_path / "w.pth")
    TorchvisionEncoder("googlenet", weights=str(tmp_path / "w.pth"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "resnet19"}, r'model: torchvision has no classifier "resnet19".*resnet1'),
        ({"model": "vit_b_16"}, "model: .* vision transformer: it gives tokens"),
        ({"model": "fcn_resnet50"}, "model: torchvision has no classifier"),
        ({"weights": "IMAGENET"}, r"weights: expected one of IMAGENET1K_V1.* or a file ending in"),
        ({"weights": "/absent.pth"}, r"weights: no such file: /absent\.pth"),
    ],
)
def test_wrong_values_are_config_faults(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Im2ImEncoder.from_params({"type": "torchvision", "model": "squeezenet1_1", **changes})


def test_images_that_are_too_small_are_named() -> None:
    with pytest.raises(ConfigurationError, match=r"cannot take images of 3x8x8 \(too small"):
        TorchvisionEncoder("squeezenet1_1").output_shape(3, 8, 8)


def test_a_size_that_varies_stays_unknown() -> None:
    assert TorchvisionEncoder("squeezenet1_1").output_shape(3, None, 224) == (512, None, 13)


def test_published_squeezenet_weights_without_their_classifier(shared_data: Path) -> None:
    file = shared_data / "weights" / "squeezenet1_1-caffe-acdec127.pth"
    encoder = TorchvisionEncoder("squeezenet1_1", weights=str(file), requires_grad=False)
    network = models.squeezenet1_1()
    network.load_state_dict(torch.load(file, weights_only=True))
    image = torch.randn(1, 3, 96, 96)
    assert torch.allclose(encoder(image), network.eval().features(image), atol=1e-5)
    assert not encoder(image).requires_grad
    with pytest.raises(WeightsError, match=r"unexpected \(features\.10\.expand1x1\.bias|missing"):
        TorchvisionEncoder("squeezenet1_0", weights=str(file))
