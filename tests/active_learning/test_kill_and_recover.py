"""kill -9 at any point of a run changes nothing: its picks, labels and curve are the same."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fixtures.kills import Attempts, killed

MakeConfig = Callable[..., dict[str, Any]]

POINTS = [
    *(f"{state} {when}" for state in ("TRAIN", "TEST", "INFER") for when in ("begun", "done")),
    *(f"{state} recorded" for state in ("TRAIN", "TEST", "INFER", "SELECT", "INGEST")),
    *("SELECT begun", "SELECT done", "INGEST begun"),
    *(f"WAITING_FOR_LABELS {when}" for when in ("begun", "done", "recorded")),
]


@pytest.fixture
def cached_config(linear_config: MakeConfig) -> dict[str, Any]:
    """A fixed encoder, logistic regression on cached embeddings, and a strategy with dropout."""
    config = linear_config(strategy="bald", mc_samples=3, budget=8, initial={"size": 3})
    config["model"]["dropout"] = 0.3
    return config


@pytest.fixture
def trained_config(network_config: MakeConfig) -> dict[str, Any]:
    """A small network that trains, warm starts, k-center, and predictions that are kept."""
    never = {"type": "stable_predictions", "window": 99}
    return network_config(strategy="k_center", retrain="warm", stop=[never], budget=8)


def check_each_point(attempts: Attempts) -> None:
    assert sorted(attempt["point"] for attempt in attempts) == sorted(POINTS)
    assert {tuple(attempt["codes"]) for attempt in attempts} == {(-signal.SIGKILL, 0)}


@pytest.mark.slow
def test_kills_at_every_point_of_one_run(trained_config: dict[str, Any], tmp_path: Path) -> None:
    job = {"mode": "everywhere", "config": trained_config, "folder": tmp_path}
    (found,) = killed(job)
    assert [attempt["point"] for attempt in found] == ["34 points"]


@pytest.mark.slow
def test_a_kill_at_each_point_of_a_run_on_cached_embeddings(
    cached_config: dict[str, Any], tmp_path: Path
) -> None:
    once, everywhere = killed(
        {"mode": "once", "config": cached_config, "folder": tmp_path / "once"},
        {"mode": "everywhere", "config": cached_config, "folder": tmp_path / "everywhere"},
    )
    check_each_point(once)
    assert len(everywhere) == 1


@pytest.mark.slow
def test_a_kill_at_each_point_of_a_run_that_trains(
    trained_config: dict[str, Any], tmp_path: Path
) -> None:
    trained_config["active_learning"]["budget"] = 12
    job = {"mode": "once", "config": trained_config, "folder": tmp_path, "files": True}
    (found,) = killed(job)
    check_each_point(found)


@pytest.mark.slow
@pytest.mark.parametrize("retrain", ["cold", "warm", "shrink_perturb"])
def test_kills_at_every_point_whatever_rounds_start_from(
    trained_config: dict[str, Any], tmp_path: Path, retrain: str
) -> None:
    trained_config["active_learning"].update(retrain=retrain, strategy="batch_bald", mc_samples=4)
    trained_config["data_loader"]["num_workers"] = 1
    killed({"mode": "everywhere", "config": trained_config, "folder": tmp_path})


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["cached", "trained"])
def test_kills_at_random_moments(
    cached_config: dict[str, Any], trained_config: dict[str, Any], tmp_path: Path, kind: str
) -> None:
    config = {"cached": cached_config, "trained": trained_config}[kind]
    seed = random.randrange(1 << 32)
    (found,) = killed(
        {"mode": "random", "config": config, "folder": tmp_path, "kills": 20, "seed": seed}
    )
    assert sum(code == -signal.SIGKILL for attempt in found for code in attempt["codes"]) == 20
