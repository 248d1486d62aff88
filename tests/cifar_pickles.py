"""CIFAR's python batches, as Python 2 wrote them."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np


def python2_pickle(value: Any) -> bytes:
    """Return what Python 2's `cPickle.dumps(value, 2)` gives: all text is byte strings."""
    return b"\x80\x02" + _python2(value) + b"."


def _python2(value: Any) -> bytes:
    match value:
        case bool():
            return b"\x88" if value else b"\x89"
        case int():
            return b"K" + bytes([value]) if 0 <= value < 256 else b"J" + struct.pack("<i", value)
        case None:
            return b"N"
        case str() | bytes():
            content = value.encode() if isinstance(value, str) else value
            if len(content) < 256:
                return b"U" + bytes([len(content)]) + content
            return b"T" + struct.pack("<i", len(content)) + content
        case list():
            return b"](" + b"".join(map(_python2, value)) + b"e"
        case tuple():
            return b"(" + b"".join(map(_python2, value)) + b"t"
        case dict():
            pairs = b"".join(_python2(part) for pair in value.items() for part in pair)
            return b"}(" + pairs + b"u"
        case np.ndarray():
            kind = b"cnumpy\ndtype\n" + _python2(("u1", 0, 1)) + b"R"
            kind += _python2((3, "|", None, None, None, -1, -1, 0)) + b"b"
            array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n"
            array += _python2((0,)) + _python2("b") + b"tR"
            state = _python2(1) + _python2(value.shape) + kind + _python2(False)
            return array + b"(" + state + _python2(value.tobytes()) + b"tb"
    raise AssertionError(type(value))


def batch(count: int, first: int = 0) -> dict[str, Any]:
    """Return a CIFAR-10 batch: labels count up from `first`, pixels are chance."""
    pixels = np.random.default_rng(first).integers(0, 256, (count, 3072), dtype=np.uint8)
    return {
        "batch_label": "testing batch 1 of 1",
        "labels": [(first + n) % 10 for n in range(count)],
        "data": pixels,
        "filenames": [f"image_{first + n}.png" for n in range(count)],
    }
