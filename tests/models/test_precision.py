"""Number formats of a forward pass."""

from __future__ import annotations

import threading

import torch

from allencv_al.models.precision import StepPrecision


class Scaled(torch.nn.Linear):
    """A layer that computes with its weights in a way of its own."""


def test_a_copy_for_inference_computes_what_autocast_does() -> None:
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.ReLU(), torch.nn.Flatten()
    )
    network.extend([torch.nn.Linear(8 * 36, 5), Scaled(5, 5)])
    precision = StepPrecision("bf16", torch.device("cpu"))
    copy = precision.for_inference(network.eval())
    images = torch.randn(4, 3, 8, 8)
    with torch.no_grad(), precision.autocast():
        assert torch.equal(copy(images), network(images))
    kinds = [next(part.parameters()).dtype for part in copy if list(part.parameters())]
    assert kinds == [torch.bfloat16, torch.float32, torch.bfloat16, torch.float32]
    assert {value.dtype for value in network.parameters()} == {torch.float32}


def test_what_cannot_be_copied_runs_as_it_is() -> None:
    network = torch.nn.Linear(2, 2)
    network.lock = threading.Lock()  # type: ignore[assignment]
    precision = StepPrecision("bf16", torch.device("cpu"))
    assert precision.for_inference(network) is network
    assert StepPrecision("fp32", torch.device("cpu")).for_inference(network) is network
