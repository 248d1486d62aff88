"""The page of an audit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from fixtures.audited_sets import scene

from allencv_al.data.instance import Instance
from allencv_al.data_audit.audit_report import MOST_OF_A_KIND, TITLES, write_audit_report
from allencv_al.data_audit.findings import KINDS, Finding
from allencv_al.data_audit.inspection import DataAudit


def written(tmp_path: Path, findings: list[Finding], notes: list[str] | None = None) -> str:
    instances = {str(n): Instance(str(n), np.asarray(scene(n))) for n in range(3)}
    audit = DataAudit(findings, 3, 2, 2, instances, notes or [])
    write_audit_report(tmp_path / "report.html", audit, "my set", tmp_path / "found.csv")
    return (tmp_path / "report.html").read_text(encoding="utf-8")


def test_each_kind_has_a_section(tmp_path: Path) -> None:
    page = written(tmp_path, [Finding(kind, 0.5, id="0", other="1") for kind in KINDS])
    for title in TITLES.values():
        assert f">{title}</h2>" in page
    assert page.count("<img ") == 2 * len(KINDS), "each with what it copies"


def test_few_of_many_are_shown(tmp_path: Path) -> None:
    page = written(tmp_path, [Finding("dark", 0.5, id="0")] * (MOST_OF_A_KIND + 5))
    assert page.count("<img ") == MOST_OF_A_KIND
    assert "5 more findings" in page
    assert "The table <bdi>found.csv</bdi> has all of them." in page


def test_nothing_found_and_notes(tmp_path: Path) -> None:
    page = written(tmp_path, [], ["One <note>."])
    assert "Nothing was found." in page
    assert "One &lt;note&gt;." in page


def test_names_stay_texts_and_absent_images_leave_no_picture(tmp_path: Path) -> None:
    page = written(tmp_path, [Finding("leak", 1, id="<script>", label="<b>", detail='"><i>')])
    assert "<script>" not in page
    assert "<i>" not in page
    assert "<img" not in page
