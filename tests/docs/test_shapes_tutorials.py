"""The tutorials on drawn shapes: their commands run as printed, by default on fewer images."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fixtures.doc_page import REPOSITORY, DocPage

from allencv_al.__main__ import main
from allencv_al.common.config.sources.jsonnet_file import evaluate_file, evaluate_snippet
from allencv_al.data.sample_data.shapes import SHAPES, write_shapes
from allencv_al.labels.sessions.labeling_store import LABELING_NAME, LabelingStore
from allencv_al.tasks.base import label_task

FAST = {"trainer.num_epochs": 1, "active_learning.query_size": 4, "active_learning.budget": 8}
GUIDE = DocPage("docs/how_to/masks_and_boxes.md")
BESIDE_IT = {"test_data_path", "evaluate_on_test", "active_learning"}
OF_THE_FIGURE = ("sample-data", "train", "evaluate")


@dataclass(frozen=True)
class Tutorial:
    """A page, and the figure that it promises.

    Args:
        name: Of the page and of the folders in `runs`.
        page: The file in `docs/tutorials`.
        metric: The figure of the trained model.
        least: The least value of it.
    """

    name: str
    page: str
    metric: str
    least: float

    @property
    def config(self) -> str:
        return f"training_config/shapes_{self.name}.jsonnet"

    def commands(self) -> list[list[str]]:
        """The commands of the package in the page, in order."""
        blocks = DocPage(f"docs/tutorials/{self.page}").blocks("bash")
        lines = "\n".join(text for _, text in blocks).replace("\\\n", " ").splitlines()
        return [shlex.split(line)[1:] for line in lines if line.startswith("allencv-al ")]


LABELS = Tutorial("labels", "multi_label.md", "test_macro_f1", 0.95)
MASKS = Tutorial("masks", "segmentation.md", "test_miou", 0.8)
BOXES = Tutorial("boxes", "detection.md", "test_AP50", 0.9)

Walk = Callable[[Tutorial], None]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SHAPES_PATH", "shapes")
    (tmp_path / "training_config").symlink_to(REPOSITORY / "training_config")


@pytest.fixture
def walk(monkeypatch: pytest.MonkeyPatch) -> Walk:
    """Return the function that runs all commands of a page on a few images."""
    served: list[Any] = []

    def serve(app: Any, announce: Callable[[str], None]) -> int:
        announce("http://127.0.0.1:8010/")
        served.append(app)
        app.close()
        return 0

    def run(tutorial: Tutorial) -> None:
        for command in tutorial.commands():
            if command[0] == "sample-data":
                write_shapes("shapes", counts={"train": 12, "validation": 3, "test": 3})
                continue
            fast = ["--overrides", json.dumps(FAST)] if tutorial.config in command else []
            assert main([*command, *fast]) == 0, command
        assert len(served) == sum(command[0] == "label" for command in tutorial.commands())

    monkeypatch.setattr("allencv_al.service.web.running.serve", serve)
    return run


def predictions() -> list[dict[str, Any]]:
    lines = Path("predictions.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def report(run: str) -> str:
    return Path("runs", run, "report.html").read_text(encoding="utf-8")


def test_every_command_about_several_classes_runs(walk: Walk) -> None:
    walk(LABELS)
    keys = ["classes", "image_path", "probabilities"]
    assert [sorted(row) for row in predictions()] == [keys] * 3
    assert Path("to_label.csv").is_file()
    assert "acro F1" in report("labels_loop")


def test_every_command_about_masks_runs(walk: Walk) -> None:
    walk(MASKS)
    assert len(predictions()) == len(list(Path("predictions_masks").glob("*.png"))) == 3
    assert Path("to_label.png").is_file() and Path("to_label.csv").is_file()
    assert "mIoU" in report("masks_loop")


def test_every_command_about_boxes_runs(walk: Walk) -> None:
    walk(BOXES)
    metrics = json.loads(Path("runs/boxes/metrics.json").read_text(encoding="utf-8"))
    assert set(metrics["validation_per_class_AP"]) == set(SHAPES)
    assert [sorted(row) for row in predictions()] == [["image_path", "objects"]] * 3
    assert Path("to_label.png").is_file() and Path("to_label.csv").is_file()
    assert "AP" in report("boxes_loop")
    with LabelingStore(Path("shapes/test/images-labels", LABELING_NAME), create=False) as store:
        assert store.values.task_name == "detection"
        assert set(store.classes.names().values()) == set(SHAPES)
        drafts = [item.guess for item in store.items.items(1)]
    assert len(drafts) == 3
    for [(text, probability)] in drafts:
        assert label_task("detection").problem(text, SHAPES) is None
        assert 0 <= probability <= 1


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("tutorial", [LABELS, MASKS, BOXES], ids=lambda one: one.name)
def test_the_model_is_as_good_as_the_page_says(tutorial: Tutorial) -> None:
    for command in tutorial.commands():
        if command[0] in OF_THE_FIGURE:
            assert main(command) == 0, command
    metrics = json.loads(Path(f"runs/{tutorial.name}/metrics.json").read_text(encoding="utf-8"))
    assert metrics[tutorial.metric] >= tutorial.least


@pytest.mark.parametrize(("tutorial", "holding"), [(MASKS, "unet"), (BOXES, "fcos")])
def test_the_config_of_the_guide_is_the_same(tutorial: Tutorial, holding: str) -> None:
    of_guide = json.loads(evaluate_snippet(GUIDE.name, GUIDE.block("jsonnet", holding), {}))
    whole = json.loads(evaluate_file(tutorial.config, {"SHAPES_PATH": "shapes"}))
    assert {key: whole[key] for key in of_guide} == of_guide
    assert whole.keys() - of_guide.keys() == BESIDE_IT
