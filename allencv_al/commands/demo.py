"""`allencv-al demo`: the main job on embedded images, to see that everything works."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from allencv_al.predictors.predictor import Predictor

NAME = "demo"
HELP = "run the main job on embedded images, to see that everything works"

CONFIG = Path(__file__).with_name("digits.jsonnet")
PREDICTIONS = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this subcommand."""
    parser.add_argument(
        "-s",
        "--serialization-dir",
        type=Path,
        default=Path("allencv-al-demo"),
        metavar="DIR",
        help="where to write images, config and run; an earlier demo there is replaced "
        "(default: %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Make the digits, train on them, and predict a few that training has not seen."""
    from allencv_al.common import Params, atomic_file
    from allencv_al.data.sample_data.digits import write_digits
    from allencv_al.predictors import Predictor
    from allencv_al.training.run import train

    folder: Path = args.serialization_dir
    data, config, run_folder = folder / "digits", folder / "digits.jsonnet", folder / "run"
    _say("1. Write scikit-learn's handwritten digits as class folders")
    _command("sample-data", "digits", str(data))
    write_digits(data)
    atomic_file.write_text(config, CONFIG.read_text(encoding="utf-8"))

    paths = {
        "TRAIN_PATH": str(data / "train"),
        "VALIDATION_PATH": str(data / "validation"),
        "TEST_PATH": str(data / "test"),
    }
    _say("\n2. Train a small network on them, and measure it on images it has not seen")
    variables = [f"-V {name}={shlex.quote(value)}" for name, value in paths.items()]
    _command("train", str(config), "-s", str(run_folder), *variables)
    params = Params.from_file(config, ext_vars=paths)
    metrics = train(params, run_folder, force=run_folder.exists(), source=str(config))
    _say(f"   {metrics['test_accuracy']:.1%} of the test images are right")

    archive = run_folder / "model.tar.gz"
    _say("\n3. Predict")
    _command("predict", str(archive), str(data / "test"))
    for path, result in _predictions(Predictor.from_path(archive), data / "test"):
        probability = max(result["probs"])
        _say(f"   {path.relative_to(data)} is a {result['class']} ({probability:.0%})")

    _say(f"\nPictures and metrics are in {run_folder}: look at training_curves.png and")
    _say("confusion_matrix.png. Your own photos: the README's section of that name.")
    return 0


def _predictions(predictor: Predictor, folder: Path) -> list[tuple[Path, dict[str, Any]]]:
    """Predict one image of each of the first few classes."""
    classes = sorted(child for child in folder.iterdir() if child.is_dir())[:PREDICTIONS]
    files = [min(child.glob("*.png")) for child in classes]
    return [(file, predictor.predict(file)) for file in files]


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _command(*words: str) -> None:
    _say(f"   $ allencv-al {' '.join(words)}")
