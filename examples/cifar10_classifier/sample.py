"""Write a small sample in CIFAR-10's binary layout, to try the example without the data.

    python sample.py FOLDER

scikit-learn's 1,797 handwritten digits, each 8x8 pixel drawn as 4x4: five training batches and a
test batch of the same shape as CIFAR-10's, at three hundredths of the size.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

NAMES = [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def write_sample(folder: Path) -> None:
    """Write six batches of about 300 records, and the names of the classes."""
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    pixels = np.kron(digits.images[order] * (255 / 16), np.ones((4, 4))).astype(np.uint8)
    labels = digits.target[order].astype(np.uint8)[:, None]
    records = np.hstack([labels, *[pixels.reshape(len(labels), -1)] * 3])
    folder.mkdir(parents=True, exist_ok=True)
    for name, part in zip(NAMES, np.array_split(records, len(NAMES)), strict=True):
        (folder / name).write_bytes(part.tobytes())
    (folder / "batches.meta.txt").write_text("\n".join(WORDS) + "\n", encoding="utf-8")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Write a small sample of digits as CIFAR batches.")
    parser.add_argument("folder", type=Path, help="where to")
    write_sample(parser.parse_args().folder)


if __name__ == "__main__":
    main()
