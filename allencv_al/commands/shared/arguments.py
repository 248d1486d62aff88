"""Arguments that several subcommands share, so that one flag means the same everywhere."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def cuda_device(text: str) -> int | str:
    """Convert the text of ``--cuda-device``: -1, the number of a GPU, or "auto"."""
    if text == "auto":
        return text
    try:
        number = int(text)
    except ValueError:
        number = -2
    if number < -1:
        raise argparse.ArgumentTypeError(
            f'expected -1 (CPU), the number of a GPU, or "auto", found "{text}"'
        )
    return number


def port(text: str) -> int:
    """Convert the text of ``--port``: 0 to 65535."""
    try:
        number = int(text)
    except ValueError:
        number = -1
    if not 0 <= number <= 65535:
        raise argparse.ArgumentTypeError(f'expected a port from 0 to 65535, found "{text}"')
    return number


def positive_int(text: str) -> int:
    """Convert a text to an integer of at least 1."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f'expected an integer of at least 1, found "{text}"')
    return number


def positive_float(text: str) -> float:
    """Convert a text to a finite number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0.0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f'expected a number above 0, found "{text}"')
    return number


def external_variable(text: str) -> tuple[str, str]:
    """Split ``name=value``."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f'expected name=value, found "{text}"')
    return name, value


def add_include_package(parser: argparse.ArgumentParser) -> None:
    """Add ``--include-package``, which the command-line frame acts on before ``run``."""
    parser.add_argument(
        "--include-package",
        action="append",
        default=[],
        metavar="PACKAGE",
        help="import this package and all its modules first, so that the components they "
        "register can be named in a config; may be given several times",
    )


class _Once(argparse.Action):
    """Store a value; refuse a second one, which would silently take the place of the first."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        if getattr(namespace, self.dest, self.default) != self.default:
            raise argparse.ArgumentError(self, "given twice; put all keys into one object")
        setattr(namespace, self.dest, values)


def add_overrides(parser: argparse.ArgumentParser) -> None:
    """Add ``-o/--overrides``."""
    parser.add_argument(
        "-o",
        "--overrides",
        action=_Once,
        default="",
        metavar="JSON",
        help="a jsonnet object that changes the config; keys may be dotted and may hold list "
        'indices: \'{"trainer.num_epochs": 3, "model.dropout": 0.5}\'; a value that is an object '
        "replaces the whole object, so change single values by dotted keys",
    )


def add_cuda_device(parser: argparse._ActionsContainer) -> None:
    """Add ``--cuda-device`` for commands that use a trained model."""
    parser.add_argument(
        "--cuda-device",
        type=cuda_device,
        default=-1,
        metavar="N",
        help='the GPU to use, "auto" for the first one if there is any, or -1 for the CPU '
        "(default: -1)",
    )


def add_batch_size(parser: argparse.ArgumentParser) -> None:
    """Add ``--batch-size`` for commands that run images through a model."""
    parser.add_argument(
        "--batch-size",
        type=positive_int,
        default=32,
        metavar="N",
        help="images per batch (default: 32)",
    )


def add_archive(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say which trained model to load, and how."""
    parser.add_argument(
        "archive_file",
        type=Path,
        metavar="ARCHIVE",
        help="a model.tar.gz, a folder with its contents, or the run directory of a training",
    )
    parser.add_argument(
        "--weights-file",
        type=Path,
        metavar="FILE",
        help="use the weights in this safetensors file instead of the archive's own",
    )
    add_cuda_device(parser)
    add_overrides(parser)
    add_include_package(parser)


def add_config(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """Add the arguments that say which config file to use, and how to fill it in."""
    parser.add_argument(
        "param_path",
        type=Path,
        nargs=None if required else "?",
        metavar="CONFIG",
        help="the jsonnet file of the experiment",
    )
    parser.add_argument(
        "-V",
        "--ext-var",
        dest="ext_vars",
        action="append",
        type=external_variable,
        default=[],
        metavar="NAME=VALUE",
        help="set an external variable of the config (std.extVar), before the environment's: a "
        "string, of which std.parseJson(std.extVar(...)) makes a number; repeatable",
    )
    add_overrides(parser)
    add_include_package(parser)


def add_run_folder(parser: argparse.ArgumentParser, contents: str) -> None:
    """Add the arguments for the run directory, and for an existing run in it.

    Args:
        parser: The parser of the subcommand.
        contents: What the folder will hold.
    """
    parser.add_argument(
        "-s",
        "--serialization-dir",
        type=Path,
        metavar="DIR",
        help=f"the folder of the run: {contents} go there",
    )
    parser.add_argument(
        "-r", "--recover", action="store_true", help="resume the interrupted run in DIR"
    )
    parser.add_argument("-f", "--force", action="store_true", help="replace the run in DIR")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="check the config, shapes, labels, and the existence of images and weights "
        "files; list all faults and stop; no image is read",
    )


def add_dataset_reader_choice(parser: argparse.ArgumentParser) -> None:
    """Add ``--dataset-reader-choice``."""
    parser.add_argument(
        "--dataset-reader-choice",
        choices=("train", "validation"),
        default="validation",
        help="use the transforms of the validation reader, if the config has one, or of "
        "the training reader (default: validation)",
    )
