"""The guide to exports of other tools, on twenty images as Label Studio and CVAT write them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import parse

import pytest
from fixtures.doc_page import DocPage
from fixtures.imported_labels import labels

from allencv_al.__main__ import main
from allencv_al.common.config.sources.jsonnet_file import evaluate_snippet
from allencv_al.data.image_io import load_mask
from allencv_al.data.run_lengths import brush_runs
from allencv_al.data.sample_data.shapes import SHAPES, write_shapes
from allencv_al.labels.sessions.items import NewItem
from allencv_al.labels.sessions.labeling_store import LABELING_NAME, LabelingStore

GUIDE = DocPage("docs/how_to/boxes_from_other_tools.md")
DRAWN = Path("shapes/train")


@pytest.fixture(autouse=True)
def exports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_shapes("shapes", counts={"train": 20, "validation": 1})
    for folder in ("ls", "cvat"):
        shutil.copytree(DRAWN / "images", Path(folder) / "images")
    images = sorted((DRAWN / "images").iterdir())
    tasks = [_task(n, image) for n, image in enumerate(images)]
    Path("ls/project-1.json").write_text(json.dumps(tasks), encoding="utf-8")
    names = "".join(f"<label><name>{name}</name></label>" for name in SHAPES)
    body = "".join(map(_cvat_image, images))
    Path("cvat/annotations.xml").write_text(
        f"<annotations><version>1.1</version><meta><job><labels>{names}</labels></job></meta>{body}"
        "</annotations>",
        encoding="utf-8",
    )


def _task(number: int, image: Path) -> dict[str, Any]:
    mask = load_mask(DRAWN / "masks" / image.name)
    regions = [
        {
            "id": f"Xy{index}",
            "type": "brushlabels",
            "from_name": "tag",
            "to_name": "image",
            "original_width": 64,
            "original_height": 64,
            "image_rotation": 0,
            "origin": "manual",
            "value": {"format": "rle", "rle": brush_runs(mask == index), "brushlabels": [name]},
        }
        for index, name in enumerate(SHAPES, start=1)
        if (mask == index).any()
    ]
    annotation = {"id": number, "completed_by": 1, "was_cancelled": False, "result": regions}
    return {
        "id": number,
        "annotations": [annotation] if number else [],  # one is not labeled yet
        "data": {"image": f"/data/upload/1/1234abcd-{image.name}"},
    }


def _cvat_image(image: Path) -> str:
    drawn = json.loads((DRAWN / "annotations" / f"{image.stem}.json").read_text(encoding="utf-8"))
    boxes = "".join(
        f'<box label="{one["class"]}" source="manual" occluded="0" xtl="{x:.2f}" ytl="{y:.2f}" '
        f'xbr="{x + width:.2f}" ybr="{y + height:.2f}" z_order="0"></box>'
        for one in drawn["objects"]
        for x, y, width, height in [one["bbox"]]
    )
    return f'<image id="0" name="{image.name}" width="64" height="64">{boxes}</image>'


def config_with(holding: str, **trainer: Any) -> None:
    config = json.loads(evaluate_snippet(GUIDE.name, GUIDE.block("jsonnet", holding), {}))
    config["trainer"] |= trainer
    Path("config.json").write_text(json.dumps(config), encoding="utf-8")


@pytest.mark.parametrize("holding", ["label_studio", '"cvat"'])
def test_the_configs_fit_the_exports(holding: str, capsys: pytest.CaptureFixture[str]) -> None:
    config_with(holding)
    assert main(["train", "config.json", "-s", "run", "--dry-run"]) == 0
    assert "no faults found" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("holding", "metric"), [("label_studio", "validation_miou"), ('"cvat"', "validation_AP50")]
)
def test_the_configs_learn_from_the_exports(holding: str, metric: str) -> None:
    config_with(holding, num_epochs=1)
    assert main(["train", "config.json", "-s", "run"]) == 0
    assert metric in json.loads(Path("run/metrics.json").read_text(encoding="utf-8"))
    assert main(["predict", "run/model.tar.gz", "cvat/images", "--output-file", "x.jsonl"]) == 0
    assert len(Path("x.jsonl").read_text(encoding="utf-8").splitlines()) == 20


def test_the_masks_are_those_that_were_drawn() -> None:
    from allencv_al.data.dataset_readers import DatasetReader

    config = json.loads(evaluate_snippet(GUIDE.name, GUIDE.block("jsonnet", "label_studio"), {}))
    found = DatasetReader.from_params(config["validation_dataset_reader"]).read("ls")
    assert [one.is_labeled for one in found].count(False) == 1
    for one in found:
        if one.is_labeled:
            drawn = load_mask(DRAWN / "masks" / Path(str(one.image)).name)
            assert (found.reader.decode(one).mask == drawn).all()


def test_boxes_go_into_a_labeling_and_back() -> None:
    make, *lines = GUIDE.block("bash", "import-labels").splitlines()
    assert make.split()[:3] == ["allencv-al", "label", "cvat/images"]
    with LabelingStore(Path("labels") / LABELING_NAME) as store:  # as the command would
        store.values.set_task("detection")
        store.classes.add(SHAPES, "owner")
        images = sorted(Path("cvat/images").iterdir())
        store.items.open_batch([NewItem(one.name, one.absolute()) for one in images])
    for line in lines:
        assert main(line.split()[1:]) == 0
    assert len(labels(Path("labels"))) == 20
    first, again = (parse(name).getroot() for name in ("cvat/annotations.xml", "again.xml"))
    assert _boxes(first) == _boxes(again) != []


def _boxes(root: Any) -> list[tuple[str, ...]]:
    sides = ("xtl", "ytl", "xbr", "ybr")
    return [
        (image.get("name"), box.get("label"), *(float(box.get(side)) for side in sides))
        for image in sorted(root.iterfind("image"), key=lambda one: one.get("name"))
        for box in image.iterfind("box")
    ]
