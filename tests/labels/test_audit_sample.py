"""An audit sample is uniform at each time, and an image in it stays in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from allencv_al.data.instance import Instance
from allencv_al.labels.audit_sample import (
    AuditStore,
    copies_of,
    copies_of_images,
    equal_images,
    is_audit,
    marked,
)
from allencv_al.labels.run_database import RunDatabase

IDS = [f"{number:03d}.jpg" for number in range(100)]


@pytest.fixture
def store(tmp_path: Path) -> AuditStore:
    return AuditStore(RunDatabase(tmp_path / "run.sqlite"))


def test_a_sample_is_drawn_once(store: AuditStore) -> None:
    first = store.draw(IDS, 10, seed=1)
    assert len(first) == 10
    assert store.draw(IDS[::-1], 10, seed=1) == []
    assert store.ids() == set(first)


def test_a_larger_sample_keeps_the_smaller_one(store: AuditStore, tmp_path: Path) -> None:
    store.draw(IDS, 10, seed=1)
    store.draw(IDS, 30, seed=1)
    at_once = AuditStore(RunDatabase(tmp_path / "other.sqlite"))
    at_once.draw(IDS, 30, seed=1)
    assert store.ids() == at_once.ids()


def test_new_images_join_in_proportion(store: AuditStore) -> None:
    store.draw(IDS, 50, seed=1)
    more = [f"new/{number}.jpg" for number in range(1000)]
    new = store.draw([*IDS, *more], 50, seed=1)
    assert 400 < len(new) < 600
    assert set(new) <= set(more)


def test_a_smaller_size_takes_nothing_back(store: AuditStore) -> None:
    store.draw(IDS, 20, seed=1)
    store.draw(IDS, 5, seed=1)
    assert len(store.ids()) == 20


def test_more_than_there_are_takes_all(store: AuditStore) -> None:
    store.draw(IDS, 1000, seed=1)
    assert store.ids() == set(IDS)
    assert store.draw([], 5, seed=1) == []


def test_given_images_count_toward_the_size(store: AuditStore) -> None:
    store.add(IDS[:8])
    new = store.draw(IDS, 10, seed=1)
    assert len(new) == 2
    assert store.ids() == {*IDS[:8], *new}
    assert store.draw(IDS, 8, seed=1) == []


def test_each_image_is_as_likely_as_any_other_also_after_growth(tmp_path: Path) -> None:
    counts = np.zeros(len(IDS))
    with RunDatabase(tmp_path / "run.sqlite") as database:
        for seed in range(400):
            store = AuditStore(database)
            store.draw(IDS[:60], 6, seed)
            store.draw(IDS, 20, seed)
            counts += [id in store.ids() for id in IDS]
            with database.transaction() as connection:
                connection.execute("DELETE FROM audit")
    shares = counts / 400
    # Standard error 0.02: old and new images alike
    assert abs(shares[:60].mean() - shares[60:].mean()) < 0.02
    assert shares.min() > 0.1
    assert shares.max() < 0.3


def test_marks_in_metadata() -> None:
    metadata = marked({"hospital": "a"}, is_audited=True)
    assert is_audit(Instance("1", "1.jpg", metadata=metadata))
    assert marked(metadata, is_audited=False) == {"hospital": "a"}
    assert is_audit(Instance("1", "1.jpg", metadata={"use": " Audit "}))
    assert not is_audit(Instance("1", "1.jpg", metadata={"use": None}))


def test_copies_name_the_first_of_their_kind(tmp_path: Path) -> None:
    head = bytes(70_000)
    contents = {
        "a": b"one",
        "b": b"two",
        "c": b"one",
        "d": head + b"x",
        "e": head + b"y",
        "f": head + b"x",
        "g": b"one",
        "h": b"four",
    }
    files = {name: tmp_path / name for name in contents}
    for name, content in contents.items():
        files[name].write_bytes(content)
    files["gone"] = tmp_path / "gone"
    assert copies_of(files) == {"c": "a", "g": "a", "f": "d"}


def test_copies_of_some_images_name_those(tmp_path: Path) -> None:
    for name, content in {"z": b"one", "a": b"one", "b": b"two", "c": b"two"}.items():
        (tmp_path / name).write_bytes(content)
    items = [Instance(name, tmp_path / name) for name in "abcz"]
    pixels = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    items += [Instance("array", pixels), Instance("equal array", pixels.copy())]
    items += [
        Instance("bytes", b"x"),
        Instance("equal bytes", b"x"),
        Instance("gone", tmp_path / "n"),
    ]
    assert copies_of_images(items, {"z", "equal array", "bytes", "gone"}) == {
        "a": "z",
        "array": "equal array",
        "equal bytes": "bytes",
    }, "the ids name the originals, wherever they stand"
    assert copies_of_images(items, {"a", "z"}) == {}, "both measure"


def test_groups_of_equal_images_whatever_their_ids(tmp_path: Path) -> None:
    for name, content in {"a": b"one", "b": b"two", "c": b"one"}.items():
        (tmp_path / name).write_bytes(content)
    pixels = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    images = [tmp_path / "c", pixels, tmp_path / "b", tmp_path / "a", pixels.copy(), b"x", b""]
    items = [Instance("same id", image) for image in images]
    assert equal_images(items) == [[0, 3], [1, 4]]
    assert equal_images([]) == []
