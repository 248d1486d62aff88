"""Tables with a header: CSV and JSON, read as other programs write them; CSV that is safe to open.

All tables of this package go through here, in both directions.
"""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from allencv_al.common.errors import ConfigurationError, DataError
from allencv_al.common.files.json_values import repr_json, unique_keys
from allencv_al.common.files.text_files import decode_text

DELIMITERS = (",", ";", "\t")
JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
CSV_SUFFIXES = (".csv", ".tsv")
LABELS_NAME = "labels.csv"
"""Name of the table of labels in the folder of a labeling or of a run."""

GUARDED = "allencv_al_guarded"
"""The column that names the cells of its row which begin with an apostrophe of ours."""

_MOST_SHOWN = 30
_AND = "|"  # between the names of guarded columns
SEPARATOR_LINE = re.compile(r'\ufeff?"?sep=(.)"?[ ]*(\r\n|\r|\n|$)', re.IGNORECASE)
# What a spreadsheet takes for a formula, or moves a formula to the beginning of a cell
_FORMULA = re.compile(r"[=+\-@\t\r\n＝＋－＠]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
# Also where a spreadsheet that divides at ; or a tab would find a formula
_QUOTED = re.compile(r'[",\t\r\n]|^\s|\s$|;\s*[=+\-@＝＋－＠]')

_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+(e[+-]?\d+)?", re.IGNORECASE)
_BLANKS = re.compile(r"\s*")
_IMAGE_NAME = re.compile(r"\.(jpe?g|png|tiff?|bmp|gif|webp)$", re.IGNORECASE)

csv.field_size_limit(2**24)  # a cell may hold the JSON of a whole task


@dataclass(frozen=True, slots=True)
class Row:
    """One row.

    Args:
        line: Number of its first line in the file, or of its entry in a JSON list, from 1.
        values: Its values by column: texts, or what JSON holds.
        problem: The fault of its form, or None.
        unit: The unit of `line`: `line` or `entry`.
    """

    line: int
    values: Mapping[str, Any] = field(default_factory=dict)
    problem: str | None = None
    unit: str = "line"

    @property
    def place(self) -> str:
        """Location of the row for messages: `line 3`."""
        return f"{self.unit} {self.line}"


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of a table, and its columns.

    Args:
        columns: The names, in order; a column that was asked for has the name it was asked by.
        rows: The rows; blank ones are left out.
        is_json: Whether it is JSON, where each row has columns of its own.
        delimiter: The separator of the cells of CSV.
    """

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    is_json: bool = False
    delimiter: str = ","

    def number(self, cell: Any) -> Any:
        """Return the cell of a number with a decimal point.

        Spreadsheets that set cells apart by semicolons or tabs write numbers with the decimal comma
        of their country; where commas set cells apart, `1,234` would be a number of thousands.
        """
        is_number = isinstance(cell, str) and _DECIMAL_COMMA.fullmatch(cell.strip())
        return cell.replace(",", ".") if is_number and self.delimiter != "," else cell

    def require(self, where: object, names: Sequence[str], hint: str = "") -> None:
        """Raise a DataError, with the existing columns, unless one of `names` is among them."""
        if set(names) & set(self.columns) or (self.is_json and any(r.problem for r in self.rows)):
            return
        wanted = " or ".join(map(repr_json, names))
        place = "" if self.is_json else " in the header"
        if not self.is_json and any(map(_IMAGE_NAME.search, self.columns)):
            hint = f"; is the header missing?{hint}"
        raise DataError(
            f"{where}: expected a column {wanted}{place}, "
            f"found {listed_columns(self.columns)}{hint}"
        )


def read_table(path: Path, names: Sequence[str]) -> Table:
    """Return the table in a file; see `parse_table`.

    Raises:
        DataError: It is no text, or its header is wrong.
    """
    suffix = path.suffix.lower()
    text = decode_text(path.read_bytes(), str(path))
    return parse_table(text, str(path), names, suffix in JSON_SUFFIXES or is_json_text(text))


def parse_table(text: str, where: str, names: Sequence[str], is_json: bool = False) -> Table:
    """Return the rows of a table as people, spreadsheets and programs write it.

    CSV has commas, semicolons or tabs (that which gives most of `names`, or the line `sep=;` says),
    any line ends, blanks around names, blank rows, and rows whose empty cells at the end are left
    out. JSON is one object a line, a list of objects, or objects over several lines. A column is
    found in upper and lower case alike. What `csv_text` has guarded is as it was.

    Args:
        text: The table.
        where: Its name in messages.
        names: The columns that the caller knows.
        is_json: Whether it is JSON.

    Raises:
        DataError: A column is there twice, or the CSV is broken.
    """
    text = text.removeprefix("\ufeff")
    if not is_json:
        return _csv_table(text, where, names)
    renamed: dict[tuple[str, ...], list[str]] = {}  # most rows have the same keys
    rows = []
    for row in _json_rows(text):
        keys = tuple(row.values)
        if keys not in renamed:
            renamed[keys] = _renamed(keys, names)
        rows.append(_with_names(row, renamed[keys]))
    columns = dict.fromkeys(name for row in rows for name in row.values)
    return Table(tuple(columns), tuple(rows), is_json=True)


def is_json_text(text: str) -> bool:
    """Return whether a text begins as JSON lines or a list of objects do."""
    return re.match(r'\ufeff?\s*(\{\s*["}]|\[\s*[{\]])', text) is not None


def listed_columns(columns: Sequence[str]) -> str:
    """Return the columns for a message."""
    more = ", ..." if len(columns) > _MOST_SHOWN else ""
    return (", ".join(name or '""' for name in columns[:_MOST_SHOWN]) or "none") + more


def cell_text(values: Mapping[str, Any], name: str) -> str:
    """Return the text of a cell without blanks around it; empty where there is none.

    Raises:
        ValueError: It is no text (a whole number is one), or no Unicode.
    """
    return raw_cell_text(values, name).strip()


def raw_cell_text(values: Mapping[str, Any], name: str) -> str:
    """Return the text of a cell with the blanks around it.

    Raises:
        ValueError: It is no text (a whole number is one), or no Unicode.
    """
    value = values.get(name)
    if isinstance(value, bool | float | list | dict):
        hint = f'; as a text it is "{json.dumps(value)}"' if isinstance(value, bool | float) else ""
        raise ValueError(f"{name}: expected a text, found {repr_json(value)}{hint}")
    text = "" if value is None else str(value)
    if not text.isascii() and any("\ud800" <= mark <= "\udfff" for mark in text):
        raise ValueError(f"{name}: expected Unicode text, found {text[:80]!a}")
    return text


def csv_text(
    columns: Sequence[str], rows: Iterable[Mapping[str, Any]], line_end: str = "\n"
) -> str:
    """Return CSV in which no cell starts a formula, and which `parse_table` reads unchanged.

    A text that a spreadsheet would compute gets an apostrophe before it, and the name of its
    column goes into the column `GUARDED`, which is there only where it is needed. Numbers stay.

    Args:
        columns: The names of the columns.
        rows: The cells by column; what is absent or None is empty.
        line_end: The line ending.
    """
    lines, is_guarded = [], False
    for row in rows:
        cells = [_written(row.get(name)) for name in columns]
        guarded = [place for place, cell in enumerate(cells) if _starts_formula(cell)]
        for place in guarded:
            cells[place] = f"'{cells[place]}"
        is_guarded = is_guarded or bool(guarded)
        lines.append((cells, _AND.join(columns[place] for place in guarded)))
    header = [*columns, GUARDED] if is_guarded else columns
    table = [header, *([*cells, guard] if is_guarded else cells for cells, guard in lines)]
    return "".join(",".join(map(_quoted, cells)) + line_end for cells in table)


def csv_bytes(text: str) -> bytes:
    """Return the bytes of a CSV text: with a byte order mark where Excel needs it."""
    return text.encode("utf-8" if text.isascii() else "utf-8-sig")


def parquet_bytes(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] = ()) -> bytes:
    """Return a Parquet file of rows; a cell that a row lacks is null.

    Args:
        rows: The cells by column.
        columns: The columns, in order. Default: all that a row has.

    Raises:
        ConfigurationError: pyarrow is not installed.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise ConfigurationError(
            'Parquet files need pyarrow; pip install "allencv-al[parquet]" adds it'
        ) from None
    names = columns or list(dict.fromkeys(key for row in rows for key in row))
    table = pyarrow.table({name: [row.get(name) for row in rows] for name in names})
    stream = io.BytesIO()
    parquet.write_table(table, stream)
    return stream.getvalue()


def _written(value: Any) -> str:
    return "" if value is None else str(value)


def _starts_formula(cell: str) -> bool:
    return bool(_FORMULA.match(cell)) and _NUMBER.fullmatch(cell) is None


def _quoted(cell: str) -> str:
    if _QUOTED.search(cell) is None:
        return cell
    return '"{}"'.format(cell.replace('"', '""'))


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", " ".join(name.split())).casefold()


def _renamed(found: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return the names of columns as they were asked for; another case does where it is clear."""
    renamed = list(found)
    for name in names:
        alike = [place for place, other in enumerate(found) if _key(other) == _key(name)]
        if name not in found and len(alike) == 1:
            renamed[alike[0]] = name
    return renamed


def _csv_table(text: str, where: str, names: Sequence[str]) -> Table:
    separator = SEPARATOR_LINE.match(text)
    skipped = 0 if separator is None else 1
    body = text if separator is None else text[separator.end() :]
    delimiter = _delimiter(body, names) if separator is None else separator.group(1)
    header: list[str] = []
    rows = []
    for line, cells in _records(body, delimiter, where, skipped):
        if not any(cell.strip() for cell in cells):
            continue
        if not header:
            header = _checked_header(where, cells, names)
        else:
            rows.append(_csv_row(line, header, cells))
    if not header:
        raise DataError(
            f"{where}: it is empty; expected a header with the column {names[0]}, found nothing"
        )
    columns = tuple(name for name in header if name != GUARDED)
    while columns and not columns[-1]:  # a spreadsheet's empty columns
        columns = columns[:-1]
    return Table(columns, tuple(rows), delimiter=delimiter)


def records(text: str, where: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of the first line, and the cells, of each record of CSV without a header.

    Raises:
        DataError: The CSV is broken.
    """
    body = text.removeprefix("\ufeff")
    yield from _records(body, _delimiter(body, ()), where, 0)


def _records(
    text: str, delimiter: str, where: str, skipped: int
) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of the first line, and the cells, of each record."""
    stream = io.StringIO(text, newline="")
    reader = csv.reader(stream, delimiter=delimiter, strict=True, skipinitialspace=True)
    line = skipped + 1
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            hint = (
                f"; a double quote in or after line {line} does not end"
                if "unexpected end" in str(error)
                else '; a double quote within quotes is written twice: "a ""b"" c"'
                if "expected after" in str(error)
                else ""
            )
            raise DataError(f"{where} line {line}: {error}{hint}") from error
        if cells is None:
            return
        yield line, cells
        line = skipped + reader.line_num + 1


def _delimiter(text: str, names: Sequence[str]) -> str:
    """Return what sets the cells of the header apart: spreadsheets of many countries write ;"""
    known = {_key(name) for name in names}

    def score(delimiter: str) -> tuple[int, int]:
        stream = io.StringIO(text, newline="")
        reader = csv.reader(stream, delimiter=delimiter, skipinitialspace=True)
        try:
            cells = next((cells for cells in reader if any(map(str.strip, cells))), [])
        except csv.Error:
            return 0, 0
        return len(known & set(map(_key, cells))), len(cells)

    return max(DELIMITERS, key=score)


def _checked_header(where: str, cells: Sequence[str], names: Sequence[str]) -> list[str]:
    header = _renamed([cell.strip() for cell in cells], names)
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if twice:
        raise DataError(f"{where}: the header has a column twice: {', '.join(twice)}")
    return header


def _csv_row(line: int, header: Sequence[str], cells: list[str]) -> Row:
    if any(cell.strip() for cell in cells[len(header) :]):
        return Row(
            line,
            problem=f"expected {len(header)} columns, found {len(cells)}; a name with the "
            'separator in it stands in double quotes: "a, b"',
        )
    # Excel leaves out empty cells at the end of a row, in blocks of 16 rows
    padded = [*cells[: len(header)], *[""] * (len(header) - len(cells))]
    if GUARDED in header:
        guarded = padded[header.index(GUARDED)].split(_AND)
        pairs = zip(header, padded, strict=True)
        padded = [cell.removeprefix("'") if name in guarded else cell for name, cell in pairs]
    values = zip(header, padded, strict=True)
    return Row(line, {name: cell for name, cell in values if name and name != GUARDED})


def _with_names(row: Row, names: Sequence[str]) -> Row:
    if names == list(row.values):
        return row
    values = dict(zip(names, row.values.values(), strict=True))
    return Row(row.line, values, row.problem, row.unit)


def _json_rows(text: str) -> Iterator[Row]:
    """Yield the objects: one a line, in one list, or over several lines."""
    first = next((line for line in text.split("\n") if line.strip()), "")
    alone = _json_row(1, first)
    if first.lstrip().startswith("["):
        yield from _documents(text)
        return
    if alone.problem is not None:  # an object over several lines begins with {
        whole = list(_documents(text))
        if whole and (len(whole) == 1 or not any(row.problem for row in whole)):
            yield from whole
            return
    # Not splitlines: it also splits at characters that JSON allows inside a string.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield _json_row(number, line)


def _documents(text: str) -> Iterator[Row]:
    """Yield the objects that stand one after another, with any line ends in them."""
    decoder = json.JSONDecoder(object_pairs_hook=unique_keys)
    place, counted, line = 0, 0, 1
    while match := _BLANKS.match(text, place):
        # From where the last count ended: counting all of the text each time is quadratic
        line += text.count("\n", counted, match.end())
        place = counted = match.end()
        if place >= len(text):
            return
        try:
            value, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError) as error:
            yield Row(line, problem=f"not JSON, or not one object a line: {_reason(error)}")
            return
        if isinstance(value, list):
            for number, entry in enumerate(value, start=1):
                yield _row_of(number, entry, "entry")
        else:
            yield _row_of(line, value, "line")


def _json_row(number: int, line: str) -> Row:
    try:
        value = json.loads(line, object_pairs_hook=unique_keys)
    except (ValueError, RecursionError) as error:
        return Row(number, problem=f"not JSON: {_reason(error)}")
    return _row_of(number, value, "line")


def _row_of(number: int, value: Any, unit: str) -> Row:
    if not isinstance(value, dict):
        found = repr_json(value, 40)
        return Row(number, problem=f"expected a JSON object, found {found}", unit=unit)
    return Row(number, value, unit=unit)


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        at = f"column {error.colno}" if error.lineno == 1 else f"line {error.lineno}"
        return f"{error.msg} at {at}"
    return "nested too deep" if isinstance(error, RecursionError) else str(error)
