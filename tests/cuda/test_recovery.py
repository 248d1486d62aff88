"""A training on a GPU that was cut off and recovered ends with the bits of one that was not."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from allencv_al.common import Lazy
from allencv_al.common.seeding import random_state, restore_random_state
from allencv_al.training.checkpoints.checkpointer import Checkpointer
from allencv_al.training.optimizers import Optimizer
from allencv_al.training.trainers.epoch_metrics import without_measurements
from allencv_al.training.trainers.gradient_descent_trainer import GradientDescentTrainer

Make = Callable[..., Any]

SECONDS_AT_MOST = 200.0
RATES = {"sgd": 0.1, "muon": 0.02}


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Run:
    """One run of the command line in a folder, in as many processes as it takes."""

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        folder.mkdir()
        self.folder = folder / "run"
        self._config = folder / "config.json"
        self._config.write_text(json.dumps(config))
        self._log = folder / "log.txt"

    def start(self) -> subprocess.Popen[bytes]:
        words = ["-m", "allencv_al", "train", str(self._config), "-s", str(self.folder)]
        if (self.folder / "config.json").exists():
            words.append("--recover")
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, *words], stdout=log, stderr=log, start_new_session=True
            )

    def finish(self) -> dict[str, Any]:
        """Run to the end; return all that must be the same to the bit."""
        assert self.start().wait(timeout=SECONDS_AT_MOST) == 0, self._log.read_text()
        lines = (self.folder / "metrics.jsonl").read_text().splitlines()
        return {
            "best": digest(self.folder / "best.safetensors"),
            "lines": [without_measurements(json.loads(line)) for line in lines],
            "metrics": {
                path.name: without_measurements(json.loads(path.read_text()))
                for path in self.folder.glob("metrics*.json")
            },
        }

    def kill_behind(self, epoch: int, batch: int) -> None:
        """Start, and kill -9 as soon as there is a checkpoint from there or later."""
        process, until = self.start(), time.monotonic() + SECONDS_AT_MOST
        while self._newest() < (epoch, batch):
            assert process.poll() is None, self._log.read_text()
            assert time.monotonic() < until
            time.sleep(0.001)
        os.killpg(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "it had ended before it was killed"

    def _newest(self) -> tuple[int, int]:
        names = [path.name for path in (self.folder / "checkpoints").glob("e*")]
        found = [re.fullmatch(r"e(\d+)_b(\d+)", name) for name in names]
        return max(((int(m[1]), int(m[2])) for m in found if m), default=(-1, -1))


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "workers"), [("fp32", 0), ("bf16", 2), ("fp16", 0)])
def test_kill_9_and_recovery_change_no_bit(
    make_config: Make, tmp_path: Path, precision: str, workers: int
) -> None:
    config = make_config(
        precision=precision,
        deterministic=True,
        num_epochs=8,
        grad_norm=1.0,
        learning_rate_scheduler={"type": "one_cycle", "max_lr": 0.01},
        moving_average={"type": "exponential", "decay": 0.95},
        checkpointer={"save_every_num_batches": 7},
    )
    config["dataset_reader"] = {
        **config["dataset_reader"],
        "augmentation": [
            {"type": "horizontal_flip", "p": 0.5},
            *config["dataset_reader"]["augmentation"],
        ],
    }
    config["validation_dataset_reader"] = {"type": "image_classification_directory"}
    config["data_loader"] = {"batch_size": 16, "num_workers": workers}
    expected = Run(tmp_path / "whole", config).finish()
    cut = Run(tmp_path / "cut", config)
    cut.kill_behind(0, 7)
    cut.kill_behind(2, 14)
    cut.kill_behind(4, 1)
    assert cut.finish() == expected
    assert list(cut.folder.rglob(".tmp*")) == []


def result_of(trainer: GradientDescentTrainer, metrics: dict[str, Any]) -> Any:
    weights = {name: value.cpu() for name, value in trainer.model.state_dict().items()}
    return without_measurements(metrics), weights


def same(one: Any, other: Any) -> bool:
    weights, others = one[1], other[1]
    return bool(
        one[0] == other[0]
        and weights.keys() == others.keys()
        and all(torch.equal(value, others[name]) for name, value in weights.items())
    )


@pytest.mark.parametrize("name", Optimizer.list_available())
def test_every_optimizer_goes_on_with_the_same_bits(
    make_trainer: Make, tmp_path: Path, name: str
) -> None:
    options: dict[str, Any] = {
        "optimizer": Lazy(Optimizer.by_name(name), lr=RATES.get(name, 0.01)),
        "deterministic": True,
        "validation_data_loader": None,
    }
    whole = make_trainer(tmp_path / "whole", num_epochs=2, **options)
    expected = result_of(whole, whole.train())
    make_trainer(tmp_path / "cut", num_epochs=1, **options).train()
    torch.manual_seed(77)  # what a new process would begin with
    cut = make_trainer(tmp_path / "cut", num_epochs=2, **options)
    torch.rand(3, device="cuda")
    found = result_of(cut, cut.train(recover=True))
    assert same(found, expected)


@pytest.mark.parametrize(
    ("first", "then"), [("cuda", "cpu"), ("cpu", "cuda"), ("cuda", "cuda")], ids=str
)
@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_a_checkpoint_goes_on_on_another_device(
    make_trainer: Make, tmp_path: Path, first: str, then: str, precision: str
) -> None:
    if precision == "fp16" and first == "cpu":
        pytest.skip("fp16 needs a GPU")

    def trainer(device: str, **options: Any) -> GradientDescentTrainer:
        own = "fp32" if device == "cpu" and precision == "fp16" else precision
        number = 0 if device == "cuda" else -1
        checkpointer = Lazy(Checkpointer, save_every_num_batches=2)
        made: GradientDescentTrainer = make_trainer(
            tmp_path, cuda_device=number, precision=own, checkpointer=checkpointer, **options
        )
        return made

    before = trainer(first, num_epochs=2).train()
    other = trainer(then, num_epochs=4)
    metrics = other.train(recover=True)
    assert {p.device.type for p in other.model.parameters()} == {then}
    state = other.optimizer.state.values()
    assert {value.device.type for one in state for value in one.values() if value.ndim} == {then}
    assert metrics["epoch"] == 3
    assert metrics["training_loss"] < before["training_loss"]


def test_the_generator_of_the_gpu_is_saved_and_put_back() -> None:
    torch.manual_seed(3)
    torch.rand(5, device="cuda")
    state = random_state()
    expected = torch.rand(1000, device="cuda")
    torch.manual_seed(4)
    restore_random_state(state)
    assert torch.equal(torch.rand(1000, device="cuda"), expected)
