"""Measure `allencv-al audit`: swapped labels, planted twins, and the time of 100,000 images.

Usage: python benchmarks/data_audit.py labels|twins|speed [--data DIR] [--images N] [--seeds N]

`labels` swaps a tenth of the labels of CIFAR-10's training images and counts how many of the
labels with the smallest probability were swapped. `twins` adds changed copies of images and counts
how many are found, and how many other images are named. `speed` audits images that are known to the
store.
"""

from __future__ import annotations

import argparse
import io
import lzma
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from allencv_al.data.instance import Instance
from allencv_al.data_audit.audited_images import AuditedImage
from allencv_al.data_audit.image_facts import facts_of_images
from allencv_al.data_audit.inspection import audit_images
from allencv_al.data_audit.label_quality import likely_errors, normalized_margin, self_confidence
from allencv_al.data_audit.near_duplicates import near_duplicates
from allencv_al.data_audit.nearest_images import nearest_images, short_vectors
from allencv_al.predictors.predictor import Predictor
from allencv_al.selection.cold_start import embedding_predictor
from allencv_al.selection.pool.embedding_store import EmbeddingStore, store_at
from allencv_al.selection.pool.pool_scorer import ScoringOptions
from allencv_al.selection.pool.scoring import compute_outputs
from allencv_al.training.heads.held_out_predictions import held_out_probabilities

CIFAR_SIDE = 128
SWAPPED = 0.1
TWINS = 600
RECORD = 3073


def main() -> None:
    """Print the figures of one part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=["labels", "twins", "speed"])
    parser.add_argument("--data", type=Path, default=Path("shared/data"))
    parser.add_argument("--features", type=Path, nargs="*", help="labels: .npz with X, y, split")
    parser.add_argument("--images", type=int)
    parser.add_argument("--seeds", type=int, default=5)
    args = parser.parse_args()
    if args.part == "labels":
        if args.features:
            vectors, truth = features(args.features)
        else:
            pixels, truth = cifar10(args.data, args.images or 10_000)
            vectors = embeddings(list(pixels), CIFAR_SIDE)
        measure_labels(vectors, truth, args.seeds)
    elif args.part == "twins":
        measure_twins("photographs", photographs(args.data), None)
        images, _ = cifar10(args.data, args.images or 3000)
        measure_twins("CIFAR-10", [Image.fromarray(pixels) for pixels in images], CIFAR_SIDE)
    else:
        measure_speed(args.images or 100_000)


def features(files: list[Path]) -> tuple[np.ndarray, np.ndarray]:
    """Return the vectors of training images and their labels."""
    tables = [np.load(file) for file in files]
    kept = [table["split"] == "train" for table in tables]
    pairs = list(zip(tables, kept, strict=True))
    rows = np.concatenate([table["X"][rows] for table, rows in pairs])
    return rows, np.concatenate([table["y"][rows] for table, rows in pairs]).astype(np.int64)


def measure_labels(vectors: np.ndarray, truth: np.ndarray, seeds: int) -> None:
    """Print precision at k of two scores, and precision and recall of the likely errors."""
    count = len(truth)
    short = short_vectors(vectors)
    groups = [str(place) for place in range(count)]
    for seed in range(seeds):
        generator = np.random.default_rng(seed)
        k = round(SWAPPED * count)
        wrong = generator.choice(count, k, replace=False)
        labels = truth.copy()
        labels[wrong] = (truth[wrong] + generator.integers(1, 10, k)) % 10
        is_wrong = labels != truth
        started = time.monotonic()
        probabilities = held_out_probabilities(short, labels, groups, seed=seed)
        seconds = time.monotonic() - started
        at_k = [
            is_wrong[np.argsort(score(labels, probabilities))[:k]].mean()
            for score in (self_confidence, normalized_margin)
        ]
        flagged = likely_errors(labels, probabilities)
        print(
            f"seed {seed}: precision at {k}: {at_k[0]:.3f} (margin {at_k[1]:.3f}); flagged "
            f"{flagged.sum()}, precision {is_wrong[flagged].mean():.3f}, recall "
            f"{flagged[is_wrong].mean():.3f}; {seconds:.0f} s",
            flush=True,
        )


def measure_twins(name: str, images: list[Image.Image], side: int | None) -> None:
    """Print the share of twins that are found by kind, and of other images that are named."""
    generator = np.random.default_rng(0)
    sources = generator.permutation(len(images))[:TWINS]
    kinds = [list(CHANGES)[place % len(CHANGES)] for place in range(len(sources))]
    twins = [
        CHANGES[kind](images[source], generator)
        for source, kind in zip(sources, kinds, strict=True)
    ]
    pixels = [np.asarray(image) for image in (*images, *twins)]
    vectors = embeddings(pixels, side)
    copies = facts_of_images(instances(pixels), description=None).facts.copies
    neighbors, _ = nearest_images(short_vectors(vectors), 10)
    pairs = near_duplicates(vectors, neighbors, copies)
    found = set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))
    hits = [(int(source), len(images) + place) in found for place, source in enumerate(sources)]
    others = {place for pair in found if pair[1] < len(images) for place in pair}
    by_kind = ", ".join(
        f"{kind} {np.mean([hit for hit, one in zip(hits, kinds, strict=True) if one == kind]):.2f}"
        for kind in CHANGES
    )
    print(
        f"{name}: {len(images)} images, {len(twins)} twins: found {np.mean(hits):.3f} ({by_kind}); "
        f"other images named {len(others)} ({len(others) / len(images):.2%})",
        flush=True,
    )


def measure_speed(count: int) -> None:
    """Print the time of an audit of images whose embeddings and facts are in a store."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 10, count)
    centers = generator.normal(size=(10, 1280)).astype(np.float32)
    vectors = centers[labels] + generator.normal(size=(count, 1280)).astype(np.float32)
    coarse = generator.integers(0, 256, (count, 6, 6, 3), dtype=np.uint8)
    pixels = coarse.repeat(5, axis=1).repeat(5, axis=2)
    images = [
        AuditedImage(Instance(str(place), pixels[place], f"class {labels[place]}"))
        for place in range(count)
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "vectors.npz")
        np.savez(path, embeddings=vectors, ids=np.array([str(place) for place in range(count)]))
        predictor = embedding_predictor(str(path))
        options = ScoringOptions(
            batch_size=1024, description=None, store=EmbeddingStore(Path(folder, "store"))
        )
        for name in ("first audit", "second audit, all kept"):
            started, used = time.monotonic(), time.process_time()
            audit = audit_images(images, predictor, options)
            seconds, processor = time.monotonic() - started, time.process_time() - used
            print(
                f"{name}: {count} images in {seconds:.0f} s ({processor:.0f} s of processors), "
                f"{audit.counts()}",
                flush=True,
            )


def embeddings(pixels: list[np.ndarray], side: int | None) -> np.ndarray:
    """Return the embeddings of the offline encoder."""
    predictor: Predictor = embedding_predictor("offline", side)
    options = ScoringOptions(store=store_at())
    found = compute_outputs([predictor], instances(pixels), {"embeddings"}, None, options)
    assert found.embeddings is not None
    return found.embeddings


def instances(pixels: list[np.ndarray]) -> list[Instance]:
    """Return images of pixels."""
    return [Instance(str(place), one) for place, one in enumerate(pixels)]


def cifar10(data: Path, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the first training images `[N, 32, 32, 3]` and their labels."""
    parts = [
        lzma.decompress((data / "cifar10" / f"data_batch_{number}.bin.xz").read_bytes())
        for number in range(1, 1 + -(-count // 10_000))
    ]
    records = np.frombuffer(b"".join(parts), np.uint8).reshape(-1, RECORD)[:count]
    images = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), records[:, 0].astype(np.int64)


def photographs(data: Path) -> list[Image.Image]:
    """Return the 400 photographs of cats_dogs."""

    def read() -> Iterator[Image.Image]:
        with tarfile.open(data / "cats_dogs.tar") as tar:
            for member in sorted(tar.getmembers(), key=lambda one: one.name):
                file = tar.extractfile(member) if member.name.endswith(".jpg") else None
                if file is not None:
                    yield Image.open(io.BytesIO(file.read())).convert("RGB")

    return list(read())


def resized(image: Image.Image, generator: np.random.Generator) -> Image.Image:
    """Return the image at half to four fifths of its size."""
    factor = generator.uniform(0.5, 0.8)
    size = (max(8, round(image.width * factor)), max(8, round(image.height * factor)))
    return image.resize(size, Image.Resampling.LANCZOS)


def cropped(image: Image.Image, generator: np.random.Generator, share: float) -> Image.Image:
    """Return a random part with a share of each side."""
    width, height = round(image.width * share), round(image.height * share)
    left = int(generator.integers(0, image.width - width + 1))
    top = int(generator.integers(0, image.height - height + 1))
    return image.crop((left, top, left + width, top + height))


def compressed(image: Image.Image, quality: int) -> Image.Image:
    """Return the image after JPEG compression."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return Image.open(io.BytesIO(stream.getvalue())).convert("RGB")


CHANGES = {
    "resized": resized,
    "crop of 90 %": lambda image, generator: cropped(image, generator, 0.9),
    "crop of 80 %": lambda image, generator: cropped(image, generator, 0.8),
    "JPEG 50": lambda image, _: compressed(image, 50),
    "JPEG 20": lambda image, _: compressed(image, 20),
    "mirrored": lambda image, _: ImageOps.mirror(image),
    "brighter by 15 %": lambda image, _: ImageEnhance.Brightness(image).enhance(1.15),
    "mirrored crop, JPEG 70": lambda image, generator: compressed(
        cropped(ImageOps.mirror(image), generator, 0.9), 70
    ),
}


if __name__ == "__main__":
    main()
