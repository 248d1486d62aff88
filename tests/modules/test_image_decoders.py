"""Decoders from maps of several scales to one."""

from __future__ import annotations

import pytest
import torch

from allencv_al.common import ConfigurationError
from allencv_al.modules.image_decoders import BasicDecoder, ImageDecoder, UNetDecoder


def maps(*sizes: int, channels: int = 4) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(2, channels, size, size, generator=generator) for size in sizes]


def test_the_basic_decoder_is_a_sum_of_its_stages_at_the_finest_size() -> None:
    decoder = BasicDecoder([1, 2, 4], 4, 6).eval()
    given = maps(8, 4, 2, 1)  # the last one is not used
    result = decoder(given)
    assert result.shape == (2, 6, 8, 8)
    assert decoder.get_output_channels() == 6
    parts = [stage(one) for stage, one in zip(decoder.stages, given, strict=False)]
    torch.testing.assert_close(result, parts[0] + parts[1] + parts[2])
    kinds = [type(step).__name__ for step in decoder.stages[2]]  # type: ignore[arg-type]
    assert kinds == ["Conv2d", "ReLU", "BatchNorm2d", "Dropout", "Upsample"] * 2


@pytest.mark.parametrize("decoder", [BasicDecoder([1, 2, 4], 4, 4), UNetDecoder([4, 4, 4])])
def test_odd_sizes_go_through(decoder: ImageDecoder) -> None:
    assert decoder.eval()(maps(17, 9, 5)).shape == (2, 4, 17, 17)


def test_the_unet_decoder_joins_each_map() -> None:
    decoder = UNetDecoder([4, 4, 4]).eval()
    given = maps(8, 4, 2)
    for place in range(3):
        changed = [one + (level == place) for level, one in enumerate(given)]
        assert not torch.equal(decoder(changed), decoder(given))


def test_what_does_not_fit_is_told() -> None:
    with pytest.raises(ConfigurationError, match="input_scales: expected powers of 2, found 3"):
        BasicDecoder([1, 3], 4, 6)
    basic = BasicDecoder([1, 2], 4, 6)
    assert basic.channel_fault([4, 4, 9]) is None
    assert "input_channels: the encoder's maps have 4, 8 channels" in str(
        basic.channel_fault([4, 8])
    )
    assert "input_scales: expected at most 1" in str(basic.channel_fault([4]))
    assert "map_channels: expected" in str(UNetDecoder([4, 4]).channel_fault([4, 8]))
