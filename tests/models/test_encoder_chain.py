"""Which encoders give an image the same embedding for good."""

from typing import Any

import pytest
import torch

from allencv_al.common import Params
from allencv_al.models.encoder_chain import is_fixed
from allencv_al.modules.im2im_encoders.base import Im2ImEncoder
from allencv_al.modules.im2vec_encoders.base import Im2VecEncoder

POOL = {"type": "pool", "input_channels": 64}
RESNET = {"type": "cifar_resnet", "depth": 8}


def vectors(**config: Any) -> Im2VecEncoder:
    return Im2VecEncoder.from_params(Params(config))


@pytest.mark.parametrize("requires_grad", [True, False])
def test_a_map_that_trains_changes_embeddings(requires_grad: bool) -> None:
    maps = Im2ImEncoder.from_params(Params({**RESNET, "requires_grad": requires_grad}))
    assert is_fixed(maps, vectors(**POOL)) is not requires_grad


def test_chance_or_statistics_before_the_layer_change_embeddings() -> None:
    assert is_fixed(None, vectors(**POOL))
    for part in (torch.nn.Dropout(0.5), torch.nn.BatchNorm1d(64, affine=False)):
        encoder = vectors(**POOL)
        encoder.part = part
        assert not is_fixed(None, encoder)
