"""`allencv-al find-lr`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from allencv_al.__main__ import main
from allencv_al.common.files.run_lock import run_lock


@pytest.fixture
def config(tiny_run: Path, pictures: Path, tmp_path: Path) -> Path:
    value = json.loads((tiny_run / "config.json").read_text())
    value["train_data_path"] = str(pictures)
    value["trainer"] = {
        "num_epochs": 3,
        "cuda_device": -1,
        "precision": "fp32",
        "optimizer": {
            "type": "sgd",
            "lr": 0.1,
            "parameter_groups": [[["_classification_layer"], {"lr": 0.01}]],
        },
        "learning_rate_scheduler": {"type": "slanted_triangular"},
        "moving_average": {"type": "exponential"},
        "callbacks": ["pictures"],
    }
    path = tmp_path / "config.jsonnet"
    path.write_text(json.dumps(value))
    return path


def find(config: Path, folder: Path, *arguments: str) -> dict[str, Any]:
    assert main(["find-lr", str(config), "-s", str(folder), *arguments]) == 0
    result: dict[str, Any] = json.loads((folder / "lr-losses.json").read_text())
    return result


def test_rates_grow_by_equal_factors_over_as_many_batches(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "out"
    result = find(config, folder, "--start-lr", "1e-4", "--end-lr", "1e-2", "--num-batches", "12")
    rates = [point["learning_rate"] for point in result["curve"]]
    assert rates == pytest.approx(np.geomspace(1e-4, 1e-2, 12).tolist())
    assert all(point["loss"] > 0 for point in result["curve"])
    shown = capsys.readouterr().out
    if result["suggestion"] is None:
        assert "no suggestion" in shown
    else:
        assert f"suggested learning rate: {result['suggestion']:.2e}" in shown
    assert (folder / "lr-losses.png").read_bytes().startswith(b"\x89PNG")


def test_a_step_is_the_trainers_with_its_clipping_and_accumulation(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from allencv_al.training.trainers.training_step import TrainingStep

    value = json.loads(config.read_text(encoding="utf-8"))
    value["trainer"].update(num_gradient_accumulation_steps=2, grad_clipping=1e-3, grad_norm=5.0)
    value["data_loader"] = {"batch_size": 2}
    config.write_text(json.dumps(value), encoding="utf-8")
    largest: list[float] = []
    sizes: list[int] = []
    call = TrainingStep.__call__

    def watched(self: Any, batches: Any) -> Any:
        loss = call(self, batches)
        sizes.append(len(batches))
        assert self.grad_norm is not None
        largest.append(max(float(p.grad.abs().max()) for p in self._parameters))
        return loss

    monkeypatch.setattr(TrainingStep, "__call__", watched)
    result = find(config, tmp_path / "out", "--num-batches", "12", "--end-lr", "0.01")
    assert len(result["curve"]) == len(sizes) == 12
    assert set(sizes) == {1, 2}  # 7 images in batches of 2, 2 and 3
    assert max(largest) == pytest.approx(1e-3)


def test_linear_rates(config: Path, tmp_path: Path) -> None:
    arguments = ["--linear", "--start-lr", "0.1", "--end-lr", "1.2", "--num-batches", "12"]
    result = find(config, tmp_path / "out", *arguments)
    rates = [point["learning_rate"] for point in result["curve"]]
    assert rates == pytest.approx(np.linspace(0.1, 1.2, 12).tolist())


def test_a_diverging_loss_ends_it(config: Path, tmp_path: Path) -> None:
    arguments = ["--start-lr", "1", "--end-lr", "1e6", "--num-batches", "30"]
    result = find(config, tmp_path / "a", *arguments, "--stopping-factor", "10")
    assert len(result["curve"]) < 30
    losses = [point["loss"] for point in result["curve"]]
    assert losses[-1] > 10 * min(losses)
    whole = find(config, tmp_path / "b", *arguments)
    assert np.isfinite([point["loss"] for point in whole["curve"]]).all()


def test_results_are_replaced_only_with_force(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    find(config, tmp_path / "out", "--num-batches", "11")
    again = ["find-lr", str(config), "-s", str(tmp_path / "out"), "--num-batches", "12"]
    assert main(again) == 2
    assert "--force replaces it" in capsys.readouterr().err
    assert len(find(config, tmp_path / "out", "--num-batches", "12", "--force")["curve"]) == 12


def test_a_folder_in_use_is_left_alone(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").mkdir()
    with run_lock(tmp_path / "out"):
        assert main(["find-lr", str(config), "-s", str(tmp_path / "out"), "--force"]) == 2
    assert "at work on this run" in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--num-batches", "10"], "--num-batches: expected more than 10"),
        (
            ["--start-lr", "1", "--end-lr", "0.1"],
            "--start-lr: expected less than --end-lr 0.1, found 1",
        ),
        (["--start-lr", "-1"], "expected a number above 0"),
        (["-o", '{"trainer": {"type": "no_op"}}'], "needs a trainer with an optimizer"),
        (["-o", '{"model.dropuot": 1}'], "model.dropuot"),
    ],
)
def test_a_mistake_is_one_message(
    config: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    assert main(["find-lr", str(config), "-s", str(tmp_path / "out"), *arguments]) == 2
    shown = capsys.readouterr().err
    assert message in shown
    assert "Traceback" not in shown
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "flag"),
    [(["--num-batches", "10"], "--num-batches"), (["--start-lr", "1e9"], "--start-lr")],
)
def test_flags_are_checked_before_anything_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], flag: str
) -> None:
    assert main(["find-lr", str(tmp_path / "absent"), "-s", str(tmp_path), *arguments]) == 2
    assert f"error: {flag}: expected" in capsys.readouterr().err
