"""`allencv-al encode`: embeddings of a pool into a store, by several processes or machines."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from allencv_al.commands.shared import arguments
from allencv_al.common.errors import ArchiveError, ConfigurationError

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    parser.add_argument(
        "pool", metavar="POOL", help="the images: a folder, a table or a list, as for select"
    )
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument(
        "--encoder",
        metavar="MODEL[:WEIGHTS]",
        help="the encoder, as --embeddings of select takes it: offline, timm:NAME, ...",
    )
    model.add_argument(
        "--archive",
        type=Path,
        metavar="ARCHIVE",
        help="take the embeddings of this trained model, and its logits",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="STORE",
        help="the folder of the vectors; one that was begun is continued",
    )
    parser.add_argument(
        "--workers",
        type=arguments.positive_int,
        metavar="N",
        help="number of processes (default: one per core; on a GPU: 1)",
    )
    parser.add_argument(
        "--shard-size",
        type=arguments.positive_int,
        default=10_000,
        metavar="N",
        help="images of a shard; what a kill costs (default: 10000)",
    )
    parser.add_argument(
        "--image-size",
        type=arguments.positive_int,
        metavar="N",
        help="scale and crop images to N x N pixels for --encoder (default: as it was trained)",
    )
    arguments.add_batch_size(parser)
    arguments.add_cuda_device(parser)
    arguments.add_precision(parser, default="auto")
    arguments.add_include_package(parser)


def run(args: argparse.Namespace) -> int:
    """Encode the images; finished shards stay."""
    from allencv_al.common.files.paths import absent
    from allencv_al.common.process import usable_cores
    from allencv_al.models.model import resolve_device
    from allencv_al.selection.pool_encoding import VectorSource, encode_pool
    from allencv_al.selection.select_inputs import read_pool

    if args.archive is not None and args.image_size is not None:
        raise ConfigurationError("--image-size: is for --encoder; an archive knows its own")
    if args.archive is not None and not args.archive.exists():
        raise ArchiveError(absent(args.archive, "archive"))
    instances = read_pool(args.pool)
    cores = usable_cores()
    on_gpu = resolve_device(args.cuda_device).type != "cpu"
    workers = args.workers or (1 if on_gpu else cores)
    # Fewer shards than processes leave cores idle: these have more threads then
    workers = min(workers, -(-len(instances) // args.shard_size))
    source = VectorSource(
        encoder=args.encoder,
        archive=args.archive,
        image_size=args.image_size,
        precision=args.precision,
        batch_size=args.batch_size,
        cuda_device=args.cuda_device,
        threads=None if workers == 1 else max(1, cores // workers),
        packages=args.include_package,
    )
    done = encode_pool(instances, args.output, source, workers, args.shard_size)
    logger.info(
        "%s: %d images encoded now, %d of them unreadable; select, audit and label take it by "
        "--embeddings %s",
        *(args.output, done.images, done.unreadable, args.output),
    )
    return 0


_EPILOG = """\
Any number of these commands, on machines that share the folder, work on one store side by side. One
that is killed is repeated: it encodes the shards that are missing.

  allencv-al encode photos --encoder offline -o vectors
  allencv-al encode photos.csv --archive runs/photos/model.tar.gz -o vectors --workers 4
  allencv-al select --embeddings vectors photos --strategy typiclust -k 100
"""
