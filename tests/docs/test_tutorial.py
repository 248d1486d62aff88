"""The tutorial's commands run as printed, in order, and its excerpts are those of the config."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from fixtures.doc_page import REPOSITORY, DocPage

from allencv_al.common.config.params import Params
from allencv_al.common.config.sources.jsonnet_file import evaluate_snippet

PAGE = DocPage("docs/tutorials/cats_and_dogs.md")
ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/")


def test_every_excerpt_is_what_the_config_says() -> None:
    variables = {"TRAIN_PATH": "train", "VALIDATION_PATH": "val"}
    config = Params.from_file(
        REPOSITORY / "training_config" / "image_classifier.jsonnet", ext_vars=variables
    ).as_dict()
    excerpts = PAGE.blocks("jsonnet")
    assert len(excerpts) == 4
    for _, text in excerpts:
        for key, value in json.loads(evaluate_snippet("excerpt", text, {})).items():
            assert config[key] == value


@pytest.fixture
def checkout(tmp_path: Path, shared_data: Path) -> Path:
    """A copy of the configs with the photographs where the tutorial unpacks them."""
    root = tmp_path / "checkout"
    shutil.copytree(REPOSITORY / "training_config", root / "training_config")
    with tarfile.open(shared_data / "cats_dogs.tar") as archive:
        archive.extractall(tmp_path, filter="data")
    for label in ("cat", "dog"):
        folder = root / "data" / "PetImages" / label.title()
        shutil.copytree(tmp_path / "cats_dogs" / "train" / label, folder)
        for file in (tmp_path / "cats_dogs" / "test" / label).iterdir():
            shutil.copy(file, folder / f"test_{file.name}")
    return root


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_command_runs_as_printed(checkout: Path) -> None:
    script = ["set -euo pipefail"]
    for language, text in PAGE.blocks("bash", "python"):
        script.append(text if language == "bash" else f"python - <<'PYTHON'\n{text}PYTHON")
    binaries = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}"}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        cwd=checkout,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]

    run = checkout / "models" / "catsanddogs"
    assert {
        "metrics.json",
        "metrics_epoch_0.json",
        "metrics_epoch_5.json",
        "training_curves.png",
        "confusion_matrix.png",
        "config.json",
        "environment.json",
        "vocabulary",
        "model.tar.gz",
    } <= {path.name for path in run.iterdir()}
    metrics = json.loads((run / "metrics.json").read_text())
    evaluation = json.loads((checkout / "evaluation.json").read_text())
    # Validation runs in the precision of training (bf16 where the processor has it), evaluation in
    # fp32: a picture or two on the fence may fall to the other side.
    assert evaluation["accuracy"] == pytest.approx(metrics["best_validation_accuracy"], abs=0.02)
    assert evaluation["accuracy"] >= 0.5
    # The log shows one more group in each epoch, the last layer first.
    assert "^_classification_layer" in done.stderr
    [line] = [line for line in done.stdout.splitlines() if line.startswith("{")][:1]
    assert set(json.loads(line)) >= {"logits", "probs", "prediction", "class"}
    check_server(checkout, environment, json.loads(line))


def check_server(checkout: Path, environment: dict[str, str], expected: dict[str, Any]) -> None:
    """Start the demo server as printed, on a free port, and ask it what `predict` was asked."""
    [(_, text)] = PAGE.blocks("console")
    command = f"exec {text.removeprefix('$ ').rstrip()} --port 0"
    with subprocess.Popen(
        ["bash", "-c", command], cwd=checkout, env=environment, stderr=subprocess.PIPE, text=True
    ) as server:
        assert server.stderr is not None
        try:
            found = next(filter(None, map(ADDRESS.search, server.stderr)))
            with urllib.request.urlopen(f"{found[0]}api/info", timeout=20) as answer:
                assert json.load(answer)["title"] == "Cats and Dogs Classifier"
            image = sorted((checkout / "data" / "PetImages" / "val" / "Cat").glob("*.jpg"))[0]
            with urllib.request.urlopen(f"{found[0]}predict", image.read_bytes(), 60) as answer:
                said = json.load(answer)
        finally:
            server.terminate()
    assert said["class"] == expected["class"]
    assert said["probs"] == pytest.approx(expected["probs"], abs=1e-4)
