"""The tables of a run, as its report shows them."""

from __future__ import annotations

from pathlib import Path

from allencv_al.active_learning.report.run_report import RunContext, write_run_report
from allencv_al.active_learning.rounds.round_record import METRICS, RoundRecord

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


def test_the_numbers_are_those_of_the_rounds(tmp_path: Path, read_page, make_records) -> None:
    path = write_run_report(tmp_path, make_records(), CONTEXT)
    assert path == tmp_path / "report.html"
    page = read_page(path)
    heads, *rows = page.table("Metrics of each round")
    assert heads == ["Round", "Labels", "Accuracy", "NLL", "Time"]
    assert rows == [
        ["0", "0", "–", "–", "0.00 s"],
        ["1", "4", "60.0%", "1.000", "1.75 s"],
        ["2", "8", "70.0%", "0.500", "3.00 s"],
        ["3", "12", "80.0%", "0.333", "4.25 s"],
    ]
    heads, *rows = page.table("Time of each phase")
    assert heads == ["Round", "Train", "Select", "Annotate", "In all", "Memory"]
    assert rows[1] == ["1", "1.25 s", "0.50 s", "1 min 40 s", "1 min 42 s", "2 MB"]
    assert rows[-1] == ["All", "7.50 s", "1.50 s", "5 min 00 s", "5 min 09 s", ""]


def test_every_metric_is_shown_under_its_own_head(tmp_path: Path, read_page) -> None:
    values = dict.fromkeys(METRICS, 0.5) | {
        "balanced_accuracy": 0.11,
        "macro_f1": 0.12,
        "expected_calibration_error": 0.14,
        "mean_average_precision": 0.15,
        "coverage_radius": 0.17,
        "batch_class_entropy": 0.19,
        "agreement": 0.2,
    }
    page = read_page(write_run_report(tmp_path, [RoundRecord(1, 5, values)], CONTEXT))
    heads, row = page.table("Metrics of each round")
    assert len(heads) == len(METRICS) + 3
    shown = dict(zip(heads, row, strict=True))
    assert shown["Balanced accuracy"] == "11.0%"
    assert shown["Macro F1"] == "12.0%"
    assert shown["Calibration error"] == "14.0%"
    assert shown["mAP"] == "15.0%"
    assert shown["Coverage radius"] == "0.17"
    assert shown["Entropy of batch"] == "0.19"
    assert shown["Agreement"] == "0.200"


def test_the_confusion_matrix_is_that_of_the_last_round_that_has_one(
    tmp_path: Path, read_page
) -> None:
    records = [
        RoundRecord(1, 10, confusion_matrix=[[1, 1], [1, 1]], classes=("cat", "dog")),
        RoundRecord(2, 20, confusion_matrix=[[90, 10], [0, 0]], classes=("cat", "dog")),
        RoundRecord(3, 30),
    ]
    page = read_page(write_run_report(tmp_path, records, CONTEXT))
    assert page.table("Confusion matrix") == [
        ["true \\ predicted", "cat", "dog", "right"],
        ["cat", "90", "10", "90.0%"],
        ["dog", "·", "·", "–"],
    ]
    shares = [cell["style"] for cell in page.of("td") if "style" in cell]
    assert shares == ["--share:0.949", "--share:0.316", "--share:0.000", "--share:0.000"]
    assert "After 20 labels." in page.text


def test_of_very_many_classes_the_worst_confusions_are_shown(tmp_path: Path, read_page) -> None:
    classes = [f"class {number}" for number in range(100)]
    matrix = [[int(row == column) * 8 for column in range(100)] for row in range(100)]
    matrix[7][9] = 2
    matrix[3][4] = 1
    records = [RoundRecord(1, 10, confusion_matrix=matrix, classes=classes)]
    page = read_page(write_run_report(tmp_path, records, CONTEXT))
    assert page.table("Most frequent confusions among 100 classes")[1:] == [
        ["class 7", "class 9", "2", "20.0%"],
        ["class 3", "class 4", "1", "11.1%"],
    ]
