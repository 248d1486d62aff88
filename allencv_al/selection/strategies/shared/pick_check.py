"""What a strategy needs and returns, checked where it comes from: strategies are often a user's."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from allencv_al.common.errors import ComponentError
from allencv_al.common.files.json_values import repr_json, strict_json
from allencv_al.common.listing import listed
from allencv_al.selection.pool.unlabeled_pool import OUTPUTS, Pool
from allencv_al.selection.selection import Picks, Selection

if TYPE_CHECKING:
    from allencv_al.selection.strategies.base import QueryStrategy


def needs_of(strategy: QueryStrategy) -> frozenset[str]:
    """Return the arrays of the pool that a strategy needs.

    Raises:
        ComponentError: It names others, or its `needs` are no set of names.
    """
    needs: Any = strategy.needs
    if isinstance(needs, str) or not isinstance(needs, Collection):
        found = repr_json(needs)
    else:
        unknown = [str(name) for name in needs if name not in OUTPUTS]
        if not unknown:
            return frozenset(needs)
        found = listed(sorted(unknown))
    raise ComponentError(
        f"{described(strategy)}: needs: expected a set of some of {', '.join(OUTPUTS)}, "
        f"found {found}"
    )


def checked_scores(strategy: QueryStrategy, scores: Any, pool: Pool) -> NDArray[Any]:
    """Return what `score` returned, once it is a finite number for each item of the pool.

    Raises:
        ComponentError: It is not.
    """
    expected = f"a NumPy array of {len(pool)} finite numbers, shape ({len(pool)},)"
    if scores is None:
        raise ComponentError(
            f"{described(strategy)}: expected a method score that returns {expected}, or a method "
            "_pick that returns Picks; found neither (score returned None)"
        )
    array = _array(scores)
    if array is None or array.dtype.kind not in "fiu" or array.shape != (len(pool),):
        raise ComponentError(
            f"{described(strategy)}: score returned {_shown(scores)}; expected {expected}"
        )
    bad = np.flatnonzero(~np.isfinite(array))
    if len(bad):
        named = listed([f"{pool.ids[place]} ({array[place]})" for place in bad.tolist()])
        raise ComponentError(
            f"{described(strategy)}: score returned numbers that are not finite for {named}; "
            f"expected {expected}"
        )
    return array


def checked_picks(
    strategy: QueryStrategy, picks: Any, pool: Pool, count: int, method: str = "_pick"
) -> Picks:
    """Return what a method returned, once it is `count` distinct items of the pool, with scores.

    Raises:
        ComponentError: It is not; all that is wrong with it is named.
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
            f"{described(strategy)}: {method} returned wrong picks:\n"
            + "".join(f"  {problem}\n" for problem in problems)
            + f"  expected Picks(indices, scores, reasons): {count} distinct positions in the pool "
            f"(0 to {len(pool) - 1}), integers of shape ({count},); {count} finite scores, shape "
            f"({count},); and no reasons, or {count} dicts of JSON values"
        )
    return Picks(found.indices.astype(np.int64), found.scores.astype(np.float32), found.reasons)


def checked_selection(
    strategy: QueryStrategy, selection: Any, pool: Pool, query_size: int
) -> Selection:
    """Return what a `select` of a strategy's own returned, once it is what it should be.

    Raises:
        ComponentError: It is not.
    """
    if not isinstance(selection, Selection):
        raise ComponentError(
            f"{described(strategy)}: select returned {_shown(selection)}; expected a Selection"
        )
    places = {id: place for place, id in enumerate(pool.ids)}
    foreign = [str(id) for id in selection.ids if id not in places]
    if foreign:
        raise ComponentError(
            f"{described(strategy)}: select returned ids that are not in the pool: "
            f"{listed(foreign)}"
        )
    indices = np.asarray([places[id] for id in selection.ids], np.int64)
    picks = Picks(indices, selection.scores, tuple(selection.reasons))
    checked_picks(strategy, picks, pool, min(query_size, len(pool)), "select")
    return selection


def described(strategy: QueryStrategy) -> str:
    """Return how a message names a strategy: its registered name and its class."""
    kind = type(strategy)
    return f'the strategy "{name_of(strategy)}" ({kind.__module__}.{kind.__qualname__})'


def name_of(strategy: QueryStrategy) -> str:
    """Return the registered name of a strategy, else the name of its class."""
    from allencv_al.selection.strategies.base import QueryStrategy

    kind, builtin = type(strategy), QueryStrategy.builtin
    for name in QueryStrategy.list_available():
        # Modules of other strategies are not imported for this
        here = builtin.get(name, kind.__module__) == kind.__module__
        if here and QueryStrategy.resolve(name)[0] is kind:
            return name
    return kind.__name__


def _array(value: Any) -> NDArray[Any] | None:
    """Return an array of what is one, or a sequence of numbers; None for all else."""
    if not isinstance(value, np.ndarray | Sequence) and not hasattr(value, "__array__"):
        return None
    try:
        return np.asarray(value)
    except (ValueError, TypeError, RuntimeError):  # ragged, or a tensor that needs a gradient
        return None


def _shown(value: Any) -> str:
    """Return what something is: the type, and the shape of an array."""
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
