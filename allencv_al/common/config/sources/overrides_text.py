"""`--overrides`: change parts of a config by dotted keys."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

from allencv_al.common.config.names import did_you_mean
from allencv_al.common.errors import ConfigurationFaults, Fault
from allencv_al.common.files.json_values import plain, repr_json

logger = logging.getLogger(__name__)

_DOT = re.compile(r"(?<!\\)\.")

MOST_HINTS = 20
"""Unmatched overrides that get a hint; finding the nearest key takes a while."""


def apply_overrides(config: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return `config` with `overrides` in it; neither argument is changed.

    A key is a path (`trainer.optimizer.lr`, `dataset_reader.augmentation.0.height`). The value at
    the path is replaced whole; a new key is added where the object that holds it exists
    (AllenNLP >= 2.8). Names of the config that hold dots themselves are found as they are
    (`model.names.conv1.weight` where `names` has a key `conv1.weight`); in a new name they are
    written with a backslash (`model.names.fc\\.bias`).

    Raises:
        ConfigurationFaults: Overrides that match nothing, all of them, with the nearest keys.
    """
    merged: dict[str, Any] = plain(config)
    faults: list[Fault] = []
    for key, value in overrides.items():
        fault = _set(merged, key, plain(value), with_hint=len(faults) < MOST_HINTS)
        if fault is not None:
            faults.append(fault)
    if faults:
        raise ConfigurationFaults(faults, "--overrides")
    return merged


def _set(config: dict[str, Any], dotted: str, value: Any, with_hint: bool) -> Fault | None:
    parts = [part.replace("\\.", ".") for part in _DOT.split(dotted)]
    *parents, last = _names_in(config, parts) or _names_in(config, parts, new=True) or parts
    holder: Any = config
    for depth, part in enumerate(parents):
        if not _has(holder, part):
            return _no_match(dotted, ".".join(parents[: depth + 1]), holder, part, with_hint)
        holder = holder[part] if isinstance(holder, dict) else holder[int(part)]
    if isinstance(holder, dict):
        _warn_of_loss(dotted, holder.get(last), value)
        holder[last] = value
    elif _has(holder, last):
        _warn_of_loss(dotted, holder[int(last)], value)
        holder[int(last)] = value
    else:
        return _no_match(dotted, dotted, holder, last, with_hint)
    return None


def _warn_of_loss(dotted: str, before: Any, value: Any) -> None:
    """Warn of the keys that go with an object that something else takes the place of."""
    if not isinstance(before, dict) or value is None:  # null: to have nothing in its place
        return
    kept = value if isinstance(value, dict) else {}
    lost = [key for key in before if key not in kept and key != "type"]
    if not lost:
        return
    changes = {f"{dotted}.{key}": inner for key, inner in kept.items()}
    is_same_type = kept.get("type", before.get("type")) == before.get("type")
    example = repr_json(changes, limit=200)
    hint = f"; to change single values: {example}" if changes and is_same_type else ""
    logger.warning(
        "--overrides: %s is replaced whole, without its %s%s", dotted, ", ".join(lost), hint
    )


def _names_in(holder: Any, parts: list[str], new: bool = False) -> list[str] | None:
    """Return the parts of a path, joined where a name of the config holds dots.

    None where the path leads to nothing. Short names go before long ones.

    Args:
        holder: The config, or what the path so far leads to.
        parts: The path, split at its dots.
        new: Whether the last part may be a new key of an object.
    """
    for count in range(1, len(parts) + 1):
        name, rest = ".".join(parts[:count]), parts[count:]
        if not _has(holder, name):
            continue
        if not rest:
            return [name]
        inner = holder[name] if isinstance(holder, dict) else holder[int(name)]
        found = _names_in(inner, rest, new)
        if found is not None:
            return [name, *found]
    return parts if new and len(parts) == 1 and isinstance(holder, dict) else None


def _has(holder: Any, part: str) -> bool:
    if isinstance(holder, dict):
        return part in holder
    is_index = part.isdecimal() and len(part) < 10
    return isinstance(holder, list) and is_index and int(part) < len(holder)


def _no_match(dotted: str, missing: str, holder: Any, part: str, with_hint: bool) -> Fault:
    if isinstance(holder, list):
        items = f"has items 0 to {len(holder) - 1}" if holder else "is empty"
        return Fault(dotted, f"matches nothing: the list {items}")
    if not isinstance(holder, dict):
        return Fault(dotted, f"matches nothing: {repr_json(holder)} holds no keys")
    hint = did_you_mean(part, map(str, holder)) if with_hint else ""
    return Fault(dotted, f'matches nothing: the config has no "{missing}"{hint}')
