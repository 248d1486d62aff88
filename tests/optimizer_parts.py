"""A small network, and optimizers built for it."""

from __future__ import annotations

from typing import Any

import torch

from allencv_al.training.optimizers import Optimizer


class Net(torch.nn.Module):
    """Two convolutions, a batch norm and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = torch.nn.Conv2d(1, 4, 3, padding=1)
        self.norm = torch.nn.BatchNorm2d(4)
        self.body = torch.nn.Conv2d(4, 4, 3, padding=1)
        self.head = torch.nn.Linear(4, 3)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        hidden = self.body(self.norm(self.stem(image)).relu()).mean((2, 3))
        logits: torch.Tensor = self.head(hidden)
        return logits


def named(model: torch.nn.Module) -> list[tuple[str, torch.nn.Parameter]]:
    return list(model.named_parameters())


def make(config: Any, model: torch.nn.Module) -> Optimizer:
    return Optimizer.from_params(config, model_parameters=named(model))


def train(model: torch.nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> list[float]:
    generator = torch.Generator().manual_seed(1)
    losses = []
    for _ in range(steps):
        images = torch.randn(8, 1, 6, 6, generator=generator)
        labels = (images.mean((1, 2, 3)) > 0).long()
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses
