"""Cells of a comparison: one run per strategy and seed, its config and its folder."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from allencv_al.active_learning.active_learning_experiment import experiment_class, without_secrets
from allencv_al.common import Params
from allencv_al.common.config.config_check import check
from allencv_al.common.config.sources.jsonnet_file import evaluate_snippet
from allencv_al.common.errors import ConfigurationError, ConfigurationFaults, Fault
from allencv_al.common.files.json_values import plain, repr_json
from allencv_al.labels.run_database import DATABASE_NAME, RoundStore, RunDatabase, State
from allencv_al.selection.strategies.base import QueryStrategy
from allencv_al.training.experiment import check_experiment
from allencv_al.training.run_folder import read_config

CELLS_FOLDER = "cells"

# Names that are valid folders on every system, lower case as some ignore it; others get a hash
_PLAIN_NAME = re.compile(r"[a-z0-9_][a-z0-9._-]{0,59}")
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")
_LENGTH = 40
# Defaults of the keys. Seed k adds k to each: so a seed is one split, initialization, augmentation
SEEDS = {"random_seed": 13370, "numpy_seed": 1337, "pytorch_seed": 133}
DEFAULT_SEED = SEEDS["random_seed"]


@dataclass(frozen=True)
class Cell:
    """One run of a comparison.

    Args:
        strategy: The name of the strategy.
        seed: The number of the seed, from 0.
        folder: The run directory.
        config: The config of the run.
    """

    strategy: str
    seed: int
    folder: Path
    config: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The name in messages."""
        return f"{self.strategy}, seed {self.seed}"

    def is_done(self) -> bool:
        """Return whether the folder holds a finished run of this config."""
        config = read_config(self.folder)
        if config is None:
            return False
        if Params(config).as_dict() != without_secrets(Params(dict(self.config))).as_dict():
            return False
        return is_finished(self.folder)


def is_finished(folder: Path) -> bool:
    """Return whether a folder holds a run that has ended."""
    if not (folder / DATABASE_NAME).is_file():
        return False
    with RunDatabase(folder / DATABASE_NAME, create=False) as database:
        last = RoundStore(database).last()
    return last is not None and last[1] is State.DONE


def parse_strategies(text: str) -> dict[str, Any]:
    """Return the configs of the strategies in `--strategies`, by name.

    Args:
        text: Names separated by commas, or a jsonnet object from names to strategies:
            `{small: {type: "subsample", size: 1000, strategy: "badge"}, random: "random"}`.

    Raises:
        ConfigurationError: The text is neither, or a name occurs twice.
    """
    if not text.lstrip().startswith("{"):
        names = [name.strip() for name in text.split(",") if name.strip()]
        twice = sorted({name for name in names if names.count(name) > 1})
        if not names or twice:
            found = f"twice: {', '.join(twice)}" if twice else "none"
            raise ConfigurationError(f"--strategies: expected names with commas, found {found}")
        return {name: {"type": name} for name in names}
    value = json.loads(evaluate_snippet("--strategies", text, {}))
    if not value:
        raise ConfigurationError("--strategies: expected some, found {}")
    return {name: _with_type(config) for name, config in value.items()}


def plan_cells(
    params: Params, strategies: Mapping[str, Any], seeds: Sequence[int], folder: Path
) -> list[Cell]:
    """Return the cells, seed by seed: an interrupted comparison then has whole seeds to compare.

    Args:
        params: The config that all cells share.
        strategies: The config of each strategy by name.
        seeds: The numbers of the seeds.
        folder: The folder of the comparison.
    """
    config = plain(params.as_dict())
    return [
        Cell(name, seed, cell_folder(folder, name, seed), _cell_config(config, strategy, seed))
        for seed in seeds
        for name, strategy in strategies.items()
    ]


def check_comparison(params: Params, strategies: Mapping[str, Any], source: str) -> None:
    """Check the config and all strategies without reading data.

    Args:
        params: The config that all cells share; its own strategy is not checked.
        strategies: The config of each strategy by name.
        source: Name of the config in messages.

    Raises:
        ConfigurationFaults: All faults at once.
    """
    # "random" in place of the strategies, whose faults are reported under their names below
    config = Params(_cell_config(plain(params.as_dict()), "random", 0))
    described = experiment_class(config)
    faults: list[Fault] = []
    try:
        check_experiment(config, source, described)
    except ConfigurationFaults as error:
        faults += error.faults
    faults += described.comparison_faults(config)
    for name, strategy in strategies.items():
        where = f"--strategies {name}"
        if not isinstance(strategy, Mapping):
            faults.append(Fault(where, f"expected a strategy, found {repr_json(strategy)}"))
            continue
        for fault in check(QueryStrategy, strategy):
            path = f"{where}: {fault.path}" if fault.path else where
            faults.append(Fault(path, fault.message))
    if faults:
        raise ConfigurationFaults(faults, source)


def default_strategies(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the strategies to compare by default: the baseline and the config's own."""
    own = strategy_of(config)
    return {"random": {"type": "random"}, strategy_name(own): own}


def strategy_of(config: Mapping[str, Any]) -> Any:
    """Return the strategy of a config, as an object."""
    block = config.get("active_learning")
    own = block.get("strategy") if isinstance(block, Mapping) else None
    return _with_type("margin" if own is None else own)


def strategy_name(strategy: Any) -> str:
    """Return the name of a strategy that was given without one: its type and parameters."""
    if not isinstance(strategy, Mapping):
        return repr_json(strategy)
    rest = {key: value for key, value in sorted(strategy.items()) if key != "type"}
    name = str(strategy.get("type", "strategy"))
    return f"{name} {json.dumps(rest, ensure_ascii=False)}" if rest else name


def _with_type(strategy: Any) -> Any:
    return {"type": strategy} if isinstance(strategy, str) else strategy


def cell_folder(folder: Path, name: str, seed: int) -> Path:
    """Return the run directory of a cell."""
    return folder / CELLS_FOLDER / _folder_name(name) / f"seed_{seed:03d}"


def _folder_name(name: str) -> str:
    """Return a folder name for any strategy name: distinct, and never outside the comparison."""
    if _PLAIN_NAME.fullmatch(name):
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{_UNSAFE.sub('_', name)[:_LENGTH]}-{digest}"


def _cell_config(config: Mapping[str, Any], strategy: Any, seed: int) -> dict[str, Any]:
    block = config.get("active_learning")
    if block is None or isinstance(block, Mapping):  # else the check reports it
        block = {**(block or {}), "strategy": strategy}
    keys = experiment_class(Params(dict(config))).seed_keys
    seeds = {name: config.get(name, SEEDS[name]) for name in keys}
    # Null (no fixed seed) stays, and so does a value of another type, which the check reports
    shifted = {n: value + seed if type(value) is int else value for n, value in seeds.items()}
    return {**config, **shifted, "active_learning": block}
