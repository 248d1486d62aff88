"""Exported models: they predict as their archives do, and are kept only if they do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from allencv_al.common.errors import ConfigurationError, DataError
from allencv_al.models.archive import Archive
from allencv_al.predictors import model_export
from allencv_al.predictors.model_export import OUTPUTS, ExportFormat, export_model

SIZES = [(40, 30), (12, 12), (9, 100)]


def images(*size: int, count: int = 2) -> np.ndarray:
    return np.random.default_rng(size[0]).integers(0, 256, (count, *size, 3), dtype=np.uint8)


@pytest.mark.slow
def test_a_torch_export_takes_images_of_any_size(archive: Archive, tmp_path: Path) -> None:
    path = tmp_path / "model.pt2"
    check = export_model(archive, path, "torch_export")
    assert check.images == 4
    assert check.ties == 0
    assert check.difference < 0.01
    extra = {"allencv_al": ""}
    module = torch.export.load(str(path), extra_files=extra).module()
    assert '"classes": ["Cat", "Dog", "Emu"]' in extra["allencv_al"]
    for count, size in enumerate(SIZES, start=1):
        rows = dict(zip(OUTPUTS, module(torch.from_numpy(images(*size, count=count))), strict=True))
        assert rows["probs"].shape == (count, 3)
        assert rows["prediction"].tolist() == rows["logits"].argmax(1).tolist()


def test_a_model_that_predicts_otherwise_is_not_kept(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(module: object, path: Path, metadata: object) -> None:
        path.write_bytes(b"another model")

    def outputs(path: Path) -> object:
        # The class that is least likely
        return lambda pixels: {
            "probs": np.array([[0.0, 0.0, 1.0]]),
            "prediction": np.array([(wanted.predict(pixels[0])["prediction"] + 1) % 3]),
        }

    wanted = model_export.ImagePredictor(archive.model, archive.validation_dataset_reader)
    monkeypatch.setitem(model_export._FILES, "onnx", (write, outputs))
    with pytest.raises(DataError, match=r"other classes than the archive for 4 of 4 images"):
        export_model(archive, tmp_path / "model.onnx")
    assert list(tmp_path.glob("*model*")) == []


def test_a_model_of_another_task_is_refused(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive.model, "label_task", "segmentation")
    with pytest.raises(ConfigurationError, match="BasicImageClassifier cannot be exported"):
        export_model(archive, tmp_path / "model.onnx")


@pytest.mark.parametrize("format", ["onnx", "torch_export"])
def test_a_model_that_torch_cannot_follow_is_a_sentence(
    archive: Archive, tmp_path: Path, format: ExportFormat, monkeypatch: pytest.MonkeyPatch
) -> None:
    def export(*args: object, **kwargs: object) -> None:
        raise RuntimeError("data-dependent control flow")

    monkeypatch.setattr(torch.export, "export", export)
    with pytest.raises(ConfigurationError, match=r"torch.export: data-dependent control flow"):
        export_model(archive, tmp_path / "model", format)
    assert list(tmp_path.glob("*model*")) == []
