"""Every registered convolution computes what `torch.nn.functional.conv2d` does."""

from __future__ import annotations

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from allencv_al.modules.convolutions import Convolution, UnfoldConvolution

small = st.integers(1, 3)


@settings(max_examples=60)
@given(
    kernel=st.integers(1, 5),
    stride=small,
    padding=st.integers(0, 3),
    dilation=small,
    groups=small,
    per_group=st.tuples(small, small),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    batch=st.integers(1, 2),
    seed=st.integers(0, 2**31),
)
def test_unfold_conv_equals_conv2d_in_values_and_gradients(
    kernel: int,
    stride: int,
    padding: int,
    dilation: int,
    groups: int,
    per_group: tuple[int, int],
    size: tuple[int, int],
    batch: int,
    seed: int,
) -> None:
    assume(min(size) + 2 * padding >= dilation * (kernel - 1) + 1)
    torch.manual_seed(seed)
    before, after = (channels * groups for channels in per_group)
    ours = UnfoldConvolution(before, after, kernel, stride, padding, dilation, groups).double()
    image = torch.randn(batch, before, *size, dtype=torch.float64, requires_grad=True)
    leaves = (image, ours.weight, ours.bias)

    found = ours(image)
    expected = F.conv2d(image, ours.weight, ours.bias, stride, padding, dilation, groups)
    direction = torch.randn_like(expected)

    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    gradients = [torch.autograd.grad((out * direction).sum(), leaves) for out in (found, expected)]
    for mine, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", Convolution.list_available())
def test_each_starts_with_the_numbers_of_torchs_layer(name: str) -> None:
    torch.manual_seed(3)
    layer = torch.nn.Conv2d(4, 6, 3, stride=2, padding=1, dilation=2, groups=2)
    torch.manual_seed(3)
    ours = Convolution.by_name(name)(4, 6, 3, stride=2, padding=1, dilation=2, groups=2)
    assert list(ours.state_dict()) == list(layer.state_dict())
    assert all(
        torch.equal(a, b) for a, b in zip(ours.parameters(), layer.parameters(), strict=True)
    )
    image = torch.randn(2, 4, 9, 7)
    torch.testing.assert_close(ours(image), layer(image))


@pytest.mark.parametrize("name", Convolution.list_available())
def test_each_tells_its_shape_on_meta(name: str) -> None:
    with torch.device("meta"):
        layer = Convolution.by_name(name)(3, 5, 3, stride=2)
        assert layer(torch.empty(1, 3, 8, 11)).shape == (1, 5, 3, 5)
