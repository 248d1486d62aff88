"""`allencv-al serve`: serve a trained model as a page and over HTTP."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from allencv_al.commands.shared import arguments, server_arguments
from allencv_al.common.errors import ConfigurationError

DEFAULT_TITLE = "Image classifier"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments, which include those of AllenCV's server_simple."""
    model = parser.add_argument_group("model")
    model.add_argument(
        "archive_file",
        type=Path,
        nargs="?",
        metavar="ARCHIVE",
        help="a model.tar.gz, a folder with its contents, or the run directory of a training",
    )
    model.add_argument(
        "--archive-path", type=Path, metavar="ARCHIVE", help="the same, under AllenNLP's name"
    )
    model.add_argument(
        "--predictor",
        metavar="NAME",
        help="the registered predictor to use (default: the model's own, default_image)",
    )
    arguments.add_model_options(parser)
    _add_page_arguments(parser.add_argument_group("page"))
    server = parser.add_argument_group("server")
    server_arguments.add_server(server, port=8000)
    server.add_argument(
        "--image-root",
        type=Path,
        metavar="DIR",
        help="allow requests to name images in this folder by image_path (default: refused)",
    )
    server.add_argument(
        "--batch-size",
        type=arguments.positive_int,
        metavar="N",
        help="maximum batch size (default: 8 on a CPU, 32 on a GPU)",
    )


def _add_page_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--title",
        default=DEFAULT_TITLE,
        metavar="TEXT",
        help=f'the heading of the page (default: "{DEFAULT_TITLE}")',
    )
    group.add_argument(
        "--classification",
        action="store_true",
        help="show the classes and their probabilities (always on; accepted as in AllenNLP)",
    )
    group.add_argument(
        "--detection",
        action="store_true",
        help="also draw the boxes in the model's output: boxes or box_proposals, each "
        "[left, top, right, bottom] in pixels of the model's input",
    )
    group.add_argument(
        "--static-dir",
        type=Path,
        metavar="DIR",
        help="show the page in this folder (its index.html) instead of the built-in one",
    )
    group.add_argument(
        "--field-name",
        action="append",
        default=[],
        metavar="NAME",
        help="accepted as in AllenNLP; the page needs no field names",
    )


def run(args: argparse.Namespace) -> int:
    """Load the model and serve until interrupted."""
    if (args.archive_file is None) == (args.archive_path is None):
        raise ConfigurationError(
            "serve: expected one ARCHIVE (a model.tar.gz, or the folder of a run), found "
            + ("none" if args.archive_file is None else "two")
        )
    from allencv_al.service.demo.app import create_app
    from allencv_al.service.web.running import serve

    app = create_app(
        args.archive_file or args.archive_path,
        predictor=args.predictor,
        weights_file=args.weights_file,
        cuda_device=args.cuda_device,
        overrides=args.overrides,
        title=args.title,
        static_dir=args.static_dir,
        image_root=args.image_root,
        draws_boxes=args.detection,
        batch_size=args.batch_size,
        settings=server_arguments.settings(args, server_arguments.shared_access(args)),
    )
    return serve(app, lambda url: _announce(args.title, url))


def _announce(title: str, url: str) -> None:
    sys.stderr.write(f"serving {title!r} at {url} (Ctrl-C ends it)\n")
