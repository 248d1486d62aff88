"""Train and test a small CIFAR-10 classifier: a thin front of `allencv-al` and classifier.jsonnet.

    python solution.py --conv custom --data_dir data/cifar-10-batches-py --save_dir save/custom
    python solution.py --conv custom --data_dir data/cifar-10-batches-py --save_dir save/custom \
        --mode test
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import config

from allencv_al.__main__ import main as allencv_al

HERE = Path(__file__).resolve().parent
BATCHES = 5
FOLDERS = ("cifar-10-batches-py", "cifar-10-batches-bin")  # what the archives unpack to


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    argv = sys.argv[1:] if argv is None else argv
    args = config.parse(argv)
    if not args.data_dir.exists():
        sys.stderr.write(
            f"error: --data_dir {args.data_dir}: there is nothing; get the batches from "
            "https://www.cs.toronto.edu/~kriz/cifar.html, or make a small sample by "
            "python sample.py FOLDER\n"
        )
        return 2
    args.data_dir = next(
        (args.data_dir / name for name in FOLDERS if (args.data_dir / name).is_dir()), args.data_dir
    )
    return train(args) if args.mode == "train" else test(args, config.given(argv))


def train(args: argparse.Namespace) -> int:
    """Train, or resume the run in `save_dir`."""
    training, validation = data_paths(args.data_dir, args.valid_batch)
    options = {**config.options_of(args), "reader": reader_of(args.data_dir)}
    if importlib.util.find_spec("tensorboard") is not None:
        options["log_dir"] = str(args.log_dir)
    else:
        sys.stderr.write(f"TensorBoard is not installed, so nothing goes to {args.log_dir}\n")
    command = ["train", str(HERE / "classifier.jsonnet"), "-s", str(args.save_dir)]
    command += [f"-VTRAIN_PATH={training}", f"-VOPTIONS={json.dumps(options)}"]
    if validation is not None:
        command.append(f"-VVALIDATION_PATH={validation}")
    if args.fresh_optimizer:
        command += ["--include-package", "fresh_optimizer"]
    if (args.save_dir / "config.json").is_file():
        command.append("--recover" if args.resume else "--force")
    code = allencv_al(command)
    if code == 2 and command[-1] == "--recover":
        sys.stderr.write(
            f"(--resume True resumes the run in {args.save_dir}; --resume False starts it again, "
            "and another --save_dir keeps both)\n"
        )
    return code


def test(args: argparse.Namespace, given: dict[str, Any]) -> int:
    """Measure the best weights in `save_dir` on the test batch.

    The network is the one that was trained there: flags that name another one are refused, those
    that are not given need not be repeated.
    """
    if not (args.save_dir / "config.json").is_file():
        sys.stderr.write(f"error: --save_dir {args.save_dir}: nothing was trained there\n")
        return 2
    trained = json.loads((args.save_dir / "config.json").read_text(encoding="utf-8"))
    if others := config.other_network(given, trained):
        listed = "".join(f"\n  {line}" for line in others)
        sys.stderr.write(f"error: --save_dir {args.save_dir} holds another network:{listed}\n")
        return 2
    output = args.save_dir / "test_metrics.json"
    code = allencv_al(
        ["evaluate", str(args.save_dir), f"{args.data_dir}::test", "--output-file", str(output)]
    )
    if code == 0:
        found = json.loads(output.read_text(encoding="utf-8"))
        accuracy = f"{100 * found['accuracy']:.2f} %"
        sys.stdout.write(f"test accuracy: {accuracy}, test loss: {found['loss']:.4f}\n")
    return code


def reader_of(data_dir: Path) -> str:
    """Return the dataset reader of the layout that is there."""
    from allencv_al.data.dataset_readers.cifar_python import holds_python_batches

    return "cifar_python" if holds_python_batches(data_dir) else "cifar_binary"


def data_paths(data_dir: Path, valid_batch: str) -> tuple[str, str | None]:
    """Return what to train and what to validate on; None is nothing.

    With all five training batches the fifth validates, as is the custom. With fewer there are too
    few images to do without any: all train.
    """
    names = training_batches(data_dir)
    if valid_batch == "auto":
        valid_batch = names[-1] if len(names) == BATCHES else "none"
    if valid_batch == "none":
        sys.stderr.write("no validation: the weights of the last epoch are the result\n")
        return f"{data_dir}::train", None
    others = [name for name in names if name != valid_batch]
    return f"{data_dir}::{','.join(others)}", f"{data_dir}::{valid_batch}"


def training_batches(data_dir: Path) -> list[str]:
    """Return the names of the training batches, in order."""
    if not data_dir.is_dir():  # the published archive
        extension = "" if reader_of(data_dir) == "cifar_python" else ".bin"
        return [f"data_batch_{number + 1}{extension}" for number in range(BATCHES)]
    found = (re.match(r"data_batch_\d+(\.bin)?", entry.name) for entry in data_dir.iterdir())
    return sorted({match[0] for match in found if match}, key=lambda name: (len(name), name))


if __name__ == "__main__":
    sys.exit(main())
