"""Match the outputs of infer to records."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from allencv_al.service.pipeline.functions.returns import as_array, by_index
from allencv_al.service.pipeline.pipeline_errors import PipelineError

logger = logging.getLogger(__name__)

POLICIES = ("auto", "positional")
_SHOWN = 8
_DIGITS = 100  # a number of any length would be an integer, but slow to read


def by_record(outputs: Any, unlabeled: Sequence[int], policy: str = "auto") -> dict[int, Any]:
    """Return each output by the index of its record, in the order of the records.

    In this order: keys that are the records; keys 0 to n-1, in the order of the sorted records; a
    list or an array of n; keys that are no integers, one after the other, with a warning. With
    `positional`, only the order counts, as in the original; then n must be right all the same.

    Args:
        outputs: What infer has returned: a dictionary, a list or an array.
        unlabeled: The indices of the records.
        policy: `auto` or `positional`.

    Raises:
        PipelineError: Outputs are missing, or are of other records (422); they are named.
    """
    records = sorted(unlabeled)
    outputs = as_array(by_index(outputs))
    if isinstance(outputs, Mapping):
        found = {_integer(key): value for key, value in outputs.items()}
        if len(found) != len(outputs):
            raise _error("the same key is there twice, as a number and as a text")
        return _of_mapping(found, records, policy)
    if isinstance(outputs, list | tuple) or (isinstance(outputs, np.ndarray) and outputs.ndim):
        if len(outputs) != len(records):
            raise _error(f"expected {len(records)} outputs, found {len(outputs)}")
        return dict(zip(records, outputs, strict=True))
    raise _error(f"expected a dictionary, a list or an array, found a {type(outputs).__name__}")


def _of_mapping(found: dict[Any, Any], records: list[int], policy: str) -> dict[int, Any]:
    if policy == "auto":
        if found.keys() == set(records):
            return {record: found[record] for record in records}
        if found.keys() == set(range(len(records))):
            return {record: found[place] for place, record in enumerate(records)}
        if any(isinstance(key, int) for key in found):
            raise _error(_difference(found, records))
    if len(found) != len(records):
        raise _error(f"expected {len(records)} outputs, found {len(found)}")
    if policy == "auto":
        logger.warning("infer: the keys are no integers; outputs are taken in their order")
    return dict(zip(records, found.values(), strict=True))


def _difference(found: dict[Any, Any], records: list[int]) -> str:
    keys = [key for key in found if isinstance(key, int)]
    foreign = sorted(set(keys) - set(records))
    missing = sorted(set(records) - set(keys))
    parts = [f"expected an output for each of {len(records)} records, found {len(found)}"]
    if missing:
        parts.append(f"missing: {_some(missing)}")
    if foreign:
        parts.append(f"not asked for: {_some(foreign)}")
    return "; ".join(parts)


def _some(numbers: list[int]) -> str:
    more = len(numbers) - _SHOWN
    shown = ", ".join(map(str, numbers[:_SHOWN]))
    return f"{shown} and {more} more" if more > 0 else shown


def _integer(key: Any) -> Any:
    key = as_array(key)
    if isinstance(key, np.ndarray) and key.size != 1:
        raise _error(f"expected keys of one number, found an array of {key.size}")
    if isinstance(key, np.generic | np.ndarray):
        key = key.item()
    if isinstance(key, tuple) and len(key) == 1:
        return _integer(key[0])
    if isinstance(key, bytes):
        key = key.decode("latin1")
    if isinstance(key, float) and key.is_integer():
        return int(key)
    if isinstance(key, str):
        stripped = key.strip()
        digits = stripped.removeprefix("-")
        if digits.isascii() and digits.isdigit():
            if len(digits) > _DIGITS:
                raise _error(f"not asked for: a key of {len(digits)} digits")
            return int(stripped)
    return key


def _error(message: str) -> PipelineError:
    return PipelineError(422, "infer_keys", f"infer: outputs: {message}", "infer")
