"""Dropout at prediction with consistent masks: each pass is a fixed function of the image."""

from __future__ import annotations

import hashlib
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

_CHANNEL_WISE = (nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.FeatureAlphaDropout)
_KINDS = (nn.Dropout, nn.AlphaDropout, *_CHANNEL_WISE)
# What a dropped unit is set to so that mean and variance stay: -lambda * alpha of SELU, "Self-
# Normalizing Neural Networks", Klambauer et al. 2017 (arXiv:1706.02515), section 2.
_SELU_SATURATION = -1.7580993408473766


def dropouts(model: nn.Module) -> dict[str, nn.Module]:
    """Return the dropout modules of a model with p > 0, by name."""
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, _KINDS) and module.p > 0
    }


class ConsistentDropout(AbstractContextManager["ConsistentDropout"]):
    """An ensemble from one model: member `s` drops the same units for every image.

    Plain dropout draws a mask per image, so no two images see the same network, and the members'
    outputs for two images are independent. Here each dropout module gets one mask per
    member over the dimensions of its input behind the first (whole channels for `Dropout2d` and its
    kin), drawn from the seed, the number of the member and the name of the module alone: batches,
    their sizes and their order change nothing. Kirsch, van Amersfoort & Gal, "BatchBALD",
    NeurIPS 2019, section 4.1.

    Within the `with` block, `use(s)` makes the model member `s`, and `use(None)` (at first) what it
    is without dropout. The model is in eval mode meanwhile; its state is not touched. Only modules
    are seen: what calls `torch.nn.functional.dropout` is not.

    Args:
        model: The model.
        seed: Decides the masks.
    """

    def __init__(self, model: nn.Module, seed: int = 0) -> None:
        self.seed = seed
        self._dropouts = dropouts(model)
        self._member: int | None = None
        self._masks: dict[tuple[str, int], Tensor] = {}
        self._handles: list[RemovableHandle] = []
        self._calls = 0

    @property
    def calls(self) -> int:
        """The number of calls of the dropout modules within `with` blocks."""
        return self._calls

    def use(self, member: int | None) -> None:
        """Make the model member number `member`, from 0; None: without dropout."""
        self._member = member

    def __enter__(self) -> ConsistentDropout:
        self._member = None
        for name, module in self._dropouts.items():
            self._handles.append(module.register_forward_hook(self._hook(name)))
        return self

    def __exit__(self, *_: object) -> None:
        while self._handles:
            self._handles.pop().remove()

    def _hook(self, name: str) -> Any:
        def apply(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            self._calls += 1
            if self._member is None:
                return output
            return _dropped(module, inputs[0], self._mask(name, module, inputs[0]))

        return apply

    def _mask(self, name: str, module: Any, values: Tensor) -> Tensor:
        assert self._member is not None
        shape = (1, *values.shape[1:])
        if isinstance(module, _CHANNEL_WISE):
            shape = (1, values.shape[1], *[1] * (values.ndim - 2))
        mask = self._masks.get((name, self._member))
        if mask is None or mask.shape != shape:  # an image of another size gets its own mask
            generator = torch.Generator().manual_seed(self._seed_of(name, self._member))
            mask = (torch.rand(shape, generator=generator) >= module.p).float()
            self._masks[name, self._member] = mask
        if mask.device != values.device:
            mask = self._masks[name, self._member] = mask.to(values.device)
        return mask.to(values.dtype)

    def _seed_of(self, name: str, member: int) -> int:
        hasher = hashlib.blake2b(f"{self.seed} {member} {name}".encode(), digest_size=7)
        return int.from_bytes(hasher.digest(), "big")


def _dropped(module: Any, values: Tensor, mask: Tensor) -> Tensor:
    """Return the output of `module` for `values` in training mode, with this mask of 0 and 1."""
    kept = 1 - module.p
    if isinstance(module, nn.AlphaDropout | nn.FeatureAlphaDropout):
        scale = (kept * (1 + module.p * _SELU_SATURATION**2)) ** -0.5 if kept else 0.0
        shift = -scale * module.p * _SELU_SATURATION
        return scale * (values * mask + _SELU_SATURATION * (1 - mask)) + shift
    return values * (mask / kept) if kept else values * mask
