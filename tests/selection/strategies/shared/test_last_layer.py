"""The last layer of a model, from its embeddings and logits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from fixtures.linear_pools import make_linear_pool

from allencv_al.selection.strategies.shared.canonical_rows import CanonicalRows
from allencv_al.selection.strategies.shared.last_layer import recovered_last_layer


def test_the_last_layer_is_recovered_up_to_a_constant_of_each_item() -> None:
    pool, weights, biases = make_linear_pool()
    layer = recovered_last_layer(pool, CanonicalRows(pool, 0))
    np.testing.assert_allclose(layer.weights, weights - weights.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(layer.biases, biases - biases.mean(), atol=1e-5)


def test_with_fewer_items_than_dimensions_it_still_gives_their_logits() -> None:
    pool, *_ = make_linear_pool(5)
    pool = replace(pool, labeled_embeddings=None, labeled_logits=None)
    layer = recovered_last_layer(pool, CanonicalRows(pool, 0))
    found = pool.embeddings @ layer.weights.T + layer.biases
    centered = pool.logits - pool.logits.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(found, centered, atol=1e-4)
