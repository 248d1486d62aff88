"""`train --folds`: every image validates once."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from allencv_al.__main__ import main
from allencv_al.common import Params
from allencv_al.common.errors import ConfigurationError, DataError
from allencv_al.training.cross_validation import FOLDS_NAME, cross_validate
from allencv_al.training.run_folder import METRICS_NAME

MakeConfig = Callable[..., dict[str, Any]]


def test_the_mean_of_the_folds_is_told_and_done_folds_are_kept(
    linear_config: MakeConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = linear_config()
    del config["active_learning"]
    path, folder = tmp_path / "config.json", tmp_path / "run"
    path.write_text(json.dumps(config))
    command = ["train", str(path), "-s", str(folder), "--folds", "3"]
    assert main(command) == 0
    told = capsys.readouterr().out
    found = json.loads((folder / FOLDS_NAME).read_text())
    values = [one["best_validation_accuracy"] for one in found["folds"]]
    assert len(values) == 3
    assert found["mean"]["best_validation_accuracy"] == pytest.approx(sum(values) / 3)
    assert f"best_validation_accuracy: {sum(values) / 3:.4f} (deviation" in told
    archive = folder / "fold-0" / "model.tar.gz"
    before = archive.stat().st_mtime_ns
    shutil.rmtree(folder / "fold-2")
    assert main([*command, "--recover"]) == 0
    assert archive.stat().st_mtime_ns == before
    again = json.loads((folder / FOLDS_NAME).read_text())
    assert [one["best_validation_accuracy"] for one in again["folds"]] == values


def test_folds_of_another_config_are_not_averaged(
    linear_config: MakeConfig, tmp_path: Path
) -> None:
    config = linear_config()
    del config["active_learning"]
    cross_validate(Params(config), tmp_path, 3)
    with pytest.raises(ConfigurationError, match="validation_fraction"):
        cross_validate(Params(config), tmp_path, 2, recover=True)
    config["random_seed"] = 7
    with pytest.raises(ConfigurationError, match="random_seed"):
        cross_validate(Params(config), tmp_path, 3, recover=True)


def test_fewer_folds_replace_all_of_a_larger_number(
    linear_config: MakeConfig, tmp_path: Path
) -> None:
    config = linear_config()
    del config["active_learning"]
    cross_validate(Params(config), tmp_path, 3)
    (tmp_path / "fold-notes").mkdir()
    (tmp_path / "fold-7").mkdir()  # of another program: it holds no run
    cross_validate(Params(config), tmp_path, 2, force=True)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["fold-0", "fold-1", "fold-7", "fold-notes", "folds.json"]
    assert len(json.loads((tmp_path / FOLDS_NAME).read_text())["folds"]) == 2
    with pytest.raises(ConfigurationError, match="holds files already"):
        cross_validate(Params(config), tmp_path, 3)


def test_each_fold_takes_embeddings_from_the_store(
    linear_config: MakeConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = linear_config()
    del config["active_learning"]
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    for number in ("2", "3"):
        assert main(["train", str(path), "-s", str(tmp_path / number), "--folds", number]) == 0
    encoded = [int(n) for n in re.findall(r"embeddings: (\d+) encoded", caplog.text)]
    assert len(encoded) >= 2 + 3
    assert sum(encoded) == 60, "the network sees each of the 60 images once"


@pytest.mark.parametrize("without", [0, 1])
def test_a_fold_without_a_figure_does_not_count_in_its_mean(
    linear_config: MakeConfig, tmp_path: Path, without: int
) -> None:
    config = linear_config()
    del config["active_learning"]
    cross_validate(Params(config), tmp_path, 2)
    path = tmp_path / f"fold-{without}" / METRICS_NAME
    figures = json.loads(path.read_text())
    path.write_text(json.dumps({**figures, "best_validation_roc_auc": None}))
    result = cross_validate(Params(config), tmp_path, 2, recover=True)
    other = result["folds"][1 - without]["best_validation_roc_auc"]
    assert result["mean"]["best_validation_roc_auc"] == other
    assert "best_validation_roc_auc" not in result["deviation"]


def test_more_folds_than_images_are_refused_by_the_first(
    linear_config: MakeConfig, tmp_path: Path
) -> None:
    config = linear_config()
    del config["active_learning"]
    with pytest.raises(DataError, match=r"an image for each of 500 folds.*take fewer folds"):
        cross_validate(Params(config), tmp_path, 500)
    assert len(list(tmp_path.glob("fold-*"))) <= 1


def test_a_config_that_says_what_validates_is_refused(
    linear_config: MakeConfig, tmp_path: Path
) -> None:
    config = linear_config(_validation_fraction=0.2)
    with pytest.raises(ConfigurationError, match="each part of the images validates once"):
        cross_validate(Params(config), tmp_path / "run", 3)
    assert not (tmp_path / "run").exists()
