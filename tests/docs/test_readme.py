"""The README's config, commands and tables are true, and it stays short."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from fixtures.doc_page import REPOSITORY, DocPage
from PIL import Image

from allencv_al.commands.table import SUBCOMMANDS
from allencv_al.common.config.params import Params
from allencv_al.common.config.sources.jsonnet_file import evaluate_snippet
from allencv_al.training.experiment import check_experiment
from allencv_al.training.training_run import train

README = DocPage("README.md")


def test_it_is_short() -> None:
    assert len(README.text.split()) < 1500


def test_the_config_has_no_faults(photos: Path) -> None:
    config = json.loads(evaluate_snippet("README.md", README.block("jsonnet", "photos/train"), {}))
    check_experiment(Params(config), "README.md")


def test_the_table_of_the_labeling_page_is_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    labels = Path("photos/unlabeled-labels")
    labels.mkdir(parents=True)
    Path("photos/unlabeled").mkdir()
    rows = ["path,label"]
    for label, value in (("cat", 40), ("dog", 200)):
        for number in range(2):
            name = f"{label}{number}.jpg"
            Image.new("RGB", (40, 30), (value, value, value)).save(f"photos/unlabeled/{name}")
            rows.append(f"../unlabeled/{name},{label}")
    (labels / "labels.csv").write_text("\n".join(rows))
    Path("photos.jsonnet").write_text(README.block("jsonnet", "photos/train"), encoding="utf-8")
    words = shlex.split(README.block("bash", '"validation_data_path": null'))
    params = Params.from_file("photos.jsonnet", words[words.index("-o") + 1])
    params["model"]["im2vec_encoder"]["weights_file"] = None
    train(params, Path("runs/photos"))
    metrics = json.loads(Path("runs/photos/metrics.json").read_text(encoding="utf-8"))
    assert (metrics["training_images"], metrics["training_accuracy"]) == (4, 1.0)


def test_every_subcommand_is_named() -> None:
    for name in SUBCOMMANDS:
        assert f"`{name}`" in README.text


def test_every_config_is_named() -> None:
    page = DocPage("docs/reference/example_configs.md")
    for config in (REPOSITORY / "training_config").glob("*.jsonnet"):
        assert f"training_config/{config.name}" in page.text


@pytest.mark.parametrize("name", ["digits_active_learning.jsonnet", "photographs.jsonnet"])
def test_the_demo_runs_the_config_of_that_name(name: str) -> None:
    shipped = REPOSITORY / "allencv_al" / "commands" / name
    assert shipped.read_bytes() == (REPOSITORY / "training_config" / name).read_bytes()


def test_the_demo_trains_photographs_as_the_readme_does() -> None:
    paths = {"TRAIN_PATH": "photos/train", "VALIDATION_PATH": "photos/validation"}
    config = (REPOSITORY / "training_config" / "photographs.jsonnet").read_text()
    own = evaluate_snippet("README.md", README.block("jsonnet", "photos/train"), {})
    assert json.loads(evaluate_snippet("photographs", config, paths)) == json.loads(own)
