"""A run from its config to its folder, begun, resumed and finished."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fixtures.loop_runs import count_calls, picks_of, run

from allencv_al.active_learning.rounds.round_record import RoundRecord
from allencv_al.active_learning.run import active_learn
from allencv_al.common import Params
from allencv_al.common.errors import ConfigurationError

MakeConfig = Callable[..., dict[str, Any]]


@pytest.mark.parametrize("strategy", ["batch_bald", "bald", "epig"])
def test_an_ensemble_needs_dropout_and_nothing_is_begun_without_it(
    linear_config: MakeConfig, tmp_path: Path, strategy: str
) -> None:
    message = "active_learning.strategy: needs an ensemble, which dropout gives"
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        active_learn(Params(linear_config(strategy=strategy)), tmp_path / "run")
    assert not (tmp_path / "run").exists(), "the mended config would need --force"


def test_rounds_are_told_as_they_come(linear_config: MakeConfig, tmp_path: Path) -> None:
    told: list[RoundRecord] = []
    records = run(linear_config(), tmp_path, on_round=told.append)
    assert [(record.round, record.metrics["accuracy"]) for record in told] == [
        (record.round, record.metrics["accuracy"]) for record in records
    ]
    # Written before the run waits for labels: the metrics and queries of the round
    assert picks_of(told) == picks_of(records)
    assert {pick.outcome for record in told for pick in record.picks} == {"waiting"}
    assert [RoundRecord.from_json(json.loads(json.dumps(r.to_json()))) for r in records] == records


def test_a_finished_run_can_be_asked_again_and_nothing_is_done(
    linear_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = run(linear_config(), tmp_path)
    calls = count_calls(monkeypatch)
    points: list[str] = []
    assert run(linear_config(), tmp_path, recover=True, on_point=points.append) == records
    assert calls == [] and points == []


def test_rounds_take_their_numbers_even_where_folders_are_gone(
    linear_config: MakeConfig, tmp_path: Path
) -> None:
    """What counts is the database; a person may have removed what looks like leftovers."""
    run(linear_config(budget=8), tmp_path)
    shutil.rmtree(tmp_path / "rounds" / "0001")
    assert [r.labels for r in run(linear_config(), tmp_path, recover=True)] == [0, 4, 8, 12]


def test_what_a_killed_process_left_half_written_is_swept_away(
    linear_config: MakeConfig, tmp_path: Path
) -> None:
    run(linear_config(budget=8), tmp_path)
    (tmp_path / "rounds" / "0002" / "images").mkdir()
    left = [tmp_path / "rounds" / "0002" / name for name in (".tmp-1.json", "images/.tmp-2.png")]
    for path in left:
        path.touch()
    run(linear_config(), tmp_path, recover=True)
    assert [path for path in left if path.exists()] == []
