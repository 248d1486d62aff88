"""The stages of torchvision's residual networks."""

from __future__ import annotations

from pathlib import Path

import torch
from torchvision import models

from allencv_al.modules.image_encoders import ResnetMapsEncoder


def test_a_file_of_torchvision_gives_torchvisions_maps(tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = models.resnet18().eval()
    torch.save(network.state_dict(), tmp_path / "resnet18.pth")
    encoder = ResnetMapsEncoder("resnet18", weights_file=tmp_path / "resnet18.pth").eval()
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        expected = network.maxpool(network.relu(network.bn1(network.conv1(image))))
        for stage, found in zip(
            (network.layer1, network.layer2, network.layer3, network.layer4),
            encoder(image),
            strict=True,
        ):
            expected = stage(expected)
            torch.testing.assert_close(found, expected)


def test_the_last_map_may_be_pooled_and_norms_frozen() -> None:
    with torch.device("meta"):
        pooled = ResnetMapsEncoder("resnet18", do_last_layer_pooling=True)
        frozen = ResnetMapsEncoder("resnet18", norm_layer="frozen_batch_norm")
    assert pooled.map_shapes()[-1] == (512, 1, 1)
    assert pooled.map_shapes()[:-1] == frozen.map_shapes()[:-1]
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in frozen.modules())
