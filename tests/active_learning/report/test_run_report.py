"""The report of a run: its numbers are those of the rounds, and no name gets out of its place."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from allencv_al.active_learning.report.run_report import RunContext, run_lines, write_run_report
from allencv_al.active_learning.rounds.round_record import METRICS, Pick, RoundRecord

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


def test_it_says_what_was_done_and_found(tmp_path: Path, read_page, make_records) -> None:
    text = read_page(write_run_report(tmp_path, make_records(), CONTEXT)).text
    assert (
        "margin chose up to 4 items at a time from a pool of 100, labeled by GroundTruth. Each "
        "round trained a new model from the start. With 12 labels the model classifies 80.0% of "
        "the 50 test items correctly; with 4 it was 60.0%."
    ) in text
    assert re.search(r"Accuracy on the test set\s*80\.0%", text)
    assert re.search(r"Computing time\s*9\.00 s", text)  # without waiting for labels


def test_every_metric_is_shown_under_its_own_head(tmp_path: Path, read_page) -> None:
    values = {name: 0.1 + 0.01 * place for place, name in enumerate(METRICS)}
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


def test_picks_are_shown_with_rank_score_and_classes(
    tmp_path: Path, read_page, make_records, png
) -> None:
    asked: list[str] = []

    def thumbnail(id: str) -> bytes | None:
        asked.append(id)
        return None if id.endswith("_3.png") else png()

    page = read_page(write_run_report(tmp_path, make_records(), CONTEXT, thumbnail))
    assert asked == [f"photos/{number}_{rank}.png" for number in range(3) for rank in range(4)]
    assert [image["alt"] for image in page.of("img")][:3] == ["0_0.png", "0_1.png", "0_2.png"]
    assert page.text.count("no picture") == 3
    assert re.search(r"#1\s*0\.125\s*cat ✓\s*1_0\.png", page.text)
    assert re.search(r"#2\s*0\.25\s*dog → cat\s*1_1\.png", page.text)
    assert re.search(r"#1\s*0\.125\s*cat\s*0_0\.png", page.text)  # nothing was predicted yet
    assert "Round 1 4 of 96 picked model wrong on 2 of 4" in " ".join(
        page.text.replace("Round 1", "Round 1 ").replace("picked", "picked ").split()
    )
    rounds = page.of("details")
    assert ["open" in one for one in rounds[:3]] == [False, False, True]
    marked = [item for item in page.of("li") if item.get("class") == "wrong"]
    assert len(marked) == 4
    assert marked[0]["title"] == "cluster 7"
    assert "cat 3dog 1" in page.text.replace("\n", "")


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        ("skip", "dog → skipped"),
        ("unsure", "dog → not sure"),
        ("unreadable", "dog → unreadable"),
        ("waiting", "dog → waiting for a label"),
        ("label", "dog → no label"),
    ],
)
def test_what_got_no_label_is_said(tmp_path: Path, read_page, outcome: str, said: str) -> None:
    pick = Pick("a.png", 1.0, {"rank": 0}, "dog", None, outcome)
    page = read_page(write_run_report(tmp_path, [RoundRecord(1, 5, picks=[pick])], CONTEXT))
    assert said in page.text
    assert not [item for item in page.of("li") if item.get("class") == "wrong"]


@pytest.mark.parametrize(("rounds", "shown"), [(2, 24), (40, 15), (160, 4)])
def test_a_page_of_many_picks_stays_light(
    tmp_path: Path, read_page, png, rounds: int, shown: int
) -> None:
    picks = [Pick(f"{rank}.png", 0.0, predicted="a", label="a") for rank in range(30)]
    records = [RoundRecord(number, 30 * number, picks=picks) for number in range(rounds)]
    noisy = png(96, noise=True)
    path = write_run_report(tmp_path, records, CONTEXT, lambda _: noisy)
    page = read_page(path)
    assert len(page.of("img")) == shown * rounds
    assert page.text.count(f"and {30 - shown} more items not shown here") == rounds
    # Noise of 96 pixels is the worst there is: 28 kB as PNG
    assert path.stat().st_size < 16_000 * shown * rounds
    assert all(image["src"].startswith("data:image/jpeg;") for image in page.of("img"))


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


def test_a_run_without_test_images_has_the_line_of_its_pool_alone() -> None:
    records = [RoundRecord(1, 10, {"accuracy": None, "pool_accuracy": 0.5})]
    assert [line.name for line in run_lines(records)] == ["whole pool"]
    assert run_lines([RoundRecord(0, 0)]) == []
