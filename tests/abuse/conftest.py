"""Servers that are treated badly, and a table of what came of it.

pytest tests/abuse             small, as CI runs it
pytest tests/abuse --full      as large as docs/explanation/reliability.md says
"""

from __future__ import annotations

import io
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import allencv_al
from allencv_al.labels.sessions.items import NewItem
from allencv_al.labels.sessions.labeling_store import LABELING_NAME, LabelingStore

CANARY = "the canary sings"
PIPELINE = """
import pathlib
import sys

from allencv_al.service.pipeline import Pipeline

folder = pathlib.Path(sys.argv[1])


def train(args, labeled, resume_from, ckpt_file):
    (folder / ckpt_file).write_text("trained")


def test(args, ckpt_file):
    return {"predictions": [0, 1, 1], "labels": [0, 1, 0]}


def infer(args, unlabeled, ckpt_file):
    return {"outputs": {record: {"pre_softmax": [0.5, 0.25]} for record in unlabeled}}


def getdatasetstate(args):
    return {record: f"{record}.png" for record in range(9)}


token = sys.argv[2] if len(sys.argv) > 2 else None
pipeline = Pipeline(
    "any", train, test, infer, getdatasetstate, {"EXPT_DIR": str(folder)}, token
)
sys.exit(pipeline(port=0))
"""
# The loop's side of a pipeline that asks for its work, with one request that is never done
LOOP = """
import sys
import threading
import time

from allencv_al.service.driver.worker_transport import WorkerTransport

transport = WorkerTransport("127.0.0.1", 0, sys.argv[2] if len(sys.argv) > 2 else None)
waiting = threading.Thread(target=transport.call, args=("/train", {}, "key"), daemon=True)
waiting.start()
sys.stderr.write(f"the loop is at {transport.url} (Ctrl-C ends it)\\n")
sys.stderr.flush()
time.sleep(10_000)
"""
_FIGURES: list[tuple[str, str, str]] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--full`."""
    parser.addoption("--full", action="store_true", help="abuse at full size (half an hour)")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give what is large its time."""
    if _is_full(config):
        for item in items:
            item.add_marker(pytest.mark.timeout(7_200))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the table."""
    if _FIGURES:
        write = terminalreporter.write_line
        write(
            f"\nallencv-al {allencv_al.__version__}, Python {platform.python_version()}, "
            f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, "
            f"{time.strftime('%Y-%m-%d', time.gmtime())}"
        )
        write("\n| what | size | found |\n|---|---:|---|")
        for row in sorted(_FIGURES):
            write(f"| {' | '.join(row)} |")


def _is_full(config: pytest.Config) -> bool:
    return bool(config.getoption("--full", default=False))


@pytest.fixture
def record() -> Callable[[str, object, str], None]:
    """Return a function that adds a line to the table: what, how often, what was found."""

    def add(what: str, size: object, found: str) -> None:
        _FIGURES.append((what, f"{size:,}" if isinstance(size, int) else str(size), found))

    return add


@pytest.fixture(scope="session")
def size(request: pytest.FixtureRequest) -> Callable[[int, int], int]:
    """Return a function of the small and the full size."""
    is_full = _is_full(request.config)
    return lambda small, full: full if is_full else small


class Process:
    """A server in a process of its own, which says its address on standard error.

    Args:
        command: The arguments of `python`, such as `-m allencv_al serve`.
        log: Where it writes to.
        before: What starts it, such as `("unshare", "-rm")`.
    """

    def __init__(self, command: Sequence[str], log: Path, before: Sequence[str] = ()) -> None:
        self._log = log
        with log.open("ab") as stream:
            start = log.stat().st_size
            self.process = subprocess.Popen(
                [*before, sys.executable, *command],
                stdout=stream,
                stderr=stream,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
        until = time.monotonic() + 120
        while True:
            text = log.read_bytes()[start:].decode(errors="replace")
            found = re.search(r" at http://127\.0\.0\.1:(\d+)/ \(Ctrl-C", text)
            if found:
                break
            assert self.process.poll() is None and time.monotonic() < until, text
            time.sleep(0.02)
        self.port = int(found[1])

    @property
    def text(self) -> str:
        """What it has written."""
        return self._log.read_text(errors="replace")

    def resident_mb(self) -> float:
        """Return the memory that it takes, in MB; 0 where the system does not say."""
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        except OSError:
            return 0.0
        return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1024

    def peak_mb(self) -> float:
        """Return the most memory that it ever took, in MB; 0 where the system does not say."""
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        except OSError:
            return 0.0
        return int(re.findall(r"VmHWM:\s+(\d+)", status)[0]) / 1024

    def open_files(self) -> int:
        """Return how many files and connections it has open; 0 where the system does not say."""
        folder = Path(f"/proc/{self.process.pid}/fd")
        return len(list(folder.iterdir())) if folder.is_dir() else 0

    def processor_seconds(self) -> float:
        """Return how long it has computed; 0 where the system does not say."""
        try:
            fields = (
                Path(f"/proc/{self.process.pid}/stat")
                .read_text(encoding="utf-8")
                .rpartition(")")[2]
                .split()
            )
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def kill(self) -> None:
        """Kill it at once."""
        self.process.kill()
        self.process.wait()


@pytest.fixture
def make_process(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Return a function that starts a server: a program, or a command of `allencv-al`."""
    made: list[Process] = []

    def make(*command: str, before: Sequence[str] = ()) -> Process:
        made.append(Process(_arguments(*command), tmp_path / f"{len(made)}.log", before))
        return made[-1]

    yield make
    for process in made:
        process.kill()


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with twenty small pictures, and links that lead out of it, to a canary."""
    folder = tmp_path_factory.mktemp("home") / "images"
    folder.mkdir()
    for number in range(20):
        (folder / f"{number:02d}.png").write_bytes(picture(number))
    (folder.parent / "canary.txt").write_text(CANARY)
    (folder / "link.png").symlink_to(folder.parent / "canary.txt")
    (folder / "up").symlink_to(folder.parent, target_is_directory=True)
    return folder


@pytest.fixture(scope="session")
def demo(
    tmp_path_factory: pytest.TempPathFactory, make_tiny_run: Callable[[Path], Path], images: Path
) -> Iterator[Process]:
    """The demo server over a tiny model, which has to live through several tests."""
    folder = tmp_path_factory.mktemp("demo")
    run = make_tiny_run(folder / "run")
    process = Process(_arguments("serve", str(run), "--image-root", str(images)), folder / "log")
    yield process
    process.kill()


@pytest.fixture(scope="session")
def labeling(tmp_path_factory: pytest.TempPathFactory, images: Path) -> Iterator[Process]:
    """The labeling server over some images, which has to live through several tests."""
    folder = tmp_path_factory.mktemp("labeling")
    command = ("label", str(images), "--classes", "cat,dog", "-s", str(folder / "labels"))
    process = Process(_arguments(*command), folder / "log")
    yield process
    process.kill()


@pytest.fixture(scope="session")
def pipeline_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline with functions that take anything; its arguments are a folder and a token."""
    path = tmp_path_factory.mktemp("pipeline") / "main.py"
    path.write_text(PIPELINE)
    return path


@pytest.fixture(scope="session")
def pipeline(pipeline_program: Path) -> Iterator[Process]:
    """The pipeline, which has to live through several tests."""
    folder = pipeline_program.parent
    process = Process((str(pipeline_program), str(folder / "experiment")), folder / "log")
    yield process
    process.kill()


@pytest.fixture(scope="session")
def loop_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A loop that waits for a worker; its arguments are a folder and a token."""
    path = tmp_path_factory.mktemp("loop") / "main.py"
    path.write_text(LOOP)
    return path


@pytest.fixture(scope="session")
def loop(loop_program: Path) -> Iterator[Process]:
    """The loop, which has to live through several tests."""
    folder = loop_program.parent
    process = Process((str(loop_program), str(folder)), folder / "log")
    yield process
    process.kill()


def _arguments(*command: str) -> list[str]:
    if command[0].endswith(".py"):
        return list(command)
    return ["-m", "allencv_al", *command, "--port", "0"]


@pytest.fixture
def make_labeling(tmp_path: Path) -> Iterator[Callable[..., LabelingStore]]:
    """Return a function that makes a labeling of so many images, which are not there."""
    made: list[LabelingStore] = []

    def make(count: int, **batch: Any) -> LabelingStore:
        store = LabelingStore(tmp_path / f"labels{len(made)}" / LABELING_NAME)
        made.append(store)
        store.classes.add(["cat", "dog"], "owner")
        items = [
            NewItem(f"{number:06d}.png", tmp_path / f"{number}.png") for number in range(count)
        ]
        store.items.open_batch(items, **batch)
        return store

    yield make
    for store in made:
        store.close()


def picture(seed: int, width: int = 24, height: int = 16, kind: str = "PNG") -> bytes:
    """Return a small picture of noise."""
    generator = np.random.default_rng(seed)
    pixels = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


@pytest.fixture(scope="session")
def make_picture() -> Callable[..., bytes]:
    """Return a function that makes a small picture: seed, width, height, format."""
    return picture
