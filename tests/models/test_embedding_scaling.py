"""The scaling as a part of a model, against the one of arrays."""

from typing import get_args

import numpy as np
import pytest
import torch

from allencv_al.common.feature_scaling import FeatureScaling, FeatureScalingKind
from allencv_al.models.embedding_scaling import EmbeddingScaling

KINDS = get_args(FeatureScalingKind)


def draw_embeddings(seed=0):
    found = np.random.default_rng(seed).normal(1.0, 3.0, (40, 5)).astype(np.float32)
    found[:, 1] = 0.25
    found[3] = 0.0
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_it_scales_as_the_scaling_of_arrays_does(kind):
    pool, new = draw_embeddings(), draw_embeddings(1)
    scaling = EmbeddingScaling(kind, 5)
    scaling.fit(pool)
    expected = FeatureScaling.fit(kind, pool).apply(new)
    np.testing.assert_allclose(scaling(torch.from_numpy(new)), expected, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_its_statistics_are_saved_with_the_weights(kind):
    fitted, loaded = EmbeddingScaling(kind, 5), EmbeddingScaling(kind, 5)
    fitted.fit(draw_embeddings())
    loaded.load_state_dict(fitted.state_dict())
    assert loaded.fitted
    new = torch.from_numpy(draw_embeddings(1))
    assert torch.equal(loaded(new), fitted(new))


def test_it_is_passed_by_within_the_context_only():
    scaling = EmbeddingScaling("l2", 5)
    new = torch.from_numpy(draw_embeddings())
    with scaling.bypassed():
        assert torch.equal(scaling(new), new)
    assert not torch.equal(scaling(new), new)


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_with_statistics_waits_for_its_fit(kind):
    assert bool(EmbeddingScaling(kind, 5).fitted) == (kind in ("none", "l2", "power_l2"))
