"""One number for each channel."""

from __future__ import annotations

import pytest
import torch

from allencv_al.common import ConfigurationError
from allencv_al.modules.im2vec_encoders import Im2VecEncoder, PoolEncoder


def test_average_and_maximum() -> None:
    image = torch.rand(2, 3, 5, 4)
    assert torch.allclose(PoolEncoder(3)(image), image.mean((2, 3)))
    assert torch.equal(PoolEncoder(3, "max")(image), image.amax((2, 3)))
    assert list(PoolEncoder(3).parameters()) == []


@pytest.mark.parametrize(("p", "mode"), [(1.0, "average"), (200.0, "max")])
def test_the_generalized_mean_lies_between(p: float, mode: str) -> None:
    image = torch.rand(2, 3, 5, 4).double().float()
    expected = PoolEncoder(3, mode)(image)  # type: ignore[arg-type]
    found = PoolEncoder(3, "generalized_mean", p=p)(image)
    assert torch.allclose(found, expected, rtol=0.03)


def test_the_exponent_trains_only_if_asked() -> None:
    for learn_p in (True, False):
        encoder = PoolEncoder(2, "generalized_mean", learn_p=learn_p)
        assert [p.requires_grad for p in encoder.parameters()] == [learn_p]
    encoder = PoolEncoder(2, "generalized_mean")
    encoder(torch.zeros(1, 2, 3, 3)).sum().backward()
    assert encoder.p is not None
    assert encoder.p.grad is not None
    assert encoder.p.grad.isfinite()


def test_pool_values_are_checked() -> None:
    with pytest.raises(ConfigurationError, match=r"p: expected float > 0, found -1"):
        Im2VecEncoder.from_params({"type": "pool", "input_channels": 4, "p": -1})
