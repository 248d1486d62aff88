"""Masks as runs of equal pixels, in the codes of COCO, CVAT and Label Studio."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

BitMask = NDArray[np.bool_]

# Label Studio: bits of a value, and the four numbers of bits that a length may have
_WORD = 8
_LENGTHS = (3, 4, 8, 16)
_CHANNELS = 4  # it codes red, green, blue and opacity of each pixel
_COVERED = 128  # opacity of a pixel that the brush covers by half


def runs_of(pixels: BitMask) -> list[int]:
    """Return the lengths of runs of pixels, in turn outside and inside, the first outside.

    Args:
        pixels: Flat; `mask.ravel(order="F")` for COCO, which counts down the columns.
    """
    edges = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    starts = [0] if pixels.size and pixels[0] else []
    places = [*starts, *edges.tolist(), pixels.size]
    return [places[0], *(stop - start for start, stop in pairwise(places))]


def pixels_of(runs: Sequence[int], count: int) -> BitMask:
    """Return flat pixels, the inverse of `runs_of`.

    Args:
        runs: The lengths.
        count: The number of pixels.

    Raises:
        ValueError: The lengths do not add up to it.
    """
    lengths = np.asarray(runs, dtype=np.int64)
    if lengths.ndim != 1 or (lengths < 0).any() or lengths.sum() != count:
        raise ValueError(f"expected runs of {count} pixels together, found {lengths.sum()}")
    inside = np.arange(len(lengths)) % 2 == 1
    return np.repeat(inside, lengths)


def coco_counts(mask: BitMask) -> str:
    """Return a mask `[H, W]` as the compressed `counts` of COCO."""
    runs = runs_of(np.asarray(mask, dtype=bool).ravel(order="F"))
    marks: list[str] = []
    for place, length in enumerate(runs):
        value = length - (runs[place - 2] if place > 2 else 0)
        more = True
        while more:
            # Five bits a character; the sixth says that more of them follow
            bits, value = value & 31, value >> 5
            more = value != (-1 if bits & 16 else 0)
            marks.append(chr(48 + (bits | 32 if more else bits)))
    return "".join(marks)


def mask_of_counts(counts: str | Sequence[int], size: tuple[int, int]) -> BitMask:
    """Return the mask `[H, W]` of COCO's `counts`.

    Args:
        counts: Compressed to a text, or as numbers.
        size: Width and height.

    Raises:
        ValueError: They are no such counts, or those of another size.
    """
    runs = _runs_of_text(counts) if isinstance(counts, str) else counts
    width, height = size
    return pixels_of(runs, width * height).reshape(height, width, order="F")


def _runs_of_text(text: str) -> list[int]:
    runs: list[int] = []
    value = shift = 0
    for mark in text:
        bits = ord(mark) - 48
        if not 0 <= bits < 64:
            raise ValueError(f"expected the compressed counts of COCO, found {mark!r} in them")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError("expected the compressed counts of COCO, found their beginning only")
    return runs


def brush_runs(mask: BitMask) -> list[int]:
    """Return a mask `[H, W]` as the bytes of Label Studio's `rle` of a brush.

    The code is that of the package `@thi.ng/rle-pack`, over all channels of all pixels.
    """
    values = np.repeat(np.asarray(mask, dtype=bool).ravel(), _CHANNELS)
    bits = [f"{values.size:032b}", f"{_WORD - 1:05b}", *(f"{size - 1:04b}" for size in _LENGTHS)]
    value = 0
    for run in runs_of(values):
        for length in _pieces(run):
            kind = next(n for n, size in enumerate(_LENGTHS) if length <= 1 << size)
            bits.append(f"1{kind:02b}{length - 1:0{_LENGTHS[kind]}b}{value:08b}")
        value ^= 255
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return list(int(text, 2).to_bytes(len(text) // 8, "big"))


def _pieces(run: int) -> list[int]:
    longest = 1 << _LENGTHS[-1]
    whole, rest = divmod(run, longest)
    return [longest] * whole + ([rest] if rest else [])


def mask_of_brush(code: Sequence[int], size: tuple[int, int]) -> BitMask:
    """Return the mask `[H, W]` of Label Studio's `rle`: the pixels covered by half at least.

    Args:
        code: Bytes, each 0..255.
        size: Width and height.

    Raises:
        ValueError: It is no such code, or that of another size.
    """
    width, height = size
    values = _unpacked(bytes(code))
    if values.size != width * height * _CHANNELS:
        raise ValueError(
            f"expected the rle of {width}x{height} pixels, found {values.size // _CHANNELS} pixels"
        )
    covered: BitMask = values[_CHANNELS - 1 :: _CHANNELS].reshape(height, width) >= _COVERED
    return covered


def _unpacked(code: bytes) -> NDArray[Any]:
    text = format(int.from_bytes(code, "big"), f"0{len(code) * 8}b") if code else ""
    place = 0

    def number(bits: int) -> int:
        nonlocal place
        place += bits
        if place > len(text):
            raise ValueError("expected the rle of a brush, found its beginning only")
        return int(text[place - bits : place], 2)

    count, word = number(32), number(5) + 1
    lengths = [number(4) + 1 for _ in range(4)]
    # Each length of a run costs 12 bits at least and gives 65,536 values at most
    if count > len(text) << 14:
        raise ValueError(f"expected the rle of a brush, found one of {count} values")
    found = np.zeros(count, dtype=np.uint32)
    done = 0
    while done < count:
        is_run = number(1)
        length = 1 + number(lengths[number(2)])
        if is_run:
            found[done : done + length] = number(word)
        else:
            values = [number(word) for _ in range(min(length, count - done))]
            found[done : done + length] = values
        done += length
    return found
