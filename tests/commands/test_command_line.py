"""The frame of the command line, and what every subcommand owes its user."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from fixtures.command_line import modules_imported_by

from allencv_al import __main__ as command_line
from allencv_al.__main__ import build_parser, main
from allencv_al.common.errors import ConfigurationError, TrainingError

HEAVY = ("torch", "torchvision", "albumentations", "sklearn", "matplotlib", "numpy", "cv2", "PIL")


def test_help_imports_no_subcommand_and_nothing_heavy() -> None:
    imported = modules_imported_by("--help")
    assert not set(HEAVY) & set(imported)
    commands = {name for name in imported if name.startswith("allencv_al.commands.")}
    assert commands == {"allencv_al.commands.table"}


def test_without_arguments_help_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert "subcommands:" in output.err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert re.fullmatch(r"allencv-al \d+\.\d+\.\d+\n", capsys.readouterr().out)


def test_python_m_is_the_same_program() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "allencv_al", "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.startswith("allencv-al ")


def test_a_misspelt_subcommand_gets_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trian"]) == 2
    assert 'unknown subcommand "trian"; did you mean train?' in capsys.readouterr().err


def test_an_unknown_option_is_a_usage_fault(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["print-results", ".", "--no-such-option"]) == 2
    assert "--no-such-option" in capsys.readouterr().err


ABSENT = {
    "active-learn": ["active-learn", "absent.jsonnet", "-s", "out"],
    "compare": ["compare", "absent.jsonnet", "-s", "out"],
    "evaluate": ["evaluate", "absent.tar.gz", "data"],
    "find-lr": ["find-lr", "absent.jsonnet", "-s", "out"],
    "predict": ["predict", "absent.tar.gz", "."],
    "print-results": ["print-results", "absent"],
    "select": ["select", "absent.tar.gz", "."],
    "train": ["train", "absent.jsonnet", "-s", "out"],
}


@pytest.mark.parametrize("name", ABSENT)
def test_an_absent_file_is_one_message_without_a_traceback(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "image.png").touch()
    assert main(ABSENT[name]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert re.fullmatch(r"error: .*absent.*\n", output.err)


@pytest.mark.parametrize("name", [name for name in ABSENT if name != "print-results"])
def test_user_code_is_imported_first(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*ABSENT[name], "--include-package", "no_such_package_here"]) == 2
    assert "no_such_package_here" in capsys.readouterr().err


def fake_command(monkeypatch: pytest.MonkeyPatch, error: BaseException | None = None) -> None:
    """Put a subcommand `fail` in the table that raises an error."""

    def run(args: argparse.Namespace) -> int:
        if error is not None:
            raise error
        return 3

    module = SimpleNamespace(add_arguments=lambda parser: None, run=run)
    monkeypatch.setitem(command_line.SUBCOMMANDS, "fail", "raise an error")
    monkeypatch.setattr(command_line, "load_subcommand", lambda name: module)


def test_the_exit_code_of_the_subcommand_is_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_command(monkeypatch)
    assert main(["fail"]) == 3


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ConfigurationError("lr: expected float"), 2, "error: lr: expected float\n"),
        (TrainingError("nan loss"), 1, "error: nan loss\n"),
        (OSError(28, "No space left on device", "x.json"), 1, "error: x.json: No space left"),
        (PermissionError(13, "Permission denied", "run"), 2, "error: run: Permission denied\n"),
        (OSError(5, "Input/output error", "x.json"), 1, "error: x.json: Input/output error\n"),
        (KeyboardInterrupt(), 130, "error: interrupted\n"),
    ],
)
def test_an_error_is_a_message_and_an_exit_code(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    message: str,
) -> None:
    fake_command(monkeypatch, error)
    assert main(["fail"]) == code
    output = capsys.readouterr()
    assert output.err.startswith(message)
    assert "Traceback" not in output.err


@pytest.mark.parametrize("arguments", [["--debug", "fail"], ["fail", "--debug"]])
def test_debug_shows_the_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    fake_command(monkeypatch, ConfigurationError("wrong"))
    assert main(arguments) == 2
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert shown.endswith("error: wrong\n")


def test_a_fault_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_command(monkeypatch, ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        main(["fail"])


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    for i in range(500):  # more than a pipe holds (64 KiB)
        run = tmp_path / f"{i}_{'a_run_with_a_rather_long_name_' * 6}"
        run.mkdir()
        (run / "metrics.json").write_text('{"accuracy": 0.5}')
    command = f"{sys.executable} -m allencv_al print-results {tmp_path} | head -1"
    result = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ},
    )
    assert result.stdout == "model_run,accuracy\n"
    assert result.stderr == ""
    assert result.returncode == 141


def test_the_parser_knows_the_arguments_of_the_asked_subcommand_only() -> None:
    args = build_parser("print-results").parse_args(["print-results", "x"])
    assert args.path == Path("x")
    with pytest.raises(SystemExit):
        build_parser().parse_args(["print-results", "x"])
