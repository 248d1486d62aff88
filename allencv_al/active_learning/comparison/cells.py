"""The cells of a comparison: one run for each strategy and seed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from allencv_al.active_learning.experiment import ActiveLearningExperiment
from allencv_al.active_learning.round_store import RoundStore, State
from allencv_al.active_learning.run_database import DATABASE_NAME, RunDatabase
from allencv_al.active_learning.settings import name_in
from allencv_al.active_learning.strategies.base import QueryStrategy
from allencv_al.common import Params
from allencv_al.common.config_check import check
from allencv_al.common.errors import ConfigurationError, ConfigurationFaults, Fault
from allencv_al.common.json_values import plain
from allencv_al.common.jsonnet_file import evaluate_snippet
from allencv_al.training.experiment import check_experiment
from allencv_al.training.run_folder import CONFIG_NAME

CELLS_FOLDER = "cells"

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
# Of seed k, each is so much above the config's: then a seed is one split, start and augmentation
_SEEDS = {"random_seed": 13370, "numpy_seed": 1337, "pytorch_seed": 133}


@dataclass(frozen=True)
class Cell:
    """One run of a comparison.

    Args:
        strategy: What the strategy is called there.
        seed: The number of the seed, from 0.
        folder: The folder of the run.
        config: The config of the run.
    """

    strategy: str
    seed: int
    folder: Path
    config: Mapping[str, Any]

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"{self.strategy}, seed {self.seed}"

    def is_done(self) -> bool:
        """Say whether the run is there, of this config, and has come to its end."""
        config, database = self.folder / CONFIG_NAME, self.folder / DATABASE_NAME
        if not (config.is_file() and database.is_file()):
            return False
        if json.loads(config.read_text(encoding="utf-8")) != self.config:
            return False
        with RunDatabase(database, create=False) as opened:
            last = RoundStore(opened).last()
        return last is not None and last[1] is State.DONE


def parse_strategies(text: str) -> dict[str, Any]:
    """Return the strategies that `--strategies` names: what each is called, and its config.

    Args:
        text: Names with commas between them; or a jsonnet object that gives names of one's own:
            `{small: {type: "subsample", size: 1000, strategy: "badge"}, random: "random"}`.

    Raises:
        ConfigurationError: It is neither, or a name occurs twice.
    """
    if not text.lstrip().startswith("{"):
        names = [name.strip() for name in text.split(",") if name.strip()]
        twice = sorted({name for name in names if names.count(name) > 1})
        if not names or twice:
            found = f"twice: {', '.join(twice)}" if twice else "none"
            raise ConfigurationError(f"--strategies: expected names with commas, found {found}")
        return {name: {"type": name} for name in names}
    value = json.loads(evaluate_snippet("--strategies", text, {}))
    return {
        name: {"type": config} if isinstance(config, str) else config
        for name, config in value.items()
    }


def check_strategies(strategies: Mapping[str, Any]) -> None:
    """Raise with everything that is wrong with the strategies."""
    faults = []
    for name, config in strategies.items():
        if not isinstance(config, Mapping):
            faults.append(Fault(name, f"expected a strategy, found {config!r}"))
            continue
        for fault in check(QueryStrategy, config):
            faults.append(Fault(f"{name}.{fault.path}" if fault.path else name, fault.message))
    if faults:
        raise ConfigurationFaults(faults, "--strategies")


def plan_cells(
    params: Params, strategies: Mapping[str, Any], seeds: Sequence[int], folder: Path
) -> list[Cell]:
    """Return the cells, seed by seed: an interrupted comparison has whole seeds to compare.

    Args:
        params: The config that all share.
        strategies: What each is called, and its config.
        seeds: The numbers of the seeds.
        folder: The folder of the comparison.
    """
    config = plain(params.as_dict())
    return [
        Cell(name, seed, _cell_folder(folder, name, seed), _cell_config(config, strategy, seed))
        for seed in seeds
        for name, strategy in strategies.items()
    ]


def check_cells(cells: Sequence[Cell], source: str) -> None:
    """Raise with everything that is wrong with the config of any strategy; nothing is read."""
    for cell in {cell.strategy: cell for cell in cells}.values():
        config = Params(dict(cell.config))
        check_experiment(config, f"{source} with {cell.strategy}", ActiveLearningExperiment)


def strategies_of(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield the strategies to compare where nobody says: the baseline and the config's own."""
    name = name_in(config, "strategy", "margin")
    yield "random"
    if name != "random":
        yield name


def _cell_folder(folder: Path, name: str, seed: int) -> Path:
    return folder / CELLS_FOLDER / (_UNSAFE.sub("_", name) or "_") / f"seed_{seed:03d}"


def _cell_config(config: Mapping[str, Any], strategy: Any, seed: int) -> dict[str, Any]:
    block = {**(config.get("active_learning") or {}), "strategy": strategy}
    seeds = {name: config.get(name, default) + seed for name, default in _SEEDS.items()}
    return {**config, **seeds, "active_learning": block}
