"""The subcommands of ``allencv-al``, by name, so that ``--help`` imports none of them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

if TYPE_CHECKING:
    import argparse


class SubcommandModule(Protocol):
    """The top-level names of a module of a subcommand.

    Nothing outside the standard library may be imported there: ``allencv-al X --help`` imports it.
    """

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments of the subcommand."""

    def run(self, args: argparse.Namespace) -> int:
        """Do the work and return the exit code; an ``AllenCVError`` becomes one message."""


class Subcommand(NamedTuple):
    """The module of a subcommand, and its line in ``allencv-al --help``."""

    module: str
    help: str

    def load(self) -> SubcommandModule:
        """Import the module of this subcommand."""
        return cast(SubcommandModule, importlib.import_module(self.module))


SUBCOMMANDS: dict[str, Subcommand] = {
    "demo": Subcommand(
        "allencv_al.commands.demo",
        "run the main job on embedded images, to see that everything works",
    ),
    "train": Subcommand(
        "allencv_al.commands.train",
        "train the model that a jsonnet file describes",
    ),
    "evaluate": Subcommand(
        "allencv_al.commands.evaluate",
        "measure a trained model on labeled images",
    ),
    "predict": Subcommand(
        "allencv_al.commands.predict",
        "predict the classes of images, as JSON lines",
    ),
    "serve": Subcommand(
        "allencv_al.commands.serve",
        "show a trained model on a page, and answer predictions over HTTP",
    ),
    "label": Subcommand(
        "allencv_al.commands.label",
        "label images on a page, alone or with others",
    ),
    "export-labels": Subcommand(
        "allencv_al.commands.export_labels",
        "write the labels of a run or a labeling for other programs",
    ),
    "import-labels": Subcommand(
        "allencv_al.commands.import_labels",
        "add labels of other programs to a labeling",
    ),
    "token": Subcommand(
        "allencv_al.commands.token",
        "make, list and revoke tokens for pipelines",
    ),
    "select": Subcommand(
        "allencv_al.commands.select",
        "choose the images that are most worth labeling next",
    ),
    "active-learn": Subcommand(
        "allencv_al.commands.active_learn",
        "train, choose what to label next, take in the labels, and again",
    ),
    "compare": Subcommand(
        "allencv_al.commands.compare",
        "compare query strategies over several seeds, with tests and a report",
    ),
    "find-lr": Subcommand(
        "allencv_al.commands.find_lr",
        "try growing learning rates, draw the losses and suggest one",
    ),
    "describe": Subcommand(
        "allencv_al.commands.describe",
        "list what a config can name, and the parameters of each",
    ),
    "print-results": Subcommand(
        "allencv_al.commands.print_results",
        "collect the metrics of many runs in one CSV table",
    ),
    "sample-data": Subcommand(
        "allencv_al.commands.sample_data",
        "make or download a small data set to start with",
    ),
    "test-install": Subcommand(
        "allencv_al.commands.test_install",
        "check that this installation can decode, train and predict",
    ),
}
