"""Fingerprints of everything that an embedding or a logit depends on, equal in every process."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence, Set
from enum import Enum
from pathlib import PurePath
from typing import Any

import numpy as np
import torch

from allencv_al.data.dataset_readers.base import DatasetReader
from allencv_al.models.model import Model, scaling_names

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_DROPOUT = torch.nn.modules.dropout._DropoutNd
_PLAIN = (str, bytes, bool, int, float, complex, type(None))


def digest(*texts: str) -> str:
    """Return a fingerprint of texts, 64 hexadecimal digits."""
    hasher = hashlib.sha256()
    for text in texts:
        content = text.encode("utf-8", "surrogateescape")
        # With the length, so that ("ab", "c") and ("a", "bc") differ
        hasher.update(len(content).to_bytes(8, "big") + content)
    return hasher.hexdigest()


def weights_fingerprint(
    module: torch.nn.Module, tensors: Mapping[str, torch.Tensor] | None = None
) -> str:
    """Return a fingerprint of a network: its structure and every number of its state.

    Args:
        module: The network.
        tensors: The part of its state that matters; by default all of it.
    """
    # Addresses in memory differ from process to process
    hasher = hashlib.sha256(_ADDRESS.sub("", repr(module)).encode())
    for name, tensor in sorted((module.state_dict() if tensors is None else tensors).items()):
        # The bits themselves: -0.0, NaN and half precision count as what they are
        values = tensor.detach().cpu().contiguous()
        hasher.update(f"{name} {values.dtype} {tuple(values.shape)}".encode())
        hasher.update(values.reshape(-1).view(torch.uint8).numpy().data)
    return hasher.hexdigest()


def embedding_fingerprint(model: Model) -> str:
    """Return a fingerprint of the part of a model that computes its embeddings.

    Where embeddings are fixed, that is the part that does not train; the last layer, which differs
    for every seed, is left out; so is a scaling of embeddings while it is bypassed.
    """
    if not model.embedding_is_fixed():
        return weights_fingerprint(model)
    trained = {name for name, value in model.named_parameters() if value.requires_grad}
    left_out = trained | model.head_buffers
    scaling = model.embedding_scaling
    is_bypassed = scaling is not None and scaling.is_bypassed
    if is_bypassed:
        left_out |= scaling_names(model)
    fixed = torch.nn.ModuleDict(
        {
            name: module
            for name, module in model.named_children()
            if not any(value.requires_grad for value in module.parameters())
            and not isinstance(module, _DROPOUT)  # after the embeddings, else they were not fixed
            and not (is_bypassed and module is scaling)
        }
    )
    state = model.state_dict()
    return weights_fingerprint(fixed, {name: state[name] for name in state.keys() - left_out})


def decoding_fingerprint(reader: DatasetReader) -> str:
    """Return a fingerprint of a reader's decoding of images, without its labels and splits.

    Two readers with equal fingerprints decode to equal pixels.
    """
    return digest(describe(_what_decodes(reader)))


def describe(value: Any, _within: tuple[int, ...] = ()) -> str:
    """Return a text that is equal for equal values, in every process.

    An object is described by its class and its pickled state (`__getstate__`), so caches that are
    not pickled do not count. A reference cycle is cut.
    """
    if isinstance(value, _PLAIN):
        return repr(value)
    # An object that refers to itself would be described without end
    if id(value) in _within:
        return "<itself>"
    within = (*_within, id(value))
    if isinstance(value, np.ndarray | np.generic | torch.Tensor):
        array = np.asarray(value)
        return f"array({array.dtype}, {array.shape}, {digest(array.tobytes().hex())})"
    if isinstance(value, Enum | PurePath):
        return f"{_name(type(value))}({str(value)!r})"
    if isinstance(value, Mapping):
        pairs = sorted(f"{describe(k, within)}: {describe(v, within)}" for k, v in value.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, Set):
        return f"{{{', '.join(sorted(describe(item, within) for item in value))}}}"
    if isinstance(value, Sequence):
        return f"[{', '.join(describe(item, within) for item in value)}]"
    if isinstance(value, type) or hasattr(value, "__qualname__"):
        return _name(value)
    state = _state(value)
    if state is None:
        return _ADDRESS.sub("", repr(value))
    return f"{_name(type(value))}({describe(state, within)})"


def _state(value: Any) -> Any:
    try:
        return value.__getstate__()
    except TypeError:  # it cannot be pickled: a lock, a file
        return None


def _name(value: Any) -> str:
    return f"{getattr(value, '__module__', '')}.{value.__qualname__}"


def decodes_by_content(reader: DatasetReader) -> bool:
    """Return whether nothing but the content of an image decides its pixels.

    A reader with a `load` or `decode` of its own may look at anything that an instance has.
    """
    kind = type(reader)
    return kind.load is DatasetReader.load and kind.decode is DatasetReader.decode


def _what_decodes(reader: DatasetReader) -> Any:
    if decodes_by_content(reader):
        transforms = reader.pipeline.transforms
        return transforms, reader.max_pixels, reader.raw_colors, reader.reduce_above
    return reader
