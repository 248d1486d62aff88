"""The how-to guides for images of one's own: their configs, commands and Python run as printed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.doc_page import DocPage

from allencv_al.__main__ import main
from allencv_al.active_learning.active_learning_experiment import ActiveLearningExperiment
from allencv_al.common.config import registrable
from allencv_al.common.config.params import Params
from allencv_al.common.config.sources.jsonnet_file import evaluate_snippet
from allencv_al.models import archive_model
from allencv_al.training.experiment import check_experiment
from allencv_al.training.training_run import train

README = DocPage("README.md")
OWN_IMAGES = DocPage("docs/how_to/own_images.md")
ENCODERS = DocPage("docs/how_to/encoders.md")
CHOOSE = DocPage("docs/how_to/choose_images.md")
ROUNDS = DocPage("docs/how_to/rounds.md")
EXTEND = DocPage("docs/how_to/extend/index.md")
READER = DocPage("docs/how_to/extend/reader.md")
TRANSFORM = DocPage("docs/how_to/extend/transform.md")

WritePhotos = Callable[[Path, str], None]


def evaluate(page: DocPage, holding: str) -> dict[str, Any]:
    config: dict[str, Any] = json.loads(
        evaluate_snippet(page.name, page.block("jsonnet", holding), {})
    )
    return config


def photos_config() -> dict[str, Any]:
    return evaluate(OWN_IMAGES, "photos/train")


def test_the_config_is_that_of_the_readme() -> None:
    assert OWN_IMAGES.block("jsonnet", "photos/train") == README.block("jsonnet", "photos/train")


def test_fine_tuning_has_no_faults(photos: Path) -> None:
    check_experiment(
        Params(photos_config() | evaluate(OWN_IMAGES, "pretrained_resnet")), "own_images.md"
    )


def test_a_vision_transformer_has_no_faults(photos: Path) -> None:
    config = evaluate(ENCODERS, "cls_mean")
    check_experiment(Params(config), "encoders.md")
    check_experiment(Params(config | evaluate(ENCODERS, "gradual_unfreezing")), "encoders.md")


def test_the_loop_has_no_faults(photos: Path, write_photos: WritePhotos) -> None:
    config = photos_config() | evaluate(ROUNDS, "pool_data_path")
    write_photos(photos / "photos" / "unlabeled", "{label}{number}.jpg")
    check_experiment(Params(config), "rounds.md", ActiveLearningExperiment)
    check_experiment(Params(config), "rounds.md")
    again = config | evaluate(ROUNDS, "relabel: {}")
    check_experiment(Params(again), "rounds.md", ActiveLearningExperiment)


def test_without_any_label_the_table_of_select_is_what_is_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_photos: WritePhotos
) -> None:
    monkeypatch.chdir(tmp_path)
    write_photos(tmp_path / "photos" / "unlabeled", "{label}{number}.jpg")
    rows = [f"photos/unlabeled/{label}{n}.jpg,{label}" for label in ("cat", "dog") for n in (0, 1)]
    Path("to_label.csv").write_text(
        "\n".join(["path,label", *rows, "photos/unlabeled/cat2.jpg,"]), encoding="utf-8"
    )
    Path("photos.jsonnet").write_text(README.block("jsonnet", "photos/train"), encoding="utf-8")
    [overrides] = re.findall(
        r"-o '(.*)'", CHOOSE.block("bash", '"validation_data_path": null'), re.DOTALL
    )
    params = Params.from_file("photos.jsonnet", overrides)
    params["model"]["im2vec_encoder"]["weights_file"] = None
    train(params, Path("runs/photos"))
    metrics = json.loads(Path("runs/photos/metrics.json").read_text(encoding="utf-8"))
    assert (metrics["training_images"], metrics["training_accuracy"]) == (4, 1.0)


def test_what_to_label_next_is_chosen_as_printed(
    tiny_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    write_photos: WritePhotos,
) -> None:
    write_photos(tmp_path / "photos" / "unlabeled", "{label}{number}.jpg")
    archive = archive_model(tiny_run, archive_path=tmp_path / "model.tar.gz")
    (tmp_path / "runs" / "photos").mkdir(parents=True)
    archive.rename(tmp_path / "runs" / "photos" / "model.tar.gz")
    monkeypatch.chdir(tmp_path)
    exec(compile(CHOOSE.block("python", "QueryStrategy"), CHOOSE.name, "exec"), {})
    printed = capsys.readouterr().out
    files = [str(path) for path in Path("photos/unlabeled").iterdir()]
    assert len(files) == 16  # fewer than the query asks for, so all of them
    assert all(file in printed for file in files)


def test_a_reader_of_your_own_takes_part_as_printed(
    photos: Path,
    write_photos: WritePhotos,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_photos(photos / "flat", "{label}-{number}.jpg")
    (photos / "my_readers.py").write_text(READER.block("python", "class ByFileName"))
    config = photos_config()
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
    command = EXTEND.block("bash", "--include-package my_readers").strip()
    command = command.removeprefix("PYTHONPATH=. allencv-al")
    monkeypatch.syspath_prepend(photos)
    included = ["--include-package", "my_readers"]
    try:
        assert main(command.split()) == 0
        assert (photos / "runs" / "mine" / "model.tar.gz").is_file()
        assert main(["describe", "dataset_reader", "by_file_name", *included]) == 0
        assert "The character that ends the first word." in capsys.readouterr().out
        config["dataset_reader"]["seperator"] = "-"
        (photos / "photos.jsonnet").write_text(json.dumps(config))
        assert main(command.replace("runs/mine", "runs/other").split()) == 2
    finally:  # other tests look at all names of the family
        for names in registrable._registries.values():
            names.pop("by_file_name", None)
        sys.modules.pop("my_readers", None)
    shown = capsys.readouterr().err
    assert 'dataset_reader.seperator: unknown key; did you mean "separator"?' in shown
    assert "Traceback" not in shown


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


def test_a_transform_of_your_own_takes_part_as_printed() -> None:
    from allencv_al import ImageTransform

    exec(
        compile(TRANSFORM.block("python", "class Darken"), TRANSFORM.name, "exec"),
        {"__name__": "my_transforms"},
    )
    darken = ImageTransform.from_params({"type": "darken", "factor": 0.25})
    picture = np.full((4, 6, 3), 200, np.uint8)
    results = [darken(picture, seed=seed) for seed in range(20)]
    assert {int(result.max()) for result in results} == {50, 200}
    assert all(result.dtype == np.uint8 and result.shape == picture.shape for result in results)
    assert darken.output_size(4, 6) == (4, 6)


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
