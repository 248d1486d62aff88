"""Training on a GPU in every precision: it learns, and what it leaves behind is sound."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from allencv_al.common import Lazy, Params
from allencv_al.common.errors import TrainingError
from allencv_al.models import load_archive
from allencv_al.training.checkpoints.checkpoint_files import read_weights
from allencv_al.training.training_run import train

Make = Callable[..., Any]

PRECISIONS = ["fp32", "bf16", "fp16"]


def numbers(value: Any) -> Iterator[float]:
    """Yield every number in a JSON value."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from numbers(item)
    elif isinstance(value, int | float):
        yield value


@pytest.mark.parametrize("precision", [*PRECISIONS, "auto"])
def test_it_learns_and_all_that_it_writes_is_finite(
    make_config: Make, tmp_path: Path, precision: str
) -> None:
    metrics = train(Params(make_config(precision=precision)), tmp_path)
    assert metrics["best_validation_accuracy"] > 0.9
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert len(lines) == 6
    for written in (metrics, *lines):
        found = list(numbers(written))
        assert len(found) > 10 and all(map(math.isfinite, found))
        # null stands for what is not finite; every class of the digits has images
        assert "null" not in json.dumps(written)
    assert metrics["peak_gpu_0_memory_MB"] > 1
    environment = json.loads((tmp_path / "environment.json").read_text())
    assert environment["device"] == torch.cuda.get_device_name(0)
    native = "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    assert environment["precision"] == (native if precision == "auto" else precision)
    weights = read_weights(tmp_path / "best.safetensors")
    floats = {tensor.dtype for tensor in weights.values() if tensor.is_floating_point()}
    assert floats == {torch.float32}


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("channels_last", [True, False])
def test_memory_layout_and_accumulation_train_alike(
    make_trainer: Make, precision: str, channels_last: bool
) -> None:
    trainer = make_trainer(
        precision=precision,
        channels_last=channels_last,
        num_gradient_accumulation_steps=2,
        grad_norm=1.0,
        num_epochs=4,
    )
    layouts: list[bool] = []

    def look(module: Any, inputs: Any, output: torch.Tensor) -> None:
        if module.training:
            layouts.append(output.is_contiguous(memory_format=torch.channels_last))

    first = next(m for m in trainer.model.modules() if isinstance(m, torch.nn.Conv2d))
    with first.register_forward_hook(look):
        metrics = trainer.train()
    assert layouts and all(layout is channels_last for layout in layouts)
    assert metrics["training_loss"] < 2.0
    assert all(p.is_cuda and p.is_contiguous() for p in trainer.model.parameters())


def test_an_overflow_in_fp16_passes_a_step_over_and_lowers_the_scale(make_trainer: Make) -> None:
    trainer = make_trainer(precision="fp16", num_epochs=1)
    scaler = trainer.precision.scaler
    scaler._init_scale = 2.0**40  # every gradient overflows at first
    before = {name: p.detach().clone() for name, p in trainer.model.named_parameters()}
    trainer.train()
    assert scaler.get_scale() < 2.0**40
    assert trainer.steps_completed == 6
    for name, parameter in trainer.model.named_parameters():
        assert torch.isfinite(parameter).all(), name
        assert torch.equal(parameter, before[name]), "no step fits a scale of 2**35 or more"


def test_without_scaling_fp16_has_no_scaler(make_trainer: Make) -> None:
    trainer = make_trainer(precision="fp16", grad_scaling=False, num_epochs=1)
    assert trainer.precision.scaler is None
    assert math.isfinite(trainer.train()["training_loss"])
    assert make_trainer(precision="mixed").precision.name == "fp16"


def test_a_training_that_does_not_fit_says_what_needs_less(
    make_trainer: Make, little_memory: Callable[[int], None]
) -> None:
    trainer = make_trainer(num_epochs=1)

    class Greedy(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return image * torch.ones(1 << 30, device=image.device)[:1]  # 4 GiB

    trainer.model._im2vec_encoder = torch.nn.Sequential(Greedy(), trainer.model._im2vec_encoder)
    little_memory(1 << 30)
    with pytest.raises(TrainingError, match=r"out of memory in epoch 0 after batch 0.*batch_size"):
        trainer.train()


@pytest.mark.parametrize("workers", [0, 2])
def test_the_same_seed_trains_the_same_bits_with_deterministic(
    make_config: Make, tmp_path: Path, workers: int
) -> None:
    config = make_config(deterministic=True, num_epochs=2)
    config["data_loader"] = {"batch_size": 64, "num_workers": workers}
    weights = []
    for name in ("a", "b"):
        train(Params(config), tmp_path / name)
        weights.append((tmp_path / name / "best.safetensors").read_bytes())
    assert weights[0] == weights[1]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method.* is deprecated:DeprecationWarning")
@pytest.mark.parametrize("mode", [True, "reduce-overhead"])
def test_compiled_it_learns_too(make_trainer: Make, mode: bool | str) -> None:
    metrics = make_trainer(compile=mode, precision="bf16", num_epochs=4).train()
    assert metrics["training_loss"] < 1.5
    assert metrics["validation_accuracy"] > 0.3


def test_an_archive_trained_on_a_gpu_says_the_same_on_a_cpu(
    make_config: Make, digits: Path, tmp_path: Path
) -> None:
    from allencv_al.predictors import Predictor

    train(Params(make_config(num_epochs=3)), tmp_path)
    logits = []
    for device in (-1, 0):
        archive = load_archive(tmp_path / "model.tar.gz", cuda_device=device)
        assert {p.is_cuda for p in archive.model.parameters()} == {device == 0}
        images = archive.validation_dataset_reader.read(digits / "test")
        logits.append(torch.from_numpy(Predictor.from_archive(archive).predict_logits(images)))
    on_cpu, on_gpu = logits
    # Convolutions in fp32 run in TF32 on a GPU, as torch's default is
    assert (on_gpu - on_cpu).norm() / on_cpu.norm() < 2e-3
    assert (on_gpu.argmax(1) == on_cpu.argmax(1)).float().mean() > 0.99


def test_the_old_trainer_keys_mean_a_gpu_too(make_config: Make, tmp_path: Path) -> None:
    config = make_config(num_epochs=1, model_save_interval=0.001, num_serialized_models_to_keep=3)
    train(Params(config), tmp_path)
    assert len(list((tmp_path / "checkpoints").glob("e*"))) == 3


def test_the_loop_of_a_lazy_optimizer_can_be_fused(make_trainer: Make) -> None:
    from allencv_al.training.optimizers import Optimizer

    optimizer = Lazy(Optimizer.by_name("adamw"), lr=0.01, fused=True)
    for precision in ("bf16", "fp16"):
        trainer = make_trainer(optimizer=optimizer, precision=precision, grad_norm=1.0)
        assert trainer.train()["training_loss"] < 2.3
