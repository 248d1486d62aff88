"""`Finding`: a possible fault of an image, and tables of findings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from allencv_al.common.errors import ConfigurationError
from allencv_al.common.files.atomic_file import write_bytes, write_text
from allencv_al.common.files.tables import csv_bytes, csv_text, parquet_bytes
from allencv_al.predictors.prediction_json import dump_line

FindingKind: TypeAlias = Literal[
    "unreadable",
    "leak",
    "contradiction",
    "split_group",
    "label_error",
    "second_opinion",
    "exact_duplicate",
    "near_duplicate",
    "class_balance",
    "outlier",
    "blurred",
    "dark",
    "bright",
    "odd_size",
]
KINDS: tuple[FindingKind, ...] = get_args(FindingKind)
"""All kinds; of equal certainty, an earlier one comes first."""

Suggestion: TypeAlias = Literal["relabel", "drop", "check", "label"]

COLUMNS = (
    *("kind", "path", "score", "suggestion", "suggested_label", "label", "split", "id"),
    *("other", "detail"),
)
SUFFIXES = (".csv", ".jsonl", ".ndjson", ".json", ".parquet")


@dataclass(frozen=True)
class Finding:
    """A possible fault of an image, or of a class.

    Args:
        kind: The kind.
        score: The certainty, 0 to 1: for copies the correlation of the pixels, for labels 1
            minus the probability of the given one, for figures the distance beyond the limit.
        id: The id of the image; empty for a class.
        path: Its file; empty where it is no file.
        split: The split it is in; empty without splits.
        label: Its label; empty without one.
        suggestion: `relabel`, `drop`, `check`, or `label` (more images of a class).
        suggested_label: The label to give instead, for `relabel`.
        other: The path or id of the image that it copies.
        detail: The reason in words.
    """

    kind: FindingKind
    score: float
    id: str = ""
    path: str = ""
    split: str = ""
    label: str = ""
    suggestion: Suggestion = "check"
    suggested_label: str = ""
    other: str = ""
    detail: str = ""

    def row(self) -> dict[str, Any]:
        """Return the cells by column."""
        values = asdict(self)
        values["score"] = round(self.score, 4)
        return {name: values[name] for name in COLUMNS}


def most_certain_first(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings in the order of a table."""
    order = {kind: place for place, kind in enumerate(KINDS)}
    return sorted(findings, key=lambda one: (-round(one.score, 4), order[one.kind], one.id))


def check_findings_file(path: Path) -> None:
    """Raise a ConfigurationError where a table of findings cannot be written under a name."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ConfigurationError(
            f"--output: expected a name that ends in .csv, .jsonl or .parquet, found {path}"
        )
    if suffix == ".parquet":
        parquet_bytes([])  # now, not after the work


def write_findings(path: Path, findings: Sequence[Finding]) -> None:
    """Write a table of findings: CSV, JSON lines or Parquet, by the suffix of the name."""
    rows = [finding.row() for finding in findings]
    suffix = path.suffix.lower()
    if suffix == ".csv":
        write_bytes(path, csv_bytes(csv_text(COLUMNS, rows)))
    elif suffix == ".parquet":
        write_bytes(path, parquet_bytes(rows, COLUMNS))
    else:
        write_text(path, "".join(finding_lines(findings)))


def finding_lines(findings: Iterable[Finding]) -> Iterable[str]:
    """Yield the findings as JSON lines; cells without a value are left out."""
    for finding in findings:
        row: Mapping[str, Any] = finding.row()
        yield dump_line({name: value for name, value in row.items() if value != ""})
