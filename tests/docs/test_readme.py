"""What the README says is so: its configs, its reader, its Python, its commands."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from allencv_al.active_learning.active_learning_experiment import ActiveLearningExperiment
from allencv_al.commands.table import SUBCOMMANDS
from allencv_al.common.config.params import Params
from allencv_al.common.config.sources.jsonnet_file import evaluate_snippet
from allencv_al.common.errors import ConfigurationError
from allencv_al.models import archive_model
from allencv_al.training.experiment import check_experiment
from allencv_al.training.training_run import train

REPOSITORY = Path(__file__).resolve().parents[2]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def block(language: str, holding: str) -> str:
    [found] = [text for name, text in BLOCK.findall(README) if name == language and holding in text]
    return found


def write_photos(folder: Path, naming: str) -> None:
    """Write two classes that a glance tells apart: dark and bright."""
    for number in range(8):
        for label, value in (("cat", 40), ("dog", 200)):
            file = folder / naming.format(label=label, number=number)
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (40, 30), (value, value, value + number)).save(file)


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for split in ("train", "validation"):
        write_photos(tmp_path / "photos" / split, "{label}/{number}.jpg")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_config_for_your_own_photos_has_no_faults(photos: Path) -> None:
    config = json.loads(evaluate_snippet("README.md", block("jsonnet", "photos/train"), {}))
    check_experiment(Params(config), "README.md")


@pytest.mark.parametrize("holding", ["pretrained_resnet", "active_learning: {"])
def test_what_is_added_to_that_config_has_no_faults(photos: Path, holding: str) -> None:
    config = json.loads(evaluate_snippet("README.md", block("jsonnet", "photos/train"), {}))
    config |= json.loads(evaluate_snippet("README.md", block("jsonnet", holding), {}))
    write_photos(photos / "photos" / "unlabeled", "{label}{number}.jpg")
    if "active_learning" in config:
        check_experiment(Params(config), "README.md", ActiveLearningExperiment)
    check_experiment(Params(config), "README.md")


def test_the_faults_are_reported_as_printed(photos: Path) -> None:
    config = json.loads(evaluate_snippet("README.md", block("jsonnet", "photos/train"), {}))
    resize = config["dataset_reader"]["augmentation"][0]
    resize["heigth"] = resize.pop("height")
    config["model"]["im2vec_encoder"]["input_channels"] = 51
    config["trainer"] = {"num_epochs": 3, "optimizer": {"type": "adamw", "lr": "fast"}}
    with pytest.raises(ConfigurationError) as caught:
        check_experiment(Params(config), "photos.jsonnet")
    assert str(caught.value) in README


def test_without_any_label_the_table_of_select_is_what_is_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_photos(tmp_path / "photos" / "unlabeled", "{label}{number}.jpg")
    rows = [f"photos/unlabeled/{label}{n}.jpg,{label}" for label in ("cat", "dog") for n in (0, 1)]
    Path("to_label.csv").write_text("\n".join(["path,label", *rows, "photos/unlabeled/cat2.jpg,"]))
    Path("photos.jsonnet").write_text(block("jsonnet", "photos/train"))
    [overrides] = re.findall(r"-o '(.*)'", block("bash", '"validation_data_path": null'))
    params = Params.from_file("photos.jsonnet", overrides)
    params["model"]["im2im_encoder"]["weights"] = None
    train(params, Path("runs/photos"))
    metrics = json.loads(Path("runs/photos/metrics.json").read_text())
    assert (metrics["training_images"], metrics["training_accuracy"]) == (4, 1.0)


def test_a_reader_of_your_own_takes_part_as_printed(photos: Path) -> None:
    write_photos(photos / "flat", "{label}-{number}.jpg")
    (photos / "my_readers.py").write_text(block("python", "by_file_name"))
    config = json.loads(evaluate_snippet("README.md", block("jsonnet", "photos/train"), {}))
    config["dataset_reader"] = {
        "type": "by_file_name",
        "separator": "-",
        "augmentation": [{"type": "resize", "height": 16, "width": 16}],
    }
    config["validation_dataset_reader"] = config["dataset_reader"]
    config["train_data_path"] = config["validation_data_path"] = "flat"
    config["model"] = {
        "type": "basic_image_classifier",
        "im2vec_encoder": {"type": "pool", "input_channels": 3},
    }
    config["trainer"] = {"num_epochs": 1}
    (photos / "photos.jsonnet").write_text(json.dumps(config))
    command = (
        block("bash", "--include-package my_readers")
        .strip()
        .removeprefix("PYTHONPATH=. allencv-al")
    )
    done = run_command(command.split(), photos, PYTHONPATH=".")
    assert done.returncode == 0, done.stderr
    assert (photos / "runs" / "mine" / "model.tar.gz").is_file()

    described = run_command(
        ["describe", "dataset_reader", "by_file_name", "--include-package", "my_readers"],
        photos,
        PYTHONPATH=".",
    )
    assert "What ends the first word." in described.stdout

    config["dataset_reader"]["seperator"] = "-"
    (photos / "photos.jsonnet").write_text(json.dumps(config))
    done = run_command(command.replace("runs/mine", "runs/other").split(), photos, PYTHONPATH=".")
    assert done.returncode == 2
    assert 'dataset_reader.seperator: unknown key; did you mean "separator"?' in done.stderr
    assert "Traceback" not in done.stderr


def test_a_module_in_the_current_folder_is_not_picked_up_by_itself(photos: Path) -> None:
    (photos / "my_readers.py").write_text("raise SystemExit('it ran')")
    arguments = ["describe", "dataset_reader", "--include-package", "my_readers"]
    done = subprocess.run(
        [str(Path(sys.executable).with_name("allencv-al")), *arguments],
        cwd=photos,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "PYTHONPATH=." in done.stderr
    assert "it ran" not in done.stderr


def test_every_subcommand_is_named() -> None:
    for name in SUBCOMMANDS:
        assert f"`{name}" in README


def test_every_config_is_named_and_every_link_leads_somewhere() -> None:
    for config in (REPOSITORY / "training_config").glob("*.jsonnet"):
        assert f"training_config/{config.name}" in README
    for document in [REPOSITORY / "README.md", *REPOSITORY.glob("docs/**/*.md")]:
        for link in re.findall(r"\]\(([^)#]+)\)", document.read_text(encoding="utf-8")):
            if not link.startswith("http"):
                assert (document.parent / link).exists(), f"{document.name}: {link}"


def test_the_demo_runs_the_config_of_that_name() -> None:
    name = "digits_active_learning.jsonnet"
    shipped = REPOSITORY / "allencv_al" / "commands" / name
    assert shipped.read_bytes() == (REPOSITORY / "training_config" / name).read_bytes()


def run_command(
    arguments: list[str], folder: Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "allencv_al", *arguments],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_transform_of_your_own_takes_part_as_printed() -> None:
    from allencv_al import ImageTransform

    exec(compile(block("python", '"darken"'), "README.md", "exec"), {"__name__": "my_transforms"})
    darken = ImageTransform.from_params({"type": "darken", "factor": 0.25})
    picture = np.full((4, 6, 3), 200, np.uint8)
    results = [darken(picture, seed=seed) for seed in range(20)]
    assert {int(result.max()) for result in results} == {50, 200}
    assert all(result.dtype == np.uint8 and result.shape == picture.shape for result in results)
    assert darken.output_size(4, 6) == (4, 6)


def test_what_to_label_next_is_chosen_as_printed(
    tiny_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_photos(tmp_path / "photos" / "unlabeled", "{label}{number}.jpg")
    archive = archive_model(tiny_run, archive_path=tmp_path / "model.tar.gz")
    (tmp_path / "runs" / "photos").mkdir(parents=True)
    archive.rename(tmp_path / "runs" / "photos" / "model.tar.gz")
    monkeypatch.chdir(tmp_path)
    exec(compile(block("python", "QueryStrategy"), "README.md", "exec"), {"__name__": "readme"})
    printed = capsys.readouterr().out
    files = [str(path) for path in Path("photos/unlabeled").iterdir()]
    assert len(files) == 16  # fewer than the query asks for, so all of them
    assert all(file in printed for file in files)
