"""One store of embeddings for all commands, and `allencv-al cache`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from fixtures.encoded_images import note_encoded
from PIL import Image

from allencv_al.__main__ import main
from allencv_al.models.archive import load_archive
from allencv_al.training.callbacks import TrainerCallback

MakeConfig = Callable[..., dict[str, Any]]


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note the sizes of the batches that are encoded."""
    return note_encoded(monkeypatch)


def picks(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[Any]:
    assert main(["select", *arguments]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_second_select_encodes_nothing(
    tiny_run: Path, pictures: Path, encoded: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    command = [str(tiny_run), str(pictures), "-k", "3"]
    first = picks(capsys, *command, "--strategy", "margin")
    assert sum(encoded) == 7
    encoded.clear()
    assert picks(capsys, *command, "--strategy", "margin") == first
    picks(capsys, *command, "--strategy", "badge", "--batch-size", "2")
    picks(capsys, *command, "--strategy", "k_center")  # the classes of its picks, too
    assert encoded == []
    assert "7 from" in _log(capsys, *command)
    Image.new("RGB", (9, 9), "red").save(pictures / "Cat" / "0.png")
    picks(capsys, *command)
    assert encoded == [1]


def _log(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    assert main(["select", *command]) == 0
    return capsys.readouterr().err


def test_select_without_the_store_encodes_each_time(
    tiny_run: Path,
    pictures: Path,
    encoded: list[int],
    capsys: pytest.CaptureFixture[str],
    embedding_cache: Path,
) -> None:
    command = [str(tiny_run), str(pictures), "--embedding-cache", "off", "--precision", "fp32"]
    for _ in range(2):
        picks(capsys, *command, "--strategy", "margin")
    assert sum(encoded) == 14
    assert not embedding_cache.exists()


def test_evaluate_gives_the_same_figures_from_the_store(
    tiny_run: Path, pictures: Path, encoded: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    found = []
    for options in (["--embedding-cache", "off"], [], []):
        encoded.clear()
        assert main(["evaluate", str(tiny_run), str(pictures), "--json", *options]) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert encoded == []
    assert found[1] == found[2]
    assert found[0]["accuracy"] == found[1]["accuracy"]
    assert found[0]["loss"] == pytest.approx(found[1]["loss"], rel=1e-6)


def test_training_a_last_layer_again_encodes_nothing(
    linear_config: MakeConfig, tmp_path: Path, encoded: list[int]
) -> None:
    config = linear_config(_model={**linear_config()["model"], "embedding_scaling": "standardize"})
    del config["active_learning"]
    file = tmp_path / "config.jsonnet"
    file.write_text(json.dumps(config))
    metrics = []
    for name, options in (("off", ["--embedding-cache", "off"]), ("a", []), ("b", [])):
        encoded.clear()
        assert main(["train", str(file), "-s", str(tmp_path / name), *options]) == 0
        metrics.append(json.loads((tmp_path / name / "metrics.json").read_text()))
    assert encoded == []
    for found in metrics[1:]:
        assert found["training_loss"] == pytest.approx(metrics[0]["training_loss"], rel=1e-3)


@pytest.fixture
def frozen_config(network_config: MakeConfig, digits: Path) -> dict[str, Any]:
    """A config whose network does not train, but its last layer does, by gradient descent."""
    encoder = {"type": "cifar_resnet", "depth": 8, "base_width": 4, "requires_grad": False}
    config = network_config(_validation_data_path=str(digits), _test_data_path=str(digits))
    config["model"]["im2im_encoder"] = encoder
    config["model"]["im2vec_encoder"] = {"type": "pool", "input_channels": 16}
    config["trainer"]["num_epochs"] = 3
    config["evaluate_on_test"] = True
    del config["active_learning"]
    return config


def trained(config: dict[str, Any], folder: Path, *options: str) -> dict[str, Any]:
    """Train in a folder; return the metrics and the last layer."""
    folder.mkdir()
    file = folder / "config.json"
    file.write_text(json.dumps(config))
    assert main(["train", str(file), "-s", str(folder / "run"), *options]) == 0
    metrics: dict[str, Any] = json.loads((folder / "run" / "metrics.json").read_text())
    return {**metrics, "layer": load_archive(folder / "run").model.linear_layer.weight}


def test_gradient_descent_on_a_frozen_network_encodes_each_image_once(
    frozen_config: dict[str, Any], tmp_path: Path, encoded: list[int]
) -> None:
    plain = trained(frozen_config, tmp_path / "plain", "--embedding-cache", "off")
    assert sum(encoded) > 3 * 60
    encoded.clear()
    first = trained(frozen_config, tmp_path / "first")
    assert sum(encoded) == 60, "training, validation and test images are the same here"
    encoded.clear()
    second = trained(frozen_config, tmp_path / "second")
    assert encoded == []
    assert torch.equal(first["layer"], second["layer"])
    torch.testing.assert_close(plain["layer"], first["layer"], rtol=1e-4, atol=1e-5)
    for name in ("training_loss", "validation_loss", "test_loss"):
        assert first[name] == pytest.approx(plain[name], rel=1e-4)


def test_folds_encode_each_image_once(
    frozen_config: dict[str, Any], tmp_path: Path, encoded: list[int]
) -> None:
    for key in ("validation_data_path", "test_data_path", "evaluate_on_test"):
        del frozen_config[key]
    file = tmp_path / "config.json"
    file.write_text(json.dumps(frozen_config))
    assert main(["train", str(file), "-s", str(tmp_path / "run"), "--folds", "3"]) == 0
    assert sum(encoded) == 60


def test_random_transforms_are_drawn_in_every_epoch(
    frozen_config: dict[str, Any], tmp_path: Path, encoded: list[int]
) -> None:
    frozen_config["dataset_reader"]["augmentation"] = [{"type": "flip", "p": 0.5}]
    for key in ("validation_data_path", "test_data_path", "evaluate_on_test"):
        del frozen_config[key]
    trained(frozen_config, tmp_path / "run")
    assert sum(encoded) == 3 * 60


@TrainerCallback.register("test_cache_watcher")
class Watcher(TrainerCallback):
    """A callback of a user's own, which looks at the images."""

    def on_batch(self, *arguments: Any, batch_inputs: Any, **others: Any) -> None:
        assert all("image" in inputs for inputs in batch_inputs)


def test_a_callback_of_a_users_own_sees_the_images(
    frozen_config: dict[str, Any], tmp_path: Path, encoded: list[int]
) -> None:
    frozen_config["trainer"]["callbacks"] = ["test_cache_watcher"]
    trained(frozen_config, tmp_path / "run")
    assert sum(encoded) > 3 * 60


def test_what_the_loop_encoded_select_does_not_encode(
    linear_config: MakeConfig,
    digits: Path,
    tmp_path: Path,
    encoded: list[int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "config.jsonnet"
    file.write_text(json.dumps(linear_config()))
    assert main(["active-learn", str(file), "-s", str(tmp_path / "run")]) == 0
    encoded.clear()
    assert not (tmp_path / "run" / "embeddings").exists()
    capsys.readouterr()
    archive = str(tmp_path / "run" / "model.tar.gz")
    assert len(picks(capsys, archive, str(digits), "-k", "2")) == 2
    assert encoded == []


def test_list_and_clear(
    tiny_run: Path, pictures: Path, capsys: pytest.CaptureFixture[str], embedding_cache: Path
) -> None:
    assert main(["cache", "list"]) == 0
    assert capsys.readouterr().out == f"{embedding_cache}: 0.0 MB of 10000 MB\n"
    picks(capsys, str(tiny_run), str(pictures), "--precision", "fp32")
    assert main(["cache", "list"]) == 0
    _, line = capsys.readouterr().out.splitlines()
    assert "7 images" in line and "fp32" in line and "8 x 8" in line
    assert main(["cache", "clear"]) == 0
    assert "removed 0.0 MB" in capsys.readouterr().out
    assert main(["cache", "list"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_nothing_to_list_where_embeddings_are_off(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ALLENCV_AL_EMBEDDING_CACHE", "off")
    assert main(["cache", "list"]) == 2
    assert "embeddings are off" in capsys.readouterr().err
