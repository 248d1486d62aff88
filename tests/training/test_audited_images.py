"""Audited images of a table: never trained on, and what measures the finished model."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fixtures.encoded_images import note_encoded

from allencv_al.__main__ import main
from allencv_al.common import Params
from allencv_al.common.errors import DataError
from allencv_al.training.experiment import Experiment
from allencv_al.training.training_run import train

MakeConfig = Callable[..., dict[str, Any]]


@pytest.fixture
def table(tmp_path: Path, digits: Path) -> Path:
    """A table in which every fourth digit is audited, one of them of a class of its own."""
    path = tmp_path / "labels.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "use", "label"])
        for number, image in enumerate(sorted(digits.rglob("*.png"))):
            label = "unknown" if number == 0 else image.parent.name
            writer.writerow([image, "audit" if number % 4 == 0 else "train", label])
    return path


def config_of(linear_config: MakeConfig, table: Path) -> dict[str, Any]:
    config = linear_config(table)
    config["dataset_reader"] = {"type": "manifest"}
    del config["active_learning"]
    return config


def test_audited_images_are_apart(linear_config: MakeConfig, table: Path) -> None:
    config = config_of(linear_config, table)
    datasets, vocabulary = Experiment.from_checked(Params(config)).prepare()
    assert datasets.audit is not None
    assert (len(datasets.train), len(datasets.audit)) == (45, 15)
    assert not {item.id for item in datasets.train} & {item.id for item in datasets.audit}
    assert "unknown" not in vocabulary.get_token_to_index_vocabulary()


def test_copies_of_audited_images_are_not_learned(
    linear_config: MakeConfig,
    table: Path,
    digits: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    audited, other = sorted(digits.rglob("*.png"))[:2]
    for name, of in (("twin.png", audited), ("copy of a training image.png", other)):
        (tmp_path / name).write_bytes(of.read_bytes())
        with table.open("a", encoding="utf-8") as file:
            file.write(f"{tmp_path / name},train,{of.parent.name}\n")
    config = config_of(linear_config, table)
    datasets, _ = Experiment.from_checked(Params(config)).prepare()
    assert len(datasets.train) == 46
    assert "twin.png" not in {Path(str(item.image)).name for item in datasets.train}
    assert "1 images are byte-equal to audited ones: not learned" in caplog.text


def test_they_measure_the_model_and_evaluate_agrees(
    linear_config: MakeConfig,
    table: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "run"
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config_of(linear_config, table)))
    assert main(["train", str(path), "-s", str(folder)]) == 0
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["audit_labels"] == 15
    assert metrics["audit_low"] < metrics["audit_accuracy"] <= 14 / 15, "one class is unknown"
    assert metrics["audit_accuracy"] < metrics["audit_high"]
    assert "by 15 images" in capsys.readouterr().out
    archive = str(folder / "model.tar.gz")
    encoded = note_encoded(monkeypatch)
    off = ["--embedding-cache", "off"]
    assert main(["evaluate", "--json", archive, str(table), *off]) == 0
    assert sum(encoded) == 15
    found = json.loads(capsys.readouterr().out)
    for name in ("accuracy", "low", "high", "labels"):
        assert found[f"audit_{name}"] == pytest.approx(metrics[f"audit_{name}"])


def test_an_audit_alone_is_nothing_to_learn(
    linear_config: MakeConfig, table: Path, tmp_path: Path
) -> None:
    table.write_text(
        table.read_text(encoding="utf-8").replace(",train,", ",audit,"), encoding="utf-8"
    )
    with pytest.raises(DataError, match="all 60 labeled images are of the audit sample"):
        train(Params(config_of(linear_config, table)), tmp_path / "run")
