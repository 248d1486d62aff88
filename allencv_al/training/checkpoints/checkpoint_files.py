"""One checkpoint on the disk: there whole or not at all, and verified when it is read.

::

    model.safetensors    the model's state_dict
    state.json           everything else of the training state, but its tensors
    state.safetensors    those tensors
    manifest.json        the SHA-256 of the three
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save_file

from allencv_al.common.errors import CheckpointError
from allencv_al.common.files.atomic_file import atomic_directory, write_json
from allencv_al.training.checkpoints import state_codec

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
_MODEL, _STATE, _TENSORS = "model.safetensors", "state.json", "state.safetensors"

Tensors = Mapping[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state from which training resumes.

    Args:
        name: `eE_bB`: E epochs were complete, and B batches of the next one.
        model: The model's `state_dict`.
        state: Everything else, as the trainer gave it.
    """

    name: str
    model: dict[str, torch.Tensor]
    state: dict[str, Any]


def write_checkpoint(path: Path, model: Tensors, tree: Any, tensors: Tensors) -> None:
    """Write a checkpoint folder.

    Args:
        path: The folder; its name is the checkpoint's.
        model: The model's `state_dict`, on the CPU.
        tree: The rest of the state as `state_codec.encode` split it.
        tensors: The tensors that go with `tree`, on the CPU.
    """
    with atomic_directory(path) as folder:
        save_file({name: tensor.contiguous() for name, tensor in model.items()}, folder / _MODEL)
        save_file(
            {name: tensor.contiguous() for name, tensor in tensors.items()}, folder / _TENSORS
        )
        (folder / _STATE).write_text(json.dumps(tree, allow_nan=False), encoding="utf-8")
        digests = {name: _sha256(folder / name) for name in (_MODEL, _TENSORS, _STATE)}
        manifest = {"format_version": FORMAT_VERSION, "name": path.name, "sha256": digests}
        write_json(folder / MANIFEST, manifest)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint folder.

    Raises:
        CheckpointError: If it is not whole.
    """
    try:
        content = _read_verified(path)
        model = _clone(load_tensors(content[_MODEL]))
        tensors = _clone(load_tensors(content[_TENSORS]))
        state = state_codec.decode(json.loads(content[_STATE]), tensors)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise CheckpointError(f"{path}: damaged checkpoint: {error}") from error
    return Checkpoint(path.name, model, state)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_verified(folder: Path) -> dict[str, bytes]:
    manifest = json.loads((folder / MANIFEST).read_bytes())
    if manifest["format_version"] > FORMAT_VERSION:
        raise ValueError(f"format version {manifest['format_version']} is newer than this program")
    content: dict[str, bytes] = {}
    for name in (_MODEL, _TENSORS, _STATE):
        content[name] = (folder / name).read_bytes()
        if hashlib.sha256(content[name]).hexdigest() != manifest["sha256"][name]:
            raise ValueError(f"{name} does not have the SHA-256 of its manifest")
    return content


def _clone(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    # Into torch's own aligned memory: a view into the file's bytes may take other vector paths
    return {name: tensor.clone() for name, tensor in tensors.items()}
