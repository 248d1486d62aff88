"""Copies for inference beside the models themselves."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from allencv_al.data.vocabulary import Vocabulary
from allencv_al.models.inference_copy import inference_copy
from allencv_al.models.model import Model
from allencv_al.models.precision import StepPrecision

FP32, BF16 = (StepPrecision(name, torch.device("cpu")) for name in ("fp32", "bf16"))
SIDE = 32
IMAGES = torch.rand(3, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


class Encoder(Model):
    """A model around a network."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__(Vocabulary({"labels": {"cat": 1, "dog": 1}}))
        self.network = network

    def embed(self, image: Tensor) -> Tensor:
        vectors: Tensor = self.network(image).flatten(1)
        return vectors

    def forward(self, image: Tensor, label: Tensor | None = None) -> dict[str, Tensor]:
        return {"logits": self.embed(image)}


def model_of(*layers: nn.Module) -> Encoder:
    return with_statistics(Encoder(nn.Sequential(*layers)))


def with_statistics(model: Encoder) -> Encoder:
    """Return the model as after a training: its batch norms do something."""
    generator = torch.Generator().manual_seed(0)
    for norm in norms(model):
        if norm.running_mean is not None:
            norm.running_mean.normal_(0, 0.3, generator=generator)
            norm.running_var.uniform_(0.5, 2, generator=generator)
        if norm.affine:
            nn.init.uniform_(norm.weight, 0.5, 1.5, generator=generator)
            nn.init.normal_(norm.bias, 0, 0.3, generator=generator)
    return model.eval()


def norms(model: nn.Module) -> list[Any]:
    kind = nn.modules.batchnorm._BatchNorm
    return [module for module in model.modules() if isinstance(module, kind)]


def check_equal(model: Encoder, copy: Model, images: Tensor = IMAGES) -> None:
    with torch.no_grad():
        expected, found = model.embed(images), copy.embed(images)
    assert torch.linalg.vector_norm(found - expected) <= 1e-5 * torch.linalg.vector_norm(expected)


def conv(channels: int = 3, **options: Any) -> nn.Conv2d:
    return nn.Conv2d(channels, 8, 3, **options)


@pytest.mark.parametrize(
    "layers",
    [
        lambda: (conv(), nn.BatchNorm2d(8)),
        lambda: (conv(bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True)),
        lambda: (conv(padding=2, padding_mode="reflect"), nn.BatchNorm2d(8, affine=False)),
        lambda: (conv(), nn.ReLU(), conv(8, groups=4, stride=2), nn.BatchNorm2d(8, eps=0.1)),
        lambda: (conv(), timm.layers.BatchNormAct2d(8)),
        lambda: (nn.Flatten(2), nn.Conv1d(3, 4, 5), nn.BatchNorm1d(4)),
    ],
    ids=["bias", "no bias", "not affine", "groups", "with its activation", "1d"],
)
def test_a_norm_behind_a_convolution_is_folded(layers: Callable[[], Any]) -> None:
    torch.manual_seed(0)
    model = model_of(*layers())
    copy = inference_copy(model, FP32, (3, SIDE, SIDE))
    assert not norms(copy)
    check_equal(model, copy)
    assert len(norms(model)) == 1


class TwiceUsed(nn.Module):
    """The output of the convolution goes around the norm as well."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = conv(), nn.BatchNorm2d(8)

    def forward(self, image: Tensor) -> Tensor:
        vectors = self.conv(image)
        return self.norm(vectors) + vectors


class Standardized(nn.Conv2d):
    """A convolution that scales its weights itself."""

    def forward(self, image: Tensor) -> Tensor:
        weight = nn.functional.normalize(self.weight, dim=1)
        return self._conv_forward(image, weight, self.bias)


class Changed(nn.Module):
    """Something in place happens between convolution and norm."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = conv(), nn.BatchNorm2d(8)

    def forward(self, image: Tensor) -> Tensor:
        return self.norm(self.conv(image).relu_())


class Looking(nn.Module):
    """The network needs its norm for something else."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = conv(), nn.BatchNorm2d(8)

    def forward(self, image: Tensor) -> Tensor:
        return self.norm(self.conv(image)) * self.norm.eps


def shared_convolution() -> tuple[nn.Module, ...]:
    shared = nn.Conv2d(3, 3, 3)
    return shared, nn.BatchNorm2d(3), shared, nn.ReLU()


def shared_norm() -> tuple[nn.Module, ...]:
    shared = nn.BatchNorm2d(3)
    return nn.Conv2d(3, 3, 3), shared, nn.ReLU(), shared


def hooked() -> tuple[nn.Module, ...]:
    first = conv()
    first.register_forward_hook(lambda module, inputs, output: output * 2)
    return first, nn.BatchNorm2d(8)


@pytest.mark.parametrize(
    "layers",
    [
        shared_convolution,
        shared_norm,
        hooked,
        lambda: (TwiceUsed(),),
        lambda: (Changed(),),
        lambda: (Looking(),),
        lambda: (Standardized(3, 8, 3), nn.BatchNorm2d(8)),
        lambda: (parametrizations.weight_norm(conv()), nn.BatchNorm2d(8)),
        lambda: (nn.ConvTranspose2d(3, 8, 3), nn.BatchNorm2d(8)),
        lambda: (conv(), nn.ReLU(), nn.BatchNorm2d(8)),
        lambda: (conv(), nn.BatchNorm2d(8, track_running_stats=False)),
        lambda: (nn.BatchNorm2d(3), conv()),
    ],
    ids=[
        *("shared convolution", "shared norm", "hook", "used twice", "changed", "looked at"),
        *("weights of its own way", "parametrization", "transposed", "ReLU between"),
        *("statistics of the batch", "norm before"),
    ],
)
def test_whatever_else_a_norm_does_it_stays(layers: Callable[[], Any]) -> None:
    torch.manual_seed(0)
    model = model_of(*layers())
    copy = inference_copy(model, FP32, (3, SIDE, SIDE))
    assert len(norms(copy)) == 1
    check_equal(model, copy)


def test_a_pair_that_cannot_be_folded_leaves_the_others_folded() -> None:
    torch.manual_seed(0)
    model = model_of(conv(), nn.BatchNorm2d(8), Standardized(8, 8, 3), nn.BatchNorm2d(8))
    copy = inference_copy(model, FP32, (3, SIDE, SIDE))
    assert len(norms(copy)) == 1
    check_equal(model, copy)


def test_a_network_of_one_size_sees_noise_of_that_size() -> None:
    torch.manual_seed(0)
    model = model_of(conv(), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8 * 68 * 68, 3))
    copy = inference_copy(model, FP32, (3, 70, 70))
    assert not norms(copy)
    check_equal(model, copy, torch.rand(2, 3, 70, 70))


def test_a_model_in_training_mode_is_not_changed() -> None:
    torch.manual_seed(0)
    model = model_of(conv(), nn.BatchNorm2d(8)).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    copy = inference_copy(model, FP32, (3, SIDE, SIDE))
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not copy.training
    check_equal(model.eval(), copy)


def check_network(network: nn.Module, norms_left: int, side: int = SIDE) -> None:
    model = with_statistics(Encoder(network))
    copy = inference_copy(model, FP32, (3, side, side))
    assert len(norms(copy)) == norms_left
    check_equal(model, copy, torch.rand(2, 3, side, side))


@pytest.mark.parametrize(
    ("name", "norms_left"),
    # Densely connected layers read what was computed before; their norms stand before convolutions
    [("tf_efficientnet_lite0", 0), ("resnetv2_18", 9), ("ghostnet_050", 0)],
)
def test_networks_of_timm(name: str, norms_left: int) -> None:
    torch.manual_seed(0)
    check_network(timm.create_model(name, num_classes=0), norms_left)


@pytest.mark.parametrize(
    ("name", "norms_left"), [("resnet18", 0), ("mobilenet_v2", 0), ("densenet121", 62)]
)
def test_networks_of_torchvision(name: str, norms_left: int) -> None:
    torch.manual_seed(0)
    check_network(getattr(torchvision.models, name)(), norms_left)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "norms_left", "side"),
    [
        *(("dla34", 0, 64), ("hrnet_w18_small", 0, 64), ("xception41", 0, 96)),
        *(("mobileone_s0", 35, 64), ("repvgg_a0", 17, 64), ("mobilevit_xxs", 0, 64)),
        *(("inception_v3", 0, 96), ("levit_128s", 46, 224), ("efficientvit_b0", 0, 64)),
        *(("convnext_atto", 0, 64), ("rexnet_100", 0, 64), ("skresnet18", 0, 64)),
    ],
)
def test_more_networks_of_timm(name: str, norms_left: int, side: int) -> None:
    torch.manual_seed(0)
    check_network(timm.create_model(name, num_classes=0), norms_left, side)


class Scaled(nn.Linear):
    """A layer that computes with its weights in a way of its own."""


def test_a_copy_in_half_precision_computes_what_autocast_does() -> None:
    torch.manual_seed(0)
    norm = nn.GroupNorm(2, 8)
    model = model_of(conv(), norm, nn.ReLU(), nn.Flatten(), nn.Linear(7200, 5), Scaled(5, 5))
    copy = inference_copy(model, BF16, (3, SIDE, SIDE))
    with torch.no_grad(), BF16.autocast():
        assert torch.equal(copy.embed(IMAGES), model.embed(IMAGES))
    kinds = {name: value.dtype for name, value in copy.named_parameters()}
    assert {name for name, kind in kinds.items() if kind == torch.bfloat16} == {
        *("network.0.weight", "network.0.bias", "network.4.weight", "network.4.bias")
    }
    assert {value.dtype for value in model.parameters()} == {torch.float32}


def test_folding_makes_half_precision_no_less_exact() -> None:
    """Compare the distances to fp32 over a deep network; folded, each layer rounds once less."""
    torch.manual_seed(0)
    model = with_statistics(Encoder(timm.create_model("tf_efficientnet_lite0", num_classes=0)))
    copy = inference_copy(model, BF16, (3, SIDE, SIDE))
    with torch.no_grad():
        exact = model.embed(IMAGES)
        with BF16.autocast():
            plain, folded = model.embed(IMAGES).float(), copy.embed(IMAGES).float()
    error, error_folded = (torch.linalg.vector_norm(rows - exact) for rows in (plain, folded))
    assert 0 < error_folded < 1.2 * error


def test_what_gains_nothing_or_cannot_be_copied_runs_as_it_is() -> None:
    plain = model_of(conv(), nn.ReLU())
    assert inference_copy(plain, FP32, (3, SIDE, SIDE)) is plain
    locked = model_of(conv(), nn.BatchNorm2d(8))
    locked.lock = threading.Lock()  # type: ignore[assignment]
    assert inference_copy(locked, FP32, (3, SIDE, SIDE)) is locked
    assert inference_copy(locked, BF16, (3, SIDE, SIDE)) is locked
    other_images = inference_copy(model_of(conv(), nn.BatchNorm2d(8)), FP32, (1, SIDE, SIDE))
    assert norms(other_images)
