"""torchvision's classifiers without their last layer."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torchvision import models

from allencv_al.common import ConfigurationError
from allencv_al.modules.im2vec_encoders import Im2VecEncoder, TorchvisionVectorEncoder
from allencv_al.modules.torchvision_networks import build_classifier, classifier_names


@torch.no_grad()
@pytest.mark.parametrize(
    "name",
    [
        "mobilenet_v3_small",
        "shufflenet_v2_x0_5",
        pytest.param("vit_b_16", marks=pytest.mark.slow),
    ],
)
def test_the_vector_is_what_the_last_layer_gets(name: str, tmp_path: Path) -> None:
    network = build_classifier(name).eval()
    torch.save(network.state_dict(), tmp_path / "w.pth")
    seen: list[torch.Tensor] = []
    last = [part for part in network.modules() if isinstance(part, torch.nn.Linear)][-1]
    last.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    image = torch.randn(1, 3, 224, 224)
    network(image)
    encoder = TorchvisionVectorEncoder(name, weights=str(tmp_path / "w.pth")).eval()
    torch.testing.assert_close(encoder(image), seen[0])


@torch.no_grad()
def test_a_network_that_pools_last_gives_the_average_of_its_map(shared_data: Path) -> None:
    file = shared_data / "weights" / "squeezenet1_1-caffe-acdec127.pth"
    encoder = TorchvisionVectorEncoder("squeezenet1_1", str(file), requires_grad=False)
    network = models.squeezenet1_1()
    network.load_state_dict(torch.load(file, weights_only=True))
    image = torch.randn(1, 3, 96, 96)
    torch.testing.assert_close(encoder(image), network.eval().features(image).mean((2, 3)))


@pytest.mark.parametrize("name", ["convnext_tiny", "googlenet", "swin_t", "vgg11", "vit_b_16"])
def test_a_classifier_has_a_vector(name: str) -> None:
    with torch.device("meta"):
        encoder = TorchvisionVectorEncoder(name)
        encoder.check_input(3, 224, 224)
    assert 256 <= encoder.get_output_dim() <= 8192


@pytest.mark.slow
# Less one: regnets cannot be built on "meta", and this one's weights are 2.6 GB
@pytest.mark.parametrize("name", sorted({*classifier_names(False)} - {"regnet_y_128gf"}))
def test_every_classifier_has_a_vector(name: str) -> None:
    test_a_classifier_has_a_vector(name)


def test_a_vision_transformer_is_built_for_the_size_of_its_images() -> None:
    with torch.device("meta"):
        TorchvisionVectorEncoder("vit_b_16", img_size=384).check_input(3, 384, 384)
        with pytest.raises(ConfigurationError, match=r"cannot take images of 3x224x224.*384"):
            TorchvisionVectorEncoder("vit_b_16", "IMAGENET1K_SWAG_E2E_V1").check_input(3, 224, 224)
    with pytest.raises(ConfigurationError, match="img_size: resnet18 is not built for one size"):
        TorchvisionVectorEncoder("resnet18", img_size=64)


def test_unknown_names_are_config_faults() -> None:
    with pytest.raises(ConfigurationError, match=r'torchvision has no classifier "vit_b_17"'):
        Im2VecEncoder.from_params({"type": "torchvision", "model": "vit_b_17"})
    with pytest.raises(ConfigurationError, match=r"weights: expected one of IMAGENET1K_V1.*SWAG"):
        Im2VecEncoder.from_params({"type": "torchvision", "model": "vit_b_16", "weights": "LAION"})
