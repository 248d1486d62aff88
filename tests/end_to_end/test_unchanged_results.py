"""One class per image gives the figures it gave before there were other kinds of labels.

The figures were computed at commit e91b62f (27 November 2026), where they came to the last bit, but
for the order in which float32 sums of an evaluation are added up.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from allencv_al.__main__ import main
from allencv_al.active_learning.run import RunOptions, active_learn
from allencv_al.common import Params

NORMALIZE = {"type": "normalize"}
PICKS = [
    ["one/060.png", "zero/045.png", "one/021.png", "two/059.png"],
    ["two/015.png", "two/002.png", "two/016.png", "two/037.png"],
    ["one/029.png", "one/040.png", "one/007.png", "one/034.png"],
    [],
]
ACCURACY = [16 / 24, 11 / 24, 15 / 24]
LIKELIHOOD = [0.9399785710513858, 1.147630991398567, 1.16821664293485]


@pytest.fixture
def config(
    network_config: Callable[..., dict[str, Any]], make_digits: Callable[..., Path], tmp_path: Path
) -> dict[str, Any]:
    reader = {"type": "image_classification_directory", "augmentation": [NORMALIZE]}
    config = network_config(
        strategy="margin",
        _dataset_reader={**reader, "augmentation": [{"type": "horizontal_flip"}, NORMALIZE]},
        _validation_dataset_reader=reader,
        _validation_data_path=str(make_digits(tmp_path / "validation", 10, 20)),
        _data_loader={"batch_size": 5, "shuffle": True},
    )
    config["trainer"]["num_epochs"] = 2
    return config


def test_a_loop_asks_for_the_same_images(config: dict[str, Any], tmp_path: Path) -> None:
    records = active_learn(Params(config), tmp_path / "loop", RunOptions(files=False))
    assert [[pick.id for pick in record.picks] for record in records] == PICKS
    measured = [record.metrics for record in records[1:]]
    assert [one["accuracy"] for one in measured] == pytest.approx(ACCURACY)
    assert [one["negative_log_likelihood"] for one in measured] == pytest.approx(LIKELIHOOD)


def test_a_training_has_the_same_losses_and_best_epoch(
    config: dict[str, Any], tmp_path: Path
) -> None:
    del config["active_learning"]
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    assert main(["train", str(tmp_path / "config.json"), "-s", str(tmp_path / "run")]) == 0
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["training_loss"] == pytest.approx(0.06839493685401976)
    assert metrics["validation_loss"] == pytest.approx(0.2179176896364273)
    assert metrics["best_epoch"] == 0  # by the loss, which the config does not name
    assert metrics["best_validation_loss"] == pytest.approx(0.17309835304816565)
