"""The commands of examples/cifar10_pipeline/README.md, as printed."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
import urllib3

from allencv_al.active_learning.rounds.round_record import RoundRecord, read_records
from allencv_al.labels.label_store import LabelStore
from allencv_al.labels.run_database import DATABASE_NAME, RoundStore, RunDatabase

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "cifar10_pipeline"

pytestmark = pytest.mark.slow


def commands(port: int) -> list[str]:
    text = (EXAMPLE / "README.md").read_text()
    return [
        one.replace(":5000", f":{port}") for one in re.findall(r"```bash\n(.*?)```", text, re.S)
    ]


@pytest.fixture
def port() -> int:
    """A port without a listener."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        found: int = listener.getsockname()[1]
    return found


@pytest.fixture
def folder(tmp_path: Path, port: int) -> Path:
    """A copy of the example, with a port of its own."""
    copy = tmp_path / "example"
    shutil.copytree(EXAMPLE, copy, ignore=shutil.ignore_patterns("log", "runs", "data"))
    config = copy / "loop.jsonnet"
    config.write_text(config.read_text().replace(":5000", f":{port}"))
    return copy


def environment(more: Mapping[str, str]) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1", **more}


def run(command: str, folder: Path, **more: str) -> str:
    done = subprocess.run(
        ["bash", "-ec", command],
        cwd=folder,
        env=environment(more),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def served(command: str, folder: Path, port: int, **more: str) -> Iterator[None]:
    server = subprocess.Popen(
        ["bash", "-c", f"exec {command}"],
        cwd=folder,
        env=environment(more),
        start_new_session=True,
        stderr=subprocess.DEVNULL,
    )
    try:
        until = time.monotonic() + 120
        while True:
            try:
                urllib3.request("GET", f"http://127.0.0.1:{port}/healthz", retries=False)
                break
            except urllib3.exceptions.HTTPError:
                assert server.poll() is None and time.monotonic() < until
                time.sleep(0.1)
        yield
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()


def records_of(folder: Path) -> list[RoundRecord]:
    with RunDatabase(folder / DATABASE_NAME, create=False) as database:
        return read_records(RoundStore(database), LabelStore(database), [])


def accuracies(records: list[RoundRecord]) -> list[float]:
    found = [record.metrics["accuracy"] for record in records if record.labels]
    return [value for value in found if value is not None]


def test_the_readme_runs_as_printed(folder: Path, port: int) -> None:
    model, processes, serve, badge, random = commands(port)
    assert "parameters: 62006" in run(model, folder)
    said = run(processes, folder)
    assert "train: 100 records" in said
    right = re.search(r"test: (\d+) of 297 images are right", said)
    assert right is not None and int(right[1]) > 200
    assert "infer: 1400 records, each with prediction, pre_softmax, embedding" in said
    with served(serve, folder, port):
        run(badge, folder)
        run(random, folder)
    records = records_of(folder / "runs" / "badge")
    assert [record.labels for record in records] == [0, 50, 100, 150]
    found, by_chance = accuracies(records), accuracies(records_of(folder / "runs" / "random"))
    assert len(found) == len(by_chance) == 3 and found[0] == by_chance[0]
    assert found[-1] > 0.9 and found[-1] > by_chance[-1]
    assert records[-1].metrics["expected_calibration_error"] is not None
    assert records[-1].metrics["coverage_radius"] is not None
    kept = sorted(path.name.rpartition("_")[0] for path in (folder / "log").glob("ckpt_*"))
    assert kept == ["ckpt", *("ckpt_0",) * 2, *("ckpt_1",) * 2, *("ckpt_2",) * 2]  # of two runs
    assert (folder / "runs" / "badge" / "report.html").is_file()


def test_it_reads_cifar_10(folder: Path, port: int, shared_data: Path) -> None:
    serve = commands(port)[2]
    config = folder / "config.yaml"
    config.write_text(config.read_text().replace("train_epochs: 30", "train_epochs: 4"))
    overrides = '{"active_learning.budget": 100, "active_learning.learner.embeddings": false}'
    with served(serve, folder, port, DATA_DIR=str(shared_data / "cifar10")):
        run(
            f"allencv-al active-learn loop.jsonnet -s run -o '{overrides[:-1]}, "
            '"active_learning.strategy": "margin"}\'',
            folder,
        )
    records = records_of(folder / "run")
    assert [record.labels for record in records] == [0, 50, 100]
    assert records[-1].classes == (
        *("airplane", "automobile", "bird", "cat", "deer"),
        *("dog", "frog", "horse", "ship", "truck"),
    )
    assert records[-1].pool_size == 20_000 - 100
    labels = {pick.label for record in records for pick in record.picks}
    assert labels <= set(records[-1].classes) and len(labels) > 5


def test_without_the_folder_it_says_so(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "processes.py"],
        cwd=folder,
        env=environment({"DATA_DIR": "nowhere"}),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode != 0
    assert 'DATA_DIR: expected "digits" or a folder, found no nowhere' in done.stderr
