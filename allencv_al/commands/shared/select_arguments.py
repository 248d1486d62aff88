"""The arguments of `allencv-al select`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from allencv_al.commands.shared import arguments

DEFAULT_STRATEGY = "margin"
DEFAULT_FIRST_STRATEGY = "typiclust"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.usage = (
        "%(prog)s ARCHIVE POOL [options]\n       %(prog)s --embeddings MODEL POOL [options]"
    )
    parser.epilog = _EPILOG
    arguments.add_archive(parser)
    pool = parser.add_argument(
        "pool", metavar="POOL", help="the pool: a folder, a table or a list of images; see below"
    )
    _add_choice(parser)
    _add_cold_start(parser, pool)
    _add_scoring(parser)
    _add_results(parser)


def _add_choice(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--strategy",
        metavar="NAME|JSON",
        help='a query strategy by name, or a jsonnet object: \'{type: "subsample", size: 1000, '
        f'strategy: "badge"}}\' (default: {DEFAULT_STRATEGY}; with --embeddings '
        f"{DEFAULT_FIRST_STRATEGY}); allencv-al describe query_strategy lists them",
    )
    parser.add_argument(
        "-k",
        "--query-size",
        type=arguments.positive_int,
        default=100,
        metavar="N",
        help="number of images to choose (default: 100)",
    )
    parser.add_argument(
        "--labeled",
        metavar="FILE",
        help="labeled images, which are not chosen: class folders, a run directory of "
        "active-learn, a labeling folder, CSV or JSON lines with label and path (or "
        "id); for masks and boxes also what the dataset reader of ARCHIVE reads",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="random seed (default: 0)")


def _add_cold_start(parser: argparse.ArgumentParser, pool: argparse.Action) -> None:
    group = parser.add_argument_group("without a trained model")
    group.add_argument(
        "--embeddings",
        action=_Embeddings,
        pool=pool,
        metavar="MODEL[:WEIGHTS]",
        help="instead of ARCHIVE: offline (the network of the extra [offline]), timm:NAME or a "
        "torchvision name, whose weights are downloaded once, with :WEIGHTS behind it a file or "
        "folder of weights; open_clip:NAME:WEIGHTS or open_clip:FOLDER; or a file of vectors with "
        "ids (.npz, .npy, .parquet)",
    )
    group.add_argument(
        "--image-size",
        type=arguments.positive_int,
        metavar="N",
        help="scale and crop images to N x N pixels for it (default: as it was trained)",
    )


def _add_scoring(parser: argparse.ArgumentParser) -> None:
    arguments.add_batch_size(parser)
    arguments.add_precision(parser, default="auto")
    arguments.add_embedding_cache(parser)
    parser.add_argument(
        "--ensemble",
        action="append",
        type=Path,
        default=[],
        metavar="ARCHIVE",
        help="a further model with the same classes, for strategies that need an ensemble "
        "(bald, batch_bald ...); may be given several times",
    )
    parser.add_argument(
        "--mc-samples",
        type=arguments.positive_int,
        default=20,
        metavar="N",
        help="number of dropout samples that replace an ensemble (default: 20)",
    )
    parser.add_argument(
        "--target",
        metavar="POOL",
        help="for epig: images like those that the model will be used on (default: some of POOL)",
    )
    parser.add_argument(
        "--scores-dir",
        type=Path,
        metavar="DIR",
        help="store the outputs of the model there; a killed call resumes, and another strategy "
        "with the same needs does not run the model again",
    )
    parser.add_argument(
        "--use-dataset-reader",
        action="store_true",
        help="read POOL by the archive's dataset reader, as in training; its labels are ignored",
    )
    arguments.add_dataset_reader_choice(parser)


def _add_results(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="write the picks to FILE instead of stdout: .csv, a table to fill in; or .jsonl",
    )
    parser.add_argument(
        "--contact-sheet",
        type=Path,
        metavar="PNG",
        help="draw the picks with score and predicted class",
    )


class _Embeddings(argparse.Action):
    """Store the model; without ARCHIVE the only positional argument is POOL."""

    def __init__(self, pool: argparse.Action, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._pool = pool

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        setattr(namespace, self.dest, values)
        # argparse gives the one positional argument to ARCHIVE; `select` moves it to POOL
        self._pool.required = False


_EPILOG = """\
POOL is one of
  a folder     whose images are read at any depth, in sorted order
  a table      CSV or JSON lines with a column path, as the dataset reader "manifest" reads it; rows
               with a label are taken as labeled, and not chosen
  JSON lines   {"image_path": "photo.jpg"}
  a text file  with the path of one image per line
  -            for JSON lines or paths on stdin

There is one line for each pick, the most wanted first: rank, id, image_path, score, predicted and
probability (the likeliest class), reason. With --output to_label.csv it is a table: fill in its
column "label", and train on it with the dataset reader "manifest". What --labeled names stands in
the table too, below the picks, so that it is the whole training set.

Images that cannot be read are reported and never chosen; they fail nothing.
"""
