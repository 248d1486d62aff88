"""Precisions of the forward pass, and deterministic algorithms."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from fixtures.trainer_parts import Make

from allencv_al.common import ConfigurationError, Lazy
from allencv_al.training.callbacks import TrainerCallback
from allencv_al.training.trainers.precision import StepPrecision, has_native_bf16


def test_bf16_learns_as_fp32_does(make_trainer: Make) -> None:
    losses = []
    for precision in ("fp32", "bf16"):
        trainer = make_trainer(precision=precision, num_epochs=5)
        losses.append(trainer.train()["training_loss"])
        assert all(p.dtype == torch.float32 for p in trainer.model.parameters())
        assert trainer.model.conv.weight.is_contiguous()
    assert losses[0] == pytest.approx(losses[1], rel=0.05)
    assert losses[0] != losses[1]


def test_auto_takes_bf16_only_where_the_device_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict, raising=False)
    assert not has_native_bf16(cpu)
    assert StepPrecision("auto", cpu).name == "fp32"
    capabilities = {"avx512_bf16": True}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert StepPrecision("auto", cpu).name == "bf16"


def test_fp16_on_the_cpu_is_refused(make_trainer: Make) -> None:
    with pytest.raises(ConfigurationError, match="fp16 needs a GPU"):
        make_trainer(precision="fp16")


def test_deterministic_holds_for_the_training_only(
    make_trainer: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    seen: list[bool] = []

    class Look(TrainerCallback):
        def on_start(self, trainer: Any, is_primary: bool = True) -> None:
            seen.append(torch.are_deterministic_algorithms_enabled())

    make_trainer(num_epochs=1, deterministic=True, callbacks=[Lazy(Look)]).train()
    assert seen == [True]
    assert not torch.are_deterministic_algorithms_enabled()


def test_mixed_precision_is_bf16_on_a_cpu(make_trainer: Make) -> None:
    assert make_trainer(precision="mixed").precision.name == "bf16"
