from __future__ import annotations

import errno
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
        (
            {"embeddings": np.array([[{}]]), "ids": ["a"]},
            r"cannot be read: .*holds Python objects",
        ),
        ({"embeddings": VECTORS, "ids": np.array(IDS, object)}, r"numpy\.array\(ids, str\)"),
        ({"embeddings": VECTORS, "ids": "a"}, r"expected ids \[N\], found ids \[\]$"),
        ({"embeddings": VECTORS, "ids": IDS, "labels": [["a"]] * 3}, r"found labels \[3, 1\]$"),
        ({"embeddings": VECTORS, "ids": ["a", "", "c"]}, r"found none in the rows \[1\]$"),
        ({"embeddings": VECTORS, "ids": [b"a", b"\xff", b"c"]}, r"cannot be read: 'utf-8' codec"),
        ({"embeddings": VECTORS * 1e300, "ids": IDS}, r"expected finite numbers"),
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


def test_bytes_are_text_and_nan_is_no_label(tmp_path: Path) -> None:
    ids = [id.encode() for id in IDS]
    path = npz(tmp_path, embeddings=VECTORS, ids=ids, labels=[1.0, np.nan, 2.0])
    table = read_vectors(path)
    assert list(table.ids) == IDS
    assert list(table.labels) == ["1.0", None, "2.0"]


def test_a_damaged_compressed_array_is_one_message(tmp_path: Path) -> None:
    path = tmp_path / "v.npz"
    np.savez_compressed(path, embeddings=VECTORS, ids=IDS)
    content = bytearray(path.read_bytes())
    content[90:110] = bytes(20)
    path.write_bytes(content)
    with pytest.raises(DataError, match="cannot be read"):
        read_vectors(path)


def test_a_file_under_the_suffix_of_the_other_layout_is_named(tmp_path: Path) -> None:
    npz(tmp_path, embeddings=VECTORS, ids=IDS).rename(tmp_path / "other.npy")
    (tmp_path / "other.csv").write_text("id\na\nb\nc\n")
    with pytest.raises(DataError, match=r"it is an \.npz file"):
        read_vectors(tmp_path / "other.npy")
    np.save(tmp_path / "v.npy", VECTORS)
    with pytest.raises(DataError, match=r"it is an \.npy file"):
        read_vectors((tmp_path / "v.npy").rename(tmp_path / "v.npz"))


@pytest.mark.parametrize("number", [errno.EIO, errno.EMFILE])
def test_a_fault_of_the_machine_is_not_blamed_on_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, "of the machine")

    path = npz(tmp_path, embeddings=VECTORS, ids=IDS)
    monkeypatch.setattr(np, "load", fail)
    with pytest.raises(OSError, match="of the machine"):
        read_vectors(path)


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"v\.npz"):
        read_vectors(tmp_path / "v.npz")


def test_files_of_vectors_are_known_by_their_suffix() -> None:
    assert is_vector_file("~/V.NPZ")
    assert not is_vector_file("timm:resnet18")
