from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from allencv_al.common import ConfigurationError
from allencv_al.common.errors import WeightsError
from allencv_al.modules.im2im_encoders import CifarResnetEncoder, Im2ImEncoder


# He et al. 2015, table 6, in millions; the classifier of ten classes is counted too.
@pytest.mark.parametrize(
    ("depth", "millions"), [(20, "0.27"), (32, "0.46"), (44, "0.66"), (56, "0.85"), (110, "1.7")]
)
def test_parameters_are_as_many_as_in_the_paper(depth: int, millions: str) -> None:
    with torch.device("meta"):
        encoder = CifarResnetEncoder(depth)
    count = sum(p.numel() for p in encoder.parameters()) + 64 * 10 + 10
    digits = len(millions.partition(".")[2])
    assert f"{count / 1e6:.{digits}f}" == millions


def test_the_exact_count_of_resnet20() -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in CifarResnetEncoder(20).parameters()) == 269_722 - 650
        option_b = sum(p.numel() for p in CifarResnetEncoder(20, "B").parameters())
    # Two 1x1 convolutions, 16 to 32 and 32 to 64 channels, each with a batch norm.
    assert option_b == 269_722 - 650 + (16 * 32 + 2 * 32) + (32 * 64 + 2 * 64)


@pytest.mark.parametrize("shortcut", ["A", "B"])
def test_it_has_as_many_layers_as_its_depth(shortcut: Any) -> None:
    encoder = CifarResnetEncoder(20, shortcut)
    layers = [m for m in encoder.modules() if isinstance(m, torch.nn.Conv2d)]
    on_the_way = [m for m in layers if m.kernel_size == (3, 3)]
    assert len(on_the_way) == 20 - 1  # and the classifier
    assert encoder.output_shape(3, 32, 32) == (64, 8, 8)


def test_option_a_takes_every_other_pixel_and_pads_with_zeros() -> None:
    encoder = CifarResnetEncoder(8, "A").eval()
    block = encoder.model[4][0]
    image = torch.rand(1, 16, 8, 8)
    shortcut = block.shortcut(image)
    assert shortcut.shape == (1, 32, 4, 4)
    assert torch.equal(shortcut[:, 8:24], image[:, :, ::2, ::2])
    assert shortcut[:, :8].eq(0).all()
    assert shortcut[:, 24:].eq(0).all()


@pytest.mark.parametrize("depth", [0, 2, 18, 21, 55])
def test_depth_is_6n_plus_2(depth: int) -> None:
    message = rf"depth: expected 6n \+ 2 .* found {depth}"
    with pytest.raises(ConfigurationError, match=message):
        Im2ImEncoder.from_params({"type": "cifar_resnet", "depth": depth})


def test_published_weights_are_read_without_their_classifier(shared_data: Path) -> None:
    file = shared_data / "weights" / "resnet20-12fca82f.th"
    encoder = CifarResnetEncoder(20, weights_file=file)
    published = torch.load(file, map_location="cpu", weights_only=True)["state_dict"]
    assert torch.equal(
        encoder.state_dict()["model.5.2.bn2.running_var"],
        published["module.layer3.2.bn2.running_var"],
    )
    with pytest.raises(WeightsError, match=r"missing .*model\.3\.3\.conv1\.weight"):
        CifarResnetEncoder(32, weights_file=file)


def test_the_encoder_of_a_run_of_ours_is_read(tmp_path: Path) -> None:
    first = CifarResnetEncoder(8)
    whole = {f"_im2im_encoder.{name}": tensor for name, tensor in first.state_dict().items()}
    whole["_classification_layer.weight"] = torch.zeros(3, 64)
    whole["_classification_layer.bias"] = torch.zeros(3)
    save_file(whole, tmp_path / "model.safetensors")
    second = CifarResnetEncoder(8, weights_file=tmp_path / "model.safetensors")
    assert all(torch.equal(t, second.state_dict()[name]) for name, t in first.state_dict().items())


def test_an_absent_file_is_a_config_fault() -> None:
    config = {"type": "cifar_resnet", "depth": 8, "weights_file": "/absent.th"}
    with pytest.raises(ConfigurationError, match=r"weights_file: no such file: /absent\.th"):
        Im2ImEncoder.from_params(config)
