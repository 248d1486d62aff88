"""Dynamic batching: whenever the model is free, the images that wait form a batch."""

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
from typing import Any, TypeVar

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
# Decoded images that may wait for the model: enough for the next two batches.
BATCHES_AHEAD = 2
DEFAULT_MAX_WAITING = 256
MAX_RETRY_SECONDS = 30
MAX_CALLS = 4
_WARM_UP_SIZE = (240, 320)


class BusyError(AllenCVError):
    """The server is temporarily overloaded or closing.

    Args:
        message: The cause.
        retry_after: Seconds after which a retry makes sense.
    """

    exit_code = 1

    def __init__(self, message: str, retry_after: int) -> None:
        self.retry_after = retry_after
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Prediction:
    """The prediction or error of one image.

    Args:
        row: The prediction as JSON values; None after an error.
        error: An `AllenCVError` is the client's mistake, any other a bug of model or server.
        decode_seconds: Duration of decoding and transforms.
        model_seconds: Duration of its batch in the model.
        batch_size: Size of that batch.
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


@dataclass(slots=True, eq=False)
class _Call:
    function: Callable[[], Any]
    future: Future[Any] = field(default_factory=Future)


def in_a_thread(load: Callable[[], T]) -> T:
    """Call a function in a thread of its own, and return the result.

    OpenMP keeps a pool of workers for each thread that computes, as long as the thread lives. The
    workers of the thread that loaded the model and those of the thread that runs it would
    together outnumber the processors, so OpenMP would put them to sleep after each layer: a
    ResNet-18 then takes 50 % longer.
    """
    with ThreadPoolExecutor(1, "load") as pool:
        return pool.submit(load).result()


class Batcher:
    """Batches the requests of many threads for one thread that runs the model.

    A pool of threads decodes the images. Whenever the model is free it takes the images decoded so
    far: a single request never waits for others, and simultaneous requests share batches. The
    threads start with the first image, or by `start`, so a process may fork before.

    Args:
        predictor: The predictor; its model must not be used elsewhere at the same time.
        max_batch_size: Maximum batch size (default: 8 on a CPU, 32 on a GPU).
        max_waiting: Maximum number of submitted images without a prediction.
        num_threads: Number of decoding threads (default: that of the predictor).
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
        self.batches = self.images = 0  # run by the model, for /metrics
        self._decoded: deque[_Job] = deque()
        self._calls: deque[_Call] = deque()
        self._is_turn_of_images = False
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
        """Predict a gray image, so that lazy initialization does not delay the first request."""
        [prediction] = self.predict([np.full((*_WARM_UP_SIZE, 3), 128, dtype=np.uint8)])
        if prediction.error is not None:  # the model may accept other images only
            logger.debug("warm-up failed: %s", prediction.error)

    def predict(self, items: Sequence[object], timeout: float | None = None) -> list[Prediction]:
        """Predict images and wait for the result.

        Args:
            items: Inputs of `Predictor.predict`, or an `AllenCVError` instead of one.
            timeout: Timeout in seconds; images of timed-out requests are not run.

        Returns:
            A prediction or error per image, in the order of the images.

        Raises:
            BusyError: Too many images wait already, the timeout has passed, or the server is
                closing.
        """
        futures = self.submit(items)
        _, undone = wait_for(futures, timeout)
        if undone:
            for future in futures:
                future.cancel()
            raise BusyError(f"no prediction within {timeout:g} seconds", self._retry_after())
        return [future.result() for future in futures]

    def submit(self, items: Sequence[object]) -> list[Future[Prediction]]:
        """Queue images, all or none, and return at once.

        Args:
            items: Inputs of `Predictor.predict`, or an `AllenCVError` instead of one.

        Returns:
            A future per image. Its result is a `Prediction`, also after an error; it raises
            `BusyError` if the batcher is closed before. A cancelled image is not run.

        Raises:
            BusyError: Too many images wait already, or the batcher is closed.
        """
        jobs = [_Job(item) for item in items]
        with self._lock:
            if self._is_closed:
                raise BusyError("the server is closing", MAX_RETRY_SECONDS)
            if self._waiting + len(jobs) > self.max_waiting:
                raise BusyError(
                    f"{self._waiting} images are waiting, of at most {self.max_waiting}",
                    self._retry_after(),
                )
            self._waiting += len(jobs)
            # Within the lock: a pool that `close` has shut down takes no more jobs
            pool = self._start()
            for job in jobs:
                pool.submit(self._decode, job)
        return [job.future for job in jobs]

    def call(self, function: Callable[[], T], timeout: float | None = None) -> T:
        """Call a function that uses the model, in the model's thread, and wait for the result.

        Images that wait have a batch before each further call.

        Args:
            function: The function.
            timeout: Timeout in seconds; a call that has not begun by then is not made.

        Raises:
            BusyError: Four calls wait already, the timeout has passed, or the server is closing.
        """
        call = _Call(function)
        with self._lock:
            if self._is_closed:
                raise BusyError("the server is closing", MAX_RETRY_SECONDS)
            if len(self._calls) >= MAX_CALLS:
                raise BusyError(f"{MAX_CALLS} such requests are waiting", MAX_RETRY_SECONDS)
            self._start()
            self._calls.append(call)
            self._lock.notify_all()
        try:
            found: T = call.future.result(timeout)
        except TimeoutError:
            if call.future.cancel() or not call.future.done():
                raise BusyError(f"no answer within {timeout:g} seconds", 1) from None
            raise  # one of the function's own
        return found

    def close(self) -> None:
        """Predict the decoded images, fail the others that wait, and stop the threads."""
        with self._lock:
            self._is_closed = True
            while self._calls:
                error = BusyError("the server is closing", MAX_RETRY_SECONDS)
                self._calls.popleft().future.set_exception(error)
            pool, thread = self._pool, self._thread
            self._lock.notify_all()
        if pool is not None:
            pool.shutdown()
        if thread is not None:
            thread.join()

    def _start(self) -> ThreadPoolExecutor:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._num_threads, "decode")
            # A daemon: a process that ends without `close` does not wait for the model
            self._thread = threading.Thread(target=self._run, name="model", daemon=True)
            self._thread.start()
        return self._pool

    def _retry_after(self) -> int:
        return min(MAX_RETRY_SECONDS, max(1, math.ceil(self._waiting * self._seconds_per_image)))

    # -- In the threads that decode -----------------------------------------------------------

    def _decode(self, job: _Job) -> None:
        self._ahead.acquire()  # decoded images of a reader that does not resize may be large
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
        except Exception as error:  # user code: a reader, a transform or a predictor
            return error
        job.item = None  # free the encoded bytes
        return job.decoded.error

    # -- In the model's thread ----------------------------------------------------------------

    def _run(self) -> None:
        while jobs := self._take():
            if isinstance(jobs, _Call):
                _answer(jobs)
                continue
            began = time.perf_counter()
            predictions = self._predict(jobs)
            seconds = time.perf_counter() - began
            # Exponential moving average, for Retry-After
            self._seconds_per_image += 0.2 * (seconds / len(jobs) - self._seconds_per_image)
            self.batches += 1
            self.images += len(jobs)
            for job, prediction in zip(jobs, predictions, strict=True):
                self._finish(job, prediction)

    def _take(self) -> list[_Job] | _Call:
        """Wait for a call or for images, up to a batch; return an empty list after `close`."""
        with self._lock:
            while True:
                if self._calls and not (self._is_turn_of_images and self._decoded):
                    self._is_turn_of_images = True
                    return self._calls.popleft()
                self._is_turn_of_images = False
                jobs: list[_Job] = []
                while self._decoded and len(jobs) < self.max_batch_size:
                    job = self._decoded.popleft()
                    self._ahead.release()
                    # A request that has run out of time has cancelled its images
                    if job.future.set_running_or_notify_cancel():
                        jobs.append(job)
                    else:
                        self._waiting -= 1
                # After `close` too, images that are being decoded get a prediction
                if jobs or (self._is_closed and not self._waiting):
                    return jobs
                self._lock.wait()

    def _predict(self, jobs: list[_Job]) -> list[Prediction]:
        decoded = [job.decoded for job in jobs if job.decoded is not None]
        began = time.perf_counter()
        try:
            outcomes = self._predictor.predict_decoded(decoded)
        except Exception as error:
            if len(jobs) > 1:  # find the image that the model fails on, and predict the others
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
        # An image that could not be decoded was never running
        if result is None or (
            not job.future.running() and not job.future.set_running_or_notify_cancel()
        ):
            return
        if isinstance(result, BusyError):
            job.future.set_exception(result)
        else:
            job.future.set_result(result)


def _answer(call: _Call) -> None:
    if not call.future.set_running_or_notify_cancel():
        return
    try:
        call.future.set_result(call.function())
    except Exception as error:  # user code: a model
        call.future.set_exception(error)
