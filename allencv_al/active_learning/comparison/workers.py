"""Many runs at once, each in one of a few processes."""

from __future__ import annotations

import logging
import multiprocessing
import os
import queue
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

from allencv_al.active_learning.comparison.cells import Cell
from allencv_al.active_learning.run import RunOptions, active_learn
from allencv_al.common import Params
from allencv_al.common.errors import AllenCVError
from allencv_al.training.run_folder import CONFIG_NAME

logger = logging.getLogger(__name__)

_SECONDS_BETWEEN_LOOKS = 1.0
# Threads of a library would fight over the cores that the other workers use
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class WorkerOptions:
    """How the workers go about it.

    Args:
        cache_folder: The embeddings that all runs share.
        threads: How many threads each may use.
        packages: The user's packages, which each imports first.
    """

    cache_folder: Path
    threads: int
    packages: Sequence[str] = ()


def run_cells(
    cells: Sequence[Cell], workers: int, options: WorkerOptions, on_round: Callable[[], None]
) -> dict[str, str]:
    """Run cells, and return the error of each that failed, by its name.

    Args:
        cells: The runs; one that was interrupted goes on.
        workers: How many at a time. One runs here, more in processes of their own.
        options: How they go about it.
        on_round: Called after each round of any of them.
    """
    if workers <= 1 or len(cells) <= 1:
        return _run_here(cells, options, on_round)
    context = multiprocessing.get_context("spawn")
    tasks, results = context.Queue(), context.Queue()
    for number in range(len(cells)):
        tasks.put(number)
    for _ in range(workers):
        tasks.put(None)
    arguments = (list(cells), tasks, results, options)
    processes = [context.Process(target=_work, args=arguments) for _ in range(workers)]
    try:
        with _few_threads(options.threads):
            for process in processes:
                process.start()
        return _watch(cells, processes, results, on_round)
    finally:
        for process in processes:  # a run may be killed at any moment
            if process.is_alive():
                process.terminate()
        for process in processes:
            process.join()


def _watch(
    cells: Sequence[Cell],
    processes: Sequence[SpawnProcess],
    results: Any,
    on_round: Callable[[], None],
) -> dict[str, str]:
    errors: dict[str, str] = {}
    open_cells = set(range(len(cells)))
    while open_cells:
        try:
            number, message = results.get(timeout=_SECONDS_BETWEEN_LOOKS)
        except queue.Empty:
            if not any(process.is_alive() for process in processes):
                codes = sorted({process.exitcode or 0 for process in processes})
                for number in sorted(open_cells):
                    errors[cells[number].name] = f"its process ended (exit code {codes})"
                return errors
            continue
        if message is None:
            on_round()
            continue
        open_cells.discard(number)
        if message:
            errors[cells[number].name] = message
            logger.error("%s: %s", cells[number].name, message)
    return errors


def _run_here(
    cells: Sequence[Cell], options: WorkerOptions, on_round: Callable[[], None]
) -> dict[str, str]:
    errors: dict[str, str] = {}
    with _warnings_only():
        for cell in cells:
            try:
                _run_cell(cell, options, on_round)
            except AllenCVError as error:
                errors[cell.name] = str(error)
                logger.error("%s: %s", cell.name, error)
    return errors


def _run_cell(cell: Cell, options: WorkerOptions, on_round: Callable[[], None]) -> None:
    begun = (cell.folder / CONFIG_NAME).is_file()
    run_options = RunOptions(
        recover=begun,
        source=cell.name,
        cache_folder=options.cache_folder,
        files=False,
        on_round=lambda record: on_round() if record.labels else None,
    )
    active_learn(Params(dict(cell.config)), cell.folder, run_options)


def _work(cells: Sequence[Cell], tasks: Any, results: Any, options: WorkerOptions) -> None:
    """Be one of the processes: take cells until there are none left.

    What is put into `results` is the number of a cell, with None after each of its rounds, an
    empty text when it is done, and the error when it failed.
    """
    import torch

    from allencv_al.common.plugins import import_package, import_plugins

    torch.set_num_threads(options.threads)
    logging.getLogger("allencv_al").setLevel(logging.WARNING)
    import_plugins()
    for package in options.packages:
        import_package(package)
    for number in iter(tasks.get, None):
        try:
            _run_cell(cells[number], options, partial(results.put, (number, None)))
        except AllenCVError as error:
            results.put((number, str(error)))
        except KeyboardInterrupt:
            return
        except Exception as error:
            logger.exception("%s", cells[number].name)
            results.put((number, f"{type(error).__name__}: {error}"))
        else:
            results.put((number, ""))


@contextmanager
def _few_threads(count: int) -> Iterator[None]:
    """Have processes that start in the block use so many threads."""
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


@contextmanager
def _warnings_only() -> Iterator[None]:
    """Leave out what each run says of its rounds: there are many runs."""
    ours = logging.getLogger("allencv_al")
    level = ours.level
    ours.setLevel(logging.WARNING)
    try:
        yield
    finally:
        ours.setLevel(level)
