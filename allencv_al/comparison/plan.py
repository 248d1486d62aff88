"""`Plan`: strategies, seeds and user code of a comparison, recorded in its folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from allencv_al.common import Params
from allencv_al.common.errors import ConfigurationError, DataError
from allencv_al.common.files.atomic_file import write_json
from allencv_al.common.user_code import changed_code, user_code
from allencv_al.comparison.cells import cell_folder
from allencv_al.training.run_folder import CONFIG_NAME

PLAN_NAME = "comparison.json"


@dataclass(frozen=True)
class Plan:
    """The strategies and seeds of a comparison, those of earlier calls included.

    Args:
        strategies: The config of each strategy by name.
        seeds: The numbers of the seeds.
        code: Hashes of the user's modules that each strategy uses, by module; under the empty name
            those that the shared config uses.
        encoding_seconds: Time spent on encoding images for all runs together.
    """

    strategies: Mapping[str, Any]
    seeds: Sequence[int]
    code: Mapping[str, Mapping[str, str]]
    encoding_seconds: float = 0.0

    @classmethod
    def of(cls, params: Params, strategies: Mapping[str, Any], seeds: Sequence[int]) -> Self:
        """Return the plan of one call."""
        config = params.as_dict()
        # The strategy of the config is not run, unless it is among `strategies`
        block = {**(config.get("active_learning") or {}), "strategy": None}
        shared = user_code({**config, "active_learning": block})
        # The empty name stands for code that all runs use
        return cls(dict(strategies), list(seeds), {"": shared, **_code_of(strategies)})

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Return the plan of the comparison in a folder, or None if it has none.

        Raises:
            DataError: The file is damaged, or of another program.
        """
        path = folder / PLAN_NAME
        if not path.is_file():
            return None
        try:
            # Plans of early releases have no `code`
            plan = cls(**{"code": {}, **json.loads(path.read_text(encoding="utf-8"))})
            is_plan = bool(dict(plan.strategies)) and all(type(seed) is int for seed in plan.seeds)
        except (ValueError, TypeError) as error:
            raise DataError(f"{path}: it is no plan of a comparison: {error}") from error
        if not is_plan:
            raise DataError(f"{path}: it is no plan of a comparison")
        return plan

    def write(self, folder: Path) -> None:
        """Write the plan to the folder of the comparison."""
        write_json(folder / PLAN_NAME, asdict(self))

    def joined(self, earlier: Self, folder: Path) -> Self:
        """Return this plan with the strategies and seeds of earlier calls.

        Raises:
            ConfigurationError: A strategy of the same name, or its code, has changed.
        """
        strategies = {**earlier.strategies, **self.strategies}
        code = {"": self.code[""], **_code_of(strategies)}
        faults = [
            *_other_strategies(earlier.strategies, self.strategies),
            *_other_code(earlier, code, folder),
        ]
        if faults:
            raise ConfigurationError("\n".join(faults))
        seeds = sorted({*earlier.seeds, *self.seeds})
        return type(self)(strategies, seeds, code, earlier.encoding_seconds)

    def more_than(self, asked: Self) -> str:
        """Return a warning about cells that were not asked for; empty if there are none."""
        strategies = [name for name in self.strategies if name not in asked.strategies]
        seeds = [str(seed) for seed in self.seeds if seed not in asked.seeds]
        parts = [
            *([f"strategies {', '.join(strategies)}"] if strategies else []),
            *([f"seeds {', '.join(seeds)}"] if seeds else []),
        ]
        if not parts:
            return ""
        return (
            f"The comparison also has, from earlier calls: "
            f"{'; '.join(parts)}. They remain a part of it, and their missing runs are completed; "
            "--runs compares a selection of finished runs."
        )


def _code_of(strategies: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    return {name: user_code(strategy) for name, strategy in strategies.items()}


def _other_strategies(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    return [
        f"--strategies: {name} was {json.dumps(before[name])} before and is "
        f"{json.dumps(now[name])} now; give it another name"
        for name in sorted(before.keys() & now.keys())
        if before[name] != now[name]
    ]


def _other_code(earlier: Plan, code: Mapping[str, Mapping[str, str]], folder: Path) -> list[str]:
    """Return a fault for each strategy whose runs were made with other code."""
    # A strategy without runs may change: nothing was made with its old code
    begun = {
        name: cell_folder(folder, name, earlier.seeds[0]).parent
        for name in earlier.strategies
        if any((cell_folder(folder, name, seed) / CONFIG_NAME).is_file() for seed in earlier.seeds)
    }
    faults = []
    for name, before in earlier.code.items():
        changed = ", ".join(changed_code(before, code[name]))
        if changed and name in begun:
            faults.append(
                f"--strategies: the code of {name} has changed since its runs ({changed}): give it "
                f"another name, or remove {begun[name]} to have it run again"
            )
        elif changed and not name and begun:
            faults.append(
                f"{folder}: code that all runs share has changed since they were made "
                f"({changed}): --force begins anew, or choose another folder with -s"
            )
    return faults
