"""Unlabeled images of a training: which they are, and what a trainer makes of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fixtures.encoded_images import note_encoded

from allencv_al.__main__ import main
from allencv_al.common import Params
from allencv_al.common.errors import DataError, TrainingError
from allencv_al.data.instance import Instance
from allencv_al.models.archive import load_archive
from allencv_al.training.experiment import Experiment
from allencv_al.training.training_run import train
from allencv_al.training.unlabeled_images import embed_batch, shared_images

MakeConfig = Callable[..., dict[str, Any]]

FEW = {"type": "logistic_regression", "cuda_device": -1, "prior": "auto"}


@pytest.fixture
def photos(tmp_path: Path, digits: Path) -> Path:
    """All digits in one folder, without their classes."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for image in digits.rglob("*.png"):
        shutil.copy(image, folder / f"{image.parent.name}_{image.name}")
    return folder


def table_of(photos: Path, labeled: int, audited: int = 0, bare: int = 0) -> Path:
    """Write a table with the first images of each class: labeled, audited, and without a label."""
    rows = ["path,use,label"]
    for name in ("one", "two", "zero"):
        for place, image in enumerate(sorted(photos.glob(f"{name}_*"))[: labeled + audited + bare]):
            use = "audit" if labeled <= place < labeled + audited else "train"
            rows.append(f"{image},{use},{name if place < labeled + audited else ''}")
    table = photos.parent / "labels.csv"
    table.write_text("\n".join(rows))
    return table


def config_of(linear_config: MakeConfig, table: Path, pool: Path | None) -> dict[str, Any]:
    config = linear_config(
        table, _dataset_reader={"type": "manifest"}, _trainer=FEW, _active_learning={}
    )
    config["model"]["embedding_scaling"] = "center_l2"
    return config if pool is None else {**config, "pool_data_path": str(pool)}


def unlabeled(config: dict[str, Any]) -> set[str]:
    found = Experiment.from_checked(Params(config)).prepare()[0].unlabeled
    return {Path(str(item.image)).name for item in found or ()}


def test_the_others_of_a_folder_and_rows_without_a_label_are_the_pool(
    linear_config: MakeConfig, photos: Path
) -> None:
    everything = {file.name for file in photos.iterdir()}
    table = table_of(photos, labeled=1, audited=2, bare=3)
    rows = [line.split(",") for line in table.read_text().splitlines()[1:]]
    bare = {Path(path).name for path, _, label in rows if not label}
    known = {Path(path).name for path, _, label in rows if label}
    assert unlabeled(config_of(linear_config, table, None)) == bare
    config = config_of(linear_config, table, photos)
    found = Experiment.from_checked(Params(config)).prepare()[0].unlabeled
    assert found is not None
    # A row and a file that are one image count once, and none that measures is there
    names = sorted(Path(str(item.image)).name for item in found)
    assert names == sorted(everything - known)
    assert not any(item.label for item in found)


def test_an_image_that_measures_is_not_learned_from(
    linear_config: MakeConfig, photos: Path, tmp_path: Path
) -> None:
    config = config_of(linear_config, table_of(photos, labeled=1), photos)
    measuring = sorted(photos.glob("two_*"))[-2:]
    rows = "".join(f"\n{image},two" for image in measuring)
    (tmp_path / "test.csv").write_text(f"path,label{rows}")
    config["test_data_path"] = str(tmp_path / "test.csv")
    everything = {file.name for file in photos.iterdir()}
    learned = {
        Path(line.split(",")[0]).name for line in (tmp_path / "labels.csv").read_text().splitlines()
    }
    assert unlabeled(config) == everything - learned - {image.name for image in measuring}


def test_labels_of_the_pool_are_not_looked_at(
    linear_config: MakeConfig, photos: Path, digits: Path
) -> None:
    config = config_of(linear_config, table_of(photos, labeled=2), digits)
    found = Experiment.from_checked(Params(config)).prepare()[0].unlabeled
    assert found is not None and {item.label for item in found} == {None}


def test_the_pool_gives_the_mean_and_spreads_the_labels(
    linear_config: MakeConfig, photos: Path, tmp_path: Path
) -> None:
    config = config_of(linear_config, table_of(photos, labeled=1, audited=3), photos)
    metrics = train(Params(config), tmp_path / "run")
    assert metrics["prior"] == "label_spreading"
    model = load_archive(tmp_path / "run" / "model.tar.gz").model
    assert model.embedding_scaling is not None
    rows = (tmp_path / "labels.csv").read_text().splitlines()
    audited = {Path(row.split(",")[0]).name for row in rows if ",audit," in row}
    pixels = [_pixels(file) for file in sorted(photos.iterdir()) if file.name not in audited]
    np.testing.assert_allclose(model.embedding_scaling.mean, np.mean(pixels, axis=0), atol=1e-6)


def _pixels(file: Path) -> np.ndarray:
    from PIL import Image

    image = np.asarray(Image.open(file).convert("RGB"), np.float32) / 255
    return image.transpose(2, 0, 1).ravel()


def test_the_next_training_encodes_no_image_again(
    linear_config: MakeConfig, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded = note_encoded(monkeypatch)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config_of(linear_config, table_of(photos, labeled=1), photos)))
    cache = ["--embedding-cache", str(tmp_path / "cache")]
    assert main(["train", str(path), "-s", str(tmp_path / "a"), *cache]) == 0
    assert sum(encoded) == len(list(photos.iterdir())), "labeled images are not encoded twice"
    table_of(photos, labeled=2)
    assert main(["train", str(path), "-s", str(tmp_path / "b"), *cache]) == 0
    assert sum(encoded) == len(list(photos.iterdir()))


def test_an_id_of_two_images_is_an_error(
    linear_config: MakeConfig, digits: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(digits, other)
    config = {**linear_config(digits, _active_learning={}), "pool_data_path": str(other)}
    with pytest.raises(DataError, match="pool_data_path: 60 ids are at train_data_path too"):
        Experiment.from_checked(Params(config)).prepare()


def test_a_rehearsal_knows_that_there_is_a_pool(linear_config: MakeConfig, photos: Path) -> None:
    config = config_of(linear_config, table_of(photos, labeled=1), photos)
    config["trainer"] = {**FEW, "prior": "label_spreading"}
    Experiment.from_checked(Params(config)).rehearse()


class SmallMemory:
    """A model that embeds few images at a time."""

    def __init__(self, most: int) -> None:
        self.most, self.sizes = most, list[int]()

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        self.sizes.append(len(images))
        if len(images) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return images.flatten(1)


def test_a_batch_that_does_not_fit_the_memory_is_embedded_in_halves() -> None:
    images = torch.rand(7, 3, 2, 2)
    model: Any = SmallMemory(2)
    assert torch.equal(embed_batch(model, images), images.flatten(1))
    assert model.sizes == [7, 3, 1, 1, 1, 1, 1, 1, 1]
    nothing_fits: Any = SmallMemory(0)
    with pytest.raises(TrainingError, match="one image does not fit into the GPU's memory"):
        embed_batch(nothing_fits, images)


def test_pixels_that_are_the_same_record_count_as_one_image() -> None:
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    ours = [Instance("batch.bin:1", pixels), Instance("batch.bin:2", pixels + 1)]
    theirs = [
        Instance("batch.bin:2", np.asfortranarray(pixels + 1)),
        Instance("batch.bin:1", pixels + 7),  # the same name in another data set
        Instance("test.bin:4", pixels),  # a picture may be there twice
    ]
    assert shared_images(ours, theirs) == ["batch.bin:2"]
