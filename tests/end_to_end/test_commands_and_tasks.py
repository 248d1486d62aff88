"""The README's table of commands and tasks: each "yes" runs, each "no" is one sentence."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from fixtures.doc_page import DocPage
from PIL import Image

from allencv_al.__main__ import main
from allencv_al.data.sample_data.shapes import SHAPES, write_shapes
from allencv_al.labels.sessions.labeling_store import LABELING_NAME, LabelingStore

_ROW = re.compile(r"^\| ((?:`[a-z-]+`(?:, )?)+) \|((?: (?:yes|no) \|){4})$", re.MULTILINE)
_TASKS = ("one class", "several classes", "masks", "boxes")
REFUSALS = {
    ("export", "several classes"): "expected a model of one class per image",
    ("export", "masks"): "expected a model of one class per image",
    ("export", "boxes"): "expected a model of one class per image",
}


def cells() -> Iterator[tuple[str, str, bool]]:
    """Yield (command, task, whether it runs) of each cell of the table."""
    for names, row in _ROW.findall(DocPage("README.md").text):
        for command in re.findall("[a-z-]+", names):
            for task, cell in zip(_TASKS, re.findall("yes|no", row), strict=True):
                yield command, task, cell == "yes"


def marked(runs: bool) -> list[Any]:
    """Return the cells that run, or those that are refused, as parameters."""
    return [
        pytest.param(command, task, marks=pytest.mark.slow if is_slow(command, task) else ())
        for command, task, does in cells()
        if does == runs
    ]


def is_slow(command: str, task: str) -> bool:
    heavy = ("active-learn", "compare", "export", "export-labels", "find-lr", "import-labels")
    return task == "boxes" or command in heavy


@dataclass
class Project:
    """Drawn images, the config of a small network, and what commands make of them.

    Args:
        task: The registered name of the kind of labels.
        metric: The metric of `evaluate` that counts.
        curve: The metric of `compare`.
        form: The format in which labels leave.
        reader: The config of the dataset reader.
        model: The config of the model.
        gold: The file of labels in the folder of a split; empty for the folder itself.
    """

    task: str
    metric: str
    curve: str
    form: str
    reader: dict[str, Any]
    model: dict[str, Any]
    gold: str = ""

    def source(self, split: str) -> str:
        return f"shapes/{split}/{self.gold}".rstrip("/")

    @cached_property
    def config(self) -> str:
        loop: dict[str, Any] = {"strategy": "random", "query_size": 3, "budget": 6}
        if self.task in ("multi_label", "detection"):
            loop["classes"] = list(SHAPES)
        optimizer = {"type": "adamw", "lr": 0.003}
        config = {
            "dataset_reader": self.reader,
            "train_data_path": self.source("train"),
            "validation_data_path": self.source("validation"),
            "test_data_path": self.source("test"),
            "model": self.model,
            "data_loader": {"batch_size": 4},
            "trainer": {"num_epochs": 1, "cuda_device": -1, "optimizer": optimizer},
            "active_learning": loop,
        }
        Path(f"{self.task}.jsonnet").write_text(json.dumps(config), encoding="utf-8")
        return f"{self.task}.jsonnet"

    @cached_property
    def archive(self) -> str:
        run("train", self.config, "-s", f"{self.task}/run")
        return f"{self.task}/run/model.tar.gz"

    @cached_property
    def loop(self) -> str:
        run("active-learn", self.config, "-s", f"{self.task}/loop")
        return f"{self.task}/loop"

    def label(self) -> list[str]:
        kind = [] if self.task == "single_label" else ["--task", self.task]
        images, folder = "shapes/train/images", f"{self.task}/labeling"
        # The config of masks names no classes, so that their indices are their names
        classes = "1,2,3" if self.task == "segmentation" else ",".join((*SHAPES, "empty"))
        return ["label", images, "--classes", classes, "-s", folder, *kind]

    def export_labels(self, output: str) -> list[str]:
        return ["export-labels", self.loop, "--format", self.form, "--output", output]


CLASSIFIER = {
    "type": "basic_image_classifier",
    "im2im_encoder": {"type": "conv_levels", "base_channels": 4},
    "im2vec_encoder": "pool",
}
RESIZED = [{"type": "resize", "height": 32, "width": 32}, "normalize"]
MAPS = {"type": "conv_maps", "base_channels": 4}


def project_of(task: str) -> Project:
    table = {"type": "manifest", "augmentation": RESIZED}
    if task == "one class":
        return Project(
            *("single_label", "accuracy", "accuracy", "label-studio"),
            *(table, CLASSIFIER, "one.csv"),
        )
    if task == "several classes":
        model = {**CLASSIFIER, "task": "multi_label"}
        return Project(
            *("multi_label", "macro_f1", "macro_f1", "label-studio"),
            *(table, model, "labels.jsonl"),
        )
    if task == "masks":
        net = {"type": "semantic_segmentation", "num_classes": 4}
        net |= {"encoder": MAPS, "decoder": {"type": "unet"}}
        reader = {"type": "paired_image", "num_classes": 4, "augmentation": RESIZED[:1]}
        return Project("segmentation", "miou", "miou", "coco", reader, net)
    pyramid = {"type": "feature_pyramid", "output_channels": 32}
    detector = {"type": "fcos", "backbone": {**pyramid, "backbone": {**MAPS, "skip_levels": 2}}}
    return Project(
        *("detection", "mAP", "mean_average_precision", "coco"),
        *({"type": "image_annotation"}, detector),
    )


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Callable[[str], Project]]:
    """A folder of images, and the projects in it: what one test makes others use."""
    folder = tmp_path_factory.mktemp("tasks")
    write_shapes(folder / "shapes", counts={"train": 12, "validation": 5, "test": 4})
    for split in ("train", "validation", "test"):
        lines = (folder / "shapes" / split / "labels.jsonl").read_text(encoding="utf-8")
        rows = [json.loads(line) for line in lines.splitlines()]
        with (folder / "shapes" / split / "one.csv").open(
            "w", newline="", encoding="utf-8"
        ) as file:
            writer = csv.writer(file)
            writer.writerows([["path", "label"], *([one["path"], one["label"]] for one in rows)])
    made = {task: project_of(task) for task in _TASKS}
    return folder, made.__getitem__


@pytest.fixture
def project(
    projects: tuple[Path, Callable[[str], Project]], task: str, monkeypatch: pytest.MonkeyPatch
) -> Project:
    folder, find = projects
    monkeypatch.chdir(folder)
    return find(task)


@pytest.fixture
def applications(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The answers of a request to each application that would have been served."""
    answers: list[Any] = []

    def serve(app: Any, announce: Callable[[str], None]) -> int:
        try:
            client, image = app.test_client(), next(Path("shapes/test/images").iterdir())
            # A page of labels has another route; an unknown one gives no JSON of a prediction
            answers.append(client.post("/predict", data=image.read_bytes()).get_json(silent=True))
        finally:
            app.close()
        return 130

    monkeypatch.setattr("allencv_al.service.web.running.serve", serve)
    return answers


def run(*arguments: str, code: int = 0) -> None:
    assert main(list(arguments)) == code


def lines_of(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def arguments_of(command: str, project: Project) -> list[str]:
    """Return the arguments of a command; its files lie in the folder of the task."""
    at = f"{project.task}/{command}"
    new = "shapes/test/images"
    chosen = ["--labeled", project.source("train"), "--contact-sheet", f"{at}.png"]
    audited = ["--archive", project.archive, "--output", f"{at}.csv"]
    compared = ["--strategies", "random,entropy", "--seeds", "2", "--workers", "1"]
    return {
        "train": lambda: ["train", project.config, "-s", at],
        "find-lr": lambda: ["find-lr", project.config, "-s", at, "--num-batches", "11"],
        "evaluate": lambda: [
            *("evaluate", project.archive, project.source("test"), "--json"),
            *("--predictions-output-file", f"{at}.jsonl"),
        ],
        "predict": lambda: ["predict", project.archive, new, "--output-file", f"{at}.jsonl"],
        "serve": lambda: ["serve", project.archive],
        "export": lambda: ["export", project.archive, "--output", f"{at}.onnx"],
        "select": lambda: [
            *("select", project.archive, new, "-k", "3", "--strategy", "entropy"),
            *("--output", f"{at}.csv", *chosen),
        ],
        "label": project.label,
        "audit": lambda: ["audit", project.config, *audited],
        "active-learn": lambda: ["active-learn", project.config, "-s", at],
        "compare": lambda: ["compare", project.config, "-s", at, *compared],
        "export-labels": lambda: project.export_labels(f"{at}.json"),
        "import-labels": lambda: ["import-labels", f"{at}.json", f"{project.task}/labeling"],
    }[command]()


def prepare(command: str, project: Project) -> None:
    """Make what a command needs beside its arguments."""
    Path(project.task).mkdir(exist_ok=True)
    if command == "import-labels":
        run(*project.export_labels(f"{project.task}/import-labels.json"))
        run(*project.label(), code=130)


def check(command: str, project: Project, out: str) -> None:
    """Assert that a command did what it is for."""
    at = f"{project.task}/{command}"
    if command == "train":
        metrics = json.loads(Path(f"{at}/metrics.json").read_text(encoding="utf-8"))
        assert f"validation_{project.metric}" in metrics and Path(f"{at}/model.tar.gz").is_file()
    elif command == "find-lr":
        assert Path(f"{at}/lr-losses.json").is_file()
    elif command == "evaluate":
        assert 0 <= json.loads(out)[project.metric] <= 1
        rows = lines_of(f"{at}.jsonl")
        assert len(rows) == 4
        for mask in (row["mask"] for row in rows if "mask" in row):
            picture = Image.open(io.BytesIO(base64.b64decode(mask["png"])))
            assert picture.size == (64, 64)  # as the file, which the reader makes smaller
    elif command == "predict":
        assert [Path(row["image_path"]).suffix for row in lines_of(f"{at}.jsonl")] == [".png"] * 4
    elif command == "export":
        run("predict", f"{at}.onnx", "shapes/test/images", "--output-file", f"{at}.jsonl")
        assert {row["class"] for row in lines_of(f"{at}.jsonl")} <= {*SHAPES, "empty"}
    elif command == "select":
        with Path(f"{at}.csv").open(newline="", encoding="utf-8") as file:
            labels = [row["label"] for row in csv.DictReader(file)]
        assert labels[:3] == [""] * 3 and len(labels) == 15 and all(labels[3:])
    elif command == "audit":
        assert Path(f"{at}.csv").read_text(encoding="utf-8").startswith("kind,path,")
    elif command == "active-learn":
        assert Path(f"{at}/report.html").is_file() and Path(f"{at}/labels.csv").is_file()
    elif command == "compare":
        with Path(f"{at}/results.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        assert {row["strategy"] for row in rows} == {"random", "entropy"}
        assert all(row[project.curve] for row in rows if row["labels"] == "6")
        # The metric of the curves, which no option names
        assert f"Mean {project.curve} in %" in Path(f"{at}/results.md").read_text(encoding="utf-8")
    elif command == "export-labels":
        assert json.loads(Path(f"{at}.json").read_text(encoding="utf-8"))
    elif command in ("label", "import-labels"):
        with LabelingStore(Path(project.task, "labeling", LABELING_NAME), create=False) as store:
            assert store.values.task_name == project.task
            assert len(store.answers.events()) == (6 if command == "import-labels" else 0)


def test_the_table_has_each_command_and_each_task() -> None:
    found = list(cells())
    assert len(found) == 4 * 13 and len({cell[:2] for cell in found}) == len(found)
    assert {cell[:2] for cell in found if not cell[2]} == set(REFUSALS)


@pytest.mark.parametrize(("command", "task"), marked(runs=True))
def test_a_command_does_its_work_for_each_task(
    command: str,
    task: str,
    project: Project,
    applications: list[Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    prepare(command, project)
    arguments = arguments_of(command, project)
    capsys.readouterr()
    run(*arguments, code=130 if command in ("serve", "label") else 0)
    if command == "serve":
        assert "error" not in applications[-1]
    check(command, project, capsys.readouterr().out)


@pytest.mark.parametrize(("command", "task"), marked(runs=False))
def test_what_a_task_cannot_do_is_one_sentence(
    command: str,
    task: str,
    project: Project,
    applications: list[Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    prepare(command, project)
    arguments = arguments_of(command, project)
    capsys.readouterr()
    run(*arguments, code=2)
    [said] = [line for line in capsys.readouterr().err.splitlines() if " INFO " not in line]
    assert said.startswith("error: ") and REFUSALS[command, task] in said
