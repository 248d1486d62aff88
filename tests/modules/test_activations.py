from __future__ import annotations

import pytest
import torch

from allencv_al.modules.activations import Activation

TORCH = {
    "elu": torch.nn.ELU(),
    "gelu": torch.nn.GELU(),
    "gelu_fast": torch.nn.GELU("tanh"),
    "gelu_new": torch.nn.GELU("tanh"),
    "hard_swish": torch.nn.Hardswish(),
    "hardtanh": torch.nn.Hardtanh(),
    "leaky_relu": torch.nn.LeakyReLU(),
    "linear": torch.nn.Identity(),
    "log_sigmoid": torch.nn.LogSigmoid(),
    "mish": torch.nn.Mish(),
    "prelu": torch.nn.PReLU(),
    "relu": torch.nn.ReLU(),
    "relu6": torch.nn.ReLU6(),
    "selu": torch.nn.SELU(),
    "sigmoid": torch.nn.Sigmoid(),
    "silu": torch.nn.SiLU(),
    "softplus": torch.nn.Softplus(),
    "softshrink": torch.nn.Softshrink(),
    "softsign": torch.nn.Softsign(),
    "swish": torch.nn.SiLU(),
    "tanh": torch.nn.Tanh(),
    "tanhshrink": torch.nn.Tanhshrink(),
    "threshold": torch.nn.Threshold(0.1, 20.0),
}
ARGUMENTS: dict[str, dict[str, float]] = {"threshold": {"threshold": 0.1, "value": 20.0}}


@pytest.mark.parametrize("name", Activation.list_available())
def test_equals_torch(name: str) -> None:
    values = torch.linspace(-8, 8, 33).view(3, 11)
    activation = Activation.from_params({"type": name, **ARGUMENTS.get(name, {})})
    assert torch.equal(activation(values), TORCH[name](values))


def test_a_users_own_activation_takes_part() -> None:
    @Activation.register("my_square", exist_ok=True)
    class Square(Activation):
        def forward(self, values: torch.Tensor) -> torch.Tensor:
            return values.square()

    assert Activation.from_params("my_square")(torch.tensor(3.0)) == 9
