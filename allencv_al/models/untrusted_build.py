"""Builds what a config from elsewhere describes only where it is as large as its weights."""

from __future__ import annotations

import json
import math
import operator
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.modules import module as hooks

from allencv_al.common.errors import ArchiveError
from allencv_al.data.dataset_readers.base import DatasetReader

MOST_MODULES = 20_000  # timm's largest have 3,000
HARMLESS = 2**26  # numbers of a model, 256 MiB
MOST_NUMBER = 2**24  # of a size or a count
MOST_LAYERS = 1_000
MOST_PIXELS = 10**8  # of a transformed image
MOST_TENSORS = 100_000
MOST_HEADER_BYTES = 4 * 2**20
_LENGTH_BYTES = 8


class TooLargeError(ArchiveError):
    """A config describes more than its weights fill."""


def check_size(build: Callable[[], torch.nn.Module], weights: int, source: str) -> None:
    """Raise where a model is large and has more numbers than its weights; none is allocated.

    A small one is let through: that its weights do not fit is told better when they are read.

    Args:
        build: Builds the model.
        weights: Number of weights.
        source: The archive, for messages.

    Raises:
        ArchiveError: It has more; or the archive cannot be built for another reason.
    """
    try:
        with torch.device("meta"), _few_modules(source):
            model = build()
    except TooLargeError:
        raise
    except ArchiveError as error:
        if "meta tensor" in str(error):  # its constructor computes with values; nothing to compare
            return
        raise
    count = sum(tensor.numel() for tensor in model.state_dict().values())
    if count > max(HARMLESS, weights + len(model.state_dict())):  # some lack batch norm's counters
        raise TooLargeError(
            f"{source}: config.json describes a model of {count:,} numbers, and its weights are "
            f"{weights:,}"
        )


def check_numbers(value: Any, where: str, source: str) -> None:
    """Raise where a model's config holds a number that no layer of a real one has.

    Raises:
        ArchiveError: It does; the place is named.
    """
    if isinstance(value, Mapping):
        for key, inner in value.items():
            check_numbers(inner, f"{where}.{key}", source)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            check_numbers(inner, f"{where}.{index}", source)
    elif isinstance(value, int):
        most = MOST_LAYERS if where.endswith("layers") else MOST_NUMBER
        if abs(value) > most:
            raise TooLargeError(
                f"{source}: config.json: {where}: expected at most {most:,}, found {value!r:.40}"
            )


def check_pictures(reader: DatasetReader, source: str) -> None:
    """Raise where a transform makes an image that fills the memory.

    Raises:
        ArchiveError: One does.
    """
    height, width = reader.source_size
    for transform in reader.pipeline.transforms:
        height, width = transform.output_size(height, width)
        if height is not None and width is not None and height * width > MOST_PIXELS:
            raise TooLargeError(
                f"{source}: config.json: {type(transform).__name__} makes images of "
                f"{height}x{width}; expected at most {MOST_PIXELS:,} pixels"
            )


def declared_numbers(content: bytes | bytearray) -> int:
    """Return how many numbers a safetensors file holds, as its header says.

    Raises:
        ValueError: The header is none, longer than any real one, or declares more than the file
            can hold.
    """
    length = int.from_bytes(content[:_LENGTH_BYTES], "little")
    most = min(MOST_HEADER_BYTES, len(content))
    if length > most:
        raise ValueError(f"expected a header of at most {most:,} bytes, found {length:,}")
    try:
        header = json.loads(bytes(content[_LENGTH_BYTES : _LENGTH_BYTES + length]))
        shapes = [one["shape"] for name, one in header.items() if name != "__metadata__"]
        counts = [math.prod(map(operator.index, shape)) for shape in shapes]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"its header cannot be read: {error!r:.200}") from None
    if len(counts) > MOST_TENSORS:
        raise ValueError(f"expected at most {MOST_TENSORS:,} tensors, found {len(counts):,}")
    if sum(counts) > len(content):  # each number takes a byte at least
        raise ValueError(
            f"its header declares {sum(counts):,} numbers, and it has {len(content):,} bytes"
        )
    return sum(counts)


@contextmanager
def _few_modules(source: str) -> Iterator[None]:
    thread, made = threading.get_ident(), 0

    def count(*_: Any) -> None:
        nonlocal made
        if threading.get_ident() == thread:
            made += 1
            if made > MOST_MODULES:
                raise TooLargeError(f"{source}: describes more than {MOST_MODULES:,} layers")

    # Layers in a list are no modules of anything yet, but have parameters
    handles = [
        hooks.register_module_module_registration_hook(count),
        hooks.register_module_parameter_registration_hook(count),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
