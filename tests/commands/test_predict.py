"""`allencv-al predict`."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from allencv_al.__main__ import main
from allencv_al.commands.shared import predict_inputs
from allencv_al.models import archive_model
from allencv_al.predictors import Predictor

KEYS = ["logits", "probs", "prediction", "class"]


@pytest.fixture
def archive(tiny_run: Path) -> str:
    return str(archive_model(tiny_run))


@pytest.fixture
def files(pictures: Path) -> list[Path]:
    return sorted(pictures.rglob("*.png"))


@pytest.fixture
def broken(pictures: Path) -> Path:
    path = pictures / "Dog" / "9.png"
    path.write_bytes(b"no picture")
    return path


def json_lines(path: Path, *lines: Any) -> str:
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(texts) + "\n")
    return str(path)


def parsed(text: str) -> list[dict[str, Any]]:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    assert not text or text.endswith("\n")
    return [json.loads(line, parse_constant=refuse) for line in text.splitlines()]


def test_the_seed_s_command(
    archive: str, files: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    test_input = json_lines(tmp_path / "test_input.json", {"image_path": str(files[0])})
    packages = [
        "data.dataset_readers",
        "modules.im2vec_encoders",
        "modules.im2im_encoders",
        "models",
        "predictors",
    ]
    includes = [word for p in packages for word in ("--include-package", f"allencv_al.{p}")]
    command = [
        "predict",
        archive,
        test_input,
        "--cuda-device",
        "-1",
        "--predictor",
        "default_image",
        *includes,
    ]
    assert main(command) == 0
    (answer,) = parsed(capsys.readouterr().out)
    assert list(answer) == KEYS
    assert answer == Predictor.from_path(archive).predict(files[0])


def test_json_lines_keep_their_order_and_their_keys(
    archive: str, files: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [{"image_path": str(file)} for file in reversed(files)]
    lines[2:2] = ["", "   "]  # type: ignore[list-item]
    lines.append({"image": [10] * 12, "image_shape": [2, 2, 3]})  # type: ignore[dict-item]
    assert (
        main(["predict", archive, json_lines(tmp_path / "in.jsonl", *lines), "--batch-size", "3"])
        == 0
    )
    output = capsys.readouterr()
    answers = parsed(output.out)
    assert len(answers) == 8
    assert all(list(answer) == KEYS for answer in answers)
    predictor = Predictor.from_path(archive)
    expected = [predictor.predict(file)["class"] for file in reversed(files)]
    assert [answer["class"] for answer in answers[:7]] == expected


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
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode("utf-8-sig"))))
    assert main(["predict", archive, "-"]) == 0
    first, second = parsed(capsys.readouterr().out)
    assert list(first) == KEYS
    assert second["image_path"] == str(files[1])


def test_what_cannot_be_predicted_gives_a_line_and_the_run_goes_on(
    archive: str,
    files: list[Path],
    broken: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = [
        {"image_path": str(files[0])},
        {"image_path": str(broken)},
        "{not json",
        "[1, 2]",
        '{"wrong": 1}',
        '{"a": ' * 100_000,
        "nowhere.png",
        {"image_path": str(files[1])},
    ]
    assert main(["predict", archive, json_lines(tmp_path / "in.jsonl", *lines)]) == 1
    output = capsys.readouterr()
    answers = parsed(output.out)
    assert len(answers) == 8
    assert ["error" in answer for answer in answers] == [False] + [True] * 6 + [False]
    assert answers[1]["line"] == 2
    assert answers[1]["image_path"] == str(broken)
    assert "cannot be read as an image" in answers[1]["error"]
    assert answers[2]["error"].startswith("not a JSON object")
    assert answers[3] == {"error": "expected a JSON object, found [1, 2]", "line": 4}
    assert answers[4] == {"error": answers[4]["error"], "line": 5}
    assert answers[6]["image_path"] == "nowhere.png"
    assert "6 of 8 inputs could not be predicted" in output.err


def test_an_unreadable_image_in_a_folder(
    archive: str, pictures: Path, broken: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", archive, str(pictures), "--batch-size", "2"]) == 1
    answers = parsed(capsys.readouterr().out)
    assert [answer["image_path"] for answer in answers if "error" in answer] == [str(broken)]
    assert len(answers) == 8


def test_with_an_output_file_nothing_goes_to_stdout(
    archive: str, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "deep" / "out.jsonl"
    for extra in ([], ["--silent"]):
        assert main(["predict", archive, str(pictures), "--output-file", str(output), *extra]) == 0
        assert capsys.readouterr().out == ""
        assert len(parsed(output.read_text())) == 7
        output.unlink()
    assert not any(output.parent.iterdir())


def test_silent_alone_would_do_nothing(
    archive: str, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", archive, str(pictures), "--silent"]) == 2
    assert "--silent: nothing would be written" in capsys.readouterr().err


def test_a_dataset_reader_can_read_the_input(
    archive: str, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", archive, str(pictures), "--use-dataset-reader"]) == 0
    answers = parsed(capsys.readouterr().out)
    assert list(answers[0]) == ["id", *KEYS]
    assert answers[0]["id"] == "Cat/0.png"


def test_overrides_weights_reader_choice_and_predictor_arguments(
    archive: str, tiny_run: Path, files: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    command = [
        "predict",
        archive,
        str(files[0]),
        "--weights-file",
        str(tiny_run / "best.safetensors"),
        "--dataset-reader-choice",
        "train",
        "-o",
        '{"dataset_reader.augmentation": [{"type": "resize", "height": 8, "width": 8}]}',
        "--predictor-args",
        '{"num_threads": 1}',
    ]
    assert main(command) == 0
    (changed,) = parsed(capsys.readouterr().out)
    assert main(command[:3]) == 0
    (plain,) = parsed(capsys.readouterr().out)
    assert changed["logits"] != pytest.approx(plain["logits"], abs=1e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere: there is no such file or folder"),
        (["."], "found no images in this folder"),
        (["{image}", "--predictor", "defualt_image"], "default_image"),
        (["{image}", "--predictor-args", "[1]"], "--predictor-args: expected a JSON object"),
        (["{image}", "--predictor-args", "{"], "--predictor-args: expected a JSON object"),
        (["{image}", "--predictor-args", '{"threads": 1}'], "threads"),
        (["{image}", "-o", '{"modle.dropout": 1}'], "modle"),
        (["{image}", "-o", "{"], "--overrides"),
        (["{image}", "--cuda-device", "77"], "GPU 77"),
        (["{image}", "--weights-file", "absent.safetensors"], "absent.safetensors"),
    ],
)
def test_a_mistake_is_one_message(
    archive: str,
    files: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    filled = [argument.replace("{image}", str(files[0])) for argument in arguments]
    assert main(["predict", archive, *filled]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert message in output.err
    assert "Traceback" not in output.err


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


def test_several_inputs_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "model.tar.gz", "a.jpg", "b.jpg"]) == 2
    shown = capsys.readouterr().err
    assert "INPUT is one thing, found b.jpg after it; for many images give their folder" in shown
    assert main(["predict", "--help"]) == 0
    assert "further" not in capsys.readouterr().out.partition("positional")[0]


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EIO, errno.ESTALE, errno.ENOMEM])
def test_a_fault_of_the_machine_ends_it_under_its_own_name(
    archive: str,
    pictures: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    number: int,
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Image, "open", fails)
    assert main(["predict", archive, str(pictures)]) == 1
    out, err = capsys.readouterr()
    assert not out
    assert f".png: {os.strerror(number)}" in err
    assert "Traceback" not in err


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
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
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


def test_an_output_file_is_checked_before_the_model_is_loaded(
    files: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["predict", "absent.tar.gz", str(files[0]), "--output-file"]
    assert main([*command, str(tmp_path)]) == 2
    assert "--output-file: expected a file, found the folder" in capsys.readouterr().err
    assert main([*command, str(files[0])]) == 2
    assert "is an input, and would be replaced" in capsys.readouterr().err


def test_an_empty_input_is_not_the_current_folder(
    archive: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", archive, ""]) == 2
    assert 'INPUT: expected a path, found ""' in capsys.readouterr().err
