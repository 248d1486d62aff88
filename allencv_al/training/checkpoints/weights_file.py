"""Weights on disk, with a digest of their content in the file itself.

A safetensors file whose bytes were changed often loads without an error, so the digest is checked
before the weights are used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from allencv_al.common.errors import CheckpointError
from allencv_al.common.files.atomic_file import atomic_path

_DIGEST_KEY = "content_sha256"


def write_weights(path: Path, weights: Mapping[str, torch.Tensor]) -> None:
    """Write CPU tensors that share no memory to `path` atomically."""
    contiguous = {name: tensor.contiguous() for name, tensor in weights.items()}
    with atomic_path(path) as temporary:
        save_file(contiguous, temporary, metadata={_DIGEST_KEY: _digest(contiguous)})


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Read what `write_weights` wrote.

    Raises:
        CheckpointError: If the file is missing or damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            digest = (file.metadata() or {}).get(_DIGEST_KEY)
            # Cloned into torch's own memory: the file may be replaced while the tensors live
            weights = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: cannot be read: {error}") from error
    if digest != _digest(weights):
        raise CheckpointError(f"{path}: damaged: its content is not what was written")
    return weights


def _digest(weights: Mapping[str, torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name]
        # Names, types and shapes too: swapped tensors of one size would have the same bytes
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        if tensor.numel():
            digest.update(tensor.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
