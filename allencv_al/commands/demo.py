"""`allencv-al demo`: run a complete example on embedded images."""

from __future__ import annotations

import argparse
import shlex
import shutil
import sys
from pathlib import Path

CONFIG = Path(__file__).with_name("digits_active_learning.jsonnet")
PHOTOGRAPHS = Path(__file__).with_name("photographs.jsonnet")
SEEDS = 6  # the fewest with which a Wilcoxon test can reach p < 0.05
FIRST_LABELS = 50
PICKS = 20
TYPICAL = 6

_FOLDERS = ("comparison", "run", "run-photographs")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this subcommand."""
    parser.add_argument(
        "-s",
        "--serialization-dir",
        type=Path,
        default=Path("allencv-al-demo"),
        metavar="DIR",
        help="folder for images, config and runs; replaces an earlier demo there (default: "
        "%(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Compare strategies on digits, train with one, select; then do so with photographs."""
    from allencv_al.common.files import atomic_file

    folder: Path = args.serialization_dir
    for name in _FOLDERS:
        _remove_run(folder / name)
    data, config = folder / "digits", folder / "digits_active_learning.jsonnet"

    _say("1. Write scikit-learn's handwritten digits, one folder per class")
    _allencv_al("sample-data", "digits", str(data), "--no-split")
    atomic_file.write_text(config, CONFIG.read_text(encoding="utf-8"))
    variable = f"TRAIN_PATH={data / 'all'}"

    _say(f"\n2. Does active learning save labels? Compare margin with random, {SEEDS} seeds")
    comparison = folder / "comparison"
    _allencv_al(
        *("compare", str(config), "-V", variable, "--strategies", "random,margin"),
        *("--seeds", str(SEEDS), "-s", str(comparison)),
    )

    _say(f"\n3. Train with the first {FIRST_LABELS} labels that margin queries")
    overrides = f'{{"active_learning.budget": {FIRST_LABELS}}}'
    trained = folder / "run"
    _allencv_al("active-learn", str(config), "-V", variable, "-o", overrides, "-s", str(trained))

    _say(f"\n4. Which {PICKS} images should a person label next?")
    model, table, sheet = trained / "model.tar.gz", folder / "to_label.csv", folder / "picks.png"
    table.unlink(missing_ok=True)  # `select` refuses to replace a table with labels in it
    _allencv_al(
        *("select", str(model), str(data / "all"), "-k", str(PICKS), "--labeled", str(trained)),
        *("--output", str(table), "--contact-sheet", str(sheet)),
    )

    typical = _show_photographs(folder)

    _say("\nLook at")
    _say(f"   {comparison / 'report.html'}   the learning curves and the statistical tests")
    _say(f"   {trained / 'report.html'}   the images queried in each round")
    _say(f"   {sheet}   the {PICKS} picks, the best first")
    if typical is not None:
        _say(f"   {typical}   {TYPICAL} typical photographs, chosen without a label")
    _say("\nThree commands to type next")
    _say("   allencv-al describe query_strategy   # list the strategies")
    _say(
        f"   allencv-al compare {config} -V {variable} --strategies random,margin,badge,typiclust "
        f"--seeds {SEEDS} -s {comparison} --recover"
    )
    _say("   allencv-al select --embeddings offline YOUR/PHOTOS -k 20 --contact-sheet p.png")
    return 0


def _show_photographs(folder: Path) -> Path | None:
    """Choose typical photographs without a model and train on all; return the contact sheet."""
    from allencv_al.common.files import atomic_file
    from allencv_al.modules.pretrained_encoders import OFFLINE, EncoderName
    from allencv_al.modules.weights import source_problem

    _say("\n5. Photographs: crops of scikit-learn's two, a flower and a temple, and a network")
    _say("   pretrained on ImageNet")
    problem = source_problem(EncoderName.parse(OFFLINE).weights or "")
    if problem is not None:
        _say(f"   left out: {problem}")
        return None
    data, config = folder / "photographs", folder / PHOTOGRAPHS.name
    sheet, table = folder / "typical.png", folder / "typical.csv"
    table.unlink(missing_ok=True)  # as above
    _allencv_al("sample-data", "photographs", str(data))
    _allencv_al(
        *("select", "--embeddings", OFFLINE, str(data / "train"), "-k", str(TYPICAL)),
        *("--output", str(table), "--contact-sheet", str(sheet)),
    )
    atomic_file.write_text(config, PHOTOGRAPHS.read_text(encoding="utf-8"))
    _allencv_al(
        *("train", str(config), "-V", f"TRAIN_PATH={data / 'train'}"),
        *("-V", f"VALIDATION_PATH={data / 'validation'}", "-s", str(folder / "run-photographs")),
    )
    return sheet


def _remove_run(folder: Path) -> None:
    """Remove the run of an earlier demo; leave other folders alone."""
    if (folder / "config.json").is_file():
        shutil.rmtree(folder)


def _allencv_al(*words: str) -> None:
    """Print a command line as a user would type it, and run it in this process."""
    from allencv_al.commands.table import load_subcommand

    _say(f"   $ allencv-al {shlex.join(words)}")
    name, *rest = words
    module = load_subcommand(name)
    parser = argparse.ArgumentParser(prog=f"allencv-al {name}")
    module.add_arguments(parser)
    module.run(parser.parse_args(rest))


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
