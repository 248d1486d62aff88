"""Match outputs of infer to records by their keys."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from allencv_al.common.names import listed
from allencv_al.service.pipeline.functions.returns import as_array, by_index
from allencv_al.service.pipeline.pipeline_errors import ReturnValueError

logger = logging.getLogger(__name__)

POLICIES = ("auto", "positional")
_SHOWN = 8  # keys in a message
_DIGITS = 100  # parsing an integer is quadratic in its length


def by_record(outputs: Any, unlabeled: Sequence[int], policy: str = "auto") -> dict[int, Any]:
    """Return the outputs by record index, in the order of the records.

    `auto` tries, in this order: keys equal to the record indices; keys 0 to n-1, as positions in
    the sorted indices; a list or array of length n; non-integer keys in their order, with a
    warning. `positional` uses the order alone, as the Alectio SDK did; n must match.

    Args:
        outputs: Return value of infer: a dictionary, a list or an array.
        unlabeled: Record indices.
        policy: `auto` or `positional`.

    Raises:
        PipelineError: Outputs are missing or belong to other records (422); they are named.
    """
    records = sorted(unlabeled)
    outputs = as_array(by_index(outputs))
    if isinstance(outputs, Mapping):
        found = {_integer(key): value for key, value in outputs.items()}
        if len(found) != len(outputs):
            raise _error("duplicate key, as a number and as a string")
        return _of_mapping(found, records, policy)
    if isinstance(outputs, list | tuple) or (isinstance(outputs, np.ndarray) and outputs.ndim):
        if len(outputs) != len(records):
            raise _error(f"expected {len(records)} outputs, found {len(outputs)}")
        return dict(zip(records, outputs, strict=True))
    raise _error(f"expected a dictionary, a list or an array, found a {type(outputs).__name__}")


def _of_mapping(found: dict[Any, Any], records: list[int], policy: str) -> dict[int, Any]:
    if policy == "auto":
        keys = [key for key in found if isinstance(key, int)]
        matched = match_keys(keys, records) if len(keys) == len(found) else None
        if matched is not None:
            outputs = dict(zip(matched, found.values(), strict=True))
            return {record: outputs[record] for record in records}
        # Some keys are numbers: by their order, a record could get the output of another
        if keys:
            raise _error(difference(keys, records, len(found), "an output"))
    if len(found) != len(records):
        raise _error(f"expected {len(records)} outputs, found {len(found)}")
    if policy == "auto":
        logger.warning("infer: keys are not integers; outputs are matched by their order")
    return dict(zip(records, found.values(), strict=True))


def match_keys(keys: Sequence[int], records: Sequence[int]) -> Sequence[int] | None:
    """Return the record index of each key, or None if the keys are not those of the records.

    Keys are record indices, or else positions in the sorted indices.

    Args:
        keys: Keys of outputs, in any order.
        records: Record indices, sorted.
    """
    found = sorted(keys)
    if found == records:
        return keys
    return [records[key] for key in keys] if found == list(range(len(records))) else None


def difference(keys: Sequence[int], records: Sequence[int], count: int, expected: str) -> str:
    """Return a message that names missing records and keys of other records.

    Args:
        keys: Keys of outputs.
        records: Record indices.
        count: Number of outputs found.
        expected: The content that each record should have: "an output" or "a row".
    """
    parts = {
        "missing": sorted(set(records) - set(keys)),
        "not requested": sorted(set(keys) - set(records)),
    }
    named = [f"; {what}: {listed(numbers, _SHOWN)}" for what, numbers in parts.items() if numbers]
    return f"expected {expected} for each of {len(records)} records, found {count}{''.join(named)}"


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
                raise _error(f"not requested: a key of {len(digits)} digits")
            return int(stripped)
    return key


def _error(message: str) -> ReturnValueError:
    return ReturnValueError("infer", f"outputs: {message}", "infer_keys")
