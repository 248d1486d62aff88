"""Masks and boxes from the config of the guide to predictions, by the command line."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.doc_page import DocPage
from PIL import Image

from allencv_al.__main__ import main
from allencv_al.common.config.sources.jsonnet_file import evaluate_snippet
from allencv_al.data.sample_data.shapes import SHAPES, write_shapes

GUIDE = DocPage("docs/how_to/masks_and_boxes.md")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(train: int, validation: int) -> None:
    write_shapes("shapes", counts={"train": train, "validation": validation})


def config_of_guide(holding: str, **trainer: Any) -> Path:
    text = evaluate_snippet(GUIDE.name, GUIDE.block("jsonnet", holding), {})
    config = json.loads(text)
    config["trainer"] |= trainer
    Path("config.json").write_text(json.dumps(config), encoding="utf-8")
    return Path("config.json")


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(list(arguments)) == 0
    return capsys.readouterr().out


def evaluated(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        run(capsys, "evaluate", "run/model.tar.gz", "shapes/validation", "--json")
    )
    return found


def predicted(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    out = run(capsys, "predict", "run/model.tar.gz", "shapes/validation/images")
    return [json.loads(line) for line in out.splitlines()]


def test_a_segmenter_goes_through_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    write(8, 3)
    run(capsys, "train", str(config_of_guide("unet", num_epochs=1)), "-s", "run")
    trained = json.loads(Path("run/metrics.json").read_text(encoding="utf-8"))
    metrics = evaluated(capsys)
    assert metrics["miou"] == pytest.approx(trained["validation_miou"], abs=0.02)  # bf16
    assert list(metrics["per_class_iou"]) == ["0", "1", "2", "3"]
    rows = predicted(capsys)
    assert [sorted(row) for row in rows] == [["image_path", "mask", "shares"]] * 3
    mask = np.asarray(Image.open(io.BytesIO(base64.b64decode(rows[0]["mask"]["png"]))))
    assert mask.shape == (64, 64) and mask.max() < 4
    files = ("shapes/validation/images", "--output-file", "out.jsonl", "--silent")
    run(capsys, "predict", "run/model.tar.gz", *files)
    row = json.loads(Path("out.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert Path(row["mask"]["png"]).parent == Path("out_masks")
    assert np.array_equal(np.asarray(Image.open(row["mask"]["png"])), mask)


def test_a_detector_goes_through_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    write(8, 3)
    run(capsys, "train", str(config_of_guide("fcos", num_epochs=1)), "-s", "run")
    metrics = evaluated(capsys)
    assert set(metrics["per_class_AP"]) == set(SHAPES)
    assert [sorted(row) for row in predicted(capsys)] == [["image_path", "objects"]] * 3


def test_a_detector_refuses_normalized_images_and_a_loss_of_evaluation(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write(8, 3)
    path = config_of_guide("fcos", validation_metric="-loss")
    overrides = json.dumps({"dataset_reader.augmentation": ["flip", "normalize"]})
    assert main(["train", str(path), "-s", "run", "-o", overrides]) == 2
    message = capsys.readouterr().err
    assert "dataset_reader.augmentation.1: the model normalizes images itself" in message
    assert 'validation_metric: the model reports no single number "loss"' in message


@pytest.mark.slow
def test_the_segmenter_of_the_guide_is_useful(capsys: pytest.CaptureFixture[str]) -> None:
    write(500, 100)
    run(capsys, "train", str(config_of_guide("unet")), "-s", "run")
    assert evaluated(capsys)["miou"] >= 0.8


@pytest.mark.slow
def test_the_detector_of_the_guide_is_useful(capsys: pytest.CaptureFixture[str]) -> None:
    write(500, 100)
    run(capsys, "train", str(config_of_guide("fcos")), "-s", "run")
    metrics = evaluated(capsys)
    assert metrics["AP50"] >= 0.7
    best = [row["objects"][0] for row in predicted(capsys) if row["objects"]]
    assert {one["label"] for one in best} <= set(SHAPES)
