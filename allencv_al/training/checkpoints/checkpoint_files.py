"""Files of a checkpoint: weights, states, and a manifest of hashes."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load as load_tensors
from safetensors.torch import save_file

from allencv_al.common.errors import CheckpointError
from allencv_al.common.files.atomic_file import atomic_directory, atomic_path, write_json

_DIGEST_KEY = "content_sha256"

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
_MODEL, _STATE, _TENSORS = "model.safetensors", "state.json", "state.safetensors"

Tensors = Mapping[str, torch.Tensor]
Copier = Callable[[str, torch.Tensor], torch.Tensor]


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
        tree: The rest of the state as `encode` split it.
        tensors: The tensors that go with `tree`, on the CPU.
    """
    with atomic_directory(path) as folder:
        save_file({name: tensor.contiguous() for name, tensor in model.items()}, folder / _MODEL)
        save_file(
            {name: tensor.contiguous() for name, tensor in tensors.items()}, folder / _TENSORS
        )
        (folder / _STATE).write_text(json.dumps(tree, allow_nan=False), encoding="utf-8")
        # Of the files as written: any later damage is found when they are read
        digests = {name: _sha256(folder / name) for name in (_MODEL, _TENSORS, _STATE)}
        manifest = {"format_version": FORMAT_VERSION, "name": path.name, "sha256": digests}
        write_json(folder / MANIFEST, manifest)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint folder.

    Raises:
        CheckpointError: The checkpoint is incomplete or damaged.
    """
    try:
        content = _read_verified(path)
        model = _clone(load_tensors(content[_MODEL]))
        tensors = _clone(load_tensors(content[_TENSORS]))
        state = decode(json.loads(content[_STATE]), tensors)
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


def encode(value: Any, copy: Copier, name: str = "state") -> tuple[Any, dict[str, torch.Tensor]]:
    """Split `value` into a JSON tree and the tensors that it names.

    Args:
        value: Any nesting of dicts, lists, tuples, tensors, numbers, strings, booleans and None.
        copy: Gives the tensor to keep for a name and a live tensor.
        name: Prefix of the tensors' names.

    Raises:
        CheckpointError: A value of another type; the message names its place.
    """
    tensors: dict[str, torch.Tensor] = {}
    return _encode(value, copy, name, tensors), tensors


def decode(tree: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    """Reverse `encode`."""
    if isinstance(tree, list):
        return [decode(item, tensors) for item in tree]
    if not isinstance(tree, dict):
        return tree
    match tree:
        case {"__tensor__": name, "channels_last": True}:
            return tensors[name].contiguous(memory_format=torch.channels_last)
        case {"__tensor__": name}:
            return tensors[name]
        case {"__tuple__": items}:
            return tuple(decode(item, tensors) for item in items)
        case {"__map__": pairs}:
            return {decode(key, tensors): decode(item, tensors) for key, item in pairs}
        case {"__float__": text}:
            return float(text)
    return {key: decode(item, tensors) for key, item in tree.items()}


def is_channels_last(tensor: torch.Tensor) -> bool:
    """Return whether `tensor` is laid out channels-last and not contiguous as well."""
    return (
        tensor.dim() == 4
        and not tensor.is_contiguous()
        and tensor.is_contiguous(memory_format=torch.channels_last)
    )


def _encode(value: Any, copy: Copier, name: str, tensors: dict[str, torch.Tensor]) -> Any:
    if isinstance(value, torch.Tensor):
        tensors[name] = copy(name, value.detach())
        # An optimizer's arithmetic may round differently in another memory layout
        layout = {"channels_last": True} if is_channels_last(value) else {}
        return {"__tensor__": name, **layout}
    if isinstance(value, np.generic):  # a NumPy scalar, as metrics return them
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):  # strict JSON has neither NaN nor infinities
        return value if math.isfinite(value) else {"__float__": repr(value)}
    if isinstance(value, Mapping):
        return _encode_mapping(value, copy, name, tensors)
    if isinstance(value, list | tuple):
        items = [_encode(v, copy, f"{name}.{i}", tensors) for i, v in enumerate(value)]
        return items if isinstance(value, list) else {"__tuple__": items}
    raise CheckpointError(
        f"{name}: a {type(value).__name__} cannot be saved in a checkpoint; "
        "state_dict may hold tensors, numbers, strings, booleans, None, dicts, lists and tuples"
    )


def _encode_mapping(
    value: Mapping[Any, Any], copy: Copier, name: str, tensors: dict[str, torch.Tensor]
) -> Any:
    encoded = {key: _encode(item, copy, f"{name}.{key}", tensors) for key, item in value.items()}
    if all(isinstance(key, str) and not key.startswith("__") for key in encoded):
        return encoded
    # Integer keys would become strings, and keys with underscores look like the marks above
    return {"__map__": [[_encode(k, copy, name, tensors), v] for k, v in encoded.items()]}
