"""Masks and boxes from the config of the guide to predictions, by the command line."""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.doc_page import DocPage
from PIL import Image

from allencv_al.__main__ import main
from allencv_al.active_learning.run import RunOptions, active_learn
from allencv_al.common import Params
from allencv_al.common.config.sources.jsonnet_file import evaluate_snippet
from allencv_al.data.box_texts import boxes_text
from allencv_al.data.sample_data.shapes import SHAPES, write_shapes
from allencv_al.labels.label_store import LabelKind, LabelStore
from allencv_al.labels.run_database import RunDatabase
from allencv_al.labels.sessions.answers import NewAnswer
from allencv_al.labels.sessions.labeling_store import LabelingStore

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


@pytest.mark.slow
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


@pytest.mark.slow
def test_the_boxes_of_a_page_teach_a_detector_in_a_loop() -> None:
    write(10, 3)
    true = {
        path.stem: json.loads(path.read_text())["objects"]
        for path in Path("shapes/train/annotations").iterdir()
    }
    config = json.loads(config_of_guide("fcos", num_epochs=1).read_text())
    config["test_data_path"] = config["validation_data_path"]
    page = {"type": "labeling_server", "port": 0, "settle_seconds": 0}
    config["active_learning"] = {
        "annotator": page,
        "query_size": 3,
        "budget": 6,
        "strategy": "entropy",
        "classes": list(SHAPES),
    }
    for path in Path("shapes/train/annotations").iterdir():
        path.unlink()  # no annotator has drawn these boxes yet
    config["dataset_reader"]["unannotated"] = "unlabeled"
    is_done = threading.Event()
    person = threading.Thread(target=draw_boxes, args=(Path("loop"), true, is_done))
    person.start()
    try:
        records = active_learn(Params(config), Path("loop"), RunOptions(files=False))
    finally:
        is_done.set()
        person.join()
    assert [record.labels for record in records] == [0, 3, 6]
    assert all(record.metrics["mean_average_precision"] is not None for record in records[1:])
    assert [pick.reason["rank"] for pick in records[1].picks] == [0, 1, 2]
    with RunDatabase("loop/run.sqlite", create=False) as database:
        labels = LabelStore(database).labels()
    assert labels == {id: text_of(true[Path(id).stem], str) for id in labels}


def text_of(objects: list[dict[str, Any]], name: Callable[[str], str]) -> str:
    sides = ("x", "y", "width", "height")
    return boxes_text(
        {"label": name(one["class"]), **dict(zip(sides, one["bbox"], strict=True))}
        for one in objects
    )


def draw_boxes(
    run: Path, true: Mapping[str, list[dict[str, Any]]], is_done: threading.Event
) -> None:
    """Draw the true boxes in each image that the labeling of a run asks for."""
    while not (run / "labeling.sqlite").is_file():
        if is_done.wait(0.05):
            return
    with LabelingStore(run / "labeling.sqlite") as store:
        while not is_done.wait(0.05):
            numbers = {name: f"c{number}" for number, name in store.classes.names().items()}
            for item, _ in store.leases.next_items("Anna", 6):
                text = text_of(true[Path(item.id).stem], numbers.__getitem__)
                key = f"box-{item.item:08d}"
                new = NewAnswer("Anna", key, item.item, LabelKind.LABEL, text=text)
                store.answers.add(new, is_first=True)


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
