"""`allencv-al export`: write a trained model into one file for other programs."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from allencv_al.commands.shared import arguments
from allencv_al.commands.shared.output_files import check_output_files
from allencv_al.common.errors import ConfigurationError

_MOST_COMPARED = 64

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    arguments.add_archive(parser)
    parser.add_argument(
        "--output", type=Path, required=True, metavar="FILE", help="the file to write"
    )
    parser.add_argument(
        "--format",
        choices=("onnx", "torch_export"),
        default="onnx",
        help="the kind of file (default: onnx)",
    )
    parser.add_argument(
        "--check",
        metavar="IMAGES",
        help=f"compare the file with the archive on images of this folder, {_MOST_COMPARED} at "
        "most (default: the samples in the archive and drawn images)",
    )


def run(args: argparse.Namespace) -> int:
    """Export the model; the file is there only if it predicts as the archive does."""
    from allencv_al.data.dataset_readers.image_files import count_images
    from allencv_al.models.archive import load_archive
    from allencv_al.predictors.model_export import export_model

    if args.cuda_device not in (-1, "auto"):
        raise ConfigurationError("--cuda-device: a model is exported on the CPU; leave it out")
    check_output_files({"--output": args.output}, [args.archive_file, args.check])
    images: list[Path] = []
    if args.check is not None:
        folder = Path(args.check)
        names, _ = count_images(folder) if folder.is_dir() else ([], None)
        if not names:
            raise ConfigurationError(f"--check: expected a folder with images, found {args.check}")
        step = max(1, len(names) // _MOST_COMPARED)
        images = [folder / name for name in names[::step][:_MOST_COMPARED]]
    archive = load_archive(args.archive_file, -1, args.overrides, args.weights_file)
    check = export_model(archive, args.output, args.format, images)
    logger.info(
        "%s: %.1f MB; same classes as the archive for %d images%s, largest difference of a "
        "probability %.1g",
        args.output,
        args.output.stat().st_size / 1e6,
        check.images,
        f" ({check.ties} of them ties)" if check.ties else "",
        check.difference,
    )
    return 0


_EPILOG = """\
The file holds the network, the preprocessing behind decoding (scaling, crop, normalization) and the
names of the classes. Input: image, uint8 [B, height, width, 3], RGB, any size. Outputs: logits and
probs [B, classes], and prediction [B].

  allencv-al export runs/photos/model.tar.gz --output photos.onnx --check photos/validation
  allencv-al predict photos.onnx some/new/photos

predict with an ONNX file needs onnxruntime, and neither torch nor the archive.
"""
