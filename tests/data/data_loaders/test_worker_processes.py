"""Worker processes: how they start, live and end."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from overrides import overrides

from allencv_al.common.errors import TrainingError
from allencv_al.data.data_loaders import MultiprocessDataLoader
from allencv_al.data.dataset_readers.base import Dataset
from allencv_al.data.dataset_readers.image_classification_directory import (
    ImageClassificationDirectory,
)
from allencv_al.data.instance import Instance, Sample
from allencv_al.data.transforms import ImageTransform
from allencv_al.data.vocabulary import Vocabulary

MakeDataset = Callable[..., Dataset]

VOCAB = Vocabulary({"labels": {"cat": 1, "dog": 1}})

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks processes, as on Linux")


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    before = set(multiprocessing.active_children())
    yield
    gc.collect()
    assert set(multiprocessing.active_children()) <= before


def worker_ids(loader: MultiprocessDataLoader) -> list[int]:
    return [process.pid or 0 for pool in loader._idle for process in pool.processes]


def is_running(pid: int) -> bool:
    try:
        return (
            Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
            != "Z"
        )
    except FileNotFoundError:
        return False


def wait_until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"did not come true in {seconds} s"
        time.sleep(0.01)


def test_workers_stay_for_the_next_epoch_and_end_with_close(in_memory: MakeDataset) -> None:
    loader = MultiprocessDataLoader(in_memory(), VOCAB, batch_size=3, num_workers=2)
    list(loader.batches(0))
    workers = worker_ids(loader)
    assert len(workers) == 2
    list(loader.batches(1))
    assert worker_ids(loader) == workers
    loader.close()
    assert not any(map(is_running, workers))
    list(loader.batches(2))  # and it can be used again
    loader.close()


def test_workers_end_with_the_loader(in_memory: MakeDataset) -> None:
    loader = MultiprocessDataLoader(in_memory(), VOCAB, batch_size=3, num_workers=2)
    list(loader.batches(0))
    workers = worker_ids(loader)
    del loader
    gc.collect()
    assert not any(map(is_running, workers))


def test_an_iteration_left_early_leaves_nothing_behind(in_memory: MakeDataset) -> None:
    loader = MultiprocessDataLoader(in_memory(40), VOCAB, batch_size=2, num_workers=2)
    expected = [batch.ids for batch in loader.batches(1)]
    for _ in range(3):
        for batch in loader.batches(0):
            assert len(batch) == 2
            break
        assert [batch.ids for batch in loader.batches(1)] == expected
    loader.close()


def test_an_interrupt_ends_the_workers(in_memory: MakeDataset) -> None:
    loader = MultiprocessDataLoader(in_memory(40), VOCAB, batch_size=2, num_workers=2)
    workers: list[int] = []

    def interrupted() -> NoReturn:
        for _ in loader.batches(0):
            workers.extend(p.pid or 0 for p in multiprocessing.active_children())
            raise KeyboardInterrupt
        raise AssertionError

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    loader.close()
    assert len(workers) == 2
    assert not any(map(is_running, workers))


@pytest.mark.slow  # torch looks every five seconds
def test_a_killed_worker_gives_an_error_in_seconds(in_memory: MakeDataset) -> None:
    loader = MultiprocessDataLoader(in_memory(400), VOCAB, batch_size=2, num_workers=2)
    batches = loader.batches(0)
    next(batches)
    victim = multiprocessing.active_children()[0]
    os.kill(victim.pid or 0, signal.SIGKILL)
    began = time.monotonic()
    with pytest.raises(TrainingError, match=rf"pid {victim.pid}.*SIGKILL.*memory.*num_workers"):
        list(batches)
    assert time.monotonic() - began < 15
    wait_until(lambda: not multiprocessing.active_children(), 5)
    assert len(list(loader.batches(0))) == 200  # and it starts anew
    loader.close()


class ExitsAt(ImageTransform):
    """Code that ends its process."""

    @overrides
    def apply(self, sample: Sample, generator: np.random.Generator) -> Sample:
        os._exit(3)


@pytest.mark.slow  # torch looks every five seconds
def test_a_stopped_worker_is_an_error_after_the_time_limit(in_memory: MakeDataset) -> None:
    loader = MultiprocessDataLoader(
        in_memory(40), VOCAB, batch_size=1, num_workers=2, worker_timeout=1.5
    )
    begun = time.monotonic()
    with pytest.raises(TrainingError, match=r"for 1\.5 s: stopped by a signal: pid \d+"):
        for index, _ in enumerate(loader.batches(0)):
            if index == 0:
                os.kill(multiprocessing.active_children()[0].pid or 0, signal.SIGSTOP)
    assert time.monotonic() - begun < 4, "it was killed, not waited for"
    assert not multiprocessing.active_children()


def test_a_worker_that_is_stopped_between_epochs_is_found(in_memory: MakeDataset) -> None:
    loader = MultiprocessDataLoader(in_memory(), VOCAB, num_workers=1, worker_timeout=0.5)
    list(loader.batches(0))
    held = []

    def signal_came(number: int, frame: object) -> None:
        held.append(time.monotonic())

    before = signal.signal(signal.SIGTERM, signal_came)
    try:
        os.kill(multiprocessing.active_children()[0].pid or 0, signal.SIGSTOP)
        timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM))
        timer.start()
        with pytest.raises(TrainingError, match="stopped by a signal"):
            list(loader.batches(1))
        ended = time.monotonic()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert held and held[0] < ended - 0.2, "the signal was held back while it waited"


def test_a_worker_that_hangs_is_an_error_after_the_time_limit(in_memory: MakeDataset) -> None:
    class Hang(ImageTransform):
        @overrides
        def apply(self, sample: Sample, generator: np.random.Generator) -> Sample:
            time.sleep(60)
            return sample

    dataset = in_memory(4)
    dataset.reader = type(dataset.reader)([Hang()])
    loader = MultiprocessDataLoader(dataset, VOCAB, num_workers=1, worker_timeout=0.3)
    begun = time.monotonic()
    with pytest.raises(TrainingError, match=r"worker_timeout.*num_workers to 0"):
        list(loader.batches(0))
    assert time.monotonic() - begun < 15


def test_a_slow_batch_within_the_limit_is_waited_for(in_memory: MakeDataset) -> None:
    class Slow(ImageTransform):
        @overrides
        def apply(self, sample: Sample, generator: np.random.Generator) -> Sample:
            time.sleep(0.3)
            return sample

    dataset = in_memory(6)
    dataset.reader = type(dataset.reader)([Slow()])
    loader = MultiprocessDataLoader(dataset, VOCAB, batch_size=1, num_workers=1, worker_timeout=1.5)
    assert len(list(loader.batches(0))) == 6  # 1.8 s in all, each well below the limit
    assert len(list(loader.batches(1))) == 6
    loader.close()


def test_a_worker_that_exits_is_named(in_memory: MakeDataset) -> None:
    reader = type(in_memory(1).reader)([ExitsAt()])
    loader = MultiprocessDataLoader(in_memory(5, reader), VOCAB, num_workers=1)
    with pytest.raises(TrainingError, match=r"ended with exit code 3; set num_workers to 0"):
        list(loader.batches(0))


def test_signals_to_all_processes_of_a_job_leave_the_workers_working(
    in_memory: MakeDataset,
) -> None:
    """Ctrl-C and a cluster's SIGTERM reach the workers too; the trainer still wants to finish."""
    loader = MultiprocessDataLoader(in_memory(400), VOCAB, batch_size=2, num_workers=2)
    before = signal.getsignal(signal.SIGCHLD)
    batches = loader.batches(0)
    next(batches)
    assert signal.getsignal(signal.SIGCHLD) == before
    for number in (signal.SIGINT, signal.SIGTERM):
        for process in multiprocessing.active_children():
            os.kill(process.pid or 0, number)
    assert len(list(batches)) == 199
    loader.close()


class NotToBePickled(dict[str, Any]):
    """Metadata of an instance that tells whether it was sent to a worker."""

    def __reduce__(self) -> NoReturn:
        raise AssertionError("the dataset was sent to a worker")


def test_forked_workers_share_the_dataset(in_memory: MakeDataset) -> None:
    instances = [Instance(i.id, i.image, i.label, metadata=NotToBePickled()) for i in in_memory(8)]
    dataset = Dataset(in_memory(1).reader, instances)
    loader = MultiprocessDataLoader(dataset, VOCAB, num_workers=2, start_method="fork")
    assert len(list(loader.batches(0))) == 1
    loader.close()


def test_workers_can_transform_after_this_process_did(on_disk: MakeDataset) -> None:
    """OpenCV's own threads do not survive a fork."""
    augmentation = [
        {"type": "resize", "height": 900, "width": 900},
        {"type": "rotate", "p": 1.0},
        {"type": "gaussian_blur", "p": 1.0},
    ]
    reader = type(on_disk(1).reader)([ImageTransform.from_params(t) for t in augmentation])
    dataset = on_disk(4, reader)
    here = MultiprocessDataLoader(dataset, VOCAB, batch_size=2)
    there = MultiprocessDataLoader(dataset, VOCAB, batch_size=2, num_workers=2)
    for one, other in zip(here.batches(0), there.batches(0), strict=True):
        assert one.tensors["image"].equal(other.tensors["image"])
    there.close()


SCRIPT = """
    import sys
    from pathlib import Path

    from allencv_al.data.data_loaders import MultiprocessDataLoader
    from allencv_al.data.dataset_readers.image_classification_directory import (
        ImageClassificationDirectory,
    )

    dataset = ImageClassificationDirectory().read(sys.argv[1])
    loader = MultiprocessDataLoader(dataset, batch_size=1, num_workers=2, start_method="fork")
    list(loader.batches(0))
    print(*(p.pid for pool in loader._idle for p in pool.processes), flush=True)
    if sys.argv[2] == "wait":
        sys.stdin.read()
"""


def run_script(tmp_path: Path, how: str) -> subprocess.Popen[str]:
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT))
    root = Path(__file__).resolve().parents[3]
    return subprocess.Popen(
        [sys.executable, "-W", "error", str(script), str(tmp_path / "images"), how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
    )


@pytest.fixture
def class_folders(tmp_path: Path) -> Path:
    from PIL import Image

    for index in range(8):
        folder = tmp_path / "images" / ("cat" if index % 2 else "dog")
        folder.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(index).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    return tmp_path


@pytest.mark.slow
def test_a_program_ends_at_once_though_it_never_closed_its_loader(class_folders: Path) -> None:
    with run_script(class_folders, "end") as program:
        out, err = program.communicate(timeout=60)
    assert (program.returncode, err) == (0, "")
    assert not any(is_running(int(pid)) for pid in out.split())


@pytest.mark.slow
def test_workers_end_when_the_program_is_killed(class_folders: Path) -> None:
    with run_script(class_folders, "wait") as program:
        assert program.stdout is not None
        workers = [int(pid) for pid in program.stdout.readline().split()]
        assert len(workers) == 2
        program.kill()
        wait_until(lambda: not any(map(is_running, workers)), 20)


@pytest.mark.slow
@pytest.mark.parametrize("start_method", ["forkserver", "spawn"])
def test_every_start_method_gives_the_same_batches(class_folders: Path, start_method: Any) -> None:
    transforms = [{"type": "random_crop", "height": 6, "width": 6}, {"type": "normalize"}]
    reader = ImageClassificationDirectory([ImageTransform.from_params(t) for t in transforms])
    dataset = reader.read(class_folders / "images")
    here = MultiprocessDataLoader(dataset, VOCAB, batch_size=3)
    there = MultiprocessDataLoader(
        dataset, VOCAB, batch_size=3, num_workers=1, start_method=start_method
    )
    for epoch in range(2):
        for one, other in zip(here.batches(epoch), there.batches(epoch), strict=True):
            assert one.ids == other.ids
            assert one.tensors["image"].equal(other.tensors["image"])
            assert one.tensors["label"].equal(other.tensors["label"])
    there.close()
