"""Batches made by worker processes, through torch's `DataLoader`."""

from __future__ import annotations

import atexit
import signal
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import DataLoader as TorchLoader
from torch.utils.data import Dataset as TorchDataset

from allencv_al.common.errors import AllenCVError, TrainingError
from allencv_al.data.batch import Batch
from allencv_al.data.data_loaders.fetch import finished

if TYPE_CHECKING:
    from allencv_al.data.data_loaders.base import BatchSlot
    from allencv_al.data.data_loaders.fetch import Fetcher

# A cluster's SIGTERM goes to every process of a job. The trainer then finishes its step and saves;
# the workers must not die under it before it is done, nor outlive it.
_GRACE_SECONDS = 30

_SECONDS_BETWEEN_LOOKS = 1.0
_SECONDS_TO_DIE = 5.0  # a process that waits for a disk cannot be ended at all

_HELD = (signal.SIGINT, signal.SIGTERM)

_live: weakref.WeakSet[WorkerPool] = weakref.WeakSet()


class WorkerPool:
    """Processes that make batches; they stay for the next epoch.

    One iteration at a time. After any error but that of a batch the pool is to be closed.

    Args:
        fetch: Makes one batch.
        num_workers: Processes, at least 1.
        prefetch_factor: Batches that each holds ready.
        start_method: "fork", "forkserver" or "spawn"; None for "fork" on Linux, else the system's.
        pin: Whether to put the batches into page-locked memory.
        timeout: The most seconds to wait for a batch; None waits for good.
    """

    def __init__(
        self,
        fetch: Fetcher,
        num_workers: int,
        prefetch_factor: int,
        start_method: str | None,
        pin: bool,
        timeout: float | None = None,
    ) -> None:
        self._slots = _Slots()
        loader: TorchLoader[Any] = TorchLoader(
            _Fetching(fetch),
            # Torch's loader neither batches nor collates: a slot gives a whole batch
            batch_size=None,
            sampler=self._slots,
            num_workers=num_workers,
            prefetch_factor=prefetch_factor,
            multiprocessing_context=start_method or ("fork" if sys.platform == "linux" else None),
            worker_init_fn=_prepare_worker,
            collate_fn=_unchanged,
            persistent_workers=True,
            pin_memory=pin,
            generator=torch.Generator(),  # else it draws from the model's, as often as it starts
        )
        self._workers = _Workers(loader)
        self._patience = _Patience(timeout)
        self._end = weakref.finalize(self, self._workers.end)
        _live.add(self)

    @property
    def processes(self) -> list[BaseProcess]:
        """The processes, once there has been an iteration."""
        return self._workers.processes

    def run(self, slots: Iterable[BatchSlot]) -> Iterator[Batch]:
        """Yield the batches of `slots`.

        Raises:
            TrainingError: A worker process was ended from outside, or gave nothing for too long.
        """
        self._slots.pending = slots
        self._patience.begin()
        # Errors come as values: a traceback would keep the iterator, and with it the processes
        results = _outcome(self._workers.start)
        self._patience.watch(results)
        while not isinstance(results, BaseException):
            self._patience.begin()
            result = _outcome(next, results, None)
            if result is None:
                return
            if isinstance(result, BaseException):
                results = result
            else:
                yield result
        raise self._explained(results)

    def close(self) -> None:
        """End the processes."""
        self._end()

    def _explained(self, error: BaseException) -> BaseException:
        if isinstance(error, _OutOfPatienceError):
            stalled = TrainingError(_stalled_message(error.seconds, self.processes))
            for process in self.processes:  # torch would ask them to end, and wait 5 s for each
                process.kill()
            return stalled
        # Torch raises a RuntimeError for a dead worker without saying how it died
        ended = [process for process in self.processes if process.exitcode is not None]
        if not isinstance(error, RuntimeError) or not ended:
            return error
        explained = TrainingError(_ended_message(ended[0]))
        explained.__cause__ = error
        return explained


class _OutOfPatienceError(Exception):
    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class _Patience:
    """Time limit of waiting for a batch.

    Torch's own `timeout` would not look whether the workers are alive until it is over.

    Args:
        seconds: The most; None waits for good.
    """

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._begun = 0.0

    def begin(self) -> None:
        """Begin to wait for a batch."""
        self._begun = time.monotonic()

    def watch(self, results: Any) -> None:
        """Check a time limit whenever torch's iterator checks that its workers are alive."""
        limit, wait = self._seconds, getattr(type(results), "_try_get_data", None)
        if limit is None or wait is None:
            return
        iterator = weakref.ref(results)  # no cycle: see _Workers

        def watched(timeout: float = _SECONDS_BETWEEN_LOOKS) -> Any:
            found = wait(iterator(), timeout=min(timeout, limit, _SECONDS_BETWEEN_LOOKS))
            if not found[0] and time.monotonic() - self._begun > limit:
                raise _OutOfPatienceError(limit)
            return found

        results._try_get_data = watched


class _Workers:
    """Torch's loader and its processes.

    The finalizer of the pool holds it, so that it is never part of a cycle of garbage: collected
    in one, torch's queues are closed under the threads that serve them.
    """

    def __init__(self, loader: TorchLoader[Any]) -> None:
        self.loader: TorchLoader[Any] | None = loader
        self.processes: list[BaseProcess] = []

    def start(self) -> Iterator[Any]:
        """Begin an iteration, in new processes if there are none."""
        assert self.loader is not None
        if self.processes:  # this waits for them, so a signal must come through
            return iter(self.loader)
        with _child_signals_untouched(), _fork_unremarked(), _signals_held():
            results: Iterator[Any] = iter(self.loader)
        self.processes = list(getattr(results, "_workers", ()))
        return results

    def end(self) -> None:
        """End the processes."""
        for process in self.processes:
            if _is_stopped(process):  # torch would wait for it, and ask it in vain to end
                process.kill()
        self.loader = None  # torch ends them with the last reference
        for process in self.processes:
            if process.is_alive():
                process.kill()
                process.join(_SECONDS_TO_DIE)
        self.processes = []


def _outcome(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return what the function returns or raises.

    Torch's frames are cut off an error's traceback, because they hold the workers. They show
    nothing: what happened in a worker is in the message.
    """
    try:
        return function(*arguments)
    except BaseException as error:
        return error.with_traceback(None)


class _Slots(Iterable["BatchSlot"]):
    """The request of the next iteration."""

    def __init__(self) -> None:
        self.pending: Iterable[BatchSlot] = ()

    def __iter__(self) -> Iterator[BatchSlot]:
        return iter(self.pending)


class _Fetching(TorchDataset[Any]):
    """Give torch's workers a fetcher, and bring a user's errors back whole."""

    def __init__(self, fetch: Fetcher) -> None:
        self._fetch = fetch

    def __getitem__(self, slot: BatchSlot) -> Batch | Exception:
        try:
            return finished(self._fetch.begin(slot))
        except (AllenCVError, OSError) as error:  # torch would add a traceback
            return error


def _unchanged(batch: Any) -> Any:
    return batch


def _prepare_worker(worker_id: int) -> None:
    """Leave it to the main process when the worker ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "SIGALRM"):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, _end_later)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD)


def _end_later(signal_number: int, frame: object) -> None:
    signal.alarm(_GRACE_SECONDS)


@contextmanager
def _child_signals_untouched() -> Iterator[None]:
    """Restore the handler of SIGCHLD that torch replaces.

    Its listener raises from whatever line the main thread happens to run: in the middle of a step,
    or while a checkpoint is written. Without it the death is noticed at the next wait for a batch.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGCHLD"):
        yield
        return
    before = signal.getsignal(signal.SIGCHLD)
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGCHLD, before)


@contextmanager
def _signals_held() -> Iterator[None]:
    """Keep signals waiting, in new processes too, until `_prepare_worker` is ready for them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _HELD)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _fork_unremarked() -> Iterator[None]:
    """Silence Python 3.12's warning about deadlocks in processes forked from several threads.

    What the workers run takes no lock that a thread of ours or of torch's holds at that moment:
    torch makes them single-threaded, and a loader has no threads of its own beside its workers.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r".*multi-threaded, use of fork", DeprecationWarning)
        yield


def _ended_message(process: BaseProcess) -> str:
    code = process.exitcode or 0
    how = f"was ended by {_signal_name(-code)}" if code < 0 else f"ended with exit code {code}"
    message = f"a worker process that loads data (pid {process.pid}) {how}"
    if -code == getattr(signal, "SIGKILL", 0):
        return f"{message}; often the system is out of memory: set num_workers or batch_size lower"
    if -code == getattr(signal, "SIGBUS", 0):
        return (
            f"{message}; often /dev/shm is full (in a container: raise --shm-size): set "
            "num_workers, prefetch_factor or batch_size lower"
        )
    return f"{message}; set num_workers to 0 to see where"


def _stalled_message(seconds: float, processes: Iterable[BaseProcess]) -> str:
    stopped = [str(process.pid) for process in processes if _is_stopped(process)]
    message = f"no batch came from the worker processes that load data for {seconds:g} s"
    if stopped:
        return f"{message}: stopped by a signal: pid {', '.join(stopped)} (kill -CONT resumes it)"
    return (
        f"{message} (worker_timeout); if a batch takes so long, set worker_timeout higher or "
        "batch_size lower, else set num_workers to 0 to see where it hangs"
    )


def _is_stopped(process: BaseProcess) -> bool:
    """Return whether a process is suspended by a signal, where the system reports it (Linux)."""
    try:
        status = Path(f"/proc/{process.pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] in ("T", "t")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


@atexit.register
def _close_all() -> None:
    """End all workers before the exit handlers of Python, which send SIGTERM and wait."""
    for pool in list(_live):
        pool.close()
