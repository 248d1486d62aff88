"""kill -9 at random moments of a real run: files, workers, checkpoints and all."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from allencv_al.data.sample_data.digits import write_digits
from allencv_al.training.trainers.epoch_metrics import without_measurements

pytestmark = pytest.mark.slow

KILLS = 5
SECONDS_AT_MOST = 240.0

CONFIG: dict[str, Any] = {
    "dataset_reader": {
        "type": "image_classification_directory",
        "augmentation": [
            {"type": "horizontal_flip", "p": 0.5},
            {"type": "normalize", "mean": [0.3, 0.3, 0.3], "std": [0.4, 0.4, 0.4]},
        ],
    },
    "validation_dataset_reader": {"type": "image_classification_directory"},
    "model": {
        "type": "basic_image_classifier",
        "im2im_encoder": {
            "type": "feedforward",
            "input_channels": 3,
            "num_layers": 1,
            "hidden_channels": 8,
            "activations": "relu",
        },
        "im2vec_encoder": {
            "type": "flatten",
            "input_channels": 8,
            "input_height": 8,
            "input_width": 8,
        },
        "dropout": 0.3,
    },
    "data_loader": {"batch_size": 16},
    "trainer": {
        "num_epochs": 4,
        "cuda_device": -1,
        "validation_metric": "+accuracy",
        "optimizer": {"type": "adamw", "lr": 2e-3},
        "learning_rate_scheduler": {"type": "one_cycle", "max_lr": 4e-3},
        "moving_average": {"type": "exponential", "decay": 0.95},
        "checkpointer": {"save_every_num_batches": 7},
    },
}


class Run:
    """One run in a folder, in as many processes as it takes."""

    def __init__(self, folder: Path, data: Path, workers: int) -> None:
        self.folder = folder / "run"
        config = {
            **CONFIG,
            "train_data_path": str(data / "train"),
            "validation_data_path": str(data / "validation"),
            "data_loader": {**CONFIG["data_loader"], "num_workers": workers},
        }
        self._config = folder / "config.json"
        self._config.write_text(json.dumps(config))
        self._log = folder / "log.txt"

    def start(self) -> subprocess.Popen[bytes]:
        words = ["-m", "allencv_al", "train", str(self._config), "-s", str(self.folder)]
        if (self.folder / "config.json").exists():
            words.append("--recover")
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        with self._log.open("ab") as log:
            # a group of its own, so that its workers can be seen to end with it
            return subprocess.Popen(
                [sys.executable, *words],
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )

    def finish(self) -> float:
        """Run to the end; return how long the training itself took."""
        process = self.start()
        begun = self.wait_for_training(process)
        assert process.wait(timeout=SECONDS_AT_MOST) == 0, self._log.read_text()
        return time.monotonic() - begun

    def wait_for_training(self, process: subprocess.Popen[bytes]) -> float:
        """Return the moment when the process began to train (or to go on)."""
        before = self._starts()
        until = time.monotonic() + SECONDS_AT_MOST
        while process.poll() is None and self._starts() == before:
            assert time.monotonic() < until
            time.sleep(0.01)
        return time.monotonic()

    def kill(self, delay: float) -> bool:
        """Start, kill -9 after some seconds of training; say whether it was still at work."""
        process = self.start()
        self.wait_for_training(process)
        try:
            assert process.wait(timeout=delay) == 0, self._log.read_text()
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return True
        return False

    def stop(self, number: signal.Signals, delay: float) -> int:
        """Start, send a signal after some seconds of training; return the exit code."""
        process = self.start()
        self.wait_for_training(process)
        try:
            return process.wait(timeout=delay)
        except subprocess.TimeoutExpired:
            send = os.killpg if number == signal.SIGINT else os.kill  # as a terminal, as a cluster
            send(process.pid, number)
        code = process.wait(timeout=SECONDS_AT_MOST)
        assert not group_is_alive(process.pid), "a worker has outlived the run"
        return code

    def result(self) -> dict[str, Any]:
        """Return all that must be the same to the bit."""
        metrics = {
            path.name: without_measurements(json.loads(path.read_text()))
            for path in self.folder.glob("metrics*.json")
        }
        lines = (self.folder / "metrics.jsonl").read_text().splitlines()
        return {
            "best": hashlib.sha256((self.folder / "best.safetensors").read_bytes()).hexdigest(),
            "lines": [without_measurements(json.loads(line)) for line in lines],
            **metrics,
        }

    def checkpoints(self) -> list[str]:
        return sorted(path.name for path in (self.folder / "checkpoints").glob("e*"))

    def _starts(self) -> int:
        return self._log.read_text().count(" begins: ") if self._log.exists() else 0


def group_is_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("digits")
    write_digits(folder)
    return folder


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], float]:
    """The result of an uninterrupted run, and how long its training took."""
    run = Run(tmp_path_factory.mktemp("whole"), data, workers=0)
    seconds = run.finish()
    return run.result(), seconds


@pytest.mark.parametrize("workers", [0, 2])
def test_kill_9_at_random_moments_changes_nothing(
    data: Path, whole: tuple[dict[str, Any], float], tmp_path: Path, workers: int
) -> None:
    expected, seconds = whole
    seed = random.randrange(1 << 32)
    moments = random.Random(seed)
    run, kills = Run(tmp_path, data, workers), 0
    for _ in range(KILLS):
        delay = moments.uniform(0.02, 0.3) * seconds
        if not run.kill(delay):
            break
        kills += 1
        print(f"seed {seed}: killed after {delay:.2f} s with {run.checkpoints()}")
    run.finish()
    assert kills >= 3, "the run ended too early to be killed; choose shorter delays"
    assert run.result() == expected
    assert list(run.folder.rglob(".tmp*")) == []


def test_signals_stop_a_run_with_workers_and_it_goes_on_to_the_same_end(
    data: Path, whole: tuple[dict[str, Any], float], tmp_path: Path
) -> None:
    expected, seconds = whole
    run = Run(tmp_path, data, workers=2)
    assert run.stop(signal.SIGINT, 0.2 * seconds) == 130
    after_one = run.checkpoints()
    assert run.stop(signal.SIGTERM, 0.2 * seconds) == 143
    assert run.checkpoints() != after_one
    run.finish()
    assert run.result() == expected
