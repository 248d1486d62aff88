from __future__ import annotations

from collections.abc import Callable

from allencv_al.models.device import flushed_denormals


def test_they_are_zero_within_and_as_before_afterwards(tiny_product: Callable[[], float]) -> None:
    assert tiny_product() > 0
    with flushed_denormals():
        assert tiny_product() == 0
        with flushed_denormals():
            assert tiny_product() == 0
        assert tiny_product() == 0
    assert tiny_product() > 0
