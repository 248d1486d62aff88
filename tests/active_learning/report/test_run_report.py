"""The report of a run: it tells what was done, and no name gets out of its place."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from allencv_al.active_learning.report.run_report import RunContext, run_lines, write_run_report
from allencv_al.active_learning.rounds.round_record import Pick, RoundRecord

pytestmark = pytest.mark.draws

ENVIRONMENT = {
    "platform": "Linux <6>",
    "processors": 2,
    "cuda": None,
    "versions": {"python": "3.11.7", "torch": "2.10.0"},
}


CONTEXT = RunContext(
    "digits_margin", "margin", "GroundTruth", "cold", 50, {"active_learning": {"budget": 12}},
    ENVIRONMENT,
)  # fmt: skip


def test_it_says_what_was_done_and_found(tmp_path: Path, read_page, make_records) -> None:
    text = read_page(write_run_report(tmp_path, make_records(), CONTEXT)).text
    assert (
        "margin chose up to 4 items at a time from a pool of 100, labeled by GroundTruth. Each "
        "round trained a new model from the start. With 12 labels the model classifies 80.0% of "
        "the 50 test items correctly; with 4 it was 60.0%."
    ) in text
    assert re.search(r"Accuracy on the test set\s*80\.0% \(\d\d\.\d% to \d\d\.\d%\)", text)
    assert "The bands are 95 % intervals" in text
    assert re.search(r"Computing time\s*9\.00 s", text)  # without waiting for labels


def test_names_from_strangers_stay_texts(
    tmp_path: Path, read_page, make_records, hostile_names: Sequence[str]
) -> None:
    records = make_records(2, classes=hostile_names)
    picks = [
        Pick(name, 0.5, {"rank": 0, name: name}, name, hostile_names[0]) for name in hostile_names
    ]
    records[1] = replace(
        records[1],
        picks=picks,
        batch_classes=dict.fromkeys(hostile_names, 1),
        unreadable=dict(zip(hostile_names, hostile_names, strict=True)),
        notes=hostile_names,
    )
    context = RunContext(
        name=hostile_names[1],
        strategy=hostile_names[0],
        annotator=hostile_names[2],
        config={name: name for name in hostile_names},
        environment={
            "platform": hostile_names[0],
            "versions": {hostile_names[1]: hostile_names[0]},
        },
    )
    page = read_page(write_run_report(tmp_path, records, context, lambda _: b"<svg onload=x>"))
    for name in ("猫 кошка قطة", '<img src=x onerror="alert(1)">', "quote \" and ' and & and &lt;"):
        assert page.text.count(name) >= 5
    assert "evil \ufffdgnp.exe" in page.text
    assert not page.of("img")


def test_no_outside_address_is_in_the_page(tmp_path: Path, make_records, png) -> None:
    path = write_run_report(tmp_path, make_records(), CONTEXT, lambda _: png())
    content = path.read_text(encoding="utf-8")
    assert not re.search(r"https?:|//[a-z]", content)


@pytest.mark.parametrize("rounds", [0, 1])
def test_a_run_that_has_just_begun_has_a_report(
    tmp_path: Path, read_page, make_records, rounds: int
) -> None:
    page = read_page(write_run_report(tmp_path, make_records(3)[: rounds + 1], CONTEXT))
    assert page.of("h1")
    page = read_page(write_run_report(tmp_path, [], CONTEXT))
    assert "finished no round yet" in page.text
    assert page.table("Versions")[1:] == [["python", "3.11.7"], ["torch", "2.10.0"]]


def test_a_run_without_test_images_says_so_and_leaves_the_columns_out(
    tmp_path: Path, read_page
) -> None:
    records = [RoundRecord(1, 5, {"accuracy": None, "redundancy": 1.5}), RoundRecord(2, 10)]
    page = read_page(write_run_report(tmp_path, records, RunContext("x", environment=ENVIRONMENT)))
    assert page.table("Metrics of each round")[0] == [
        "Round",
        "Labels",
        "Distance in batch",
        "Time",
    ]
    assert "Nothing was measured on a test set." in page.text
    assert "Accuracy on the test set" not in page.text
    assert not [svg for svg in page.of("svg") if svg.get("role") == "img"]


def test_config_machine_and_versions_stand_at_the_end(
    tmp_path: Path, read_page, make_records
) -> None:
    page = read_page(write_run_report(tmp_path, make_records(), CONTEXT))
    assert page.table("Machine")[1:] == [["platform", "Linux <6>"], ["processors", "2"]]
    assert '"budget": 12' in page.text
    without = read_page(write_run_report(tmp_path, make_records(), RunContext("x")))
    assert "torch" in [row[0] for row in without.table("Versions")]
    assert "whole config" not in without.text


def test_rounds_are_shown_in_their_order_whatever_the_order_given(
    tmp_path: Path, read_page, make_records
) -> None:
    page = read_page(write_run_report(tmp_path, make_records()[::-1], CONTEXT))
    assert [row[0] for row in page.table("Metrics of each round")[1:]] == ["0", "1", "2", "3"]
    assert "With 12 labels" in page.text


def test_the_chart_tells_its_points(tmp_path: Path, read_page, make_records) -> None:
    page = read_page(write_run_report(tmp_path, make_records(), CONTEXT))
    charts = [svg for svg in page.of("svg") if svg.get("role") == "img"]
    assert [svg["class"] for svg in charts] == ["wide", "narrow"]
    assert charts[0]["aria-label"] == (
        "Accuracy over labels. test set: from 60.0% at 4 labels to 80.0% at 12."
    )
    assert page.text.count("test set: accuracy 70.0% at 8 labels") == 2


def test_a_run_gives_a_line_for_the_test_set_and_one_for_the_pool() -> None:
    records = [RoundRecord(0, 0)] + [
        RoundRecord(n, 10 * n, {"accuracy": 0.5 + 0.05 * n, "pool_accuracy": 0.4 + 0.05 * n})
        for n in range(1, 6)
    ]
    lines = run_lines(records)
    assert [line.name for line in lines] == ["test set", "whole pool"]
    assert lines[0].x.tolist() == [10, 20, 30, 40, 50]
    assert lines[1].y == pytest.approx([0.45, 0.5, 0.55, 0.6, 0.65])


def test_the_band_of_the_test_set_is_its_interval() -> None:
    def record(labels: int, right: int, matrix: bool = True) -> RoundRecord:
        counts = [[right, 50 - right], [0, 50]] if matrix else None
        metrics = {"accuracy": (right + 50) / 100, "pool_accuracy": 0.5}
        return RoundRecord(labels // 10, labels, metrics, counts)

    test, pool = run_lines([record(10, 30), record(20, 45)])
    assert test.low == pytest.approx([0.7112, 0.8883], abs=1e-4)  # statsmodels' Wilson interval
    assert test.high == pytest.approx([0.8666, 0.9785], abs=1e-4)
    assert pool.low is None
    test, _ = run_lines([record(10, 30), record(20, 45, matrix=False)])
    assert test.low is None and test.high is None


def test_a_run_without_test_images_has_the_line_of_its_pool_alone() -> None:
    records = [RoundRecord(1, 10, {"accuracy": None, "pool_accuracy": 0.5})]
    assert [line.name for line in run_lines(records)] == ["whole pool"]
    assert run_lines([RoundRecord(0, 0)]) == []
