"""`PoolOutputs`: rows by id, and what a strategy gets of them."""

from __future__ import annotations

import numpy as np
import pytest

from allencv_al.active_learning import PoolOutputs
from allencv_al.common.errors import DataError

EVERYTHING = PoolOutputs(
    ids=["a", "b", "c"],
    logits=np.arange(6, dtype=np.float32).reshape(3, 2),
    mc_logits=np.arange(12, dtype=np.float32).reshape(3, 2, 2),
    embeddings=np.arange(9, dtype=np.float32).reshape(3, 3),
    unreadable={"x": "it is empty (0 bytes)"},
)


def test_rows_come_by_id_in_the_order_asked_for() -> None:
    some = EVERYTHING.rows(["c", "a"])
    assert list(some.ids) == ["c", "a"]
    for name in ("logits", "mc_logits", "embeddings"):
        assert np.array_equal(getattr(some, name), getattr(EVERYTHING, name)[[2, 0]])
    assert len(some) == 2


def test_rows_of_unknown_ids_are_an_error_with_the_causes() -> None:
    with pytest.raises(DataError, match=r"no outputs of x \(it is empty \(0 bytes\)\), y"):
        EVERYTHING.rows(["a", "x", "y"])
    with pytest.raises(DataError, match="q, r, s, t, u and 2 more"):
        EVERYTHING.rows([*"qrstuvw"])


def test_taking_leaves_out_what_is_not_there() -> None:
    taken = PoolOutputs(["a", "b"], logits=np.eye(2, dtype=np.float32)).take(np.array([1]))
    assert list(taken.ids) == ["b"] and taken.embeddings is None and taken.mc_logits is None
    assert len(EVERYTHING.take([])) == 0


def test_a_pool_shares_the_arrays() -> None:
    pool = EVERYTHING.pool()
    assert pool.logits is EVERYTHING.logits
    assert pool.mc_logits is EVERYTHING.mc_logits
    assert pool.embeddings is EVERYTHING.embeddings
    assert pool.target_mc_logits is None


def test_nothing_labeled_is_an_empty_array_and_not_an_absent_one() -> None:
    pool = EVERYTHING.pool()
    assert pool.labeled_embeddings is not None and pool.labeled_embeddings.shape == (0, 3)
    assert pool.labeled_labels is not None and len(pool.labeled_labels) == 0
    pool.check({"embeddings", "labeled_embeddings"})


def test_labeled_and_target_items_reach_the_pool() -> None:
    labeled = PoolOutputs(["q"], embeddings=np.ones((1, 3), np.float32))
    target = PoolOutputs(["t"], mc_logits=np.ones((1, 2, 2), np.float32))
    pool = EVERYTHING.pool(labeled, np.array([1]), target)
    assert pool.labeled_embeddings is labeled.embeddings
    assert pool.labeled_labels is not None and pool.labeled_labels.tolist() == [1]
    assert pool.target_mc_logits is target.mc_logits
    assert EVERYTHING.pool(labeled).labeled_labels is None
