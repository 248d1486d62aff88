"""Rows of arrays: blocks of them, and some of them without a copy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast, final

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import DTypeLike, NDArray


def slices(count: int, step: int) -> Iterator[slice]:
    """Yield slices of at most `step` rows, at least 1, that cover `count` rows."""
    step = max(1, step)
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


@final
class RowView(NDArrayOperatorsMixin):
    """Some rows of an array, in an order of its own, none of them copied ahead.

    Rows that are asked for (by a number, a slice, positions or a mask) come as an ordinary array,
    which is read-only. All other array operations work too, on a copy of all rows; reading in
    blocks takes the memory of one block.

    Args:
        array: The array, `[N, ...]`; it may be memory-mapped.
        indices: Its rows, `[n]`.
    """

    def __init__(self, array: NDArray[Any] | RowView, indices: NDArray[np.int64]) -> None:
        self._array: NDArray[Any] = array._array if isinstance(array, RowView) else array
        self._indices: NDArray[np.int64] = (
            array._indices[indices] if isinstance(array, RowView) else indices
        )
        self._ascending = bool((np.diff(self._indices) > 0).all())

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape that a copy would have."""
        return (len(self._indices), *self._array.shape[1:])

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return self._array.ndim

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the elements."""
        return self._array.dtype

    @property
    def itemsize(self) -> int:
        """The bytes of one element."""
        return self._array.itemsize

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, tuple) or key is None or key is Ellipsis:
            return np.asarray(self)[key]
        wanted = self._indices[key]
        contiguous = isinstance(key, slice) and self._ascending and len(wanted) > 0
        if contiguous and wanted[-1] - wanted[0] == len(wanted) - 1:
            return self._array[wanted[0] : wanted[-1] + 1]
        return self._array[wanted]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("the rows lie apart: an array of all of them is a copy")
        return np.asarray(self._array[self._indices], dtype=dtype)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        arrays = [np.asarray(each) if isinstance(each, RowView) else each for each in inputs]
        return getattr(ufunc, method)(*arrays, **options)

    def __getattr__(self, name: str) -> Any:
        # What is private is ours; copying and pickling ask for it before it is there
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(np.asarray(self), name)


def take_rows(
    array: NDArray[Any], indices: NDArray[np.int64], most_copied: float
) -> NDArray[np.floating[Any]]:
    """Return rows of an array: a copy, or a `RowView` where that would be large.

    Args:
        array: The array, `[N, ...]`.
        indices: The rows, `[n]`.
        most_copied: The most bytes of a copy.
    """
    row = int(np.prod(array.shape[1:])) * array.itemsize
    if len(indices) * row > most_copied:
        return cast("NDArray[np.floating[Any]]", RowView(array, indices))
    return cast("NDArray[np.floating[Any]]", array[indices])
