"""Strategy files of Alectio's command line, in YAML."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from overrides import overrides

from allencv_al.common.config.config_check import ConfigView
from allencv_al.common.config.sources.yaml_file import read_yaml
from allencv_al.common.errors import ConfigurationError, Fault
from allencv_al.selection.strategies.bands import Band, Bands
from allencv_al.selection.strategies.base import PositiveFloat, QueryStrategy

SCORES = ("random", "confidence", "margin", "entropy")
_TOP = ("resource", "type", "mode", "query_strategy")
_MODES = ("simple", "expert")
_KEYS = {"simple": ("type", "n_rec"), "expert": ("n_rec", "over", "under")}


@QueryStrategy.register("strategy_file")
class StrategyFile(Bands):
    """Uses a strategy file of Alectio's command line, in YAML.

    In simple mode it names one of random, confidence, margin and entropy, with `type: lowest` or
    `highest`; in expert mode several (`confidence_1`), each with `over` and `under`. `n_rec` is the
    number of records of each: only their ratios count, the size of the batch is `query_size`.

    Args:
        path: The file.
        memory_budget_mb: Memory for a block of intermediate results, in MiB; the result is the same
            for every value.

    Raises:
        ConfigurationError: The file is missing or not a strategy file.
    """

    def __init__(self, path: Path, memory_budget_mb: PositiveFloat = 512.0) -> None:
        bands = [Band(**entry) for entry in read_strategy_file(path)]
        super().__init__(bands, memory_budget_mb)

    @classmethod
    @overrides
    def config_faults(cls, config: ConfigView) -> Iterator[Fault]:
        if config.sound("path"):
            try:
                cls(Path(config.get("path")))
            except ConfigurationError as error:
                yield config.fault("path", str(error))


def read_strategy_file(path: Path) -> list[dict[str, Any]]:
    """Return the arguments of the bands that a file describes.

    ::

        resource: Strategy
        type: regular_al
        mode: simple
        query_strategy:
          margin: {type: lowest, n_rec: 100}

    Args:
        path: The file.

    Raises:
        ConfigurationError: The file is unreadable or no strategy file; all faults are named.
    """
    found = read_yaml(path)
    problems = list(_problems(found))
    if problems:
        raise ConfigurationError("\n  ".join([f"{path}: is no strategy file:", *problems]))
    return [_band(name, entry) for name, entry in found["query_strategy"].items()]


def _problems(found: Any) -> Iterator[str]:
    if not isinstance(found, Mapping):
        yield f"expected keys with values, found {type(found).__name__}"
        return
    for key in found:
        if key not in _TOP:
            yield f"{key}: expected one of {', '.join(_TOP)}"
    if found.get("resource", "Strategy") != "Strategy":
        yield f"resource: expected Strategy, found {found['resource']!r:.80}"
    mode = found.get("mode")
    if mode not in _MODES:
        yield f"mode: expected simple or expert, found {mode!r:.80}"
        return
    entries = found.get("query_strategy")
    if not isinstance(entries, Mapping) or not entries:
        yield f"query_strategy: expected one of {', '.join(SCORES)}, found {entries!r:.80}"
        return
    if mode == "simple" and len(entries) > 1:
        yield f"query_strategy: expected one in simple mode, found {len(entries)}"
    for name, entry in entries.items():
        for problem in _entry_problems(name, entry, str(mode)):
            yield f"query_strategy.{name}: {problem}"


def _entry_problems(name: Any, entry: Any, mode: str) -> Iterator[str]:
    score = _score(name)
    if score not in SCORES:
        yield f"expected one of {', '.join(SCORES)}, perhaps with a number, as confidence_1"
        return
    if not isinstance(entry, Mapping):
        yield f"expected {', '.join(_KEYS[mode])}, found {entry!r:.80}"
        return
    for key in entry:
        if key not in _KEYS[mode]:
            yield f"{key}: expected one of {', '.join(_KEYS[mode])}"
    count = entry.get("n_rec")
    # YAML reads yes and on as true, and a bool is an int
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        yield f"n_rec: expected a whole number from 1, found {count!r:.80}"
    if score == "random":
        return
    if mode == "simple":
        if entry.get("type") not in ("lowest", "highest"):
            yield f"type: expected lowest or highest, found {entry.get('type')!r:.80}"
        return
    over: Any = entry.get("over")
    under: Any = entry.get("under")
    bad = [
        f"{key}: expected a number, found {limit!r:.80}"
        for key, limit in (("over", over), ("under", under))
        if isinstance(limit, bool) or not isinstance(limit, int | float)
    ]
    yield from bad
    if not bad and not over < under:
        yield f"under: expected more than over, {over}, found {under}"


def _band(name: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    band: dict[str, Any] = {"score": _score(name), "num_items": entry["n_rec"]}
    if band["score"] != "random":
        names = {"type": "take", "over": "over", "under": "under"}
        band.update((names[key], entry[key]) for key in names if key in entry)
    return band


def _score(name: Any) -> str:
    """Return the score of `confidence` and of `confidence_1`."""
    score, _, number = str(name).rpartition("_")
    # A key may stand once only, so that files number the bands of one score
    return score if score and number.isdecimal() else str(name)
