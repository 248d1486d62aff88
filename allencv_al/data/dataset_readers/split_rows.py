"""The rows of one split of a table."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from allencv_al.common.class_names import class_name
from allencv_al.common.config.names import did_you_mean
from allencv_al.common.errors import DataError
from allencv_al.common.files.json_values import repr_json
from allencv_al.common.files.tables import Row, Table, listed_columns

logger = logging.getLogger(__name__)


def rows_of_split(table: Table, column: str, split: str | None, where: Path) -> list[Row]:
    """Return the rows of a split, in upper or lower case; rows that are left out are counted.

    Args:
        table: The table.
        column: The column that names the split of a row.
        split: The one that is wanted; None for all rows.
        where: The table's file, for messages.

    Raises:
        DataError: No row is of this split.
    """
    names = [_name(row, column) for row in table.rows]
    sound = [name for name, row in zip(names, table.rows, strict=True) if row.problem is None]
    counts = Counter(sound)
    if split is None:
        if len(counts) > 1:
            logger.warning("%s: reading the rows of all splits: %s", where, _shown(counts))
        return list(table.rows)
    wanted = class_name(split).casefold()
    left_out = {name: count for name, count in counts.items() if name.casefold() != wanted}
    if sum(left_out.values()) == len(sound) and sound:
        raise DataError(
            f"{where}: no rows of split {repr_json(split)}; {_found(table, column, counts)}"
        )
    if left_out:
        level = logging.WARNING if "" in left_out else logging.INFO
        logger.log(
            level,
            "%s: left out, because not of split %s: %d of %d rows: %s",
            *(where, repr_json(split), sum(left_out.values()), len(sound), _shown(left_out)),
        )
    return [
        row
        for row, name in zip(table.rows, names, strict=True)
        if row.problem is not None or name.casefold() == wanted
    ]


def _name(row: Row, column: str) -> str:
    value = row.values.get(column)
    return "" if value is None else class_name(str(value))


def _found(table: Table, column: str, counts: Mapping[str, int]) -> str:
    if column not in table.columns:  # as where all cells are empty
        hint = did_you_mean(column, table.columns)
        return f'its column "{column}" has no value: it has {listed_columns(table.columns)}{hint}'
    named = {name: count for name, count in counts.items() if name}
    return f'its column "{column}" has {_shown(named) if named else "no value"}'


def _shown(counts: Mapping[str, int]) -> str:
    return ", ".join(
        f'"{name}" ({count})' if name else f"no split ({count})"
        for name, count in sorted(counts.items())
    )
