"""Labels of other programs go into a labeling."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from fixtures.imported_labels import CASES, conflicts, labels

from allencv_al.__main__ import main
from allencv_al.labels.sessions.labeling_store import LABELING_NAME, LabelingStore


@pytest.mark.parametrize(
    "name",
    ["own_labels_table", "excel_semicolon_bom", "header_spaces", "ls_csv_export", "kaggle_train"],
)
def test_tables_of_others_are_read_and_labels_csv_is_written(
    name: str, run: Callable[..., tuple[int, str, str]], labeling: Path
) -> None:
    code, out, _ = run(CASES / f"{name}.csv")
    assert (code, labels(labeling)) == (0, {"001.png": "red", "002.png": "blue"})
    assert "2 of 2 labels are new" in out
    table = (labeling / "labels.csv").read_text().splitlines()
    assert table == ["path,label", "../imgs/001.png,red", "../imgs/002.png,blue"]


def test_rows_that_contradict_each_other_are_both_named(
    run: Callable[..., tuple[int, str, str]], labeling: Path
) -> None:
    code, _, err = run(CASES / "conflicting.csv")
    assert code == 2
    assert 'line 3: "001.png" is "blue" here and "red" in line 2' in err
    assert labels(labeling) == {}


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("is_json", [False, True])
def test_of_two_answers_with_times_the_newer_stands(
    reverse: bool,
    is_json: bool,
    run: Callable[..., tuple[int, str, str]],
    labeling: Path,
    tmp_path: Path,
) -> None:
    rows = [("001.png", "red", 5.0), ("x/001.png", "blue", 6.0)]
    rows = rows[::-1] if reverse else rows
    file = tmp_path / ("x.jsonl" if is_json else "x.csv")
    if is_json:
        lines = [json.dumps(dict(zip(("id", "label", "time"), row, strict=True))) for row in rows]
    else:
        lines = ["id,label,time", *(",".join(map(str, row)) for row in rows)]
    file.write_text("\n".join(lines))
    assert run(file)[0] == 0
    assert labels(labeling) == {"001.png": "blue"}


def test_the_newer_annotation_of_a_label_studio_annotator_stands(
    run: Callable[..., tuple[int, str, str]], labeling: Path
) -> None:
    assert run(CASES / "ls_same_annotator_twice_reversed.json")[0] == 0
    assert labels(labeling) == {"001.png": "blue"}


def test_two_annotators_stay_two_and_their_disagreement_is_for_the_review(
    run: Callable[..., tuple[int, str, str]], labeling: Path
) -> None:
    code, out, _ = run(CASES / "ls_two_annotators.json")
    assert code == 0 and "2 of 2 labels are new" in out
    assert (labels(labeling), conflicts(labeling)) == ({}, 1)
    code, _, err = run(CASES / "ls_two_annotators.json", "--annotator", "anna")
    assert code == 2 and 'the labels are of 2 annotators ("1", "2")' in err


def test_a_label_of_another_annotator_is_one_more(
    run: Callable[..., tuple[int, str, str]], labeling: Path, tmp_path: Path
) -> None:
    file = tmp_path / "x.csv"
    for annotator, label in (("anna", "red"), ("ben", "red"), ("cleo", "blue")):
        file.write_text(f"id,label,annotator\n001.png,{label},{annotator}\n")
        assert run(file)[0] == 0
    assert (labels(labeling), conflicts(labeling)) == ({"001.png": "red"}, 0)


@pytest.mark.parametrize(
    ("answer", "imported"),
    [
        ({"label": "red", "answer": "accept"}, {"001.png": "red"}),
        ({"accept": ["red"], "answer": "accept"}, {"001.png": "red"}),
        ({"accept": ["red", "blue"], "answer": "accept"}, {}),
        ({"label": "red", "answer": "reject"}, {}),
        ({"label": "red", "answer": "ignore"}, {}),
    ],
)
def test_prodigy_labels_are_those_that_were_accepted(
    answer: dict[str, object],
    imported: dict[str, str],
    run: Callable[..., tuple[int, str, str]],
    labeling: Path,
    tmp_path: Path,
) -> None:
    for name, text in (
        ("p.jsonl", json.dumps({"image": "001.png", **answer})),
        ("p.json", json.dumps([{"image": "001.png", **answer}])),
    ):
        (tmp_path / name).write_text(text)
        code, *_ = run(tmp_path / name)
        assert code == (0 if imported else 2)
        assert labels(labeling) == imported


def test_a_rejected_label_alone_is_nothing_to_import(
    run: Callable[..., tuple[int, str, str]], labeling: Path
) -> None:
    code, _, err = run(CASES / "prodigy_label_reject.jsonl")
    assert code == 2 and "none of its 1 entries has a label" in err
    assert not (labeling / "labels.csv").exists()


def studio(*annotations: dict[str, object]) -> str:
    result = {"type": "choices", "value": {"choices": ["red"]}}
    many = [{"completed_by": 1, "result": [result], **one} for one in annotations]
    return json.dumps([{"id": 1, "data": {"image": "001.png"}, "annotations": many}])


@pytest.mark.parametrize(
    ("more", "imported"),
    [
        ({}, {"001.png": "red"}),
        ({"ground_truth": True}, {"001.png": "red"}),
        ({"was_cancelled": True}, {}),
        ({"reviews": [{"accepted": False}]}, {}),
        ({"reviews": [{"accepted": False}, {"accepted": True}]}, {"001.png": "red"}),
    ],
)
def test_label_studio_annotations_that_were_skipped_or_rejected_are_no_labels(
    more: dict[str, object],
    imported: dict[str, str],
    run: Callable[..., tuple[int, str, str]],
    labeling: Path,
    tmp_path: Path,
) -> None:
    (tmp_path / "x.json").write_text(studio(more))
    assert run(tmp_path / "x.json")[0] == (0 if imported else 2)
    assert labels(labeling) == imported


def test_annotations_of_one_task_that_contradict_each_other_are_both_named(
    run: Callable[..., tuple[int, str, str]], labeling: Path, tmp_path: Path
) -> None:
    blue = [{"type": "choices", "value": {"choices": ["blue"]}}]
    (tmp_path / "x.json").write_text(studio({}, {"result": blue}))
    code, _, err = run(tmp_path / "x.json")
    assert code == 2
    assert 'task 1, annotation 2: "001.png" is "blue" here and "red" in task 1, annotation 1' in err


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        (
            "x.csv",
            "id,class,weight\n001.png,red,1\n",
            'a column "label" or "kind" or "labels" in the header, ',
        ),
        ("x.csv", "id,label\n", "it has no entries"),
        ("x.csv", "", "it is empty"),
        ("x.json", "[]", "it has no entries"),
        ("x.json", '{"a": 1}', "found a; supported:"),
        ("x.xml", "<?xml version='1.0'?>\n<svg></svg>", "like XML, and cannot be read"),
        ("x.xml", "<?xml version='1.0'?>\n<annotation></annotation>", "(single_label)"),
        ("x.csv", "id,label\n001.png,\n", "none of its 1 entries has a label"),
        ("x.csv", "id,label\n001.png,green\n", '"green" is no class'),
    ],
)
def test_what_cannot_be_imported_is_an_error(
    name: str, text: str, fault: str, run: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text)
    code, out, err = run(tmp_path / name)
    assert (code, out) == (2, "")
    assert fault in err


@pytest.mark.parametrize("label", ["cafe\u0301", " café ", "café"])
def test_a_class_is_known_in_any_of_its_spellings(
    label: str, run: Callable[..., tuple[int, str, str]], labeling: Path, tmp_path: Path
) -> None:
    (tmp_path / "x.jsonl").write_text(json.dumps({"id": "001.png", "label": label}))
    assert run(tmp_path / "x.jsonl")[0] == 0
    assert labels(labeling) == {"001.png": "café"}


def test_a_second_import_adds_nothing_and_is_no_fault(
    run: Callable[..., tuple[int, str, str]], labeling: Path
) -> None:
    for added in (2, 0):
        code, out, _ = run(CASES / "kaggle_train.csv")
        assert code == 0 and f"{added} of 2 labels are new" in out


def test_what_is_exported_goes_in_again_in_every_encoding(
    run: Callable[..., tuple[int, str, str]], labeling: Path, tmp_path: Path
) -> None:
    rows: Sequence[str] = ("Image\tLabel", "001.png\tcafé", "")
    file = tmp_path / "unicode.txt"
    file.write_bytes("\r\n".join(rows).encode("utf-16"))
    assert run(file)[0] == 0
    assert labels(labeling) == {"001.png": "café"}


def test_a_table_without_a_header_says_so(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    (tmp_path / "t.csv").write_text("imgs/001.png,red\nimgs/002.png,blue\n")
    code, _, err = run(tmp_path / "t.csv")
    assert code == 2
    assert "found imgs/001.png, red; is the header missing?" in err


def test_the_folder_of_the_images_is_answered_with_that_of_their_labeling(
    labeling: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "labels.csv").write_text("image,label\n001.png,red\n")
    assert main(["import-labels", str(tmp_path / "labels.csv"), str(tmp_path / "imgs")]) == 2
    assert f"found none; did you mean {labeling}?" in capsys.readouterr().err


def test_a_table_that_was_filled_in_is_imported_with_its_words(
    run: Callable[..., tuple[int, str, str]], labeling: Path, tmp_path: Path
) -> None:
    text = "path,label,id,rank\nx/1,red,001.png,1\nx/2,?skip,002.png,2\nx/3,?unsure ,003.png,3\n"
    (tmp_path / "to_label.csv").write_text(text)
    assert run(tmp_path / "to_label.csv")[0] == 0
    with LabelingStore(labeling / LABELING_NAME, create=False) as store:
        kinds = {
            one.id: str(one.kind) for one in store.agreed_labels(1) if one.event_id is not None
        }
    assert kinds == {"001.png": "label", "002.png": "skip", "003.png": "unsure"}


def test_times_may_be_dates_and_blanks_make_no_other_annotator(
    run: Callable[..., tuple[int, str, str]], labeling: Path, tmp_path: Path
) -> None:
    (tmp_path / "x.csv").write_text(
        "id,label,annotator,time\n"
        "001.png,red,ann,2026-01-02T00:00:00Z\n"
        "001.png,blue, ann ,2026-01-01 00:00:00\n"
    )
    code, _, _ = run(tmp_path / "x.csv", "--annotator", " me ")
    assert (code, labels(labeling)) == (0, {"001.png": "red"})
    with LabelingStore(labeling / LABELING_NAME, create=False) as store:
        assert store.agreed_labels(1)[0].annotator == "me"


def test_classes_of_images_in_a_coco_file_are_imported(
    run: Callable[..., tuple[int, str, str]], labeling: Path
) -> None:
    assert run(CASES / "coco_classification.json")[0] == 0
    assert labels(labeling) == {"001.png": "red"}


def test_unknown_images_and_classes_are_left_out_and_listed(
    run: Callable[..., tuple[int, str, str]], labeling: Path, tmp_path: Path
) -> None:
    file, table = tmp_path / "x.csv", tmp_path / "left.csv"
    file.write_text("id,label\n001.png,red\nother.png,red\n002.png,green\n003.png,blue\n")
    code, _, err = run(file)
    assert code == 2 and "2 problems" in err and labels(labeling) == {}
    code, out, err = run(file, "--skip-unknown", str(table))
    assert (code, err) == (0, "")
    assert f"2 of 4 labels are new in {labeling}\n" in out
    assert f"labels of unknown images or classes, left out: 2 ({table})" in out
    assert labels(labeling) == {"001.png": "red", "003.png": "blue"}
    rows = table.read_text().splitlines()
    assert rows[0] == "place,id,reason"
    assert rows[1].startswith("line 3,other.png,there is no such image")
    assert rows[2].startswith('line 4,002.png,"""green"" is no class')
    file.write_text("id,label\n001.png,red\n")
    run(file, "--skip-unknown", str(table))
    assert table.read_text() == "place,id,reason\n"
