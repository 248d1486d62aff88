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
from allencv_al.common.names import listed
from allencv_al.comparison.cells import (
    DEFAULT_SEED,
    SEEDS,
    Cell,
    cell_folder,
    is_finished,
    strategy_name,
    strategy_of,
)
from allencv_al.comparison.oracle import ORACLE
from allencv_al.comparison.plan import Plan
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
        folder: Its folder; None if it has none.
    """

    strategy: str
    seed: int
    records: Sequence[RoundRecord]
    config: dict[str, Any]
    environment: Mapping[str, Any] | None = None
    folder: Path | None = None

    @property
    def is_oracle(self) -> bool:
        """Whether the strategy looks at the test images: an upper bound."""
        kind: str = strategy_of(self.config).get("type", "")
        return kind == ORACLE

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
                "objects": record.objects,
                **{name: record.metrics.get(name) for name in METRICS},
                **{f"{name}_seconds": value for name, value in record.seconds.items()},
                "select_peak_mb": record.select_peak_mb,
            }

    def picks(self) -> Iterator[dict[str, Any]]:
        """Yield the row of `picks.csv` of each image that was queried, in the order of picking."""
        if self.folder is None:
            return
        with RunDatabase(self.folder / DATABASE_NAME, create=False) as database:
            store, labels = RoundStore(database), LabelStore(database).labels()
            for round in store.rounds():
                for query in store.queries(round):
                    yield {
                        "strategy": self.strategy,
                        "seed": self.seed,
                        "round": round,
                        "rank": query.rank,
                        "id": query.id,
                        "label": labels.get(query.id),
                        "score": query.score,
                    }


def read_cell(cell: Cell) -> FinishedRun:
    """Return the run of a cell."""
    records = _records(cell.folder)
    return FinishedRun(cell.strategy, cell.seed, records, dict(cell.config), folder=cell.folder)


def read_runs(folders: Sequence[Path]) -> list[FinishedRun]:
    """Return the finished runs in folders of runs and of comparisons.

    What several comparisons have alike, as those of several machines do that share a strategy and a
    seed, is taken once.

    Raises:
        DataError: A folder holds neither, nothing is finished, a name means two strategies, or two
            runs of one name and seed differ.
    """
    runs: dict[tuple[str, int], FinishedRun] = {}
    named: dict[str, FinishedRun] = {}  # the first run of each name
    for folder in folders:
        for run in _runs_in(folder):
            first = named.setdefault(run.strategy, run)
            # Names of a user's own: with other seeds the two would pass for one strategy
            if strategy_of(first.config) != strategy_of(run.config):
                raise DataError(
                    f"{run.strategy}: it is one strategy in {first.folder} and another in "
                    f"{run.folder}; leave out one of them"
                )
            known = runs.setdefault((run.strategy, run.seed), run)
            if not _same(known, run):
                raise DataError(
                    f"{run.strategy}, seed {run.seed}: differs in {known.folder} and {run.folder}; "
                    "leave out one of them"
                )
    if not runs:
        raise DataError(
            f"{listed([str(folder) for folder in folders])}: no run is finished; compare CONFIG "
            "--recover runs them"
        )
    return list(runs.values())


def _runs_in(folder: Path) -> list[FinishedRun]:
    plan = Plan.read(folder)
    if plan is None:
        return [read_folder(folder)]
    # A comparison keeps one environment for all its cells
    environment = read_environment(folder)
    runs, missing = [], []
    for name in plan.strategies:
        for seed in plan.seeds:
            place = cell_folder(folder, name, seed)
            config = read_config(place)
            if config is None or not is_finished(place):
                missing.append(f"{name}, seed {seed}")
                continue
            runs.append(FinishedRun(name, seed, _records(place), config, environment, place))
    if missing:
        logger.warning("%s: left out, as they are not finished: %s", folder, listed(missing))
    return runs


def _same(first: FinishedRun, second: FinishedRun) -> bool:
    """Return whether two runs have the same labels and metrics in every round."""
    if [record.labels for record in first.records] != [record.labels for record in second.records]:
        return False
    return all(
        one.metrics.keys() == other.metrics.keys()
        and all(_close(one.metrics[name], other.metrics[name]) for name in one.metrics)
        for one, other in zip(first.records, second.records, strict=True)
    )


def _close(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-9)  # processors round differently


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
    return FinishedRun(name, seed, _records(folder), config, read_environment(folder), folder)


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


def differences(runs: Sequence[FinishedRun]) -> list[str]:
    """Return a note on keys of the configs, beside strategy and seeds, in which runs differ."""
    flat = [Params(_without_what_may_differ(run.config)).as_flat_dict() for run in runs]
    keys = sorted(set().union(*flat))
    differing = [key for key in keys if any(one.get(key) != flat[0].get(key) for one in flat)]
    if not differing:
        return []
    return [
        "The runs differ in more than strategy and seeds, so a difference may have another cause: "
        f"{', '.join(differing)}."
    ]


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
