"""examples/cifar10_classifier: its README's commands, its flags, and that it resumes to the bit."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

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
    assert "--resume False begins anew" in said and "Traceback" not in said


@pytest.mark.slow
def test_what_was_not_trained_is_not_tested(folder: Path) -> None:
    said = solution(folder, "--mode", "test", "--save_dir", "nowhere", code=2)
    assert "--save_dir nowhere: nothing was trained there" in said
