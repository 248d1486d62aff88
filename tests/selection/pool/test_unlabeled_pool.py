"""The pool: shapes, what is absent, what is not finite."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from allencv_al.common.errors import ConfigurationError, DataError
from allencv_al.selection.pool.unlabeled_pool import OUTPUTS, Pool

IDS = [f"{letter}.png" for letter in "abcdefgh"]
NAN, INFINITY = float("nan"), float("inf")


def full_pool() -> Pool:
    generator = np.random.default_rng(0)
    return Pool(
        IDS,
        logits=generator.standard_normal((8, 3)),
        mc_logits=generator.standard_normal((8, 4, 3)),
        label_logits=generator.standard_normal((8, 3)),
        scores=generator.standard_normal((8, 3, 4)),
        objects=generator.standard_normal((8, 2, 7)),
        embeddings=generator.standard_normal((8, 5)),
        labeled_embeddings=generator.standard_normal((2, 5)),
        labeled_logits=generator.standard_normal((2, 3)),
        labeled_labels=np.array([0, 2]),
        target_mc_logits=generator.standard_normal((6, 4, 3)),
    )


@pytest.mark.parametrize(
    ("name", "shape", "dimensions"),
    [
        ("logits", (7, 3), 2),
        ("logits", (8,), 2),
        ("mc_logits", (8, 3), 3),
        ("mc_logits", (9, 4, 3), 3),
        ("embeddings", (8, 2, 2), 2),
    ],
)
def test_an_array_of_the_wrong_shape_is_named(
    name: str, shape: tuple[int, ...], dimensions: int
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Pool(IDS, **{name: np.zeros(shape)})  # type: ignore[arg-type]
    assert str(caught.value) == (
        f"pool.{name}: expected 8 rows in {dimensions} dimensions, found shape {shape}"
    )


def test_everything_absent_is_named_at_once() -> None:
    pool = Pool(IDS, logits=np.zeros((8, 3)))
    pool.check({"logits"})
    with pytest.raises(ConfigurationError, match="needs mc_logits, embeddings, found none"):
        pool.check({"logits", "embeddings", "mc_logits"})


@pytest.mark.parametrize("value", [NAN, INFINITY, -INFINITY])
@pytest.mark.parametrize("name", OUTPUTS)
def test_what_is_not_finite_is_named(name: str, value: float) -> None:
    pool = full_pool()
    getattr(pool, name)[1, ..., -1] = value
    where = "row 1" if name.startswith(("labeled", "target")) else "b.png"
    with pytest.raises(DataError, match=f"^pool.{name}: NaN or infinity for {where}$"):
        pool.check({name})


def test_infinities_of_both_signs_do_not_hide_each_other() -> None:
    pool = full_pool()
    assert pool.logits is not None
    pool.logits[3] = INFINITY
    pool.logits[4] = -INFINITY
    with pytest.raises(DataError, match=r"for d\.png, e\.png$"):
        pool.check({"logits"})


def test_only_a_few_of_many_are_named() -> None:
    pool = Pool(IDS, logits=np.full((8, 2), NAN))
    with pytest.raises(DataError, match=r"a\.png, b\.png, c\.png, d\.png, e\.png and 3 more"):
        pool.check({"logits"})


def test_what_is_not_needed_is_not_looked_at() -> None:
    pool = Pool(IDS, logits=np.full((8, 2), NAN), embeddings=np.zeros((8, 2)))
    pool.check({"embeddings"})


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_largest_numbers_are_finite(dtype: type) -> None:
    Pool(IDS, logits=np.full((8, 2), np.finfo(dtype).max, dtype)).check({"logits"})


def test_the_last_row_of_many_is_looked_at_too() -> None:
    count = 70_000
    logits = np.zeros((count, 1), np.float32)
    logits[-1] = NAN
    pool = Pool([f"{number}" for number in range(count)], logits=logits)
    with pytest.raises(DataError, match=f"for {count - 1}$"):
        pool.check({"logits"})


def test_taking_some_items() -> None:
    pool = full_pool()
    some = pool.take(np.array([6, 1]))
    assert some.ids == ["g.png", "b.png"]
    assert len(some) == 2
    for name in ("logits", "mc_logits", "embeddings"):
        np.testing.assert_array_equal(getattr(some, name), getattr(pool, name)[[6, 1]])
    for name in ("labeled_embeddings", "labeled_labels", "target_mc_logits"):
        assert getattr(some, name) is getattr(pool, name), "these are of other items"


def test_taking_items_of_a_pool_without_arrays() -> None:
    assert Pool(IDS).take(np.array([2])).ids == ["c.png"]
    assert len(Pool(IDS).take(np.empty(0, np.int64))) == 0


def test_arrays_may_lie_on_disk(tmp_path: Path) -> None:
    np.save(tmp_path / "logits.npy", np.zeros((8, 3)))
    pool = Pool(IDS, logits=np.load(tmp_path / "logits.npy", mmap_mode="r"))
    pool.check({"logits"})
    assert isinstance(pool.logits, np.memmap)


def test_ids_that_occur_twice_are_named() -> None:
    with pytest.raises(DataError, match=r"duplicate ids: a\.png$"):
        Pool(ids=["a.png", "b.png", "a.png"], logits=np.zeros((3, 2)))


def test_taking_an_item_twice_is_refused() -> None:
    with pytest.raises(DataError, match=r"duplicate ids: c\.png$"):
        full_pool().take(np.array([2, 1, 2]))
