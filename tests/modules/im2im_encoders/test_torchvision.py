from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torchvision import models

from allencv_al.common import ConfigurationError
from allencv_al.common.errors import WeightsError
from allencv_al.modules.im2im_encoders import Im2ImEncoder, TorchvisionEncoder


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
