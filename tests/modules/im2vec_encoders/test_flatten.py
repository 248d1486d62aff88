"""Feature maps in a row."""

from __future__ import annotations

import pytest
import torch

from allencv_al.common import ConfigurationError
from allencv_al.modules import FeedForward
from allencv_al.modules.im2vec_encoders import FlattenEncoder, Im2VecEncoder

FLATTEN = {"type": "flatten", "input_channels": 4, "input_height": 3, "input_width": 2}


def test_flatten_checks_height_and_width() -> None:
    encoder = FlattenEncoder(input_channels=4, input_height=1, input_width=1)
    with pytest.raises(ConfigurationError, match="takes 4x1x1, but what comes in is 4x7x7"):
        encoder(torch.rand(2, 4, 7, 7))
    with pytest.raises(ConfigurationError, match=r"takes 4x1x1, but what comes in is 4x7x\?"):
        encoder.check_input(4, 7, None)


def test_flatten_runs_channel_by_channel() -> None:
    image = torch.arange(24.0).view(1, 4, 3, 2)
    vectors = FlattenEncoder(4, 3, 2)(image.contiguous(memory_format=torch.channels_last))
    assert vectors.tolist() == [list(range(24))]


def test_flatten_with_layers() -> None:
    encoder = Im2VecEncoder.from_params(
        {
            **FLATTEN,
            "feedforward": {
                "input_dim": 24,
                "num_layers": 1,
                "hidden_dims": 7,
                "activations": "relu",
            },
        }
    )
    assert encoder.get_output_dim() == 7
    assert encoder(torch.rand(2, 4, 3, 2)).shape == (2, 7)


def test_layers_of_another_length_are_a_fault() -> None:
    layers = {"input_dim": 25, "num_layers": 1, "hidden_dims": 7, "activations": "relu"}
    message = r"feedforward\.input_dim: expected 24, the length of a flattened 4x3x2, found 25"
    with pytest.raises(ConfigurationError, match=message):
        Im2VecEncoder.from_params({**FLATTEN, "feedforward": layers})
    with pytest.raises(ConfigurationError, match="feedforward: expected 24"):
        FlattenEncoder(4, 3, 2, FeedForward.from_params(layers))
