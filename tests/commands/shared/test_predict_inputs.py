"""The inputs of `allencv-al predict`: folders, tables, lists and JSON lines."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import threading
from pathlib import Path

import pytest
from fixtures.prediction_lines import json_lines, parsed

from allencv_al.__main__ import main
from allencv_al.commands.shared import predict_inputs
from allencv_al.predictors import Predictor

KEYS = ["logits", "probs", "prediction", "class"]


def test_a_folder_is_read_at_any_depth_in_sorted_order(
    archive: str, pictures: Path, files: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    (pictures / "notes.txt").write_text("no picture")
    (pictures / ".hidden.png").write_bytes(b"no picture")
    assert main(["predict", archive, str(pictures)]) == 0
    answers = parsed(capsys.readouterr().out)
    assert [answer["image_path"] for answer in answers] == [str(file) for file in files]
    assert list(answers[0]) == ["image_path", *KEYS]


def test_a_list_of_files_and_one_image(
    archive: str, files: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = json_lines(tmp_path / "list.txt", str(files[1]), "", str(files[0]))
    assert main(["predict", archive, listed]) == 0
    answers = parsed(capsys.readouterr().out)
    assert [answer["image_path"] for answer in answers] == [str(files[1]), str(files[0])]
    assert main(["predict", archive, str(files[0])]) == 0
    (answer,) = parsed(capsys.readouterr().out)
    assert answer["logits"] == pytest.approx(answers[1]["logits"], abs=1e-5)
    unnamed = tmp_path / "picture"
    unnamed.write_bytes(files[0].read_bytes())
    assert main(["predict", archive, str(unnamed)]) == 0
    (answer,) = parsed(capsys.readouterr().out)
    assert answer["class"] == answers[1]["class"]


def test_stdin(
    archive: str,
    files: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = json.dumps({"image_path": str(files[0])}) + f"\r\n{files[1]}\n"
    monkeypatch.setattr(
        sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode("utf-8-sig")), encoding="utf-8")
    )
    assert main(["predict", archive, "-"]) == 0
    first, second = parsed(capsys.readouterr().out)
    assert list(first) == KEYS
    assert second["image_path"] == str(files[1])


def test_a_line_that_is_too_long_is_passed_over(
    archive: str,
    files: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(predict_inputs, "MAX_LINE_BYTES", 300)
    lines = json_lines(tmp_path / "in.txt", "x" * 1000, str(files[0]))
    assert main(["predict", archive, lines]) == 1
    first, second = parsed(capsys.readouterr().out)
    assert first == {"error": "the line has more than 300 bytes", "line": 1}
    assert second["image_path"] == str(files[0])


def test_a_file_name_that_is_not_utf_8(
    archive: str, files: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = os.fsencode(tmp_path) + b"/caf\xe9.png"
    Path(os.fsdecode(name)).write_bytes(files[0].read_bytes())
    listed = tmp_path / "list.txt"
    listed.write_bytes(name + b"\n")
    assert main(["predict", archive, str(listed)]) == 0
    (answer,) = parsed(capsys.readouterr().out)
    assert os.fsencode(answer["image_path"]) == name


def test_any_number_of_inputs_is_held_a_few_batches_at_a_time(
    archive: str, files: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The input is a pipe that is never full: if it were read to its end first, this would hang."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    written = 0

    def write() -> None:
        nonlocal written
        with fifo.open("w") as file:
            for _ in range(200):
                file.write(f"{files[0]}\n")
                written += 1

    writer = threading.Thread(target=write)
    writer.start()
    with fifo.open("rb") as pipe:
        items = predict_inputs._line_items(pipe)
        outcomes = Predictor.from_path(archive).outcomes((item.value for item in items), 2)
        assert next(outcomes).error is None
        assert sum(1 for _ in outcomes) == 199
    writer.join()


def test_what_is_passed_over_in_a_folder_is_said(
    archive: str, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pictures / "clip.MOV").touch()
    (pictures / "scan.dcm").touch()
    assert main(["predict", archive, str(pictures)]) == 0
    err = capsys.readouterr().err
    assert "skipped: 1 DICOM (scan.dcm), 1 video (clip.MOV)" in err


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.csv", "path,label\npictures/Cat/0.png,Cat\npictures/Dog/4.png,Dog\n"),
        ("t.txt", "label;Path\rCat;pictures/Cat/0.png\rDog;pictures/Dog/4.png\r"),
        ("to_label.csv", "path,label,id\npictures/Cat/0.png,,0\npictures/Dog/4.png,,1\n"),
        ("t.csv", "sep=;\r\npath;label\r\npictures/Cat/0.png;\r\npictures/Dog/4.png;\r\n"),
        ("t.jsonl", '{"path": "pictures/Cat/0.png"}\n{"path": "pictures/Dog/4.png"}\n'),
        ("t.jsonl", '{"Path": "pictures/Cat/0.png"}\n{"PATH": "pictures/Dog/4.png"}\n'),
        ("t.json", '[{"path": "pictures/Cat/0.png"},\n{"path": "pictures/Dog/4.png"}]'),
        ("t.json", '{\n"path": "pictures/Cat/0.png"\n}\n{\n"path": "pictures/Dog/4.png"}\n'),
        ("l.txt", "{folder}/Cat/0.png\r{folder}/Dog/4.png\r"),
        ("l.txt", '"{folder}/Cat/0.png"\r\n{folder}/Dog/4.png\u00a0\r\n'),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_the_paths_of_tables_and_lists_are_read(
    archive: str,
    files: list[Path],
    pictures: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    text: str,
    encoding: str,
) -> None:
    assert pictures == tmp_path / "pictures"
    (tmp_path / name).write_bytes(text.replace("{folder}", str(pictures)).encode(encoding))
    assert main(["predict", archive, str(tmp_path / name)]) == 0
    answers = parsed(capsys.readouterr().out)
    assert [answer["image_path"].strip('"\u00a0')[-9:] for answer in answers] == [
        "Cat/0.png",
        "Dog/4.png",
    ]
    assert {"logits", "class"} <= set(answers[0])


def test_a_path_in_a_list_may_begin_with_a_bracket(
    archive: str, files: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [tmp_path / name for name in ("[2021] a.png", "[b].png")]
    for name in names:
        name.write_bytes(files[0].read_bytes())
    listed = tmp_path / "list.txt"
    with contextlib.chdir(tmp_path):
        listed.write_text("".join(f"{name.name}\n" for name in names))
        assert main(["predict", archive, str(listed)]) == 0
    answers = parsed(capsys.readouterr().out)
    assert [answer["image_path"] for answer in answers] == [name.name for name in names]


@pytest.mark.parametrize("is_list", [False, True])
def test_printed_json_and_lists_of_requests_are_read(
    archive: str,
    files: list[Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    is_list: bool,
) -> None:
    request = {"image_path": str(files[0])}
    text = json.dumps([request] if is_list else request, indent=1)
    (tmp_path / "in.json").write_text(text)
    assert main(["predict", archive, str(tmp_path / "in.json")]) == 0
    [by_file] = parsed(capsys.readouterr().out)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode()), encoding="utf-8"))
    assert main(["predict", archive, "-"]) == 0
    assert parsed(capsys.readouterr().out) == [by_file]
    assert list(by_file) == KEYS


def test_what_is_no_file_is_said_on_its_line(
    archive: str, files: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ["https://x.example/1.png", '{"image_path": "\\ud800.png"}', str(files[0])]
    lines += ['{"path": " "}', '{"image_path": ""}']
    assert main(["predict", archive, json_lines(tmp_path / "in.txt", *lines)]) == 1
    first, second, third, *blank = parsed(capsys.readouterr().out)
    assert [one["error"] for one in blank] == [
        "path: expected the path of an image, found nothing",
        "image_path: expected the path of an image, found nothing",
    ]
    assert "found the address https://x.example/1.png" in first["error"]
    assert "expected Unicode text" in second["error"] and second["line"] == 2
    assert "error" not in third


def test_a_table_without_paths_says_which_columns_it_has(
    archive: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "t.csv").write_text("id,label\n1,cat\n")
    assert main(["predict", archive, str(tmp_path / "t.csv")]) == 2
    assert 'expected a column "path" or "image_path" in the header, found id, label' in (
        capsys.readouterr().err
    )


def test_an_empty_input_is_not_the_current_folder(
    archive: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", archive, ""]) == 2
    assert 'INPUT: expected a path, found ""' in capsys.readouterr().err
