"""`export_model`: write a trained model, with its preprocessing, for programs without this one."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from allencv_al.common.errors import ConfigurationError, DataError
from allencv_al.common.files.atomic_file import atomic_path
from allencv_al.common.names import listed
from allencv_al.common.progress import log_level
from allencv_al.data.dataset_readers.base import DatasetReader
from allencv_al.data.image_io import ImageInput, source_name
from allencv_al.models.archive import Archive
from allencv_al.models.archive_contents import installed_versions
from allencv_al.models.model import Model
from allencv_al.predictors.export_preprocessing import ExportPreprocessing
from allencv_al.predictors.image_predictor import ImagePredictor
from allencv_al.predictors.onnx_predictor import METADATA_KEY, ExportMetadata, OnnxPredictor

logger = logging.getLogger(__name__)

ExportFormat = Literal["onnx", "torch_export"]

FORMATS: tuple[ExportFormat, ...] = ("onnx", "torch_export")
OUTPUTS = ("logits", "probs", "prediction")

_NO_EXPORTER = 'the format onnx needs onnx and onnxscript: pip install "allencv_al[onnx]"'
# Two programs add floats in another order, so a tie may end either way
_TIE = 1e-4
_SIDES = ((97, 130), (64, 48), (224, 224), (300, 201))
_TASKS = ("single_label",)


@dataclass(frozen=True, slots=True)
class ExportCheck:
    """The comparison of an exported model with its archive.

    Args:
        images: Number of images.
        difference: Largest absolute difference of two probabilities.
        ties: Images whose class differs because the probabilities of two classes are as good as
            equal.
    """

    images: int
    difference: float
    ties: int


def export_model(
    archive: Archive,
    path: str | Path,
    format: ExportFormat = "onnx",
    images: Sequence[ImageInput] = (),
) -> ExportCheck:
    """Write a model with its preprocessing into one file, and compare the file with the archive.

    The input is `image`, uint8 `[B, H, W, 3]` of any size (RGB); outputs are `logits` and `probs`,
    float32 `[B, C]`, and `prediction`, int64 `[B]`. Only decoding is outside.

    Args:
        archive: The trained model, on the CPU.
        path: The file to write; it takes this name after the comparison.
        format: `onnx` for any program with an ONNX runtime, `torch_export` for
            `torch.export.load`.
        images: Images to compare with. Default: the samples of the archive and drawn images of
            several sizes.

    Returns:
        The comparison.

    Raises:
        ConfigurationError: The model or a transform cannot be exported, or a package is missing.
        DataError: The file gives other classes than the archive; it is not kept.
    """
    if archive.model.task.name() not in _TASKS:
        raise ConfigurationError(
            f"{type(archive.model).__name__} cannot be exported: expected a model of one class per "
            "image"
        )
    reader = archive.validation_dataset_reader
    module = _Exported(archive.model, reader).eval()
    metadata = _metadata(archive.model, reader)
    write, open_file = _FILES[format]
    with atomic_path(path) as temporary:
        with warnings.catch_warnings(), log_level("torch.onnx", logging.ERROR):
            warnings.simplefilter("ignore")  # of the exporters, about their own code
            write(module, temporary, metadata)
        return _checked(archive, open_file(temporary), images or _samples(archive))


class _Exported(torch.nn.Module):
    """A classifier from the pixels of images to its predictions."""

    def __init__(self, model: Model, reader: DatasetReader) -> None:
        super().__init__()
        self.preprocessing = ExportPreprocessing(reader)
        self.model = model
        decision = model.decision_threshold
        self._decision = decision if decision is not None and bool(decision.fitted) else None

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        outputs = self.model(image=self.preprocessing(image))
        logits, probs = outputs["logits"], outputs["probs"]
        decision = self._decision
        prediction = logits.argmax(dim=-1) if decision is None else decision.decided(logits)
        return logits, probs, prediction


def _metadata(model: Model, reader: DatasetReader) -> ExportMetadata:
    reading = reader.reading()
    return ExportMetadata(
        classes=tuple(model.class_names()),
        max_pixels=reading.max_pixels,
        raw_colors=reading.raw_colors,
        side=reading.side,
        reduce_above=reading.reduce_above,
        version=installed_versions().get("allencv_al", "unknown"),
    )


def _write_onnx(module: _Exported, path: Path, metadata: ExportMetadata) -> None:
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError:
        raise ConfigurationError(_NO_EXPORTER) from None
    program = torch.onnx.export(
        _program(module),
        input_names=["image"],
        output_names=list(OUTPUTS),
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    program.model.metadata_props[METADATA_KEY] = metadata.to_json()
    program.save(str(path), external_data=False)


def _write_torch_export(module: _Exported, path: Path, metadata: ExportMetadata) -> None:
    program = _program(module)
    with path.open("wb") as file:
        torch.export.save(program, file, extra_files={METADATA_KEY: metadata.to_json()})


def _program(module: _Exported) -> torch.export.ExportedProgram:
    # More than one image, and sides that are no size of a model by chance: all three stay open
    example = torch.zeros(2, 331, 257, 3, dtype=torch.uint8)
    dims = {axis: torch.export.Dim(name) for axis, name in enumerate(("batch", "height", "width"))}
    try:
        with torch.no_grad():
            return torch.export.export(module, (example,), dynamic_shapes=(dims,))
    except (
        Exception
    ) as error:  # the exporter raises errors of many kinds, for code it cannot follow
        raise ConfigurationError(
            f"{type(module.model).__name__} cannot be exported: torch.export: {error}"
        ) from error


Outputs = Callable[[np.ndarray[Any, Any]], Mapping[str, Any]]


def _onnx_outputs(path: Path) -> Outputs:
    return OnnxPredictor(path).outputs


def _torch_outputs(path: Path) -> Outputs:
    with path.open("rb") as file:
        module = torch.export.load(file).module()

    def outputs(images: np.ndarray[Any, Any]) -> dict[str, Any]:
        with torch.no_grad():
            rows = module(torch.from_numpy(images))
        return {name: values.numpy() for name, values in zip(OUTPUTS, rows, strict=True)}

    return outputs


_FILES = {
    "onnx": (_write_onnx, _onnx_outputs),
    "torch_export": (_write_torch_export, _torch_outputs),
}


def _samples(archive: Archive) -> list[ImageInput]:
    generator = np.random.default_rng(0)
    drawn = []
    for height, width in _SIDES:
        # Blocks of color: noise alone would look alike after scaling
        blocks = generator.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
        drawn.append(np.repeat(np.repeat(blocks, 8, 0), 8, 1)[:height, :width])
    return [*archive.samples, *drawn]


def _checked(archive: Archive, exported: Outputs, images: Sequence[ImageInput]) -> ExportCheck:
    predictor = ImagePredictor(archive.model, archive.validation_dataset_reader)
    difference, ties, wrong = 0.0, 0, []
    for place, image in enumerate(images):
        wanted = predictor.predict(image)
        pixels = predictor.dataset_reader.decode(predictor.to_instance(image)).image
        found = {name: rows[0] for name, rows in exported(pixels[None]).items()}
        probs = np.asarray(wanted["probs"])
        difference = max(difference, float(np.abs(found["probs"] - probs).max()))
        if int(found["prediction"]) == wanted["prediction"]:
            continue
        if abs(probs[int(found["prediction"])] - probs[wanted["prediction"]]) < _TIE:
            ties += 1
        else:
            wrong.append(source_name(image) if isinstance(image, str | Path) else f"image {place}")
    if wrong:
        raise DataError(
            f"the exported model gives other classes than the archive for {len(wrong)} of "
            f"{len(images)} images ({listed(wrong)}; largest difference of a probability "
            f"{difference:.2g}), so the file is not kept"
        )
    return ExportCheck(len(images), difference, ties)
