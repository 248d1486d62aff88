"""The package exports what users of labels write and read."""

from __future__ import annotations

import allencv_al.labels


def test_every_public_name_is_importable() -> None:
    assert {"Annotator", "LabelRequest", "NewLabel"} <= set(allencv_al.labels.__all__)
    for name in allencv_al.labels.__all__:
        assert getattr(allencv_al.labels, name).__name__ == name
