"""Processes that do tasks, one at a time each; what a dead one had begun is done by another."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from typing import Any, Generic, TypeVar, cast

Task = TypeVar("Task")
Tell = Callable[[Any], None]
Work = Callable[[Any, Tell], Any]
"""Does a task, which may tell something meanwhile, and returns its result."""

Setup = Callable[[], AbstractContextManager[Work]]
"""Makes a process ready, once; it is pickled, so it is a function of a module or a `partial`."""

MOST_ATTEMPTS = 3

_MOST_DEATHS_IN_A_ROW = 10  # so many without a result between them are no matter of one task
_GRACE_SECONDS = 30.0  # training finishes its step first
# Libraries would start threads for all cores, which the other workers use too
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Lost:
    """The outcome of a task whose processes died, or that could not be tried.

    Args:
        message: The cause.
    """

    message: str


@dataclass(frozen=True)
class Postponed:
    """The result of a task that cannot be done now; it is tried again after those that wait."""


@dataclass(frozen=True)
class TaskHooks(Generic[Task]):
    """Functions that are called in the process that distributes the tasks.

    Args:
        on_begin: Called when a task is given to a process.
        on_message: Called with a task and what it tells.
    """

    on_begin: Callable[[Task], None] = field(default=lambda task: None)
    on_message: Callable[[Task, Any], None] = field(default=lambda task, message: None)


def run_in_processes(
    tasks: Sequence[Task],
    workers: int,
    setup: Setup,
    threads: int = 1,
    hooks: TaskHooks[Task] | None = None,
) -> Generator[tuple[Task, Any], None, None]:
    """Yield each task with its result, in the order in which they end; `Lost` for one without.

    A task whose process dies is given to another one, three times at most: so a task must be such
    that it may be done again. The processes end with this one, and where the iterator is closed.

    Args:
        tasks: The tasks, which are pickled.
        workers: The most processes at a time.
        setup: Makes a process ready.
        threads: Threads of the libraries in each process.
        hooks: Functions to be told what happens.
    """
    run = _Run(tasks, workers, setup, threads, hooks or TaskHooks())
    try:
        yield from run.results()
    finally:
        run.end()


class _Worker:
    """A process that does tasks, one at a time.

    Each has a pipe of its own: a shared queue has a lock, which a worker that is killed while it
    writes would keep.
    """

    def __init__(self, setup: Setup) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, setup))
        self.process.start()
        theirs.close()  # else the end of the process would not close the pipe
        self.is_ready = False
        self.task: int | None = None

    def take(self, number: int, task: Any) -> None:
        """Send a task to the process."""
        self.task = number
        with suppress(OSError):  # the process has ended, which `read` reports
            self.connection.send(task)

    def read(self) -> tuple[str, Any]:
        """Return the kind of a message and the message: a result, what a task tells, the end."""
        try:
            return cast("tuple[str, Any]", self.connection.recv())
        except (EOFError, OSError):
            self.process.join()
            return "end", self.process.exitcode

    def join(self) -> None:
        """Wait until the process has ended; kill it if it does not."""
        self.process.join(_GRACE_SECONDS)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.connection.close()


class _Run(Generic[Task]):
    """The tasks that wait and the processes that are at work."""

    def __init__(
        self,
        tasks: Sequence[Task],
        workers: int,
        setup: Setup,
        threads: int,
        hooks: TaskHooks[Task],
    ) -> None:
        self._tasks = tasks
        self._waiting = deque(range(len(tasks)))
        self._most = workers
        self._setup = setup
        self._threads = threads
        self._hooks = hooks
        self._workers: list[_Worker] = []
        self._deaths_of: Counter[int] = Counter()
        self._deaths_in_a_row = 0

    def results(self) -> Iterator[tuple[Task, Any]]:
        """Yield the tasks with their results."""
        while self._waiting or self._busy():
            self._employ()
            connections = {worker.connection: worker for worker in self._workers}
            for connection in wait(list(connections)):
                yield from self._read(connections[cast(Any, connection)])
            if self._deaths_in_a_row >= _MOST_DEATHS_IN_A_ROW:
                self._most = 0
                message = "not run: processes end before they have done anything"
                while self._waiting:
                    yield self._tasks[self._waiting.popleft()], Lost(message)

    def end(self) -> None:
        """End the processes."""
        for worker in self._workers:  # a task may be interrupted at any moment
            worker.process.terminate()
        for worker in self._workers:
            worker.join()

    def _busy(self) -> int:
        return sum(worker.task is not None for worker in self._workers)

    def _employ(self) -> None:
        wanted = min(self._most, len(self._waiting) + self._busy())
        with _few_threads(self._threads), _interrupts_held():
            while len(self._workers) < wanted:
                self._workers.append(_Worker(self._setup))
        for worker in self._workers:
            if self._waiting and worker.is_ready and worker.task is None:
                number = self._waiting.popleft()
                self._hooks.on_begin(self._tasks[number])
                worker.take(number, self._tasks[number])

    def _read(self, worker: _Worker) -> Iterator[tuple[Task, Any]]:
        kind, message = worker.read()
        if kind == "ready":
            worker.is_ready = True
        elif kind == "end":
            yield from self._bury(worker, message)
        elif worker.task is not None and kind == "told":
            self._hooks.on_message(self._tasks[worker.task], message)
        elif worker.task is not None:
            number, worker.task = worker.task, None
            self._deaths_in_a_row = 0
            if isinstance(message, Postponed):
                self._waiting.append(number)
            else:
                yield self._tasks[number], message

    def _bury(self, worker: _Worker, code: int | None) -> Iterator[tuple[Task, Any]]:
        self._workers.remove(worker)
        worker.join()
        self._deaths_in_a_row += 1
        number = worker.task
        if number is None:
            return
        self._deaths_of[number] += 1
        if self._deaths_of[number] < MOST_ATTEMPTS:
            self._waiting.appendleft(number)
            return
        times = f"in {MOST_ATTEMPTS} attempts"
        yield self._tasks[number], Lost(f"its process ended (exit code {code}) {times}")


def _work(connection: Any, setup: Setup) -> None:
    """Do tasks from the pipe until it closes; `_Worker.read` describes the answers."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with suppress(EOFError), setup() as work:
        connection.send(("ready", None))
        while True:
            task = connection.recv()
            result = work(task, lambda message: connection.send(("told", message)))
            connection.send(("done", result))


def _end_with_parent() -> None:
    """Exit as soon as the parent has ended, so that no task is done twice at a time."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Start processes in the block that ignore Ctrl-C; the parent ends them."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows, where they get it with the parent
        yield
        return
    # Else the first process starts it, which unblocks SIGINT before that process inherits the mask
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _few_threads(count: int) -> Iterator[None]:
    """Start processes in the block that use so many threads."""
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, str(count)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
