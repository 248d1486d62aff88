"""Predictions with an exported model, without torch."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from allencv_al.common.errors import ArchiveError
from allencv_al.predictors.onnx_predictor import ExportMetadata, OnnxPredictor

METADATA = ExportMetadata(("Cat", "Dog"), 1000, False, 0, 0, "0.2.0")


def test_a_description_comes_back() -> None:
    assert ExportMetadata.from_json(METADATA.to_json(), "a.onnx") == METADATA


@pytest.mark.parametrize(
    "change",
    [{"classes": [3]}, {"max_pixels": "many"}, {"side": -1}, {"unknown": 1}, {"classes": None}],
)
def test_a_damaged_description_is_an_error(change: dict[str, object]) -> None:
    text = json.dumps(json.loads(METADATA.to_json()) | change)
    with pytest.raises(ArchiveError, match=r"a.onnx: its entry allencv_al is damaged"):
        ExportMetadata.from_json(text, "a.onnx")


def test_a_later_format_names_its_version() -> None:
    text = json.dumps(json.loads(METADATA.to_json()) | {"format": 2, "version": "9.1"})
    with pytest.raises(ArchiveError, match=r"expected .* format 1, found 2: .* 9.1"):
        ExportMetadata.from_json(text, "a.onnx")


def test_a_file_of_another_kind_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    with pytest.raises(ArchiveError, match="there is no such file"):
        OnnxPredictor(path)
    path.write_bytes(b"no model")
    with pytest.raises(ArchiveError, match="onnxruntime cannot load it"):
        OnnxPredictor(path)
