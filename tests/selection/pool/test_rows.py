"""A view of some rows does what a copy of them does, without the copy."""

from __future__ import annotations

import copy
import pickle
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allencv_al.selection.pool import unlabeled_pool as pool_module
from allencv_al.selection.pool.rows import RowView, take_rows
from allencv_al.selection.pool.unlabeled_pool import Pool
from allencv_al.selection.strategies.base import QueryStrategy


def array_of(count: int, *more: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((count, *more)).astype(np.float32)


keys = st.one_of(
    st.integers(-9, 8),
    st.slices(9),
    st.lists(st.integers(-9, 8)).map(lambda places: np.asarray(places, np.int64)),
    st.lists(st.booleans(), min_size=9, max_size=9).map(np.asarray),
    st.tuples(st.slices(9), st.integers(0, 2)),
    st.tuples(st.integers(-9, 8), st.slices(3)),
    st.just(None),
    st.just(Ellipsis),
)


@given(
    indices=st.one_of(
        st.lists(st.integers(0, 19), min_size=9, max_size=9),
        st.integers(0, 11).map(lambda start: list(range(start, start + 9))),
    ),
    key=keys,
)
def test_rows_are_those_of_a_copy(indices: list[int], key: Any) -> None:
    array, places = array_of(20, 3), np.asarray(indices, np.int64)
    np.testing.assert_array_equal(RowView(array, places)[key], array[places][key])


OPERATIONS: list[Callable[[Any], Any]] = [
    np.asarray,
    np.sort,
    len,
    list,
    lambda rows: np.asarray(rows, np.float64),
    lambda rows: np.exp(rows),
    lambda rows: rows + 1,
    lambda rows: 2 * rows,
    lambda rows: -rows,
    lambda rows: rows - rows,
    lambda rows: rows @ rows.T,
    lambda rows: rows > 0,
    lambda rows: rows.max(axis=1),
    lambda rows: rows.argmax(axis=1),
    lambda rows: rows.mean(axis=0, dtype=np.float64),
    lambda rows: rows.astype(np.float16),
    lambda rows: rows.reshape(len(rows), -1),
    lambda rows: np.concatenate([rows, rows]),
    lambda rows: np.maximum.reduce(rows, axis=1),
    lambda rows: [rows.shape, rows.ndim, rows.dtype, rows.itemsize, rows.nbytes, rows.size],
]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_it_does_what_an_array_does(operation: Callable[[Any], Any]) -> None:
    array, places = array_of(20, 3), np.array([4, 3, 19, 0])
    expected, found = operation(array[places]), operation(RowView(array, places))
    assert type(found) is type(expected)
    np.testing.assert_equal(found, expected)


def test_rows_out_of_order_stay_so() -> None:
    array, places = array_of(20, 3), np.array([3, 5, 4, 6])
    np.testing.assert_array_equal(RowView(array, places)[:], array[places])


def test_a_view_of_a_view_is_one_of_the_array() -> None:
    array = array_of(20, 3)
    view = RowView(RowView(array, np.array([4, 3, 19, 0])), np.array([2, 1]))
    np.testing.assert_array_equal(view, array[[19, 3]])
    assert view._array is array


def test_it_can_be_copied_and_pickled() -> None:
    array, places = array_of(20, 3), np.array([4, 3, 19])
    for twin in (copy.deepcopy, lambda view: pickle.loads(pickle.dumps(view))):
        np.testing.assert_array_equal(twin(RowView(array, places)), array[places])


def test_an_array_of_it_cannot_be_had_without_a_copy() -> None:
    view = RowView(array_of(20, 3), np.array([4, 3]))
    with pytest.raises(ValueError, match="is a copy"):
        np.array(view, copy=False)


def test_it_has_no_attribute_that_arrays_have_not() -> None:
    with pytest.raises(AttributeError):
        RowView(array_of(20, 3), np.array([4, 3])).argmost  # noqa: B018


def test_rows_of_an_array_on_disk(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", array_of(20, 3))
    on_disk = np.load(tmp_path / "rows.npy", mmap_mode="r")
    np.testing.assert_array_equal(RowView(on_disk, np.array([4, 3]))[:2], array_of(20, 3)[[4, 3]])


def test_only_what_is_large_is_not_copied() -> None:
    array, places = array_of(20, 3), np.arange(10)
    assert isinstance(take_rows(array, places, 10 * 12), np.ndarray)
    assert isinstance(take_rows(array, places, 10 * 12 - 1), RowView)


THRIFTY = [{"type": name, "memory_budget_mb": 1} for name in ("k_center", "badge", "margin")]
WRAPPERS: dict[str, dict[str, Any]] = {
    "subsample": {"strategy": THRIFTY[1], "fraction": 0.9},
    "deduplicate": {"strategy": THRIFTY[0], "distance": 0.1, "labeled": True},
    "epsilon_random": {"strategy": THRIFTY[1], "epsilon": 0.5},
    "class_balanced": {"strategy": THRIFTY[0]},
    "mixture": {"strategies": [{"strategy": each, "fraction": 1 / 3} for each in THRIFTY]},
    "switch": {
        "before": THRIFTY[0],
        "after": THRIFTY[1],
        "when": "coverage",
        "threshold": 0.5,
        "radius": 1.0,
    },
}


@pytest.mark.parametrize("name", WRAPPERS)
def test_a_wrapper_does_not_copy_a_large_pool(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """numpy tells tracemalloc of its arrays. The embeddings take 20 MB, blocks 1 MB."""
    count = 20_000
    embeddings = array_of(count, 256)
    logits = np.zeros((count, 2), np.float32)
    logits[:, 0] = embeddings[:, 0] + 1.5  # nine of ten are of the first class
    pool = Pool(
        [str(index) for index in range(count)],
        logits=logits,
        embeddings=embeddings,
        labeled_embeddings=embeddings[:3],
    )
    strategy = QueryStrategy.from_params({"type": name, "memory_budget_mb": 1, **WRAPPERS[name]})
    monkeypatch.setattr(pool_module, "MOST_COPIED", 2**20)
    tracemalloc.start()
    strategy.select(pool, 20, 1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 0.6 * embeddings.nbytes


def test_every_wrapper_is_tried() -> None:
    homes = ("narrowing", "combining")
    assert set(WRAPPERS) == {n for n, home in QueryStrategy.builtin.items() if home.endswith(homes)}
