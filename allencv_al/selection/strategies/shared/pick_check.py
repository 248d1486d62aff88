"""Checks of what a strategy returns, so that errors name the user's strategy and the fault."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from allencv_al.common.errors import ComponentError
from allencv_al.common.files.json_values import repr_json, strict_json
from allencv_al.common.names import listed
from allencv_al.selection.pool.unlabeled_pool import Pool
from allencv_al.selection.selection import Picks, Selection


def checked_scores(strategy: object, scores: Any, pool: Pool) -> NDArray[Any]:
    """Return the scores that `score` returned, checked: a finite number per item of the pool.

    Raises:
        ComponentError: They are wrong.
    """
    expected = f"a NumPy array of {len(pool)} finite numbers, shape ({len(pool)},)"
    if scores is None:
        raise ComponentError(
            f"{strategy}: expected a method score that returns {expected}, or a method "
            "_pick that returns Picks; found neither (score returned None)"
        )
    array = _array(scores)
    if array is None or array.dtype.kind not in "fiu" or array.shape != (len(pool),):
        raise ComponentError(f"{strategy}: score returned {_shown(scores)}; expected {expected}")
    bad = np.flatnonzero(~np.isfinite(array))
    if len(bad):
        named = listed([f"{pool.ids[place]} ({array[place]})" for place in bad.tolist()])
        raise ComponentError(
            f"{strategy}: score returned numbers that are not finite for {named}; "
            f"expected {expected}"
        )
    return array


def checked_picks(
    strategy: object, picks: Any, pool: Pool, count: int, method: str = "_pick"
) -> Picks:
    """Return the picks of a method, checked: `count` distinct items of the pool with scores.

    Raises:
        ComponentError: The picks are wrong; all faults are named.
    """
    if not isinstance(picks, Picks):
        problems, found = [f"found {_shown(picks)}"], picks
    else:
        found = Picks(_array(picks.indices), _array(picks.scores), picks.reasons)  # type: ignore[arg-type]
        problems = [
            *_index_problems(found.indices, picks.indices, len(pool), count),
            *_score_problems(found.scores, picks.scores, count),
            *_reason_problems(picks.reasons, count),
        ]
    if problems:
        raise ComponentError(
            f"{strategy}: {method} returned wrong picks:\n"
            + "".join(f"  {problem}\n" for problem in problems)
            + f"  expected Picks(indices, scores, reasons): {count} distinct positions in the pool "
            f"(0 to {len(pool) - 1}), integers of shape ({count},); {count} finite scores, shape "
            f"({count},); and no reasons, or {count} dicts of JSON values"
        )
    return Picks(found.indices.astype(np.int64), found.scores.astype(np.float32), found.reasons)


def checked_selection(strategy: object, selection: Any, pool: Pool, query_size: int) -> Selection:
    """Return the selection of an overridden `select`, checked.

    Raises:
        ComponentError: They are wrong.
    """
    if not isinstance(selection, Selection):
        raise ComponentError(
            f"{strategy}: select returned {_shown(selection)}; expected a Selection"
        )
    places = {id: place for place, id in enumerate(pool.ids)}
    foreign = [str(id) for id in selection.ids if id not in places]
    if foreign:
        raise ComponentError(
            f"{strategy}: select returned ids that are not in the pool: {listed(foreign)}"
        )
    indices = np.asarray([places[id] for id in selection.ids], np.int64)
    # An overridden select passes the checks of _pick, in the words of select
    picks = Picks(indices, selection.scores, tuple(selection.reasons))
    checked_picks(strategy, picks, pool, min(query_size, len(pool)), "select")
    return selection


def _array(value: Any) -> NDArray[Any] | None:
    """Return an array or a sequence of numbers as an array; None for anything else."""
    if not isinstance(value, np.ndarray | Sequence) and not hasattr(value, "__array__"):
        return None
    try:
        return np.asarray(value)
    except (ValueError, TypeError, RuntimeError):  # ragged, or a tensor that needs a gradient
        return None


def _shown(value: Any) -> str:
    """Return the type of a value, with the shape of an array."""
    if value is None:
        return "None"
    kind = type(value).__name__
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    if shape is not None:
        return f"{kind} of shape {tuple(shape)}, {dtype}"
    if isinstance(value, Sequence | Mapping):
        return f"{kind} of length {len(value)}"
    return f"{kind} {repr_json(value)}"


def _index_problems(
    indices: NDArray[Any] | None, returned: Any, size: int, count: int
) -> list[str]:
    wrong = indices is None or indices.ndim != 1
    # An empty list has no integers
    if indices is None or wrong or (len(indices) and indices.dtype.kind not in "iu"):
        return [f"indices: {_shown(returned)}"]
    problems = []
    if len(indices) != count:
        problems.append(f"indices: {len(indices)} instead of {count}")
    outside = indices[(indices < 0) | (indices >= size)].tolist()
    if outside:
        problems.append(f"indices outside the pool: {listed(list(map(str, outside)))}")
    values, counts = np.unique(indices, return_counts=True)
    if (counts > 1).any():
        problems.append(f"indices twice: {listed(list(map(str, values[counts > 1])))}")
    return problems


def _score_problems(scores: NDArray[Any] | None, returned: Any, count: int) -> list[str]:
    if scores is None or scores.shape != (count,) or scores.dtype.kind not in "fiu":
        return [f"scores: {_shown(returned)}"]
    bad = scores[~np.isfinite(scores)].tolist()
    return (
        [f"scores that are no finite numbers: {listed([str(one) for one in bad])}"] if bad else []
    )


def _reason_problems(reasons: Any, count: int) -> list[str]:
    if not isinstance(reasons, Sequence) or isinstance(reasons, str):
        return [f"reasons: {_shown(reasons)}"]
    if reasons and len(reasons) != count:
        return [f"reasons: {len(reasons)} instead of {count}"]
    for number, reason in enumerate(reasons):
        if not isinstance(reason, Mapping):
            return [f"reasons[{number}]: {_shown(reason)}"]
        try:
            strict_json(reason)
        except (TypeError, ValueError) as error:
            return [f"reasons[{number}]: {error}"]
    return []
