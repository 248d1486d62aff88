"""A config for a pipeline: what it may say, and what the pipeline decides itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from allencv_al.active_learning.rounds.round_record import RoundRecord
from allencv_al.common import Params
from allencv_al.common.errors import ConfigurationFaults
from allencv_al.service.driver.pipeline_experiment import PipelineExperiment

MakeConfig = Callable[..., dict[str, Any]]
Run = Callable[..., list[RoundRecord]]
UNUSED = "http://127.0.0.1:9"


def test_it_is_built_without_model_and_data(make_config: MakeConfig) -> None:
    config = {**make_config(UNUSED, strategy="margin"), "random_seed": 7}
    experiment = PipelineExperiment.from_checked(Params(config))
    assert experiment.seeds == (7, 7, 7) and experiment.dataset_reader is None
    assert experiment.settings.budget == 12 and PipelineExperiment.is_shared
    experiment.rehearse()


def test_only_a_pipeline_with_an_address_is_compared(make_config: MakeConfig) -> None:
    config = make_config(UNUSED)
    assert list(PipelineExperiment.comparison_faults(Params(config))) == []
    config["active_learning"]["learner"] = {"type": "pipeline", "listen_port": 5010}
    [fault] = PipelineExperiment.comparison_faults(Params(config))
    assert fault.path == "active_learning.learner.listen_port"


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"test_fraction": 0.5}, "active_learning.test_fraction: decided by the pipeline"),
        ({"mc_samples": 5}, "active_learning.mc_samples: decided by"),
        ({"retrain": "shrink_perturb"}, 'active_learning.retrain: expected "cold" or "warm"'),
        ({"strategy": "bald"}, "active_learning.strategy: needs mc_logits, which pipelines"),
        (
            {"initial": {"size": 4, "strategy": "typiclust"}},
            'active_learning.initial.strategy: there is no model yet: expected "random"',
        ),
        ({"_url": "127.0.0.1:5000"}, "active_learning.learner.url: expected http://HOST:PORT"),
        ({"_url": "http://me:you@host"}, "active_learning.learner.url: .*the token is a key"),
        ({"_url": "http://host:99999"}, "active_learning.learner.url: expected a port"),
        ({"_records": 0}, "active_learning.learner.records: expected int >= 1, found 0"),
        ({"_token": "a", "_token_file": "b"}, "learner.token_file: expected it or token"),
    ],
)
def test_a_wrong_config_is_refused_before_anything_is_asked(
    keys: dict[str, Any], message: str, make_config: MakeConfig, run_loop: Run, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationFaults, match=message):
        run_loop({**make_config(UNUSED, **keys)}, tmp_path / "run")


@pytest.mark.parametrize("key", ["model", "trainer", "validation_data_path"])
def test_what_the_pipeline_does_itself_is_no_key(
    key: str, make_config: MakeConfig, run_loop: Run, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationFaults, match=key):
        run_loop({**make_config(UNUSED), key: "x"}, tmp_path / "run")
    with pytest.raises(ConfigurationFaults, match="train_data_path: dataset_reader needs it"):
        reader = {"dataset_reader": {"type": "image_classification_directory"}}
        run_loop({**make_config(UNUSED), **reader}, tmp_path / "run")
