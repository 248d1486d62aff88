"""Blocks of embeddings: whole or not there, limited in size, for any number of processes."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from allencv_al.common.errors import ConfigurationError
from allencv_al.selection.pool import embedding_store
from allencv_al.selection.pool.embedding_store import EmbeddingStore, StoredRows, store_at

KEY = "ab" * 32


def digests(*names: str) -> list[bytes]:
    return [hashlib.sha256(name.encode()).digest() for name in names]


def rows_of(*values: float) -> NDArray[np.float32]:
    return np.array([[value, value + 0.5] for value in values], np.float32)


def found(stored: StoredRows, names: Sequence[str]) -> dict[str, list[float]]:
    stored.refresh()
    return {
        names[position]: row.tolist()
        for positions, rows in stored.read(digests(*names))
        for position, row in zip(positions.tolist(), rows, strict=True)
    }


def blocks(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.embeddings"))


def test_what_was_kept_comes_back(tmp_path: Path) -> None:
    stored = EmbeddingStore(tmp_path).encoder(KEY, {"model": "a"})
    stored.append(digests("a", "b"), rows_of(1, 2))
    stored.append(digests("c"), rows_of(3))
    again = EmbeddingStore(tmp_path).encoder(KEY, {})
    expected = {"c": [3, 3.5], "a": [1, 1.5], "b": [2, 2.5]}
    assert found(again, ["c", "absent", "b", "a"]) == expected
    other = EmbeddingStore(tmp_path).encoder("cd" * 32, {})
    assert found(other, ["a"]) == {}


def test_every_byte_of_a_block_is_checked(tmp_path: Path) -> None:
    """Whichever byte is wrong, no wrong row comes back: at worst none does."""
    stored = EmbeddingStore(tmp_path).encoder(KEY, {})
    stored.append(digests("a", "b"), rows_of(1, 2))
    (path,) = blocks(tmp_path)
    content = path.read_bytes()
    right = {"a": [1, 1.5], "b": [2, 2.5]}
    for place in range(0, len(content), 3):
        path.write_bytes(content[:place] + bytes([content[place] ^ 64]) + content[place + 1 :])
        assert found(stored, ["a", "b"]) in ({}, right), place
    for length in range(0, len(content), 5):
        path.write_bytes(content[:length])
        assert found(stored, ["a", "b"]) == {}, length
        assert not path.exists()


def test_unfinished_and_foreign_files_are_left_alone(tmp_path: Path) -> None:
    stored = EmbeddingStore(tmp_path).encoder(KEY, {})
    stored.append(digests("a"), rows_of(1))
    folder = blocks(tmp_path)[0].parent
    (folder / "half.embeddings.tmp").write_bytes(b"half")
    (tmp_path / "holiday").mkdir()
    (tmp_path / "holiday" / "photo.jpg").write_bytes(b"mine")
    store = EmbeddingStore(tmp_path, limit=1)
    assert found(store.encoder(KEY, {}), ["a"]) == {"a": [1, 1.5]}
    store.clear()
    assert (tmp_path / "holiday" / "photo.jpg").read_bytes() == b"mine"
    assert blocks(tmp_path) == []


def test_the_least_recently_used_blocks_go_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = EmbeddingStore(tmp_path)
    names = ["a", "b", "c", "d"]
    for number, name in enumerate(names):
        stored = store.encoder(f"{number:064x}"[::-1], {})
        stored.append(digests(name), rows_of(number))
    for age, path in enumerate(sorted(blocks(tmp_path), key=lambda p: p.name)):
        os.utime(path, (1000 + age, 1000 + age))
    size = blocks(tmp_path)[0].stat().st_size
    assert found(store.encoder(f"{0:064x}"[::-1], {}), ["a"]) == {"a": [0, 0.5]}  # used now
    store.limit = 2 * size
    assert store.trim() == 2 * size
    left = [
        name
        for number, name in enumerate(names)
        if found(store.encoder(f"{number:064x}"[::-1], {}), [name])
    ]
    assert left == ["a", "d"]
    store.limit = 0
    monkeypatch.setattr(embedding_store, "_STARTED", time.time() - 3600)
    assert store.trim() == 0, "both were used by this process"


def test_the_list_names_encoders_by_their_last_use(tmp_path: Path) -> None:
    store = EmbeddingStore(tmp_path)
    for key, model in (("1" * 64, "old"), ("2" * 64, "new")):
        store.encoder(key, {"model": model}).append(digests("a", "b"), rows_of(1, 2))
    os.utime(next((tmp_path / ("1" * 32)).glob("*.embeddings")), (1000, 1000))
    listed = [(one.about["model"], one.rows) for one in store.encoders()]
    assert listed == [("new", 2), ("old", 2)]
    assert store.clear() == sum(256 + 2 * (32 + 8) for _ in range(2))
    assert store.encoders() == []


def test_the_same_work_waits_for_its_turn(tmp_path: Path) -> None:
    store = EmbeddingStore(tmp_path)
    order: list[str] = []
    inside = threading.Event()

    def second() -> None:
        inside.wait()
        with store.encoder(KEY, {}).turn("0" * 64):
            order.append("second")

    thread = threading.Thread(target=second)
    thread.start()
    with store.encoder(KEY, {}).turn("0" * 64):
        inside.set()
        with store.encoder(KEY, {}).turn("f" * 64):  # other images do not wait
            time.sleep(0.2)
            order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_a_user_without_a_home_folder_has_no_store(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ALLENCV_AL_EMBEDDING_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr(Path, "expanduser", _raise(RuntimeError("no home folder")))
    assert store_at() is None
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # to be ignored, says its specification
    assert store_at() is None


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EIO, errno.EACCES])
@pytest.mark.parametrize("moment", ["refresh", "read"])
def test_a_block_that_cannot_be_read_now_is_kept_for_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, moment: str
) -> None:
    stored = EmbeddingStore(tmp_path).encoder(KEY, {})
    stored.append(digests("a"), rows_of(1))
    with monkeypatch.context() as patched:
        if moment == "read":
            stored.refresh()
        patched.setattr(Path, "open", _raise(OSError(number, "not now")))
        if moment == "refresh":
            stored.refresh()
        assert list(stored.read(digests("a"))) == []
    assert found(stored, ["a"]) == {"a": [1, 1.5]}


def _raise(error: Exception) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


def test_the_place_of_the_store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ALLENCV_AL_EMBEDDING_CACHE", "off")
    assert store_at() is None
    named = store_at(str(tmp_path))
    assert named is not None and named.folder == tmp_path
    monkeypatch.delenv("ALLENCV_AL_EMBEDDING_CACHE")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    monkeypatch.setenv("ALLENCV_AL_EMBEDDING_CACHE_GB", "2.5")
    default = store_at()
    assert default is not None
    assert default.folder == tmp_path / "caches" / "allencv_al" / "embeddings"
    assert default.limit == 2.5e9
    for wrong in ("much", "0", "nan", "-1"):
        monkeypatch.setenv("ALLENCV_AL_EMBEDDING_CACHE_GB", wrong)
        with pytest.raises(ConfigurationError, match="expected a number above 0"):
            store_at()
