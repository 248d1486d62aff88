"""Parameter groups along the depth of a model, as gradual unfreezing wants them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

import torch

from allencv_al.common.errors import ConfigurationError

_TINY = 0.01  # share of the parameters below which a part is no group of its own


def groups_by_depth(model: torch.nn.Module, blocks_per_group: int = 1) -> list[list[list[str]]]:
    """Return `parameter_groups` for an optimizer: the blocks of a model from the image on.

    The blocks are the numbered parts that hold most of the parameters: `blocks.0`, `blocks.1` ...
    of a vision transformer, `layer1` ... of a ResNet. Parameters outside of them go with the block
    that follows, those behind the last block of the encoder with that one, and what comes behind
    the encoder is the last group. Each parameter that trains is in one group.

    Args:
        model: A model, on any device.
        blocks_per_group: Number of blocks in a group, counted from the last one.

    Raises:
        ConfigurationError: The model has no series of blocks that train.
    """
    sizes = {name: p.numel() for name, p in model.named_parameters() if p.requires_grad}
    blocks = _longest_series(sizes)
    if not blocks:
        raise ConfigurationError(
            "the model has no numbered parts in a row that train; does its encoder have any, and "
            "requires_grad: true?"
        )
    encoder = blocks[0].partition(".")[0]
    of_encoder = [name for name in sizes if name.partition(".")[0] == encoder]
    parts = _merged(_by_block(of_encoder, blocks), sizes)
    first = len(parts) % blocks_per_group
    starts = sorted({0, *range(first, len(parts), blocks_per_group)})
    groups = [
        [name for part in parts[start:end] for name in part]
        for start, end in zip(starts, [*starts[1:], len(parts)], strict=True)
    ]
    rest = [name for name in sizes if name not in set(of_encoder)]
    groups += [rest] if rest else []
    return [[_expressions(group, list(sizes))] for group in groups]


def _longest_series(sizes: Mapping[str, int]) -> list[str]:
    """Return the paths of the numbered parts of one parent that hold most parameters, in order."""
    held: dict[str, dict[str, int]] = defaultdict(dict)
    for name, size in sizes.items():
        parts = name.split(".")
        for depth in range(1, len(parts)):  # the last one names a parameter, not a part
            stem = re.match(r"(.*?)\d+$", parts[depth - 1])
            if stem is None:
                continue
            path = ".".join(parts[:depth])
            series = ".".join([*parts[: depth - 1], stem[1]])
            held[series][path] = held[series].get(path, 0) + size
    several = [members for members in held.values() if len(members) > 1]
    # Of two series with the same parameters the outer one, which comes first
    totals = [sum(members.values()) for members in several]
    return list(several[totals.index(max(totals))]) if several else []


def _by_block(names: Sequence[str], blocks: Sequence[str]) -> list[list[str]]:
    groups: list[list[str]] = [[] for _ in blocks]
    waiting: list[str] = []
    current = 0
    for name in names:
        block = next((i for i, path in enumerate(blocks) if name.startswith(f"{path}.")), None)
        if block is None:
            waiting.append(name)
            continue
        current = block
        groups[current] += [*waiting, name]
        waiting = []
    groups[current] += waiting
    return groups


def _merged(groups: list[list[str]], sizes: Mapping[str, int]) -> list[list[str]]:
    """Join groups with few parameters to the next one: each group costs an epoch."""
    total = sum(sizes[name] for group in groups for name in group)
    merged: list[list[str]] = []
    waiting: list[str] = []
    for group in groups:
        waiting = [*waiting, *group]
        if sum(sizes[name] for name in waiting) >= _TINY * total:
            merged.append(waiting)
            waiting = []
    if merged:
        merged[-1] += waiting
    return merged


def _expressions(group: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return expressions that match the names of a group and none of the others."""
    members = set(group)
    others = [name for name in names if name not in members]
    found: dict[str, None] = {}
    for name in group:
        parts = name.split(".")
        for depth in range(1, len(parts)):
            prefix = ".".join(parts[:depth]) + "."
            if not any(other.startswith(prefix) for other in others):
                found[f"^{re.escape(prefix)}"] = None
                break
        else:
            found[f"^{re.escape(name)}$"] = None
    return list(found)
