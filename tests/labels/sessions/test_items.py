"""Batches and their items."""

from __future__ import annotations

from pathlib import Path

import pytest
from session_answers import (
    next_numbers,
)

from allencv_al.common.errors import DataError
from allencv_al.labels.label_store import LabelConflict
from allencv_al.labels.sessions.items import NewItem
from allencv_al.labels.sessions.labeling_store import LabelingStore


def test_the_next_round_is_a_batch_of_its_own(store: LabelingStore, tmp_path: Path) -> None:
    new = [NewItem("new.png", b"picture", reason="rank 1", guess=[("cat", 0.7)])]
    batch = store.items.open_batch(new, 3, 1)
    assert (batch.batch, batch.round) == (2, 3)
    assert store.items.open_batch(new, 3, 1) == batch, "a loop that was killed asks again"
    [item] = store.items.items(2)
    assert (item.reason, item.guess) == ("rank 1", (("cat", 0.7),))
    assert store.items.image(item) == b"picture"
    assert next_numbers(store, "anna", 9) == [item.item], "the first batch is closed"
    with pytest.raises(LabelConflict, match="another batch"):
        store.items.open_batch([NewItem("0.png", b"x")], 4, 1)


def test_a_folder_may_grow_and_move(store: LabelingStore, tmp_path: Path) -> None:
    items = [NewItem(f"{number}.png", tmp_path / f"{number}.png") for number in range(7)]
    store.items.open_batch(items, None, 1)
    assert [item.id for item in store.items.items(1)] == [f"{number}.png" for number in range(7)]
    store.close()
    moved = tmp_path.rename(tmp_path.with_name("moved"))
    with LabelingStore(moved / "a" / "labeling.sqlite") as again:
        path = again.items.image(again.items.item(7))
        assert isinstance(path, Path) and path.resolve() == moved / "6.png"
    moved.rename(tmp_path)


@pytest.mark.parametrize("id", ["\ud800.png", "1.png"])
def test_ids_that_cannot_be_kept_are_named(id: str, tmp_path: Path) -> None:
    items = [NewItem("1.png", b"x"), NewItem(id, b"y")]
    with (
        LabelingStore(tmp_path / "labeling.sqlite") as store,
        pytest.raises(DataError, match=r"Unicode|twice"),
    ):
        store.items.open_batch(items, None, 1)
