"""`allencv-al audit`."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from fixtures.audited_sets import SWAPPED
from fixtures.audited_sets import planted as planted
from fixtures.selections import lines

from allencv_al.__main__ import main

VECTORS = ("--embeddings", "vectors.npz")


def audit(*arguments: str) -> None:
    assert main(["audit", *arguments]) == 0


def found_in(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict]:
    capsys.readouterr()
    audit(*arguments)
    return lines(capsys.readouterr().out)


def named(findings: list[dict], kind: str) -> set[str]:
    return {one["id"] for one in findings if one["kind"] == kind}


def test_planted_faults_are_found(planted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    findings = found_in(capsys, "planted", *VECTORS)
    assert named(findings, "leak") == {"test/a/leak.png", "test/a/cropped.png"}
    assert named(findings, "contradiction") == {"train/b/contrary.png"}
    assert named(findings, "exact_duplicate") == {"train/a/bmp.bmp"}
    assert named(findings, "unreadable") == {"train/b/broken.png"}
    assert named(findings, "dark") == {"train/a/dark.png"}
    assert named(findings, "bright") == {"train/a/bright.png"}
    assert "train/a/blurred.png" in named(findings, "blurred")
    assert "train/a/wide.png" in named(findings, "odd_size")
    assert "train/b/far.png" in named(findings, "outlier")
    assert named(findings, "near_duplicate") == set()
    errors = [one for one in findings if one["kind"] == "label_error"]
    assert set(SWAPPED) <= {one["id"] for one in errors}
    assert all(one["suggested_label"] != one["label"] for one in errors)


def test_the_most_certain_findings_come_first(
    planted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    findings = found_in(capsys, "planted", *VECTORS)
    scores = [one["score"] for one in findings]
    assert scores == sorted(scores, reverse=True)
    assert 0 <= scores[-1] <= scores[0] == 1
    leak = next(one for one in findings if one["id"] == "test/a/leak.png")
    assert leak["other"] == "planted/train/a/00.png"
    assert (leak["split"], leak["suggestion"]) == ("test", "drop")


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_the_table_has_all_columns(planted: Path, suffix: str) -> None:
    path = Path(f"found.{suffix}")
    audit("planted", *VECTORS, "--output", str(path))
    if suffix == "csv":
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    elif suffix == "jsonl":
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    else:
        parquet = pytest.importorskip("pyarrow.parquet")
        rows = parquet.read_table(path).to_pylist()
    assert list(rows[0])[:3] == ["kind", "path", "score"]
    assert "planted/test/a/leak.png" in {row["path"] for row in rows}


def test_the_report_shows_each_finding_and_needs_nothing_beside_it(planted: Path) -> None:
    audit("planted", *VECTORS, "--report", "found.html", "--output", "found.csv")
    page = Path("found.html").read_text(encoding="utf-8")
    assert "Leaks between splits" in page
    assert "cropped.png" in page
    assert "data:image/" in page
    assert "http" not in page.replace("http-equiv", "")


def test_only_some_kinds(planted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    findings = found_in(capsys, "planted", *VECTORS, "--only", "leak", "--only", "dark")
    assert {one["kind"] for one in findings} == {"leak", "dark"}


def test_a_second_audit_decodes_nothing(
    planted: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from allencv_al.data_audit import image_facts

    store = ("--embedding-cache", "store")
    first = found_in(capsys, "planted", *VECTORS, *store)
    decoded = []
    measured = image_facts._measured
    monkeypatch.setattr(
        image_facts, "_measured", lambda one: decoded.append(one.id) or measured(one)
    )
    assert found_in(capsys, "planted", *VECTORS, *store) == first
    assert decoded == ["train/b/broken.png"], "what cannot be read is tried again"


def test_mistakes_are_told_before_the_work(
    planted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["audit", "planted", "--only", "leek", "--output", "x.txt"]) == 2
    assert 'did you mean "leak"?' in capsys.readouterr().err
    assert main(["audit", "planted", "--output", "x.txt"]) == 2
    assert ".parquet" in capsys.readouterr().err
    assert main(["audit", "absent", *VECTORS]) == 2
