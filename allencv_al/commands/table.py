"""Table of the subcommands of ``allencv-al``, so that ``--help`` imports none of them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    import argparse


class SubcommandModule(Protocol):
    """The interface of a module of a subcommand.

    Its top level may import nothing slow: ``allencv-al X --help`` imports it.
    """

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments of the subcommand."""

    def run(self, args: argparse.Namespace) -> int:
        """Do the work and return the exit code; an ``AllenCVError`` becomes one message."""


SUBCOMMANDS = {
    "demo": "run a complete example on embedded images",
    "train": "train the model that a jsonnet file describes",
    "evaluate": "measure a trained model on labeled images",
    "predict": "predict the classes of images, as JSON lines",
    "serve": "serve a trained model as a page and over HTTP",
    "export": "write a trained model into one file for other programs",
    "label": "label images on a page, alone or with others",
    "export-labels": "export the labels of a run or a labeling to other programs",
    "import-labels": "import labels of other programs into a labeling",
    "convert": "convert the labels of a folder, a table, a labeling or a run",
    "token": "create, list and revoke tokens for pipelines",
    "audit": "find wrong labels, copies, leaks and odd images in a data set",
    "select": "choose the images that are most worth labeling next",
    "encode": "compute the embeddings of a large pool into a folder, by several processes",
    "cache": "list or clear the embeddings that all commands share",
    "active-learn": "train in rounds, querying the labels that help most",
    "compare": "compare query strategies over several seeds, with tests and a report",
    "benchmark": "compare query strategies on known data sets, by a published protocol",
    "find-lr": "try increasing learning rates, plot the losses and suggest one",
    "describe": "list the components of configs and their parameters",
    "print-results": "collect the metrics of many runs in one CSV table",
    "sample-data": "write or download a small data set",
    "test-install": "check that this installation can decode, train and predict",
}
"""The line of each subcommand in ``allencv-al --help``."""


def module_of(name: str) -> str:
    """Return the module of a subcommand."""
    return f"allencv_al.commands.{name.replace('-', '_')}"


def load_subcommand(name: str) -> SubcommandModule:
    """Import the module of a subcommand."""
    return cast(SubcommandModule, importlib.import_module(module_of(name)))
