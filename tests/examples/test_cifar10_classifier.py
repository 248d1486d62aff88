"""examples/cifar10_classifier: its README's commands, its flags, and that it resumes to the bit."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import _jsonnet
import pytest
import torch

from allencv_al.models import load_archive

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "cifar10_classifier"
SMALL = ["--num_epoch", "10", "--learning_rate", "0.003", "--conv", "custom"]  # the README's


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the example with a sample of data."""
    copy = tmp_path_factory.mktemp("example") / "cifar10_classifier"
    shutil.copytree(EXAMPLE, copy)
    run(copy, ["sample.py", "data/sample"])
    return copy


def run(folder: Path, words: list[str], code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def solution(folder: Path, *flags: str, code: int = 0) -> str:
    return run(folder, ["solution.py", "--data_dir", "data/sample", *flags], code)


@pytest.fixture(scope="module")
def done(folder: Path) -> dict[str, str]:
    """What the commands of the README have written, by their first words."""
    commands = re.findall(r"```bash\n(.*?)```", (EXAMPLE / "README.md").read_text(), re.S)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    said = {}
    for command in commands:
        done = subprocess.run(
            ["bash", "-ec", command],
            cwd=folder,
            env={**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=250,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        said[" ".join(command.split()[:2])] = done.stdout
    return said


@pytest.mark.slow
def test_the_readme_runs_as_printed(folder: Path, done: dict[str, str]) -> None:
    assert len(done) == 3
    tested = done["python solution.py"]
    found = re.search(r"test accuracy: (\d+\.\d\d) %, test loss: \d+\.\d{4}", tested)
    assert found is not None and float(found[1]) > 70
    assert (folder / "save" / "beyond" / "model.tar.gz").is_file()


@pytest.mark.slow
@pytest.mark.parametrize(("conv", "count"), [("torch", 13_202), ("custom", 16_338)])
def test_the_networks_have_the_size_that_is_known(
    conv: str, count: int, folder: Path, done: dict[str, str]
) -> None:
    model = load_archive(folder / "save" / conv / "model.tar.gz").model
    assert sum(parameter.numel() for parameter in model.parameters()) == count


@pytest.mark.slow
def test_it_resumes_to_the_bit(folder: Path, done: dict[str, str]) -> None:
    """The run of the README was not cut; this one is killed after its first epoch."""
    command = ["solution.py", "--data_dir", "data/sample", *SMALL, "--save_dir", "cut"]
    process = subprocess.Popen(
        [sys.executable, *command], cwd=folder, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    metrics, until = folder / "cut" / "metrics.jsonl", time.monotonic() + 120
    while not metrics.is_file() or not metrics.read_text():
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.01)
    process.kill()
    process.wait()
    solution(folder, *SMALL, "--save_dir", "cut")
    weights = [
        (folder / place / "best.safetensors").read_bytes() for place in ("save/custom", "cut")
    ]
    assert weights[0] == weights[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "part"),
    [
        (["--conv", "other"], "invalid choice"),
        (["--log", "dir", "x"], "has lost its underscore; write --log_dir x"),
        (["--batch_size", "0"], "expected a number of at least 1"),
        (["--resume", "maybe"], "expected True or False"),
    ],
)
def test_wrong_flags_are_one_message(flags: list[str], part: str, folder: Path) -> None:
    said = solution(folder, *flags, code=2)
    assert part in said and "Traceback" not in said


@pytest.mark.slow
def test_other_flags_than_the_run_that_it_goes_on_with_are_explained(
    folder: Path, done: dict[str, str]
) -> None:
    flags = ["--num_epoch", "10", "--learning_rate", "0.002", "--conv", "custom"]
    said = solution(folder, *flags, "--save_dir", "save/custom", code=2)
    assert "trainer.optimizer.lr: 0.003 before, 0.002 now" in said
    assert "--resume False starts it again" in said and "Traceback" not in said


@pytest.mark.parametrize(
    ("flags", "parts"),
    [
        (["--conv", "custom"], ["--conv2d: torch was trained, custom is asked for"]),
        (
            ["--pool2d", "AvgPool2d", "--activation", "GELU", "--loss_type", "svm", "--ksize", "5"],
            ["--pool2d: MaxPool2d was", "--activation: ReLU", "--loss_type: cross", "--ksize: 3"],
        ),
    ],
)
def test_another_network_than_the_trained_one_is_not_tested(
    flags: list[str], parts: list[str], folder: Path, tmp_path: Path
) -> None:
    """It printed the accuracy of the network that was there, under the name of the other."""
    evaluated = _jsonnet.evaluate_file(
        str(folder / "classifier.jsonnet"),
        ext_vars={"TRAIN_PATH": "t"},
        ext_codes={"environment": "{}"},
    )
    (tmp_path / "config.json").write_text(evaluated)
    said = solution(folder, "--mode", "test", "--save_dir", str(tmp_path), *flags, code=2)
    assert "holds another network" in said and all(part in said for part in parts)
    assert said.count("was trained") == len(parts) and "accuracy" not in said


@pytest.mark.slow
def test_the_trained_network_is_tested_without_naming_it(
    folder: Path, done: dict[str, str]
) -> None:
    for network in ([], ["--conv", "custom", "--ksize", "3"]):
        said = solution(folder, "--mode", "test", "--save_dir", "save/custom", *network)
        assert "test accuracy: " in said


def test_the_optimizer_of_the_original_forgets(folder: Path) -> None:
    """Each epoch is the first one of its Adam, whose rate the scheduler has set."""
    spec = importlib.util.spec_from_file_location("fresh_optimizer", folder / "fresh_optimizer.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    weight = torch.nn.Parameter(torch.ones(1))
    optimizer = torch.optim.Adam([weight], lr=0.1)
    callback = module.FreshOptimizer()
    for _ in range(2):
        before = weight.item()
        weight.grad = torch.full((1,), 7.0 if before == 1 else -0.01)
        optimizer.step()
        # The first step of an Adam is its rate, whatever the size of the gradient
        assert abs(weight.item() - before) == pytest.approx(0.1, rel=1e-3)
        callback.on_epoch(SimpleNamespace(optimizer=optimizer), {}, 0)
    assert optimizer.param_groups[0]["lr"] == 0.1


@pytest.mark.slow
def test_what_was_not_trained_is_not_tested(folder: Path) -> None:
    said = solution(folder, "--mode", "test", "--save_dir", "nowhere", code=2)
    assert "--save_dir nowhere: nothing was trained there" in said
