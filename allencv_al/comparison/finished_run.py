"""Finished runs, read from their folders."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from allencv_al.active_learning.report.round_tables import machine_seconds
from allencv_al.active_learning.rounds.round_record import METRICS, RoundRecord, read_records
from allencv_al.common import Params
from allencv_al.common.errors import DataError
from allencv_al.comparison.cells import (
    DEFAULT_SEED,
    SEEDS,
    Cell,
    strategy_name,
    strategy_of,
)
from allencv_al.labels.label_store import LabelStore
from allencv_al.labels.run_database import DATABASE_NAME, RoundStore, RunDatabase
from allencv_al.training.run_folder import read_config
from allencv_al.training.run_records import read_environment

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FinishedRun:
    """One run as a comparison uses it.

    Args:
        strategy: The name of the strategy.
        seed: The seed.
        records: The rounds that trained.
        config: The config.
        environment: Versions and hardware recorded in its folder.
    """

    strategy: str
    seed: int
    records: Sequence[RoundRecord]
    config: dict[str, Any]
    environment: Mapping[str, Any] | None = None

    @property
    def seconds(self) -> float:
        """Time of all phases together, without waiting for labels."""
        return machine_seconds(self.records)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the row of `results.csv` of each round."""
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
    """Return the run of a cell."""
    return FinishedRun(cell.strategy, cell.seed, _records(cell.folder), dict(cell.config))


def read_folder(folder: Path) -> FinishedRun:
    """Return the run in a folder; its name is its strategy with parameters.

    Raises:
        DataError: The folder holds no run of active learning.
    """
    config = read_config(folder)
    if config is None or not (folder / DATABASE_NAME).is_file():
        raise DataError(f"{folder}: expected the folder of a run of active-learn, found none")
    seed = int(config.get("random_seed", DEFAULT_SEED))
    name = strategy_name(strategy_of(config))
    return FinishedRun(name, seed, _records(folder), config, read_environment(folder))


def shared_environment(runs: Sequence[FinishedRun]) -> dict[str, Any]:
    """Return the facts that the environments of all runs share, and the earliest start."""
    # A report must not show facts that are true for some of the runs only
    known = [run.environment or {} for run in runs]
    shared = {
        name: value
        for name, value in known[0].items()
        if all(other.get(name) == value for other in known)
    }
    started = [str(one["started"]) for one in known if "started" in one]
    return {**shared, **({"started": min(started)} if started else {})}


def gaps(runs: Sequence[FinishedRun], metric: str) -> list[str]:
    """Return a note for each run with rounds that lack a finite value of a metric."""
    found = []
    for run in runs:
        rounds = [str(record.round) for record in run.records if not _has(record, metric)]
        if not rounds:
            continue
        where = f"{run.strategy}, seed {run.seed}"
        if len(rounds) == len(run.records):
            found.append(
                f"{where}: its {metric} is missing or not finite in every round, so it is left out."
            )
        else:
            which = f"round {rounds[0]}" if len(rounds) == 1 else f"rounds {', '.join(rounds)}"
            found.append(
                f"{where}: its {metric} is missing or not finite in {which}, left out of its curve."
            )
    return found


def _has(record: RoundRecord, metric: str) -> bool:
    value = record.metrics.get(metric)
    return value is not None and math.isfinite(value)


def warn_of_differences(runs: Sequence[FinishedRun]) -> None:
    """Log keys of the configs, other than strategy and seeds, in which runs differ."""
    flat = [Params(_without_what_may_differ(run.config)).as_flat_dict() for run in runs]
    keys = sorted(set().union(*flat))
    differing = [key for key in keys if any(one.get(key) != flat[0].get(key) for one in flat)]
    if differing:
        logger.warning(
            "the runs differ in more than strategy and seeds, so a difference may have another "
            "cause: %s",
            ", ".join(differing),
        )


def _without_what_may_differ(config: Mapping[str, Any]) -> dict[str, Any]:
    block = dict(config.get("active_learning") or {})
    block.pop("strategy", None)
    rest = {key: value for key, value in config.items() if key not in SEEDS}
    return {**rest, "active_learning": block}


def _records(folder: Path) -> list[RoundRecord]:
    with RunDatabase(folder / DATABASE_NAME, create=False) as database:
        records = read_records(RoundStore(database), LabelStore(database))
    # Round 0 trains nothing: it only asks for the first labels
    return [record for record in records if record.labels]
