"""Batches and their items."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from fixtures.session_answers import next_numbers
from PIL import Image

from allencv_al.common.errors import DataError
from allencv_al.data.instance import Instance
from allencv_al.labels.label_store import LabelConflict
from allencv_al.labels.label_table import PickedImage
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


def test_a_picked_image_has_its_reason_its_guess_and_a_stored_picture(tmp_path: Path) -> None:
    gray = np.full((2, 2, 3), 128, dtype=np.uint8)
    pick = PickedImage(3, Instance("a", gray), 0.25, "cat", 0.5, {"cluster": 4, "rank": 2})
    item = NewItem.picked(pick, 20)
    assert item.reason == "pick 3 of 20, score 0.25; cluster: 4"
    assert item.guess == [("cat", 0.5)]
    assert isinstance(item.image, bytes)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(item.image))), gray)
    of_file = NewItem.picked(PickedImage(1, Instance("b", tmp_path / "b.png"), 1.0), 1)
    assert (of_file.image, of_file.guess) == (tmp_path / "b.png", [])
