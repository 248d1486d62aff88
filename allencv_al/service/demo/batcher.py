"""Requests that come one by one, run together: whatever waits when the model is free is a batch."""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from allencv_al.common.errors import AllenCVError
from allencv_al.predictors.batched_inference import MAX_THREADS, Decoded, device_of
from allencv_al.predictors.prediction_json import JsonDict
from allencv_al.predictors.predictor import Predictor
from allencv_al.service.web.images import DECODING

T = TypeVar("T")

logger = logging.getLogger(__name__)

# Measured with a ResNet-18 at 224 px: on a CPU a batch of 8 costs as much per image as one of 32,
# with a shorter wait; a batch of 8 does not occupy a GPU.
CPU_BATCH_SIZE = 8
GPU_BATCH_SIZE = 32
# Decoded pictures that may wait for the model: enough for the next batch and the one after it.
BATCHES_AHEAD = 2
DEFAULT_MAX_WAITING = 256
MAX_RETRY_SECONDS = 30
_WARM_UP_SIZE = (240, 320)


class BusyError(AllenCVError):
    """The server cannot take the images now, but could later.

    Args:
        message: Why.
        retry_after: In how many seconds it is worth trying again.
    """

    exit_code = 1

    def __init__(self, message: str, retry_after: int) -> None:
        self.retry_after = retry_after
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Prediction:
    """The prediction or error of one image.

    Args:
        row: The prediction, as JSON values; None if there is an error.
        error: Why nothing is said: an `AllenCVError` is the sender's mistake, any other is ours.
        decode_seconds: Duration of decoding and transforms.
        model_seconds: Duration of its batch in the model.
        batch_size: How many images were in that batch.
    """

    row: JsonDict | None
    error: Exception | None = None
    decode_seconds: float = 0.0
    model_seconds: float = 0.0
    batch_size: int = 0


@dataclass(slots=True, eq=False)
class _Job:
    item: object
    future: Future[Prediction] = field(default_factory=Future)
    decoded: Decoded | None = None
    decode_seconds: float = 0.0


def in_a_thread(load: Callable[[], T]) -> T:
    """Return what `load` returns, run in a thread that ends with it.

    OpenMP gives each thread that computes helpers of its own, and they live as long as it does.
    With the helpers of a thread that loaded the model beside those of the one that runs it there
    are more than processors, so OpenMP lets all of them sleep after each layer: a ResNet-18 then
    takes half as long again.
    """
    with ThreadPoolExecutor(1, "load") as pool:
        return pool.submit(load).result()


class Batcher:
    """Predict for any number of threads at once with one model thread.

    Images are decoded in threads. Whenever the model is free it takes what is decoded by then, so
    that one sender never waits for others and many are run together. The threads start with the
    first image, or with `start`: in a process that was forked before, they run as well.

    Args:
        predictor: What predicts; nothing else may run its model meanwhile.
        max_batch_size: The most images in a batch; by default 8 on a CPU and 32 on a GPU.
        max_waiting: The most images that are taken in and not yet answered.
        num_threads: Threads that decode; by default as many as the predictor has.
    """

    def __init__(
        self,
        predictor: Predictor,
        max_batch_size: int | None = None,
        max_waiting: int = DEFAULT_MAX_WAITING,
        num_threads: int | None = None,
    ) -> None:
        on_cpu = device_of(predictor.model).type == "cpu"
        self.max_batch_size = max_batch_size or (CPU_BATCH_SIZE if on_cpu else GPU_BATCH_SIZE)
        self.max_waiting = max_waiting
        self._predictor = predictor
        self._num_threads = (
            num_threads or predictor.num_threads or min(os.cpu_count() or 1, MAX_THREADS)
        )
        self._lock = threading.Condition()
        self._ahead = threading.Semaphore(BATCHES_AHEAD * self.max_batch_size)
        self.batches = self.images = 0  # that the model has run, for /metrics
        self._decoded: deque[_Job] = deque()
        self._waiting = 0
        self._seconds_per_image = 0.0
        self._pool: ThreadPoolExecutor | None = None
        self._thread: threading.Thread | None = None
        self._is_closed = False

    @property
    def waiting(self) -> int:
        """The number of images that wait for a prediction."""
        return self._waiting

    def start(self) -> None:
        """Start the threads, if they are not running."""
        with self._lock:
            self._start()

    def warm_up(self) -> None:
        """Predict for a gray image, so that the first sender does not wait for what is lazy."""
        [prediction] = self.predict([np.full((*_WARM_UP_SIZE, 3), 128, dtype=np.uint8)])
        if prediction.error is not None:  # a model that takes other images only
            logger.debug("warming up: %s", prediction.error)

    def predict(self, items: Sequence[object], timeout: float | None = None) -> list[Prediction]:
        """Predict for some images, and wait for it.

        Args:
            items: Anything that `Predictor.predict` takes, or an `AllenCVError` in its place.
            timeout: Seconds to wait; images of requests that have timed out are not run.

        Returns:
            One prediction, or error, for each image and in their order.

        Raises:
            BusyError: Too many images wait already, the time is up, or the server is closing.
        """
        futures = self.submit(items)
        _, undone = wait_for(futures, timeout)
        if undone:
            for future in futures:
                future.cancel()
            raise BusyError(f"no prediction within {timeout:g} seconds", self._retry_after())
        return [future.result() for future in futures]

    def submit(self, items: Sequence[object]) -> list[Future[Prediction]]:
        """Take some images in, all or none, and return at once.

        Args:
            items: Anything that `Predictor.predict` takes, or an `AllenCVError` in its place.

        Returns:
            For each a future that comes true as a `Prediction`, whatever happens, or as a
            `BusyError` where the batcher is closed before; cancel it, and the image is not run.

        Raises:
            BusyError: Too many images wait already, or the batcher is closed.
        """
        jobs = [_Job(item) for item in items]
        with self._lock:
            if self._is_closed:
                raise BusyError("the server is closing", MAX_RETRY_SECONDS)
            if self._waiting + len(jobs) > self.max_waiting:
                raise BusyError(
                    f"{self._waiting} images wait already, at most {self.max_waiting} may",
                    self._retry_after(),
                )
            self._waiting += len(jobs)
            pool = self._start()
            for job in jobs:
                pool.submit(self._decode, job)
        return [job.future for job in jobs]

    def close(self) -> None:
        """Answer what is decoded, refuse what else waits and what comes, and end the threads."""
        with self._lock:
            self._is_closed = True
            pool, thread = self._pool, self._thread
            self._lock.notify_all()
        if pool is not None:
            pool.shutdown()
        if thread is not None:
            thread.join()

    def _start(self) -> ThreadPoolExecutor:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._num_threads, "decode")
            self._thread = threading.Thread(target=self._run, name="model", daemon=True)
            self._thread.start()
        return self._pool

    def _retry_after(self) -> int:
        return min(MAX_RETRY_SECONDS, max(1, math.ceil(self._waiting * self._seconds_per_image)))

    # -- In the threads that decode -----------------------------------------------------------

    def _decode(self, job: _Job) -> None:
        self._ahead.acquire()  # decoded pictures of a reader that does not resize take much memory
        if self._is_closed:
            self._ahead.release()
            self._finish(job, BusyError("the server is closing", MAX_RETRY_SECONDS))
        elif job.future.cancelled():
            self._ahead.release()
            self._finish(job, None)
        else:
            began = time.perf_counter()
            error = self._decode_error(job)
            job.decode_seconds = time.perf_counter() - began
            if error is None:
                with self._lock:
                    self._decoded.append(job)
                    self._lock.notify_all()
            else:
                self._ahead.release()
                self._finish(job, Prediction(None, error, job.decode_seconds))

    def _decode_error(self, job: _Job) -> Exception | None:
        try:
            with DECODING.hold(job.item):
                job.decoded = self._predictor.decode(job.item)
        except Exception as error:  # of a reader, a transform or a predictor of the user's
            return error
        job.item = None  # the bytes are not needed any more
        return job.decoded.error

    # -- In the model's thread ----------------------------------------------------------------

    def _run(self) -> None:
        while jobs := self._take():
            began = time.perf_counter()
            predictions = self._predict(jobs)
            seconds = time.perf_counter() - began
            self._seconds_per_image += 0.2 * (seconds / len(jobs) - self._seconds_per_image)
            self.batches += 1
            self.images += len(jobs)
            for job, prediction in zip(jobs, predictions, strict=True):
                self._finish(job, prediction)

    def _take(self) -> list[_Job]:
        """Wait for decoded images and take what is there; nothing when all is over."""
        with self._lock:
            while True:
                jobs: list[_Job] = []
                while self._decoded and len(jobs) < self.max_batch_size:
                    job = self._decoded.popleft()
                    self._ahead.release()
                    if job.future.set_running_or_notify_cancel():
                        jobs.append(job)
                    else:
                        self._waiting -= 1
                if jobs or (self._is_closed and not self._waiting):
                    return jobs
                self._lock.wait()

    def _predict(self, jobs: list[_Job]) -> list[Prediction]:
        decoded = [job.decoded for job in jobs if job.decoded is not None]
        began = time.perf_counter()
        try:
            outcomes = self._predictor.predict_decoded(decoded)
        except Exception as error:
            if len(jobs) > 1:  # one image that the model cannot take must not fail the others
                return [self._predict([job])[0] for job in jobs]
            return [Prediction(None, error, jobs[0].decode_seconds)]
        seconds = time.perf_counter() - began
        return [
            Prediction(outcome.value, outcome.error, job.decode_seconds, seconds, len(jobs))
            for job, outcome in zip(jobs, outcomes, strict=True)
        ]

    def _finish(self, job: _Job, result: Prediction | BusyError | None) -> None:
        with self._lock:
            self._waiting -= 1
            self._lock.notify_all()
        if result is None or (
            not job.future.running() and not job.future.set_running_or_notify_cancel()
        ):
            return
        if isinstance(result, BusyError):
            job.future.set_exception(result)
        else:
            job.future.set_result(result)
