"""Runs that are there already, read back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from allencv_al.active_learning.comparison.cells import Cell
from allencv_al.active_learning.label_store import LabelStore
from allencv_al.active_learning.round_record import METRICS, RoundRecord
from allencv_al.active_learning.round_records import read_records
from allencv_al.active_learning.round_store import RoundStore
from allencv_al.active_learning.run_database import DATABASE_NAME, RunDatabase
from allencv_al.active_learning.settings import name_in
from allencv_al.common.errors import DataError
from allencv_al.training.run_folder import CONFIG_NAME


@dataclass(frozen=True)
class FinishedRun:
    """One run as a comparison sees it.

    Args:
        strategy: What the strategy is called.
        seed: Which seed it had.
        records: Its rounds that trained.
        config: Its config.
    """

    strategy: str
    seed: int
    records: Sequence[RoundRecord]
    config: dict[str, Any]

    @property
    def seconds(self) -> float:
        """How long all its states took together, without the annotator."""
        return sum(
            value
            for record in self.records
            for name, value in record.seconds.items()
            if name != "annotate"
        )

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield a row of results for each round."""
        for record in self.records:
            yield {
                "strategy": self.strategy,
                "seed": self.seed,
                "round": record.round,
                "labels": record.labels,
                **{name: record.metrics.get(name) for name in METRICS},
                **{f"{name}_seconds": value for name, value in record.seconds.items()},
                "select_peak_mb": record.select_peak_mb,
            }


def read_cell(cell: Cell) -> FinishedRun:
    """Return what a cell has found."""
    return FinishedRun(cell.strategy, cell.seed, _records(cell.folder), dict(cell.config))


def read_folder(folder: Path) -> FinishedRun:
    """Return the run in a folder, named by its strategy and random seed.

    Raises:
        DataError: There is no run of active learning.
    """
    path = folder / CONFIG_NAME
    if not path.is_file() or not (folder / DATABASE_NAME).is_file():
        raise DataError(f"{folder}: expected the folder of a run of active-learn, found none")
    config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    name = name_in(config, "strategy", "margin")
    return FinishedRun(name, int(config.get("random_seed", 13370)), _records(folder), config)


def _records(folder: Path) -> list[RoundRecord]:
    with RunDatabase(folder / DATABASE_NAME, create=False) as database:
        records = read_records(RoundStore(database), LabelStore(database))
    return [record for record in records if record.labels]
