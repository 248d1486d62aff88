"""`allencv-al demo`: run a complete example on embedded images."""

from __future__ import annotations

import argparse
import shlex
import shutil
import sys
from pathlib import Path

CONFIG = Path(__file__).with_name("digits_active_learning.jsonnet")
SEEDS = 6  # the fewest with which a Wilcoxon test can reach p < 0.05
FIRST_LABELS = 50
PICKS = 20

_FOLDERS = ("comparison", "run")


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
    """Compare two strategies on the digits, train with one, and select images to label."""
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

    _say("\nLook at")
    _say(f"   {comparison / 'report.html'}   the learning curves and the statistical tests")
    _say(f"   {trained / 'report.html'}   the images queried in each round")
    _say(f"   {sheet}   the {PICKS} picks, the best first")
    _say("\nThree commands to type next")
    _say("   allencv-al describe query_strategy   # list the strategies")
    _say(
        f"   allencv-al compare {config} -V {variable} --strategies random,margin,badge,typiclust "
        f"--seeds {SEEDS} -s {comparison} --recover"
    )
    _say("   allencv-al select --embeddings squeezenet1_1 YOUR/PHOTOS -k 20 --contact-sheet p.png")
    return 0


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
