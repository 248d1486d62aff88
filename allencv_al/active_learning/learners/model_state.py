"""The trained part of a model's state, in memory and in files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from allencv_al.models.model import Model, scaling_names
from allencv_al.training.checkpoints.checkpoint_files import write_weights

Weights = dict[str, Tensor]


def trained_state(model: Model) -> Weights:
    """Return CPU copies of all tensors that training may change.

    With fixed embeddings the encoder is left out, which leaves a few kilobytes.
    """
    state = model.state_dict()
    if model.embedding_is_fixed():
        trained = {name for name, value in model.named_parameters() if value.requires_grad}
        trained |= scaling_names(model) | model.head_buffers
        state = {name: value for name, value in state.items() if name in trained}
    return {name: value.detach().cpu().clone() for name, value in state.items()}


def set_state(model: Model, state: Mapping[str, Tensor]) -> None:
    """Load a state that `trained_state` returned."""
    # Not strict: the state of a fixed encoder is left out
    model.load_state_dict(dict(state), strict=False)


def write_state(path: Path, model: Model) -> None:
    """Write the trained state to a file that `read_weights` reads."""
    write_weights(path, trained_state(model))


def shrink_and_perturb(
    state: Mapping[str, Tensor], model: Model, shrink: float, perturb: float, seed: int
) -> Weights:
    """Return weights scaled down, with noise added: Ash & Adams 2020, arXiv:1910.08475, sec. 4.

    Buffers (the statistics of batch norms) stay as they are.

    Args:
        state: The weights of the round before.
        model: The model that they are of.
        shrink: Factor of the parameters.
        perturb: The standard deviation of the noise.
        seed: Decides the noise.
    """
    generator = torch.Generator().manual_seed(seed)
    trained = {name for name, value in model.named_parameters() if value.requires_grad}
    return {
        name: shrink * value + perturb * torch.randn(value.shape, generator=generator)
        if name in trained
        else value
        for name, value in state.items()
    }
