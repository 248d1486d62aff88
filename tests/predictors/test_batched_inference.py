"""Arrays batch by batch: one pass for all, in order, whatever fails on the way."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from allencv_al.common.errors import ConfigurationError, DataError, ImageDecodeError
from allencv_al.data.dataset_readers.base import DatasetReader
from allencv_al.data.instance import Instance
from allencv_al.models import load_archive
from allencv_al.models.archive import Archive
from allencv_al.predictors import ImagePredictor, Predictor
from allencv_al.predictors.batched_inference import BatchedInference
from allencv_al.predictors.outcomes import PredictionError

BOTH = {"logits", "embeddings"}


def test_batches_hold_what_the_other_ways_give(predictor: Predictor, files: list[Path]) -> None:
    batches = list(predictor.iterate_outputs(files, BOTH, batch_size=3))
    assert [len(batch) for batch in batches] == [3, 3, 1]
    assert [index for batch in batches for index in batch.indices] == list(range(7))
    assert [id for batch in batches for id in batch.ids] == [file.as_posix() for file in files]
    logits = np.concatenate([batch.arrays["logits"] for batch in batches])
    embeddings = np.concatenate([batch.arrays["embeddings"] for batch in batches])
    assert logits.dtype == embeddings.dtype == np.float32
    assert np.allclose(logits, predictor.predict_logits(files), atol=1e-6)
    assert np.allclose(embeddings, predictor.embed(files), atol=1e-6)


def test_numbers_too_small_to_compute_with_fast_are_zero_in_each_pass(
    predictor: Predictor, files: list[Path], tiny_product: Callable[[], float]
) -> None:
    seen: list[float] = []
    encoder = predictor.model.get_submodule("_im2im_encoder")
    encoder.register_forward_hook(lambda *_: seen.append(tiny_product()))
    for _ in predictor.iterate_outputs(files, BOTH, batch_size=3):
        assert tiny_product() > 0  # the caller computes as before
    assert seen == [0.0] * 3


def test_both_arrays_come_from_one_pass(predictor: Predictor, files: list[Path]) -> None:
    passes = 0

    def count(*_: Any) -> None:
        nonlocal passes
        passes += 1

    predictor.model.get_submodule("_im2im_encoder").register_forward_hook(count)
    assert len(list(predictor.iterate_outputs(files, BOTH, batch_size=3))) == passes == 3


def test_what_fails_is_between_the_rows_of_the_others(
    predictor: Predictor, files: list[Path]
) -> None:
    inputs: list[Any] = [Path("absent.png"), *files[:2], {"wrong": 1}, files[2], DataError("no")]
    batches = list(predictor.iterate_outputs(inputs, {"logits"}, batch_size=4))
    assert [batch.indices for batch in batches] == [[1, 2], [4]]
    assert [[failed.index for failed in batch.failed] for batch in batches] == [[0, 3], [5]]
    assert [failed.id for failed in batches[0].failed] == ["absent.png", None]
    assert isinstance(batches[0].failed[0].error, ImageDecodeError)
    outcomes = [outcome for batch in batches for outcome in batch.outcomes("logits")]
    assert [outcome.index for outcome in outcomes] == list(range(6))
    assert [outcome.error is None for outcome in outcomes] == [
        False,
        True,
        True,
        False,
        True,
        False,
    ]


def test_a_batch_where_nothing_can_be_read_has_no_rows(predictor: Predictor) -> None:
    (batch,) = predictor.iterate_outputs(["absent.png", "gone.png"], BOTH)
    assert batch.indices == [] and batch.arrays == {} and len(batch) == 2
    assert [outcome.id for outcome in batch.outcomes("logits")] == ["absent.png", "gone.png"]


def test_nothing_gives_no_batch(predictor: Predictor) -> None:
    assert list(predictor.iterate_outputs([])) == []


@pytest.mark.parametrize(
    ("needs", "found"), [((), "none"), ({"logits", "probs"}, "probs"), ({"mc_logits"}, "mc_logits")]
)
def test_other_arrays_are_an_error_at_once(predictor: Predictor, needs: Any, found: str) -> None:
    with pytest.raises(ConfigurationError, match=f"expected logits or embeddings, .*found {found}"):
        predictor.iterate_outputs([], needs)


def sizes(tmp_path: Path, count: int) -> list[Path]:
    """Pictures of three sizes in turn."""
    generator, paths = np.random.default_rng(0), []
    for number in range(count):
        side = 6 + 2 * (number % 3)
        pixels = generator.integers(0, 256, (side, side, 3), dtype=np.uint8)
        paths.append(tmp_path / f"{number:02d}.png")
        Image.fromarray(pixels).save(paths[-1])
    return paths


class MeanColor(torch.nn.Module):
    """Stands for a model of images of any size."""

    def __init__(self, most: int = 1000) -> None:
        super().__init__()
        self.most = most
        self.sizes: list[int] = []
        self.weight = torch.nn.Parameter(torch.ones(1))

    def outputs(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        self.sizes.append(len(image))
        if len(image) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        assert not self.training and not torch.is_grad_enabled()
        return {"color": image.mean(dim=(2, 3)).bfloat16()}


def reader() -> DatasetReader:
    return DatasetReader.from_params({"type": "image_classification_directory"})


def mean_colors(paths: list[Path]) -> np.ndarray:
    return np.stack([np.asarray(Image.open(path)).mean(axis=(0, 1)) / 255 for path in paths])


@pytest.mark.parametrize("batch_size", [1, 4, 5, 30])
@pytest.mark.parametrize("threads", [1, 3, 16])
def test_sizes_that_alternate_keep_their_order(
    tmp_path: Path, batch_size: int, threads: int
) -> None:
    paths, model, to_instance = sizes(tmp_path, 22), MeanColor(), reader().image_to_instance
    inference = BatchedInference(model, [reader()], batch_size, threads)
    batches = list(inference.output_batches(paths, to_instance, model.outputs))
    assert [index for batch in batches for index in batch.indices] == list(range(22))
    colors = np.concatenate([batch.arrays["color"] for batch in batches])
    assert np.allclose(colors, mean_colors(paths), atol=0.005)  # of bfloat16
    assert model.training  # as before


def test_a_batch_that_does_not_fit_is_halved_and_nothing_is_lost(tmp_path: Path) -> None:
    paths, model = sizes(tmp_path, 22), MeanColor(most=3)
    inference = BatchedInference(model, [reader()], 16, 2)
    batches = list(inference.output_batches(paths, reader().image_to_instance, model.outputs))
    assert [index for batch in batches for index in batch.indices] == list(range(22))
    colors = np.concatenate([batch.arrays["color"] for batch in batches])
    assert np.allclose(colors, mean_colors(paths), atol=0.005)
    assert model.sizes[0] == 6 and all(size <= 3 for size in model.sizes[1:])
    none = MeanColor(most=0)
    with pytest.raises(PredictionError, match="one image does not fit"):
        list(
            BatchedInference(none, [reader()], 4).output_batches(
                paths, reader().image_to_instance, none.outputs
            )
        )


def test_several_readers_each_give_their_image(tmp_path: Path) -> None:
    path = sizes(tmp_path, 1)[0]
    small = DatasetReader.from_params(
        {
            "type": "image_classification_directory",
            "augmentation": [{"type": "resize", "height": 2, "width": 3}],
        }
    )
    seen: list[tuple[int, ...]] = []

    def compute(*images: torch.Tensor) -> dict[str, torch.Tensor]:
        seen.extend(tuple(image.shape) for image in images)
        return {"color": images[0].mean(dim=(2, 3))}

    inference = BatchedInference(MeanColor(), [reader(), small, reader()])
    list(inference.output_batches([path], reader().image_to_instance, compute))
    assert seen == [(1, 3, 6, 6), (1, 3, 2, 3), (1, 3, 6, 6)]


@pytest.mark.parametrize("batch_size", [1, 4, 32])
def test_inputs_are_read_only_a_little_ahead(predictor: Predictor, batch_size: int) -> None:
    read = 0

    def endless() -> Iterator[np.ndarray]:
        nonlocal read
        while True:
            read += 1
            yield np.zeros((8, 8, 3), np.uint8)

    batches = predictor.iterate_outputs(endless(), {"logits"}, batch_size)  # type: ignore[arg-type]
    for done in range(1, 4):
        assert len(next(batches)) == batch_size
        assert read <= (done + 2) * batch_size + 8
    batches.close()  # type: ignore[attr-defined]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("decode")]


def test_instances_are_made_of_anything_that_is_an_image(
    predictor: Predictor, files: list[Path]
) -> None:
    instance = Instance("a", files[0])
    assert predictor.to_instance(instance) is instance
    assert predictor.to_instance(files[0]).id == files[0].as_posix()
    assert predictor.to_instance({"image_path": str(files[0])}).image == files[0]
    with pytest.raises(DataError, match="gone"):
        predictor.to_instance(DataError("gone"))


def test_inputs_are_read_only_a_few_batches_ahead(predictor: Predictor, files: list[Path]) -> None:
    taken = 0

    def endless() -> Iterator[Path]:
        nonlocal taken
        while True:
            taken += 1
            yield files[0]

    before = set(threading.enumerate())
    outcomes = predictor.outcomes(endless(), batch_size=4)
    for _ in range(9):
        next(outcomes)
    assert taken <= 9 + 4 + 2 * 4
    outcomes.close()  # type: ignore[attr-defined]
    new = set(threading.enumerate()) - before
    assert not [thread for thread in new if thread.name.startswith("decode")]


def test_images_of_different_sizes_need_no_resize(tiny_run: Path, files: list[Path]) -> None:
    archive = load_archive(
        tiny_run,
        overrides={
            "validation_dataset_reader.augmentation": [{"type": "normalize"}],
            "model.im2vec_encoder": {"type": "pool", "input_channels": 4},
        },
        weights_file=pooled_weights(tiny_run),
    )
    predictor = Predictor.from_archive(archive)
    together = predictor.predict_logits(files, batch_size=7)
    alone = np.stack([predictor.predict_logits([file])[0] for file in files])
    assert np.allclose(together, alone, atol=1e-5)


def pooled_weights(run: Path) -> Path:
    from safetensors.torch import load_file, save_file

    weights = load_file(run / "best.safetensors")
    weights["_classification_layer.weight"] = weights["_classification_layer.weight"][:, :4]
    weights = {name: tensor.contiguous() for name, tensor in weights.items()}
    save_file(weights, run / "pooled.safetensors")
    return run / "pooled.safetensors"


def test_the_mode_of_every_module_is_put_back(archive: Archive, files: list[Path]) -> None:
    model = archive.model.train()
    frozen = model.get_submodule("_im2im_encoder").eval()
    predictor = ImagePredictor(model, archive.validation_dataset_reader)
    predictor.predict_logits(files)
    assert model.training
    assert not any(module.training for module in frozen.modules())
    assert model.get_submodule("_classification_layer").training


def test_prediction_counts_nothing_in_the_metrics(predictor: Predictor, pictures: Path) -> None:
    before = predictor.model.get_metrics()
    predictor.predict_logits(predictor.dataset_reader.read(pictures))
    assert predictor.model.get_metrics() == before


def test_a_batch_that_does_not_fit_the_memory_is_halved(
    predictor: Predictor, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = predictor.predict_logits(files)
    sizes: list[int] = []
    forward = predictor.model.forward

    def small_memory(image: torch.Tensor, **others: Any) -> dict[str, torch.Tensor]:
        sizes.append(len(image))
        if len(image) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(image, **others)

    monkeypatch.setattr(predictor.model, "forward", small_memory)
    assert np.allclose(predictor.predict_logits(files, batch_size=6), expected, atol=1e-6)
    assert sizes == [6, 3, 1, 1, 1, 1, 1, 1, 1]


def test_one_image_that_does_not_fit_the_memory_is_an_error(
    predictor: Predictor, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory(image: torch.Tensor) -> dict[str, torch.Tensor]:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(predictor.model, "forward", no_memory)
    with pytest.raises(PredictionError, match="one image does not fit"):
        predictor.predict(files[0])


@pytest.mark.parametrize("batch_size", [0, -1])
def test_a_wrong_batch_size_is_an_error(predictor: Predictor, batch_size: int) -> None:
    with pytest.raises(ConfigurationError, match="batch_size"):
        predictor.predict_logits([], batch_size=batch_size)
