"""The trainer as a config describes it: its options and their faults."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from fixtures.trainer_parts import Make

from allencv_al.common import ConfigurationError, Lazy
from allencv_al.common.config.config_check import check
from allencv_al.data.vocabulary import Vocabulary
from allencv_al.models.basic_classifier import BasicImageClassifier
from allencv_al.modules.im2vec_encoders.flatten import FlattenEncoder
from allencv_al.training.checkpoints.checkpoint_files import read_weights
from allencv_al.training.learning_rate_schedulers import LearningRateScheduler
from allencv_al.training.trainers.base import Trainer


def test_no_grad_freezes_by_name(make_trainer: Make) -> None:
    trainer = make_trainer(no_grad=[re.compile("^conv"), re.compile(r"norm\.bias$")])
    before = {name: value.clone() for name, value in trainer.model.named_parameters()}
    trainer.train()
    changed = {n for n, p in trainer.model.named_parameters() if not torch.equal(p, before[n])}
    assert changed == {"norm.weight", "linear.weight", "linear.bias"}


def test_if_nothing_is_left_to_train_it_says_so(make_trainer: Make) -> None:
    with pytest.raises(ConfigurationError, match="no_grad"):
        make_trainer(no_grad=[re.compile(".")])


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.filterwarnings("ignore")  # of the compiler's own
def test_a_compiled_model_trains_as_a_plain_one_does(
    make_trainer: Make, vocab: Vocabulary, tmp_path: Path
) -> None:
    losses = []
    for compile in (False, True):
        torch.manual_seed(0)
        encoder = FlattenEncoder(input_channels=3, input_height=6, input_width=6)
        model = BasicImageClassifier(vocab, encoder)
        trainer = make_trainer(tmp_path / str(compile), model=model, compile=compile, num_epochs=2)
        losses.append(trainer.train()["training_loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    names = [set(read_weights(tmp_path / n / "best.safetensors")) for n in ("False", "True")]
    assert names[0] == names[1]


def test_a_config_builds_it(small_model: Make, small_loader: Any, tmp_path: Path) -> None:
    config = {
        "type": "gradient_descent",
        "num_epochs": 1,
        "cuda_device": -1,
        "optimizer": {"type": "adamw", "lr": 1e-3},
        "learning_rate_scheduler": "linear_with_warmup",
        "moving_average": {"decay": 0.9},
        "checkpointer": {"save_every_num_batches": 2},
        "callbacks": ["track_epoch_callback"],
        "no_grad": ["^conv"],
    }
    trainer = Trainer.from_params(
        config,
        model=small_model(),
        data_loader=small_loader(),
        validation_data_loader=None,
        serialization_dir=tmp_path,
        seed=1,
    )
    assert trainer.train()["epoch"] == 0


SEED_GROUPS = [[["a"]], [["b"]], [["c"]]]


UNFREEZING = {"type": "slanted_triangular", "gradual_unfreezing": True}


@pytest.mark.parametrize(
    ("config", "faults"),
    [
        ({"patience": 0}, {"patience"}),
        ({"patience": "20"}, {"patience"}),
        ({"num_epochs": 0}, {"num_epochs"}),
        ({"grad_norm": -1.0}, {"grad_norm"}),
        ({"grad_clipping": 0}, {"grad_clipping"}),
        ({"num_gradient_accumulation_steps": 0}, {"num_gradient_accumulation_steps"}),
        ({"validation_metric": "accuracy"}, {"validation_metric"}),
        ({"validation_metric": []}, {"validation_metric"}),
        ({"cuda_device": 99}, {"cuda_device"}),
        ({"cuda_device": "gpu"}, {"cuda_device"}),
        ({"no_grad": ["(", "ok"]}, {"no_grad.0"}),
        ({"precision": "fp8"}, {"precision"}),
        ({"checkpointer": {"keep_most_recent_by_count": 0}},
         {"checkpointer.keep_most_recent_by_count"}),
        (
            {
                "num_epochs": 2,
                "optimizer": {"parameter_groups": SEED_GROUPS},
                "learning_rate_scheduler": UNFREEZING,
            },
            {"num_epochs"},
        ),
        (
            {
                "num_epochs": 3,
                "optimizer": {"parameter_groups": SEED_GROUPS},
                "learning_rate_scheduler": {**UNFREEZING, "num_epochs": 2},
            },
            {"learning_rate_scheduler.num_epochs"},
        ),
        (
            {"learning_rate_scheduler": UNFREEZING},
            {"learning_rate_scheduler.gradual_unfreezing"},
        ),
    ],
)  # fmt: skip
def test_wrong_options_are_config_faults(config: dict[str, Any], faults: set[str]) -> None:
    assert {fault.path for fault in check(Trainer, config)} == faults


def test_the_options_of_the_seed_are_right() -> None:
    config = {
        "num_epochs": 8,
        "validation_metric": "+accuracy",
        "optimizer": {"type": "adam", "lr": 1e-3, "parameter_groups": SEED_GROUPS},
        "learning_rate_scheduler": {**UNFREEZING, "num_epochs": 8, "num_steps_per_epoch": 260},
        "patience": 20,
        "grad_norm": None,
    }
    assert check(Trainer, config) == []


def test_the_number_of_epochs_that_unfreezing_needs_is_said() -> None:
    config = {
        "num_epochs": 2,
        "optimizer": {"parameter_groups": SEED_GROUPS},
        "learning_rate_scheduler": UNFREEZING,
    }
    (fault,) = check(Trainer, config)
    assert "at least 3 epochs" in fault.message


def test_a_no_grad_that_matches_nothing_is_an_error(make_trainer: Make) -> None:
    with pytest.raises(ConfigurationError, match=r"no_grad: .*'\^encoder' is found in no"):
        make_trainer(no_grad=[re.compile("^conv"), re.compile("^encoder")])


@pytest.mark.parametrize(
    ("scheduler", "said"),
    [
        ({"type": "linear_with_warmup", "warmup_steps": 15}, True),
        ({"type": "linear_with_warmup", "warmup_steps": 14}, False),
        ({"type": "constant_with_warmup", "num_warmup_steps": 100}, True),
        ({"type": "cosine_with_warmup", "num_warmup_steps": 9, "num_training_steps": 8}, True),
        (
            {
                "type": "combined",
                "schedulers": [[1, {"type": "constant_with_warmup", "num_warmup_steps": 6}]],
            },
            True,
        ),
        ({"type": "step", "step_size": 2}, False),
    ],
)
def test_a_warm_up_that_never_ends_is_warned_of(
    make_trainer: Make, scheduler: dict[str, Any], said: bool, caplog: pytest.LogCaptureFixture
) -> None:
    lazily = Lazy(lambda **given: LearningRateScheduler.from_params(scheduler, **given))
    make_trainer(learning_rate_scheduler=lazily)  # 3 epochs of 5 steps
    assert ("the full learning rate is never reached" in caplog.text) is said
