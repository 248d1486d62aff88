"""`allencv-al sample-data`: write or download a small data set."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this subcommand."""
    parser.add_argument(
        "data_set",
        choices=("digits", "photographs", "shapes", "cifar10"),
        metavar="NAME",
        help="digits: 1,797 handwritten digits of 8x8 pixels, written as class folders of PNG files"
        " (nothing is downloaded); photographs: 60 crops of two photographs, a flower and a "
        "temple, likewise; shapes: 800 drawn images of circles, squares and triangles with "
        "classes, masks, boxes and keypoints; cifar10: the published CIFAR-10 binary archive of "
        "170 MB, downloaded and left packed, as the reader cifar_binary reads it in place",
    )
    parser.add_argument(
        "directory",
        type=Path,
        metavar="DIR",
        help="the folder to write; existing complete data are kept, and an interrupted "
        "download is completed",
    )
    parser.add_argument(
        "--no-split",
        action="store_true",
        help="digits: write all of them to DIR/all, for active learning, which splits them itself",
    )
    parser.add_argument("--seed", type=int, help="shapes: seed of the drawn images (default: 0)")
    parser.add_argument(
        "--url", help="cifar10: another http or https address of the archive, such as a mirror"
    )
    parser.add_argument("--md5", help="cifar10: the checksum the archive must have")


def run(args: argparse.Namespace) -> int:
    """Write the data set; print the paths for a config."""
    make = {
        "digits": _digits,
        "photographs": _photographs,
        "shapes": _shapes,
        "cifar10": _cifar10,
    }
    _check_seed(args)
    paths = make[args.data_set](args)
    width = max(len(name) for name in paths)
    for name, path in paths.items():
        sys.stdout.write(f"{name:<{width}} = {path}\n")
    return 0


def _check_no_download(args: argparse.Namespace) -> None:
    from allencv_al.common.errors import ConfigurationError

    if args.url or args.md5:
        raise ConfigurationError(
            f"--url and --md5 are for cifar10; the {args.data_set} are not downloaded"
        )


def _photographs(args: argparse.Namespace) -> dict[str, str]:
    from allencv_al.common.errors import ConfigurationError
    from allencv_al.data.sample_data.photographs import COUNTS, write_photographs

    _check_no_download(args)
    if args.no_split:
        raise ConfigurationError("--no-split is for the digits")
    root = write_photographs(args.directory)
    return {f"{split}_data_path": str(root / split) for split in COUNTS}


def _check_seed(args: argparse.Namespace) -> None:
    from allencv_al.common.errors import ConfigurationError

    if args.seed is not None and args.data_set != "shapes":
        raise ConfigurationError("--seed is for the shapes; other data sets are always the same")


def _shapes(args: argparse.Namespace) -> dict[str, str]:
    from allencv_al.common.errors import ConfigurationError
    from allencv_al.data.sample_data.shapes import COUNTS, write_shapes

    _check_no_download(args)
    if args.no_split:
        raise ConfigurationError("--no-split is for the digits")
    root = write_shapes(args.directory, args.seed or 0)
    places = {
        "manifest": "labels.jsonl",
        "paired_image": "",
        "coco": "instances.json",
        "image_annotation": "",
    }
    return {
        f"{split}_data_path of the reader {reader}": str(root / split / place)
        for reader, place in places.items()
        for split in COUNTS
    }


def _digits(args: argparse.Namespace) -> dict[str, str]:
    from allencv_al.data.sample_data.digits import SPLITS, UNSPLIT, write_digits

    _check_no_download(args)
    root = write_digits(args.directory, split=not args.no_split)
    if args.no_split:
        return {"train_data_path": str(root / UNSPLIT)}
    return {f"{split}_data_path": str(root / split) for split in SPLITS}


def _cifar10(args: argparse.Namespace) -> dict[str, str]:
    from allencv_al.common.errors import ConfigurationError
    from allencv_al.data.sample_data.cifar10 import MD5, URL, download_cifar10

    if args.no_split:
        raise ConfigurationError("--no-split is for the digits; cifar10 has two parts, train, test")

    archive = download_cifar10(args.directory, args.url or URL, args.md5 or MD5)
    return {f"{split}_data_path": f"{archive}::{split}" for split in ("train", "test")}
