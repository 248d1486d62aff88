"""`allencv-al predict`."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from fixtures.prediction_lines import json_lines, parsed
from PIL import Image

from allencv_al.__main__ import main
from allencv_al.predictors import Predictor

KEYS = ["logits", "probs", "prediction", "class"]


@pytest.fixture
def broken(pictures: Path) -> Path:
    path = pictures / "Dog" / "9.png"
    path.write_bytes(b"no picture")
    return path


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


def test_an_output_file_is_checked_before_the_model_is_loaded(
    files: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["predict", "absent.tar.gz", str(files[0]), "--output-file"]
    assert main([*command, str(tmp_path)]) == 2
    assert "--output-file: expected a file, found the folder" in capsys.readouterr().err
    assert main([*command, str(files[0])]) == 2
    assert "is an input, and would be replaced" in capsys.readouterr().err
