"""Tables of findings."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from allencv_al.common.errors import ConfigurationError
from allencv_al.common.files.tables import read_table
from allencv_al.data_audit.findings import (
    COLUMNS,
    Finding,
    check_findings_file,
    most_certain_first,
    write_findings,
)

FINDINGS = [
    Finding("dark", 0.5, id="b", path="b.png"),
    Finding("leak", 1.0, id="=1+2", path="=1+2.png", other="x.png"),
    Finding("unreadable", 1.0, id="c"),
    Finding("label_error", 0.50001, id="a", label="x", suggestion="relabel", suggested_label="y"),
]


def test_the_order_is_by_certainty_then_kind() -> None:
    kinds = [one.kind for one in most_certain_first(FINDINGS)]
    assert kinds == ["unreadable", "leak", "label_error", "dark"]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_names_that_look_like_formulas_come_back(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"found{suffix}"
    write_findings(path, FINDINGS)
    rows = read_table(path, COLUMNS).rows
    assert [row.values["kind"] for row in rows] == [one.kind for one in FINDINGS]
    assert rows[1].values["id"] == "=1+2"
    assert float(rows[0].values["score"]) == 0.5


def test_an_empty_table_has_its_header(tmp_path: Path) -> None:
    write_findings(tmp_path / "found.csv", [])
    assert (tmp_path / "found.csv").read_text().strip() == ",".join(COLUMNS)


def test_parquet_without_its_package_is_told_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigurationError, match=r"allencv-al\[parquet\]"):
        check_findings_file(Path("found.parquet"))
