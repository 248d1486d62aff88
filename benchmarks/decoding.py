"""Time what reading an image costs beside Pillow alone, in one interleaved run.

    python benchmarks/decoding.py [--rounds N] [--megapixels M]

Each line is one file, read from memory by one thread: by Pillow alone (decoded, as an array) and by
`load_image`, with its profile and without (`raw_colors`). A JPEG is also read at a part of its
size, as a reader with `reduce_above: 0` and a resize to 224 does. They take turns, and the table
gives medians of CPU time, as multiples of Pillow alone in the same round.
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import time
from collections.abc import Callable
from functools import partial

import numpy as np
from PIL import Image, ImageCms

from allencv_al.data.image_io import load_image, load_reduced

_REDUCED_SIDE = 2 * 224


def photograph(megapixels: float) -> Image.Image:
    """Return a picture with detail at many scales, 4:3."""
    generator = np.random.default_rng(0)
    height = round((megapixels * 1e6 * 3 / 4) ** 0.5)
    size = height * 4 // 3, height
    sides = 8, 64, 512
    layers = [generator.integers(0, 256, (side, side, 3), dtype=np.uint8) for side in sides]
    scaled = [np.asarray(Image.fromarray(layer).resize(size), np.uint16) for layer in layers]
    return Image.fromarray(((4 * scaled[0] + 3 * scaled[1] + scaled[2]) // 8).astype(np.uint8))


def files(megapixels: float) -> dict[str, bytes]:
    """Return the files by name."""
    small, large = photograph(0.2), photograph(megapixels)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    other = _wide_profile(srgb)
    return {
        "JPEG, 0.2 megapixels, no profile": _encoded(small, "JPEG"),
        "... sRGB profile": _encoded(small, "JPEG", icc_profile=srgb),
        "... another profile": _encoded(small, "JPEG", icc_profile=other),
        "PNG, 0.2 megapixels, no profile": _encoded(small, "PNG"),
        f"JPEG, {megapixels:g} megapixels, no profile": _encoded(large, "JPEG"),
        "... sRGB profile, large": _encoded(large, "JPEG", icc_profile=srgb),
        "... another profile, large": _encoded(large, "JPEG", icc_profile=other),
    }


def _wide_profile(srgb: bytes) -> bytes:
    """Return a profile of other colors: that of sRGB with two primaries exchanged."""
    return srgb.replace(b"rXYZ", b"tmpX").replace(b"gXYZ", b"rXYZ").replace(b"tmpX", b"gXYZ")


def _encoded(image: Image.Image, format: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def _alone(content: bytes) -> object:
    with Image.open(io.BytesIO(content)) as image:
        return np.array(image)


def _seconds(read: Callable[[], object]) -> float:
    start = time.process_time()
    read()
    return time.process_time() - start


def main() -> None:
    """Run the rounds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="rounds (default: 15)")
    parser.add_argument("--megapixels", type=float, default=12, help="of the photograph")
    args = parser.parse_args()
    print(f"medians of {args.rounds} interleaved rounds; load {os.getloadavg()[0]:.1f}\n")
    print("| file | Pillow alone, CPU ms | load_image | ... raw_colors | ... reduced |")
    print("|---|---:|---:|---:|---:|")
    for name, content in files(args.megapixels).items():
        ways: list[Callable[[], object]] = [
            partial(_alone, content),
            partial(load_image, content),
            partial(load_image, content, raw_colors=True),
            partial(load_reduced, content, _REDUCED_SIDE),
        ]
        for way in ways:
            way()
        rounds = [[_seconds(way) for way in ways] for _ in range(args.rounds)]
        alone = 1000 * statistics.median(row[0] for row in rounds)
        ratios = [statistics.median(row[i] / row[0] for row in rounds) for i in (1, 2, 3)]
        print(f"| {name} | {alone:.1f} | {' | '.join(f'{ratio:.2f}' for ratio in ratios)} |")


if __name__ == "__main__":
    main()
