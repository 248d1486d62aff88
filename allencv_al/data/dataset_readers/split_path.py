"""Paths that say which part of a data set is meant: `cifar-10-binary.tar.gz::test`.

One file or folder may hold the training and the test images. A config has one reader for
`train_data_path` and `test_data_path`, so the path itself has to say which part it means.
"""

from __future__ import annotations

from pathlib import Path

from allencv_al.common.files.paths import written_path

SEPARATOR = "::"


def split_path(path: str | Path) -> tuple[Path, str | None]:
    """Return the file or folder, and what stands behind `::` (None without one).

    A file whose own name holds `::` is taken as it is; `~` is the home folder. What is not there as
    written is sought as `written_path` does.
    """
    location = written_path(str(path))
    head, separator, tail = str(location).rpartition(SEPARATOR)
    if not separator or not head or not tail or location.exists():
        return location, None
    return written_path(head), tail
