"""One store of embeddings for all commands, and `allencv-al cache`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fixtures.encoded_images import note_encoded
from PIL import Image

from allencv_al.__main__ import main

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
