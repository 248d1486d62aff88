"""A power cut at any moment of a training leaves a run that goes on to the same end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from power_cut import Cut, Kind, record

from allencv_al.common import Params
from allencv_al.data.vocabulary import Vocabulary
from allencv_al.models.archive import load_archive
from allencv_al.training.checkpoints.checkpoint_files import read_weights
from allencv_al.training.checkpoints.checkpointer import Checkpointer, has_checkpoints
from allencv_al.training.run_folder import check_run_folder
from allencv_al.training.trainers.epoch_metrics import without_measurements
from allencv_al.training.training_run import train

KINDS: tuple[Kind, ...] = ("flushed", "names", "everything")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    data = tmp_path_factory.mktemp("data")
    for split in ("train", "validation"):
        for label, value in (("dark", 30), ("bright", 220)):
            folder = data / split / label
            folder.mkdir(parents=True)
            for number in range(2):
                Image.new("RGB", (8, 8), (value + number,) * 3).save(folder / f"{number}.png")
    return {
        "dataset_reader": {"type": "image_classification_directory"},
        "train_data_path": str(data / "train"),
        "validation_data_path": str(data / "validation"),
        "test_data_path": str(data / "validation"),
        "evaluate_on_test": True,
        "archive_samples": 1,
        "model": {
            "type": "basic_image_classifier",
            "im2vec_encoder": {"type": "pool", "input_channels": 3},
        },
        "data_loader": {"batch_size": 2},
        "trainer": {
            "num_epochs": 2,
            "optimizer": {"type": "adam", "lr": 0.1},
            "checkpointer": {"save_every_num_batches": 1},
            "cuda_device": -1,
        },
    }


@pytest.fixture(scope="module")
def cuts(config: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[Kind, list[Cut]]:
    root = tmp_path_factory.mktemp("recorded")
    with record(root) as log:
        train(Params(config), root / "deep" / "run")
        log.promise("finished")
    return {kind: log.cuts(kind) for kind in KINDS}


@pytest.fixture(scope="module")
def expected(config: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("whole") / "run"
    train(Params(config), folder)
    return end_of(folder)


def end_of(folder: Path) -> dict[str, Any]:
    """Return what must be the same to the bit at the end of a run."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return {
        "weights": {
            name: w.tolist() for name, w in read_weights(folder / "best.safetensors").items()
        },
        "metrics": without_measurements(json.loads((folder / "metrics.json").read_text())),
        "epochs": [without_measurements(json.loads(line)) for line in lines],
        "names": sorted(path.name for path in folder.iterdir() if path.name != "checkpoints"),
    }


def check(folder: Path, params: Params) -> None:
    """Check that all that is there is whole, and that what a state refers to is there."""
    check_run_folder(folder, params, recover=(folder / "config.json").exists(), force=False)
    for path in folder.glob("[!.]*.json"):
        json.loads(path.read_text())
    if (folder / "model.tar.gz").exists():
        load_archive(folder / "model.tar.gz")
    if not has_checkpoints(folder):
        return
    checkpoint = Checkpointer(folder).load()
    assert checkpoint is not None
    done = checkpoint.state["epochs_completed"]
    Vocabulary.from_files(folder / "vocabulary")
    names = ["environment.json", "checkpoints/data.json", "metrics.jsonl"][: 3 if done else 2]
    for name in (*names, *(f"metrics_epoch_{epoch}.json" for epoch in range(done))):
        assert (folder / name).is_file(), name
    if checkpoint.state["tracker"]["best_epoch"] is not None:
        read_weights(folder / "best.safetensors")


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_there_is_whole_and_what_it_refers_to_is_there(
    config: dict[str, Any], cuts: dict[Kind, list[Cut]], tmp_path: Path, kind: Kind
) -> None:
    assert len(cuts[kind]) > 25
    for cut in cuts[kind]:
        folder = cut.restore(tmp_path / "after") / "deep" / "run"
        check(folder, Params(config))
        if cut.promised:
            assert "test_accuracy" in json.loads((folder / "metrics.json").read_text())
            assert (folder / "model.tar.gz").is_file() and any((folder / "samples").iterdir())


@pytest.mark.parametrize(
    ("kinds", "every"), [(("flushed",), 10), pytest.param(KINDS, 24, marks=pytest.mark.slow)]
)
def test_a_run_goes_on_to_the_same_end(
    config: dict[str, Any],
    cuts: dict[Kind, list[Cut]],
    expected: dict[str, Any],
    tmp_path: Path,
    kinds: tuple[Kind, ...],
    every: int,
) -> None:
    for kind in kinds:
        for cut in cuts[kind][every // 2 :: every]:
            folder = cut.restore(tmp_path / "after") / "deep" / "run"
            train(Params(config), folder, recover=(folder / "config.json").exists())
            assert end_of(folder) == expected, (kind, cut.moment)
