"""`allencv-al compare`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from allencv_al.__main__ import main
from allencv_al.common.errors import DataError
from allencv_al.comparison import cell_workers

Run = Callable[..., tuple[int, str, str]]

CONFIG: dict[str, Any] = {
    "dataset_reader": {"type": "image_classification_directory"},
    "model": {
        "type": "basic_image_classifier",
        "im2vec_encoder": {
            "type": "flatten",
            "input_channels": 3,
            "input_height": 4,
            "input_width": 4,
        },
    },
    "trainer": {"type": "logistic_regression", "cuda_device": -1},
    "active_learning": {
        "initial": {"size": 3},
        "query_size": 3,
        "budget": 6,
        "test_fraction": 0.5,
    },
}


@pytest.fixture
def config(tmp_path: Path) -> dict[str, Any]:
    generator = np.random.default_rng(0)
    for channel, name in enumerate(("cat", "dog")):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(10):
            pixels = generator.integers(0, 200, (4, 4, 3), dtype=np.uint8)
            pixels[..., channel] += 40
            Image.fromarray(pixels).save(tmp_path / "pictures" / name / f"{number}.png")
    found: dict[str, Any] = json.loads(json.dumps(CONFIG))
    found["train_data_path"] = str(tmp_path / "pictures")
    return found


@pytest.fixture
def run(config: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs `compare` on the config, with one worker."""

    def command(*arguments: str, folder: str = "c") -> tuple[int, str, str]:
        path = tmp_path / "config.jsonnet"
        path.write_text(json.dumps(config))
        capsys.readouterr()
        words = ["compare", str(path), "-s", str(tmp_path / folder), "--workers", "1", *arguments]
        code = main(words)
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return command


def test_a_comparison_prints_a_table_with_the_best_first(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("--strategies", "random,margin,entropy", "--seeds", "2")
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == "strategy  seeds  AUBC %    sd    minus random  p (t, Holm)"
    means = [float(line.split()[2]) for line in lines[1:4]]
    assert means == sorted(means, reverse=True)
    assert {line.split()[0] for line in lines[1:4]} == {"random", "margin", "entropy"}
    assert next(line for line in lines[1:4] if len(line.split()) == 4).startswith("random")
    assert "With 2 paired seeds" in out, "so few seeds prove nothing"
    assert lines[-1] == f"report: {tmp_path / 'c' / 'report.html'}"
    assert len(list((tmp_path / "c" / "cells").iterdir())) == 3


def test_by_default_the_configs_own_strategy_is_compared_with_random(
    run: Run, config: dict[str, Any]
) -> None:
    config["active_learning"]["strategy"] = {"type": "subsample", "size": 5, "strategy": "margin"}
    code, out, _ = run("--seeds", "1")
    assert code == 0
    assert 'subsample {"size": 5, "strategy": "margin"}  ' in out


def test_names_of_ones_own(run: Run) -> None:
    text = '{"plain": "random", "a/b": {"type": "subsample", "size": 5, "strategy": "margin"}}'
    code, out, _ = run("--strategies", text, "--seeds", "1", "--baseline", "plain")
    assert code == 0
    assert "minus plain" in out and re.search(r"^a/b ", out, re.MULTILINE)


def test_a_baseline_that_is_not_there_is_said(run: Run) -> None:
    code, out, _ = run("--strategies", "margin,entropy", "--seeds", "1")
    assert code == 0
    assert "random is not among the strategies" in out
    assert out.splitlines()[0] == "strategy  seeds  AUBC %    sd"


def test_a_dry_run_tells_every_fault_and_runs_nothing(
    run: Run, config: dict[str, Any], tmp_path: Path
) -> None:
    code, out, _ = run("--dry-run", "--strategies", "random,margin", "--seeds", "4")
    assert (code, out) == (0, f"{tmp_path / 'config.jsonnet'}: no faults found; 8 runs\n")
    config["active_learning"].update(budget=0, query_sise=3)
    for more in (["--dry-run"], []):
        code, out, err = run(*more, "--strategies", "random,margni,bagde")
        assert (code, out) == (2, "")
        assert "4 faults in" in err
        assert "active_learning.budget: expected int >= 1, found 0" in err
        assert 'active_learning.query_sise: unknown key; did you mean "query_size"?' in err
        assert '--strategies margni: type: "margni" is not a registered' in err
        assert '--strategies bagde: type: "bagde" is not a registered' in err
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--strategies", "random,random"], "found twice: random"),
        (["--strategies", ""], "expected names with commas, found none"),
        (["--strategies", "{"], "--strategies"),
        (["--seeds", "0"], 'expected a number of seeds from 1 to 10000, found "0"'),
        (["--workers", "many"], 'expected an integer of at least 1, found "many"'),
        (["--metric", "loss"], "invalid choice"),
        (["--runs", "x"], "expected a CONFIG to run, or finished runs by --runs"),
        (["--strategies", "random,bald"], "--strategies bald: active_learning.strategy: needs an"),
        (["-o", '{"train_data_path": "/no/such"}'], "train_data_path: expected a file or a folder"),
        (["--recover"], "nothing to recover"),
        (["--baseline", "margni"], '"margni" is not among the strategies; did you mean "margin"?'),
        (["--baseline", "margni", "--dry-run"], "is not among the strategies"),
        (["--include-package", "no_such_package_here"], "no_such_package_here"),
    ],
    ids=str,
)
def test_a_mistake_is_a_message_and_leaves_nothing(
    run: Run, tmp_path: Path, arguments: list[str], message: str
) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert not (tmp_path / "c").exists()


def test_a_comparison_goes_on_with_other_worker_counts(run: Run, config: dict[str, Any]) -> None:
    assert run("--strategies", "random", "--seeds", "1")[0] == 0
    config["data_loader"] = {"num_workers": 1}
    assert run("--strategies", "random", "--seeds", "2", "--recover")[0] == 0
    config["data_loader"]["batch_size"] = 3
    code, _, err = run("--strategies", "random", "--seeds", "2", "--recover")
    assert code == 2 and "data_loader.batch_size: absent before, 3 now" in err


def test_a_folder_that_is_used_is_left_alone(run: Run, tmp_path: Path) -> None:
    assert run("--strategies", "random", "--seeds", "1")[0] == 0
    code, _, err = run("--strategies", "random", "--seeds", "1")
    assert code == 2 and "holds files already" in err
    code, out, _ = run("--strategies", "margin", "--seeds", "1", "--recover")
    assert code == 0 and "random" in out and "margin" in out
    code, out, _ = run("--strategies", "margin", "--seeds", "1", "--force")
    assert code == 0 and not re.search(r"^random  ", out, re.MULTILINE)


def test_a_run_that_fails_is_an_exit_code_and_the_others_count(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_cell = cell_workers._run_cell

    def failing(cell: Any, *rest: Any) -> None:
        if cell.name == "margin, seed 1":
            raise DataError("NaN or infinity for cat/3.png")
        run_cell(cell, *rest)

    monkeypatch.setattr(cell_workers, "_run_cell", failing)
    code, _, err = run("--strategies", "random,margin", "--seeds", "2")
    assert code == 2
    assert "1 run failed; --recover runs it again:\n  margin, seed 1: NaN or infinity" in err
    assert len((tmp_path / "c" / "results.csv").read_text().splitlines()) == 1 + 3 * 2


def test_an_interrupt_is_one_word(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cell_workers, "_run_cell", interrupted)
    code, out, err = run("--strategies", "random", "--seeds", "1")
    assert (code, out) == (130, "")
    assert err.splitlines()[-1] == "error: interrupted"


# --- finished runs --------------------------------------------------------------------------------


def test_finished_runs_are_compared(
    run: Run, config: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--strategies", "random,margin", "--seeds", "2")[0] == 0
    cells = [str(path) for path in sorted((tmp_path / "c" / "cells").glob("*/*"))]
    capsys.readouterr()
    assert main(["compare", "--runs", *cells, "-s", str(tmp_path / "again"), "--dry-run"]) == 0
    assert capsys.readouterr().out == "4 runs\n"
    assert main(["compare", "--runs", *cells, "-s", str(tmp_path / "again")]) == 0
    out, err = capsys.readouterr()
    assert "differ" not in err
    first = json.loads((tmp_path / "c" / "summary.json").read_text())
    second = json.loads((tmp_path / "again" / "summary.json").read_text())
    aubc = {found["strategy"]: found["aubc"] for found in first["strategies"]}
    assert {found["strategy"]: found["aubc"] for found in second["strategies"]} == aubc
    assert "report: " in out
    assert main(["compare", "--runs", *cells, "-s", str(tmp_path / "again")]) == 2
    assert "holds files already; --force writes over them" in capsys.readouterr().err
    assert main(["compare", "--runs", *cells, "-s", str(tmp_path / "again"), "--force"]) == 0


def test_runs_that_differ_in_more_are_compared_with_a_warning(
    run: Run, config: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "config.jsonnet"
    for name, changes in (
        ("a", '{"active_learning.strategy": "random"}'),
        ("b", '{"trainer.inverse_regularization": 0.1}'),
    ):
        path.write_text(json.dumps(config))
        assert main(["active-learn", str(path), "-s", str(tmp_path / name), "-o", changes]) == 0
    capsys.readouterr()
    folders = [str(tmp_path / name) for name in "ab"]
    assert main(["compare", "--runs", *folders, "-s", str(tmp_path / "both")]) == 0
    err = capsys.readouterr().err
    assert "The runs differ in more than strategy and seeds" in err
    assert "The runs differ in more" in (tmp_path / "both" / "results.md").read_text()
    assert "trainer.inverse_regularization" in err and "random_seed" not in err


@pytest.mark.parametrize("folder", ["absent", "."])
def test_a_folder_that_is_no_run_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], folder: str
) -> None:
    assert main(["compare", "--runs", str(tmp_path / folder), "-s", str(tmp_path / "c")]) == 2
    assert "expected the folder of a run of active-learn" in capsys.readouterr().err
    assert not (tmp_path / "c").exists()


def test_results_need_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "--runs", str(tmp_path)]) == 2
    assert "compare: needs -s DIR" in capsys.readouterr().err


def test_comparisons_of_several_machines_are_merged(run: Run, tmp_path: Path) -> None:
    both = ["--strategies", "random,margin"]
    assert run(*both, "--seeds", "0-1", folder="one")[0] == 0
    assert run(*both, "--seeds", "1-3", folder="two")[0] == 0
    assert run(*both, "--seeds", "4", folder="whole")[0] == 0
    words = ["compare", "--runs", str(tmp_path / "one"), str(tmp_path / "two")]
    merged = tmp_path / "merged"
    assert main([*words, "-s", str(merged), "--export", "picks"]) == 0
    found, whole = (
        json.loads((folder / "summary.json").read_text()) for folder in (merged, tmp_path / "whole")
    )
    assert [one["seeds"] for one in found["strategies"]] == [[0, 1, 2, 3]] * 2
    assert found["strategies"] == whole["strategies"]
    picks = (merged / "picks.csv").read_text().splitlines()
    assert picks[0] == "strategy,seed,round,rank,id,label,score"
    assert len(picks) == 1 + 2 * 4 * 6, "every label of every run"


def test_runs_of_one_name_that_differ_are_not_merged(
    run: Run, config: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--strategies", "random", "--seeds", "1", folder="one")[0] == 0
    config["active_learning"]["initial"]["size"] = 2
    assert run("--strategies", "random", "--seeds", "1", folder="two")[0] == 0
    words = ["compare", "--runs", str(tmp_path / "one"), str(tmp_path / "two")]
    assert main([*words, "-s", str(tmp_path / "merged")]) == 2
    assert "random, seed 0: differs in" in capsys.readouterr().err


def test_a_name_that_means_two_strategies_is_not_merged(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--strategies", '{mine: "random"}', "--seeds", "0-0", folder="one")[0] == 0
    assert run("--strategies", '{mine: "margin"}', "--seeds", "1-1", folder="two")[0] == 0
    words = ["compare", "--runs", str(tmp_path / "one"), str(tmp_path / "two")]
    assert main([*words, "-s", str(tmp_path / "merged")]) == 2
    assert "mine: it is one strategy in" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ('{"strategies": {"random": {"type": "random"}}, "seeds": [0]}', "no run is finished"),
        ('{"strategies": {"random"', "comparison.json: it is no plan of a comparison"),
        ('{"strategies": {}, "seeds": [0]}', "comparison.json: it is no plan of a comparison"),
        ('{"other": 1}', "comparison.json: it is no plan of a comparison"),
    ],
)
def test_a_comparison_without_a_finished_run_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], plan: str, message: str
) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "comparison.json").write_text(plan)
    words = ["compare", "--runs", str(tmp_path / "one"), "-s", str(tmp_path / "merged")]
    assert main(words) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "merged").exists()


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (5, "active_learning: expected"),
        ([1], "active_learning: expected"),
        ({"conditions": [3]}, "active_learning.conditions: expected"),
        ({"annotator": 5}, "active_learning.annotator: expected"),
    ],
)
def test_conditions_for_a_wrong_block_leave_it_to_the_check(
    run: Run, config: dict[str, Any], block: Any, message: str
) -> None:
    own = config["active_learning"]
    config["active_learning"] = {**own, **block} if isinstance(block, dict) else block
    code, _, err = run("--pool-size", "5", "--label-noise", "0.1", "--dry-run")
    assert (code, "Traceback" in err) == (2, False)
    assert message in err
