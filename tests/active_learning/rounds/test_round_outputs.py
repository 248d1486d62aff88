"""Outputs of a round's model: only what is needed, once, and removed afterwards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fixtures.loop_runs import count_calls, half_labeled, run

from allencv_al.labels.annotators.base import WaitingForLabels

MakeConfig = Callable[..., dict[str, Any]]


def test_only_what_the_strategy_needs_is_computed_and_nothing_in_the_last_round(
    network_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = count_calls(monkeypatch)
    run(network_config(evaluate_pool=False, strategy="margin"), tmp_path / "a")
    nothing, logits = frozenset[str](), frozenset({"logits"})
    assert calls == [(36, nothing), (32, logits), (28, logits), (24, nothing)]
    calls.clear()
    run(network_config(evaluate_pool=False, strategy="random"), tmp_path / "b")
    assert {needs for _, needs in calls} == {nothing}
    calls.clear()
    run(network_config(evaluate_pool=True, strategy="k_center", budget=8), tmp_path / "c")
    embeddings = frozenset({"embeddings"})
    both = logits | embeddings
    # The pool once and the labeled items once in a round, though two ask for them
    assert calls == [(36, nothing), (32, both), (4, embeddings), (28, both), (8, embeddings)]


def test_outputs_that_a_kill_left_behind_are_removed(
    linear_config: MakeConfig, digits: Path, tmp_path: Path
) -> None:
    waiting = linear_config(
        half_labeled(tmp_path, digits),
        _dataset_reader={"type": "manifest"},
        test_fraction=0.2,
        budget=20,
        annotator="file",
    )
    with pytest.raises(WaitingForLabels):
        run(waiting, tmp_path / "waiting")
    left = tmp_path / "waiting" / "rounds" / "0001" / "outputs"
    left.mkdir()  # killed after SELECT was recorded, before its outputs were removed
    with pytest.raises(WaitingForLabels):
        run(waiting, tmp_path / "waiting")
    assert not left.exists()

    done = linear_config(budget=6, initial={"size": 5})
    last = run(done, tmp_path / "done")[-1].round
    left = tmp_path / "done" / "rounds" / f"{last:04d}" / "outputs"
    left.mkdir()
    run(done, tmp_path / "done", recover=True)
    assert not left.exists()
