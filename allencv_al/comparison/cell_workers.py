"""Worker processes that run the cells of a comparison."""

from __future__ import annotations

import json
import logging
import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from allencv_al.active_learning.run import RunOptions, active_learn
from allencv_al.common import Params
from allencv_al.common.errors import AllenCVError, CheckpointError, is_of_a_path
from allencv_al.common.files.atomic_file import flush, unflushed
from allencv_al.common.progress import log_level
from allencv_al.common.task_processes import Lost, TaskHooks, Tell, Work, run_in_processes
from allencv_al.comparison.cells import Cell
from allencv_al.data.dataset_readers.unpacked_files import kept_contents
from allencv_al.training.interruption import TrainingInterrupted
from allencv_al.training.run_folder import CONFIG_NAME

logger = logging.getLogger(__name__)

_SLOW_FACTOR = 3.0
_SLOW_SECONDS = 1.0


@dataclass(frozen=True)
class WorkerOptions:
    """Settings of the workers.

    Args:
        cache_folder: Folder of the embeddings that all runs share.
        threads: Number of threads per worker.
        packages: The user's packages, which each worker imports first.
    """

    cache_folder: Path
    threads: int
    packages: Sequence[str] = ()


class Failure(NamedTuple):
    """Failure of a run.

    Args:
        message: The error message.
        exit_code: The exit code that active-learn would have returned.
    """

    message: str
    exit_code: int = 1


def run_cells(
    cells: Sequence[Cell], workers: int, options: WorkerOptions, on_round: Callable[[str], None]
) -> dict[str, Failure]:
    """Run cells, and return the failures by the names of the cells.

    Args:
        cells: The runs; interrupted ones are resumed.
        workers: Number of runs at a time; one runs in this process, more in processes of their own.
        options: The settings.
        on_round: Called after each round of any run, with a note that names a slow run; else "".

    Raises:
        TrainingInterrupted: A signal arrived while a run trained in this process.
    """
    if workers <= 1 or len(cells) <= 1:
        return _run_here(cells, options, on_round)
    errors: dict[str, Failure] = {}
    pace = Pace()
    hooks = TaskHooks[Cell](pace.begin, lambda cell, _: on_round(pace.round(cell)))
    setup = partial(_cell_work, options)
    with closing(run_in_processes(cells, workers, setup, options.threads, hooks)) as ended:
        for cell, result in ended:
            failure = Failure(result.message) if isinstance(result, Lost) else result
            if failure is not None:
                _note(errors, cell, failure)
    return {cell.name: errors[cell.name] for cell in cells if cell.name in errors}


class Pace:
    """The time that rounds take, by which a slow run is named."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since: dict[str, float] = {}
        self._rounds: dict[str, list[float]] = {}

    def begin(self, cell: Cell) -> None:
        """Note that a run begins."""
        self._since[cell.name] = self._clock()

    def round(self, cell: Cell) -> str:
        """Note a finished round of a run.

        Returns:
            The run whose rounds take more than three times the median of all runs, and a second or
            more; "" if there is none.
        """
        now = self._clock()
        self._rounds.setdefault(cell.name, []).append(now - self._since.get(cell.name, now))
        self._since[cell.name] = now
        means = {name: statistics.fmean(rounds) for name, rounds in self._rounds.items()}
        slowest = max(means, key=lambda name: means[name])
        if means[slowest] < max(_SLOW_SECONDS, _SLOW_FACTOR * statistics.median(means.values())):
            return ""
        return f"slow: {slowest} ({means[slowest]:.1f} s a round)"


def _note(errors: dict[str, Failure], cell: Cell, failure: Failure) -> None:
    errors[cell.name] = failure
    logger.error("%s: %s", cell.name, failure.message)


def _run_here(
    cells: Sequence[Cell], options: WorkerOptions, on_round: Callable[[str], None]
) -> dict[str, Failure]:
    errors: dict[str, Failure] = {}
    pace = Pace()
    # The rounds of many runs would flood the log
    with log_level("allencv_al", logging.WARNING):
        for cell in cells:
            pace.begin(cell)
            failure = _failure_of(cell, options, partial(_tell, pace, cell, on_round))
            if failure is not None:
                _note(errors, cell, failure)
    return errors


def _tell(pace: Pace, cell: Cell, on_round: Callable[[str], None]) -> None:
    on_round(pace.round(cell))


def _failure_of(cell: Cell, options: WorkerOptions, on_round: Callable[[], None]) -> Failure | None:
    """Run a cell; return its failure, if any, so that others can run."""
    try:
        _run_cell(cell, options, on_round)
    except TrainingInterrupted:
        raise
    except AllenCVError as error:
        return Failure(str(error), error.exit_code)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return Failure(f"{where}{error.strerror or error}", 2 if is_of_a_path(error) else 1)
    except MemoryError as error:  # exit code 1, as from the command line
        return Failure(f"out of memory: {error}".removesuffix(": "), 1)
    except Exception as error:  # such as one of a user's own strategy
        logger.exception("%s", cell.name)
        return Failure(f"{type(error).__name__}: {error}", 2)
    return None


def _run_cell(cell: Cell, options: WorkerOptions, on_round: Callable[[], None]) -> None:
    begun = (cell.folder / CONFIG_NAME).is_file()
    if not begun:  # a power cut may have taken its config, and the rest is of no use then
        shutil.rmtree(cell.folder, ignore_errors=True)
    run_options = RunOptions(
        recover=begun,
        source=cell.name,
        is_checked=True,  # by the comparison, for all seeds
        cache_folder=options.cache_folder,
        files=False,
        on_round=lambda record: on_round() if record.labels else None,
    )
    params = Params(dict(cell.config))
    with unflushed():  # on embeddings a round takes less time than flushing what it writes
        try:
            active_learn(params, cell.folder, run_options)
        except (CheckpointError, json.JSONDecodeError) as error:
            if not begun:
                raise
            # So a power cut leaves a run whose files did not reach the disk
            logger.warning("%s: begins anew, as it cannot be resumed: %s", cell.name, error)
            active_learn(params, cell.folder, replace(run_options, recover=False, force=True))
    flush(cell.folder / CONFIG_NAME)
    flush(cell.folder)


@contextmanager
def _cell_work(options: WorkerOptions) -> Iterator[Work]:
    """Make a process ready; the work on a cell returns its failure, if any."""
    import torch

    from allencv_al.common.config.plugins import import_package, import_plugins

    torch.set_num_threads(options.threads)
    logging.getLogger("allencv_al").setLevel(logging.WARNING)
    import_plugins()
    for package in options.packages:
        import_package(package)

    def work(cell: Cell, tell: Tell) -> Failure | None:
        return _failure_of(cell, options, partial(tell, None))

    with suppress(TrainingInterrupted), kept_contents():
        yield work
