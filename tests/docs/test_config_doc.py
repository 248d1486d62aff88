"""The examples of docs/reference/config.md are as printed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fixtures.doc_page import DocPage

from allencv_al.common.config.params import Params
from allencv_al.common.config.sources.jsonnet_file import evaluate_snippet
from allencv_al.common.errors import ConfigurationError
from allencv_al.training.experiment import check_experiment

PAGE = DocPage("docs/reference/config.md")


def test_the_example_builds_what_it_says() -> None:
    names: dict[str, Any] = {"__name__": "config_doc"}
    exec(compile(PAGE.block("python", "Recorder"), PAGE.name, "exec"), names)
    assert isinstance(names["recorder"].sampler, names["Even"])


def test_the_faults_are_reported_as_printed(photos: Path) -> None:
    snippet = DocPage("README.md").block("jsonnet", "photos/train")
    config = json.loads(evaluate_snippet("README.md", snippet, {}))
    config["dataset_reader"]["augmentation"] = [{"type": "pretrained", "heigth": 160}]
    config["model"]["embedding_scaling"] = "center"
    config["trainer"] = {"num_epochs": 3, "optimizer": {"type": "adamw", "lr": "fast"}}
    with pytest.raises(ConfigurationError) as caught:
        check_experiment(Params(config), "photos.jsonnet")
    assert str(caught.value) in PAGE.text
