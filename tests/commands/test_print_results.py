"""`allencv-al print-results`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from allencv_al.__main__ import main


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    metrics = {
        "b": {"accuracy": 0.5, "loss": 1.25, "per_class": {"Cat": 1.0}},
        "a/deep": {"accuracy": 0.75, "name": 'a "b", c'},
    }
    for name, values in metrics.items():
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "metrics.json").write_text(json.dumps(values))
    return tmp_path


def test_every_single_value_is_printed_by_default(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["print-results", str(runs)]) == 0
    assert capsys.readouterr().out == (
        "model_run,accuracy,name,loss\n"
        f'{runs}/a/deep,0.75,"a ""b"", c",N/A\n'
        f"{runs}/b,0.5,N/A,1.25\n"
    )


def test_keys_choose_and_order(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["print-results", str(runs), "-k", "loss", "per_class"]) == 0
    assert capsys.readouterr().out.splitlines()[2] == f'{runs}/b,1.25,"{{""Cat"": 1.0}}"'


def test_another_file_name(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (runs / "b" / "metrics_epoch_0.json").write_text('{"x": 1}')
    assert main(["print-results", str(runs), "-m", "metrics_epoch_0.json"]) == 0
    assert capsys.readouterr().out == f"model_run,x\n{runs}/b,1\n"


@pytest.mark.parametrize("content", ["[1]", "{", '"text"'])
def test_a_damaged_file_is_named(
    runs: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    (runs / "b" / "metrics.json").write_text(content)
    assert main(["print-results", str(runs)]) == 2
    assert "b/metrics.json: expected" in capsys.readouterr().err


def test_no_runs_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["print-results", str(tmp_path)]) == 2
    assert "found no metrics.json" in capsys.readouterr().err


@pytest.mark.parametrize("last", [False, True])
def test_the_folder_may_stand_before_or_behind_the_keys(
    runs: Path, capsys: pytest.CaptureFixture[str], last: bool
) -> None:
    before, behind = ([], [str(runs)]) if last else ([str(runs)], [])
    assert main(["print-results", *before, "-k", "accuracy", "-k", "loss", *behind]) == 0
    output = capsys.readouterr()
    assert output.out.splitlines()[::2] == ["model_run,accuracy,loss", f"{runs}/b,0.5,1.25"]
    assert output.err == ""


def test_a_missing_folder_is_told_and_the_usage_shows_it_first(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["print-results", "-k", "accuracy", "loss"]) == 2
    assert "PATH: missing; give the folder of the runs first" in capsys.readouterr().err
    assert main(["print-results", "--help"]) == 0
    assert capsys.readouterr().out.startswith("usage: allencv-al print-results PATH [-h] [-k KEY")


def test_a_key_that_no_run_has_is_a_warning(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["print-results", str(runs), "-k", "loss", "acuracy"]) == 0
    output = capsys.readouterr()
    assert output.out.splitlines()[2] == f"{runs}/b,1.25,N/A"
    assert 'WARNING no run has the key "acuracy"' in output.err
    assert '"loss"' not in output.err
