"""Arguments and output that `compare` and `benchmark` share."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from allencv_al.active_learning.rounds.curves import Curve
from allencv_al.commands.shared.comparing import (
    EXPORTS,
    add_comparison,
    add_seeds,
    print_summary,
    with_conditions,
    workers_and_threads,
)
from allencv_al.common import Params
from allencv_al.comparison.statistics import summarize

MakeCurves = Callable[..., list[Curve]]
PIPELINE = {"active_learning": {"learner": {"type": "pipeline", "url": "http://127.0.0.1:9"}}}


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_seeds(parser, default=3)
    add_comparison(parser)
    return parser.parse_args(words)


def test_by_default_there_are_some_seeds_and_no_conditions() -> None:
    args = parsed()
    assert (args.seeds, args.workers, args.baseline) == ((0, 1, 2), None, "random")
    assert (args.metric, args.export) == (None, ())
    config = {"active_learning": {"budget": 9}, "random_seed": 1}
    assert with_conditions(config, args) == config


def test_exports_are_kinds_with_commas_each_once() -> None:
    assert parsed("--export", "svg, picks,svg").export == ("svg", "picks")
    for wrong in ("png", "", "picks;svg"):
        with pytest.raises(argparse.ArgumentError, match=f"expected some of {EXPORTS[0]}"):
            parsed("--export", wrong)


def test_conditions_of_the_command_line_replace_single_ones_of_the_config() -> None:
    args = parsed("--imbalance", "10", "--pool-size", "500", "--conditions-seed", "4")
    block = {"conditions": {"imbalance": 2, "duplicates": 0.1}, "budget": 9}
    found = with_conditions({"active_learning": block}, args)["active_learning"]
    assert found["conditions"] == {"imbalance": 10, "duplicates": 0.1, "size": 500, "seed": 4}
    assert block["conditions"] == {"imbalance": 2, "duplicates": 0.1}, "a copy is changed"


@pytest.mark.parametrize(
    ("annotator", "expected"),
    [
        (None, {"type": "ground_truth", "noise": 0.2}),
        ("ground_truth", {"type": "ground_truth", "noise": 0.2}),
        (
            {"type": "ground_truth", "noise": 0.5, "seed": 3},
            {"type": "ground_truth", "noise": 0.2, "seed": 3},
        ),
        (7, 7),
    ],
)
def test_wrong_labels_are_the_annotators(annotator: Any, expected: Any) -> None:
    block = {"budget": 9} if annotator is None else {"annotator": annotator}
    found = with_conditions({"active_learning": block}, parsed("--label-noise", "0.2"))
    assert found["active_learning"]["annotator"] == expected


@pytest.mark.parametrize("block", [[1], "x", {"conditions": [3]}])
def test_a_wrong_block_is_left_to_the_check(block: Any) -> None:
    config = {"active_learning": block}
    assert with_conditions(config, parsed("--imbalance", "10")) == config


@pytest.mark.parametrize(
    ("runs", "asked", "expected"), [(9, None, (4, 1)), (3, None, (3, 1)), (9, 2, (2, 2))]
)
def test_workers_share_the_cores(
    runs: int, asked: int | None, expected: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3}, raising=False)
    assert workers_and_threads(Params({}), runs, asked) == expected


def test_a_pipeline_takes_one_run_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3}, raising=False)
    assert workers_and_threads(Params(PIPELINE), 9, None) == (1, 4)


def test_the_best_strategy_is_printed_first_with_its_lead(
    make_curves: MakeCurves, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    summary = summarize(make_curves(("random", "margin"), 3), "random")
    print_summary(summary, tmp_path)
    head, *rows, last = capsys.readouterr().out.splitlines()
    assert " ".join(head.split()) == "strategy seeds AUBC % sd minus random p (t, Holm)"
    best, *_ = summary.ranked()
    assert rows[0].split()[:2] == [best.strategy, "3"]
    assert float(rows[0].split()[2]) == pytest.approx(100 * best.aubc_mean, abs=0.005)
    assert last == f"report: {tmp_path / 'report.html'}"
