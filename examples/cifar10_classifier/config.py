"""The flags of solution.py and what they mean in classifier.jsonnet."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

POOLS = {"MaxPool2d": "max", "AvgPool2d": "average"}
ACTIVATIONS = {
    "ReLU": "relu",
    "ReLU6": "relu6",
    "LeakyReLU": "leaky_relu",
    "PReLU": "prelu",
    "ELU": "elu",
    "SELU": "selu",
    "GELU": "gelu",
    "SiLU": "silu",
    "Mish": "mish",
    "Hardswish": "hard_swish",
    "Sigmoid": "sigmoid",
    "Tanh": "tanh",
    "Softplus": "softplus",
    "Identity": "linear",
}
# Flags that are options of classifier.jsonnet under the same name
SAME = (
    *("seed", "learning_rate", "batch_size", "num_epoch", "rep_intv", "loss_type", "l2_reg"),
    *("nchannel_base", "ksize", "num_conv_outer", "num_conv_inner", "num_class"),
    *("conv2d", "convolution", "fresh_optimizer"),
)
# Flags that say what the network is, and where the config of a run says it
NETWORK = {
    "conv2d": "conv",
    "convolution": "convolution",
    "nchannel_base": "base_channels",
    "num_conv_outer": "num_levels",
    "num_conv_inner": "units_per_level",
    "ksize": "kernel_size",
    "activation": "activation",
    "pool2d": "pool",
    "num_class": "num_labels",
    "loss_type": "loss",
}


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line; a mistake ends the program with exit code 2."""
    parser = build_parser()
    for place, word in enumerate(argv[:-1]):
        lost = {"--log": "--log_dir", "--save": "--save_dir", "--data": "--data_dir"}.get(word)
        if lost is not None and argv[place + 1] == "dir":
            folder = argv[place + 2] if place + 2 < len(argv) else "FOLDER"
            parser.error(f'"{word} dir {folder}" has lost its underscore; write {lost} {folder}')
    return parser.parse_args(argv)


def options_of(args: argparse.Namespace) -> dict[str, Any]:
    """Return the options of classifier.jsonnet that the flags stand for."""
    options = {name: getattr(args, name) for name in SAME}
    return {**options, "pool": POOLS[args.pool2d], "activation": ACTIVATIONS[args.activation]}


def given(argv: Sequence[str]) -> dict[str, Any]:
    """Return the flags that the command line itself has, without the defaults."""
    parser = build_parser()
    for action in parser._actions:
        action.default = argparse.SUPPRESS
    return vars(parser.parse_args(argv))


def other_network(flags: dict[str, Any], trained: dict[str, Any]) -> list[str]:
    """Return what flags say of the network that a run's config does not.

    Args:
        flags: What `given` returns.
        trained: The config of the run.
    """
    model = trained.get("model", {})
    known = {**model, **model.get("im2im_encoder", {})}
    if known.get("loss") == "multi_margin":
        known["loss"] = "svm"
    words = {"pool2d": POOLS, "activation": ACTIVATIONS}
    found = []
    for flag, key in NETWORK.items():
        if flag in flags and words.get(flag, {}).get(flags[flag], flags[flag]) != known.get(key):
            mine = {theirs: ours for ours, theirs in words.get(flag, {}).items()}
            before = mine.get(known.get(key), known.get(key))
            found.append(f"--{flag}: {before} was trained, {flags[flag]} is asked for")
    return found


def build_parser() -> argparse.ArgumentParser:
    """Declare every flag, with the defaults of the original."""
    parser = argparse.ArgumentParser(
        description="Train or test a small CIFAR-10 classifier.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    _add_run_flags(parser.add_argument_group("the run"))
    _add_training_flags(parser.add_argument_group("training"))
    _add_network_flags(parser.add_argument_group("the network"))
    return parser


def _add_run_flags(group: Any) -> None:
    group.add_argument("--mode", choices=("train", "test"), default="train", help="what to do")
    group.add_argument(
        "--data_dir",
        type=Path,
        default=Path("data/cifar-10-batches-py"),
        help="folder or archive of the python or the binary batches",
    )
    group.add_argument(
        "--valid_batch",
        default="auto",
        metavar="NAME",
        help="the batch that chooses the best epoch: auto is the fifth where all five are there, "
        "else none; none trains on all and keeps the last epoch",
    )
    group.add_argument("--log_dir", type=Path, default=Path("logs"), help="TensorBoard's files")
    group.add_argument("--save_dir", type=Path, default=Path("save"), help="folder of the run")
    group.add_argument(
        "--resume",
        type=_boolean,
        default=True,
        metavar="True|False",
        help="resume the run in save_dir if there is one; False starts it again",
    )
    group.add_argument("--seed", type=int, default=0, help="decides all that is random")


def _add_training_flags(group: Any) -> None:
    positive = _at_least(1)
    group.add_argument("--learning_rate", type=float, default=0.1, help="Adam's, at first")
    group.add_argument(
        "--fresh_optimizer",
        type=_boolean,
        default=False,
        metavar="True|False",
        help="begin each epoch with a new Adam, as the original program did",
    )
    group.add_argument("--batch_size", type=positive, default=100, help="images per step")
    group.add_argument("--num_epoch", type=positive, default=25, help="passes over the data")
    group.add_argument(
        "--val_intv",
        type=positive,
        default=1000,
        help="accepted; validation comes after each epoch",
    )
    group.add_argument(
        "--rep_intv",
        type=positive,
        default=1000,
        help="steps between two figures for TensorBoard, and between two checkpoints in an epoch",
    )
    group.add_argument(
        "--loss_type", choices=("cross_entropy", "svm"), default="cross_entropy", help="the loss"
    )
    group.add_argument("--l2_reg", type=float, default=1e-4, help="weight of the L2 penalty")


def _add_network_flags(group: Any) -> None:
    positive = _at_least(1)
    group.add_argument("--nchannel_base", type=positive, default=8, help="first level's channels")
    group.add_argument("--ksize", type=positive, default=3, help="side of the kernels, odd")
    group.add_argument("--num_conv_outer", type=positive, default=3, help="levels")
    group.add_argument("--num_conv_inner", type=positive, default=1, help="units in each level")
    group.add_argument("--num_class", type=positive, default=10, help="classes")
    group.add_argument(
        "--conv2d",
        "--conv",
        choices=("torch", "custom"),
        default="torch",
        help="units: a convolution, or a residual block of three",
    )
    group.add_argument(
        "--convolution",
        choices=("conv2d", "unfold_conv"),
        default="conv2d",
        help="PyTorch's convolution, or the one that is written out",
    )
    group.add_argument("--pool2d", choices=POOLS, default="MaxPool2d", help="pooling")
    group.add_argument("--activation", choices=ACTIVATIONS, default="ReLU", help="activation")
    for name, default in (("--normalize", "True"), ("--num_unit", "128"), ("--num_hidden", "3")):
        group.add_argument(name, default=default, help="accepted; this network does not use it")


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "1", "false", "0"):
        raise argparse.ArgumentTypeError(f"expected True or False, found {text}")
    return text.lower() in ("true", "1")


def _at_least(least: int) -> Any:
    def number(text: str) -> int:
        if not re.fullmatch(r"\d{1,9}", text) or int(text) < least:
            _refuse(f"expected a number of at least {least}, found {text}")
        return int(text)

    return number


def _refuse(message: str) -> NoReturn:
    raise argparse.ArgumentTypeError(message)
