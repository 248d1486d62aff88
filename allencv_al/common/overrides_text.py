"""`--overrides`: change parts of a config by dotted keys."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Mapping
from typing import Any

from allencv_al.common.errors import ConfigurationFaults, Fault


def apply_overrides(config: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return `config` with `overrides` in it; neither argument is changed.

    A key is a path (`trainer.optimizer.lr`, `dataset_reader.augmentation.0.height`). The value at
    the path is replaced whole; a new key is added where the object that holds it exists
    (AllenNLP >= 2.8).

    Raises:
        ConfigurationFaults: Overrides that match nothing, all of them, with the nearest keys.
    """
    merged: dict[str, Any] = copy.deepcopy(dict(config))
    faults = []
    for key, value in overrides.items():
        fault = _set(merged, key, copy.deepcopy(value))
        if fault is not None:
            faults.append(fault)
    if faults:
        raise ConfigurationFaults(faults, "--overrides")
    return merged


def _set(config: dict[str, Any], dotted: str, value: Any) -> Fault | None:
    *parents, last = dotted.split(".")
    holder: Any = config
    for depth, part in enumerate(parents):
        holder, found = _step(holder, part)
        if not found:
            return _no_match(dotted, ".".join(parents[: depth + 1]), holder, part)
    if isinstance(holder, dict):
        holder[last] = value
        return None
    if isinstance(holder, list) and last.isdecimal() and int(last) < len(holder):
        holder[int(last)] = value
        return None
    return _no_match(dotted, dotted, holder, last)


def _step(holder: Any, part: str) -> tuple[Any, bool]:
    if isinstance(holder, dict) and part in holder:
        return holder[part], True
    if isinstance(holder, list) and part.isdecimal() and int(part) < len(holder):
        return holder[int(part)], True
    return holder, False


def _no_match(dotted: str, missing: str, holder: Any, part: str) -> Fault:
    if isinstance(holder, list):
        return Fault(dotted, f"matches nothing: the list has items 0 to {len(holder) - 1}")
    if not isinstance(holder, dict):
        return Fault(dotted, f"matches nothing: {holder!r} holds no keys")
    near = difflib.get_close_matches(part, holder, n=3)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    return Fault(dotted, f'matches nothing: the config has no "{missing}"{hint}')
