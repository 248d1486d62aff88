"""`allencv-al predict`: predict the classes of images, as JSON lines."""

from __future__ import annotations

import argparse
import json
import logging
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from allencv_al.commands.shared import arguments
from allencv_al.commands.shared.output_files import check_output_files, open_output
from allencv_al.common.errors import ConfigurationError

if TYPE_CHECKING:
    from allencv_al.commands.shared.mask_files import MaskFiles
    from allencv_al.commands.shared.predict_inputs import PredictInput, PredictItem
    from allencv_al.predictors.onnx_predictor import OnnxPredictor
    from allencv_al.predictors.predictor import Predictor


EXIT_SOME_FAILED = 1

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    arguments.add_archive(parser)
    parser.add_argument(
        "input_file",
        metavar="INPUT",
        help="JSON lines, a folder of images, a table, a list of image files, one image, or - for "
        "lines on stdin",
    )
    parser.add_argument("further", nargs="*", action=_RefuseFurther, help=argparse.SUPPRESS)
    parser.add_argument(
        "--output-file",
        type=Path,
        metavar="FILE",
        help="write the JSON lines to this file instead of stdout",
    )
    arguments.add_batch_size(parser)
    arguments.add_precision(parser, default="fp32")
    parser.add_argument(
        "--silent", action="store_true", help="write nothing to stdout; needs --output-file"
    )
    parser.add_argument(
        "--use-dataset-reader",
        action="store_true",
        help="read INPUT by the archive's dataset reader, as in training",
    )
    arguments.add_dataset_reader_choice(parser)
    parser.add_argument(
        "--predictor",
        metavar="NAME",
        help="the registered predictor to use (default: the model's own, default_image)",
    )
    parser.add_argument(
        "--predictor-args",
        default="",
        metavar="JSON",
        help="further constructor arguments of the predictor, as a JSON object",
    )


class _RefuseFurther(argparse.Action):
    """Reject further inputs with a remedy; argparse would only call them unrecognized."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        if values:
            raise argparse.ArgumentError(
                None,
                f"INPUT is one thing, found {values[0]} after it; for many images give their "
                "folder, or a text file with one path per line",
            )


def run(args: argparse.Namespace) -> int:
    """Predict every input; return 1 if some could not be predicted."""
    from allencv_al.commands.shared.mask_files import MaskFiles

    if args.silent and args.output_file is None:
        raise ConfigurationError("--silent: nothing would be written; add --output-file FILE")
    check_output_files({"--output-file": args.output_file}, [args.input_file, args.archive_file])
    is_exported = args.archive_file.suffix.lower() == ".onnx"
    predictor, source = (_exported if is_exported else _of_archive)(args)
    masks = None if args.output_file is None else MaskFiles(args.output_file)
    with open_output(args.output_file) as file:
        failed, done = _write_predictions(predictor, source, args.batch_size, file, masks)
    if not done:
        logger.warning("%s: no images to predict", args.input_file)
    if failed:
        logger.error("%d of %d inputs could not be predicted", failed, done)
        return EXIT_SOME_FAILED
    return 0


def _exported(args: argparse.Namespace) -> tuple[OnnxPredictor | Predictor, PredictInput]:
    """Return the predictor of an ONNX file and the inputs; torch is not imported."""
    from allencv_al.commands.shared.predict_inputs import open_input
    from allencv_al.predictors.onnx_predictor import OnnxPredictor

    others = {
        "--cuda-device": args.cuda_device not in (-1, "auto"),
        "--overrides": bool(args.overrides),
        "--weights-file": args.weights_file is not None,
        "--predictor": args.predictor is not None,
        "--predictor-args": bool(args.predictor_args.strip()),
        "--use-dataset-reader": args.use_dataset_reader,
        "--precision": args.precision != "fp32",
    }
    given = [name for name, is_given in others.items() if is_given]
    if given:
        raise ConfigurationError(
            f"{', '.join(given)}: for an archive only; {args.archive_file} is an exported model"
        )
    source = open_input(args.input_file)
    return OnnxPredictor(args.archive_file), source


def _of_archive(args: argparse.Namespace) -> tuple[OnnxPredictor | Predictor, PredictInput]:
    from allencv_al.commands.shared.predict_inputs import dataset_input, open_input
    from allencv_al.models.archive import load_archive
    from allencv_al.predictors.predictor import Predictor

    predictor_args = _json_object(args.predictor_args)
    # Before the model is loaded, which takes seconds
    source = None if args.use_dataset_reader else open_input(args.input_file)
    archive = load_archive(args.archive_file, args.cuda_device, args.overrides, args.weights_file)
    choice = args.dataset_reader_choice
    predictor = Predictor.from_archive(archive, args.predictor, choice, predictor_args)
    predictor.precision = args.precision
    if source is None:
        source = dataset_input(predictor.dataset_reader.read(args.input_file))
    return predictor, source


def _json_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text) if text.strip() else {}
    except ValueError as error:
        raise ConfigurationError(f"--predictor-args: expected a JSON object: {error}") from None
    if not isinstance(value, dict):
        raise ConfigurationError(f"--predictor-args: expected a JSON object, found {text}")
    return value


def _write_predictions(
    predictor: Predictor | OnnxPredictor,
    source: PredictInput,
    batch_size: int,
    file: TextIO,
    masks: MaskFiles | None,
) -> tuple[int, int]:
    """Write a line for each input; return the numbers of failures and of inputs."""
    from allencv_al.common.progress import track
    from allencv_al.predictors.prediction_json import dump_line

    under_way: deque[PredictItem] = deque()

    def values() -> Iterator[Any]:
        for item in source.items:
            under_way.append(item)
            yield item.value

    failed = done = 0
    outcomes = predictor.outcomes(values(), batch_size)
    for outcome in track(outcomes, source.total, "predict", "images"):
        item = under_way.popleft()
        done += 1
        if outcome.error is None:
            row = {**item.on_success, **outcome.unwrap()}
            if masks is not None:
                row = masks.written(row, outcome.id or str(done))
            file.write(dump_line(row))
        else:
            failed += 1
            file.write(dump_line({"error": str(outcome.error), **item.on_failure}))
    return failed, done


_EPILOG = """\
INPUT is one of
  JSON lines   {"image_path": "photo.jpg"}
               {"image": [pixels 0..255], "image_shape": [height, width, channels]}
               also a list of them, objects over several lines, and {"path": "photo.jpg"}, which
               starts at the folder of INPUT
  a table      CSV with a column path (from the folder of INPUT) or image_path: to_label.csv,
               labels.csv, a manifest
  a text file  with the path of one image per line
  a folder     whose images are read at any depth, in sorted order
  an image
  -            for JSON, a table or paths on stdin

ARCHIVE may also be an ONNX file that export wrote: then neither torch nor a GPU is used.

There is one JSON line of output per input, in the order of the inputs. For a classifier it holds
logits, probs, prediction (the index) and class (the name); and first image_path where INPUT was no
JSON, or id with --use-dataset-reader. Masks and boxes are in pixels of the upright image; masks
are PNG files in out_masks beside --output-file out.jsonl, else base64 in the line.

An input that cannot be predicted gives a line with error, and line or image_path to find it by;
the command continues and exits with 1 at its end.
"""
