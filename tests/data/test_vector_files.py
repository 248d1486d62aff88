from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from allencv_al.common.errors import DataError
from allencv_al.data.vector_files import is_vector_file, read_vectors

VECTORS = np.random.default_rng(0).normal(size=(3, 4))
IDS = ["a.png", "sub/b.png", "ü.png"]
LABELS = ["cat", None, "dog"]


def npz(folder: Path, **arrays: Any) -> Path:
    np.savez(folder / "v.npz", **arrays)
    return folder / "v.npz"


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int32])
@pytest.mark.parametrize("names", [("embeddings", "ids", "labels"), ("features", "path", "label")])
def test_an_npz_file_holds_arrays_by_name(
    tmp_path: Path, dtype: type, names: tuple[str, str, str]
) -> None:
    arrays = (VECTORS.astype(dtype), IDS, ["cat", "", "dog"])
    table = read_vectors(npz(tmp_path, **dict(zip(names, arrays, strict=True))))
    assert (table.ids, table.labels, len(table), table.dimension) == (IDS, LABELS, 3, 4)
    assert table.vectors.dtype == np.float32
    assert np.array_equal(table.vectors, VECTORS.astype(dtype).astype(np.float32))


def test_labels_may_be_absent(tmp_path: Path) -> None:
    assert read_vectors(npz(tmp_path, embeddings=VECTORS, ids=IDS)).labels == [None] * 3


def test_an_npy_file_has_a_table_of_its_name_beside_it(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", VECTORS)
    with pytest.raises(DataError, match=r"v\.npy: needs v\.csv beside it"):
        read_vectors(tmp_path / "v.npy")
    (tmp_path / "v.csv").write_text("label;id\ncat;a.png\n;sub/b.png\ndog;ü.png\n", "utf-8")
    table = read_vectors(tmp_path / "v.npy")
    assert (table.ids, table.labels) == (IDS, LABELS)


def test_a_parquet_file_has_columns(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    columns = {"id": IDS, "label": LABELS, "embedding": VECTORS.tolist()}
    parquet.write_table(pyarrow.table(columns), tmp_path / "v.parquet")
    table = read_vectors(tmp_path / "v.parquet")
    assert (table.ids, table.labels) == (IDS, LABELS)
    assert np.allclose(table.vectors, VECTORS)
    parquet.write_table(pyarrow.table({"id": IDS}), tmp_path / "w.parquet")
    with pytest.raises(DataError, match=r"w\.parquet: .* found the columns id"):
        read_vectors(tmp_path / "w.parquet")


def test_without_pyarrow_the_message_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    (tmp_path / "v.parquet").touch()
    with pytest.raises(DataError, match=r'pip install "allencv-al\[parquet\]"'):
        read_vectors(tmp_path / "v.parquet")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"embeddings": VECTORS}, r"found the arrays embeddings$"),
        ({"x": VECTORS, "ids": IDS}, r"found the arrays x, ids$"),
        ({"embeddings": VECTORS[0], "ids": IDS}, r"expected numbers \[N, D\], found float64 \[4\]"),
        ({"embeddings": VECTORS[:0], "ids": []}, r"expected numbers \[N, D\]"),
        ({"embeddings": VECTORS, "ids": IDS[:2]}, r"found 3 vectors, 2 ids and 2 labels"),
        ({"embeddings": VECTORS, "ids": IDS, "labels": ["a"]}, r"3 vectors, 3 ids and 1 labels"),
        ({"embeddings": VECTORS * [1, 1, 1, np.nan], "ids": IDS}, r"finite numbers.*a\.png"),
        ({"embeddings": np.array([[{}]]), "ids": ["a"]}, r"cannot be read: Object arrays"),
    ],
)
def test_a_wrong_file_is_one_message(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_vectors(npz(tmp_path, **arrays))


@pytest.mark.parametrize("name", ["v.npz", "v.npy", "v.parquet", "v.txt"])
def test_a_damaged_file_is_one_message(tmp_path: Path, name: str) -> None:
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    (tmp_path / "v.csv").write_text("id\na\n")
    (tmp_path / name).write_bytes(b"no vectors")
    with pytest.raises(DataError, match=rf"{name}: "):
        read_vectors(tmp_path / name)


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"v\.npz"):
        read_vectors(tmp_path / "v.npz")


def test_files_of_vectors_are_known_by_their_suffix() -> None:
    assert is_vector_file("~/V.NPZ")
    assert not is_vector_file("timm:resnet18")
