from __future__ import annotations

from typing import Any

import pytest
import torch

from allencv_al.common import ConfigurationError
from allencv_al.common.config.config_check import check
from allencv_al.data.vocabulary import Vocabulary
from allencv_al.models.model import Model
from allencv_al.modules.convolutions import UnfoldConvolution
from allencv_al.modules.im2im_encoders import Im2ImEncoder


def build(**options: Any) -> Im2ImEncoder:
    return Im2ImEncoder.from_params({"type": "conv_levels", **options})


@pytest.mark.parametrize("convolution", ["conv2d", "unfold_conv"])
@pytest.mark.parametrize(("conv", "count"), [("torch", 13_202), ("custom", 16_338)])
def test_the_classifier_has_as_many_parameters_as_its_model(
    conv: str, count: int, convolution: str
) -> None:
    vocabulary = Vocabulary({"labels": {str(n): 1 for n in range(10)}})
    model = Model.from_params(
        {
            "type": "basic_image_classifier",
            "im2im_encoder": {"type": "conv_levels", "conv": conv, "convolution": convolution},
            "im2vec_encoder": {"type": "pool", "input_channels": 32, "mode": "average"},
        },
        vocab=vocabulary,
    )
    assert sum(parameter.numel() for parameter in model.parameters()) == count
    assert model(torch.randn(2, 3, 32, 32))["logits"].shape == (2, 10)


@pytest.mark.parametrize("conv", ["torch", "custom"])
def test_the_written_out_convolution_makes_the_same_network(conv: str) -> None:
    torch.manual_seed(0)
    plain = build(conv=conv)
    torch.manual_seed(0)
    written = build(conv=conv, convolution="unfold_conv")
    assert [type(m) for m in written.modules()].count(UnfoldConvolution) == (6, 12)[
        conv == "custom"
    ]
    image = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(written(image), plain(image))
    assert written.state_dict().keys() == plain.state_dict().keys()


def test_a_residual_unit_adds_to_its_input() -> None:
    encoder = build(conv="custom", num_levels=1, base_channels=2)
    with torch.no_grad():
        for name, parameter in encoder.named_parameters():
            if ".residual." in name:
                parameter.zero_()  # what is added is relu(0) = 0
    image = torch.randn(1, 3, 4, 4)
    first = encoder.get_submodule("model.0")
    expected = torch.nn.functional.max_pool2d(first(image), 2)
    torch.testing.assert_close(encoder(image), expected)


def test_levels_double_the_channels_and_halve_the_image() -> None:
    encoder = build(base_channels=4, num_levels=4, units_per_level=2, kernel_size=5, pool="average")
    assert encoder.output_shape(3, 32, 48) == (32, 2, 3)


def test_an_image_too_small_for_the_levels_names_its_shape() -> None:
    with pytest.raises(ConfigurationError, match="cannot take images of 3x4x4"):
        build().output_shape(3, 4, 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel_size": 4}, "kernel_size: expected an odd size, which keeps the image's, found 4"),
        ({"num_levels": 0}, "num_levels: expected int >= 1, found 0"),
        ({"base_channels": -1}, "base_channels: expected int >= 1, found -1"),
    ],
)
def test_a_wrong_number_is_named_by_config_and_constructor(
    options: dict[str, Any], message: str
) -> None:
    faults = check(Im2ImEncoder, {"type": "conv_levels", **options})
    assert [str(fault) for fault in faults] == [message]
    with pytest.raises(ConfigurationError, match=message):
        build(**options)
