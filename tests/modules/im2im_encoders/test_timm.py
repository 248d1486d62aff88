from __future__ import annotations

from pathlib import Path

import pytest
import torch

from allencv_al.common import ConfigurationError
from allencv_al.modules.im2im_encoders import Im2ImEncoder, TimmEncoder


def test_weights_with_timms_names_are_read(tmp_path: Path) -> None:
    import timm

    network = timm.create_model("resnet10t").eval()
    torch.save(network.state_dict(), tmp_path / "w.pth")
    encoder = TimmEncoder("resnet10t", weights_file=tmp_path / "w.pth").eval()
    image = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(encoder(image), network.forward_features(image), atol=1e-5)


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        ("swin_tiny_patch4_window7_224", (768, 7, 7)),  # timm's map is channels-last there
        ("convnext_tiny", (768, 7, 7)),
        ("efficientnet_b0", (1280, 7, 7)),
    ],
)
def test_maps_are_channels_first(model: str, shape: tuple[int, int, int]) -> None:
    with torch.device("meta"):
        assert TimmEncoder(model).output_shape(3, 224, 224) == shape


def test_other_channels() -> None:
    assert TimmEncoder("resnet10t", input_channels=1).output_shape(1, 64, 64) == (512, 2, 2)


def test_tokens_are_no_feature_map() -> None:
    with torch.device("meta"):
        encoder = TimmEncoder("vit_tiny_patch16_224")
        with pytest.raises(ConfigurationError, match="gives 197x192, not a feature map"):
            encoder.output_shape(3, 224, 224)


def test_unknown_models_are_config_faults() -> None:
    with pytest.raises(ConfigurationError, match=r'model: timm has no model "resnet10x"'):
        Im2ImEncoder.from_params({"type": "timm", "model": "resnet10x"})
    with pytest.raises(ConfigurationError, match=r'"resnet18.a1_in2k"; did you mean "resnet18.a1_'):
        Im2ImEncoder.from_params({"type": "timm", "model": "resnet18.a1_in2k"})
