"""Arguments shared by several subcommands, so that a flag means the same in each."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from allencv_al.common.errors import ConfigurationError

if TYPE_CHECKING:
    from allencv_al.common.config.params import Params

_Number = TypeVar("_Number", int, float)


def _number(
    convert: Callable[[str], _Number], is_valid: Callable[[_Number], bool], expected: str
) -> Callable[[str], _Number]:
    def parse(text: str) -> _Number:
        with suppress(ValueError):
            if is_valid(number := convert(text)):
                return number
        raise argparse.ArgumentTypeError(f'expected {expected}, found "{text}"')

    return parse


port = _number(int, lambda number: 0 <= number <= 65535, "a port from 0 to 65535")
positive_int = _number(int, lambda number: number >= 1, "an integer of at least 1")
positive_float = _number(float, lambda number: 0.0 < number < float("inf"), "a number above 0")
_MOST_SEEDS = 10_000
_seed_count = _number(
    int, lambda number: 1 <= number <= _MOST_SEEDS, f"a number of seeds from 1 to {_MOST_SEEDS}"
)
_gpu = _number(int, lambda number: number >= -1, '-1 (CPU), the number of a GPU, or "auto"')


def seeds(text: str) -> tuple[int, ...]:
    """Convert the text of ``--seeds``: a number of seeds, or a list such as ``2,5,9-11``."""
    if text.strip().isdecimal():
        return tuple(range(_seed_count(text)))
    found: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,9})(?:-(\d{1,9}))?\s*", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        # A slip such as 1-1000000000 must not fill the memory
        if last < first or last - first > _MOST_SEEDS:
            raise argparse.ArgumentTypeError(
                f'expected a number of seeds, or seeds such as 3-7 or 2,5,9-11, found "{text}"'
            )
        found += range(first, last + 1)
    twice = sorted({seed for seed in found if found.count(seed) > 1})
    if twice:
        raise argparse.ArgumentTypeError(
            f'expected each seed once, found {twice[0]} twice in "{text}"'
        )
    return tuple(sorted(found))


def cuda_device(text: str) -> int | str:
    """Convert the text of ``--cuda-device``: -1, the number of a GPU, or "auto"."""
    return text if text == "auto" else _gpu(text)


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
    """Store a value; reject a second one, which would silently replace the first."""

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


def add_precision(parser: argparse.ArgumentParser, default: str) -> None:
    """Add ``--precision`` for commands that run images through a model.

    Args:
        parser: The parser of the subcommand.
        default: The number format without it.
    """
    parser.add_argument(
        "--precision",
        choices=("auto", "fp32", "bf16", "fp16"),
        default=default,
        help="number format of the network; auto is bf16 where the processor or GPU has it in "
        f"hardware, more than twice as fast (default: {default})",
    )


def add_embedding_cache(parser: argparse._ActionsContainer) -> None:
    """Add ``--embedding-cache``."""
    parser.add_argument(
        "--embedding-cache",
        metavar="DIR|off",
        help="keep embeddings there: images whose content any command has encoded with the same "
        "network are not encoded again (default: in the user's cache folder; "
        "allencv-al cache list shows it)",
    )


def add_archive(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of a trained model: archive, weights, device and overrides."""
    parser.add_argument(
        "archive_file",
        type=Path,
        metavar="ARCHIVE",
        help="a model.tar.gz, a folder with its contents, or the run directory of a training",
    )
    add_model_options(parser)


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that change how a trained model is loaded."""
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
    """Add the arguments of a config file: path, external variables and overrides."""
    parser.add_argument(
        "param_path",
        type=Path,
        nargs=None if required else "?",
        metavar="CONFIG",
        help="the jsonnet file of the experiment",
    )
    add_variables(parser)
    add_overrides(parser)
    add_include_package(parser)


def add_variables(parser: argparse.ArgumentParser) -> None:
    """Add ``-V/--ext-var``."""
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


def read_config(args: argparse.Namespace) -> Params:
    """Read the config file that `add_config` has declared.

    Raises:
        ConfigurationError: It cannot be read, or an override is wrong.
    """
    from allencv_al.common.config.params import Params

    return Params.from_file(args.param_path, args.overrides, dict(args.ext_vars))


def add_run_folder(parser: argparse.ArgumentParser, contents: str) -> None:
    """Add the arguments for the run directory, and for an existing run in it.

    Args:
        parser: The parser of the subcommand.
        contents: Future contents of the folder.
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


def check_run_folder(args: argparse.Namespace, command: str) -> None:
    """Raise a `ConfigurationError` if there is no folder to write to, and no `--dry-run`."""
    if args.serialization_dir is None and not args.dry_run:
        raise ConfigurationError(f"{command}: needs -s DIR, the folder to write the run to")
