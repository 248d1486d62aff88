from __future__ import annotations

from typing import Any

import pytest
import torch

from allencv_al.common import ConfigurationError
from allencv_al.modules.activations import PReLU
from allencv_al.modules.im2im_encoders import FeedforwardEncoder, Im2ImEncoder

CONFIG: dict[str, Any] = {
    "type": "feedforward",
    "input_channels": 3,
    "num_layers": 3,
    "hidden_channels": 8,
    "activations": "relu",
}


def build(**changes: Any) -> Im2ImEncoder:
    return Im2ImEncoder.from_params({**CONFIG, **changes})


@pytest.mark.parametrize(
    ("changes", "shape"),
    [
        ({}, (8, 224, 224)),
        ({"downsample": True}, (8, 28, 28)),
        ({"downsample": True, "num_layers": 2, "hidden_channels": [8, 16]}, (16, 56, 56)),
        ({"kernel_sizes": [1, 5, 7]}, (8, 224, 224)),
        ({"kernel_sizes": 7, "downsample": True}, (8, 28, 28)),
    ],
)
def test_shapes_as_in_allencv(changes: dict[str, Any], shape: tuple[int, int, int]) -> None:
    assert build(**changes).output_shape(3, 224, 224) == shape


def test_dropout_holds_for_every_layer() -> None:
    encoder = build(dropout=[0.0, 0.2, 0.4], downsample=True)
    found = [m.p for m in encoder.modules() if isinstance(m, torch.nn.Dropout)]
    assert found == [0.0, 0.2, 0.4]


def test_batch_norm_comes_before_the_activation() -> None:
    layer = next(iter(build().model.children()))
    assert [type(part).__name__ for part in layer] == ["Conv2d", "BatchNorm2d", "ReLU", "Dropout"]


def test_activations_are_not_shared() -> None:
    encoder = FeedforwardEncoder(3, 2, 4, PReLU())
    assert len({id(m) for m in encoder.modules() if isinstance(m, PReLU)}) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_channels": [8, 16]}, "hidden_channels: expected 3 values"),
        ({"kernel_sizes": [3] * 4}, "kernel_sizes: expected 3 values"),
        ({"activations": ["relu"]}, "activations: expected 3 values"),
        ({"dropout": [0.1]}, "dropout: expected 3 values"),
        ({"kernel_sizes": 4}, "kernel_sizes: expected odd sizes.* found 4"),
        ({"hidden_channels": 0}, "hidden_channels: expected int >= 1, found 0"),
        ({"num_layers": 0}, "num_layers: expected int >= 1, found 0"),
        ({"activations": "relo"}, "relu"),
    ],
)
def test_wrong_values_are_config_faults(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        build(**changes)


def test_python_callers_hear_the_same() -> None:
    with pytest.raises(ConfigurationError, match=r"hidden_channels: expected 2 values .* found 1"):
        FeedforwardEncoder(3, 2, [8], PReLU())


def test_a_wrong_type_does_not_hide_the_other_faults() -> None:
    with pytest.raises(ConfigurationError) as caught:
        build(activations="relo", hidden_channels=[8], dropout="high", kernel_sizes=2)
    for name in ("activations", "hidden_channels", "dropout", "kernel_sizes"):
        assert f"\n  {name}: " in str(caught.value)
