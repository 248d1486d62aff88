"""`allencv-al print-results`: print the metrics of many runs as a CSV table."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from pathlib import Path
from typing import Any

from allencv_al.common.errors import ConfigurationError, DataError
from allencv_al.common.files.paths import absent
from allencv_al.common.files.tables import csv_text

_RUN = "model_run"

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.usage = "%(prog)s PATH [-h] [-k KEY [KEY ...]] [-m NAME] [-v] [--debug]"
    parser.add_argument(
        "path",
        type=Path,
        nargs="?",  # a -k before it consumes it: see _path_and_keys
        metavar="PATH",
        help="a folder that contains run directories, at any depth",
    )
    parser.add_argument(
        "-k",
        "--keys",
        nargs="+",
        action="extend",
        metavar="KEY",
        help="the metrics to print, in this order; may be given several times (default: "
        "all single values)",
    )
    parser.add_argument(
        "-m",
        "--metrics-filename",
        default="metrics.json",
        metavar="NAME",
        help="the file to look for in each run (default: metrics.json)",
    )


def run(args: argparse.Namespace) -> int:
    """Write one line per run, sorted by its path."""
    path, wanted = _path_and_keys(args)
    if not path.is_dir():
        raise DataError(absent(path, "folder"))
    files = sorted(path.rglob(args.metrics_filename))
    if not files:
        raise DataError(f"{path}: found no {args.metrics_filename} below this folder")
    runs = {file.parent: _read_metrics(file) for file in files}
    for key in wanted:
        if not any(key in metrics for metrics in runs.values()):
            logger.warning('no run has the key "%s"', key)
    keys = wanted or _single_values(runs.values())
    rows = (
        {_RUN: folder.as_posix(), **{key: _cell(metrics, key) for key in keys}}
        for folder, metrics in runs.items()
    )
    # Line by line: a closed pipe (head) is noticed at the next line
    sys.stdout.writelines(csv_text([_RUN, *keys], rows).splitlines(keepends=True))
    return 0


def _path_and_keys(args: argparse.Namespace) -> tuple[Path, list[str]]:
    """Return PATH, which may also be the last word after -k, and the keys."""
    keys: list[str] = args.keys or []
    if args.path is not None:
        return args.path, keys
    if len(keys) > 1 and Path(keys[-1]).is_dir():
        return Path(keys[-1]), keys[:-1]
    raise ConfigurationError(
        "PATH: missing; give the folder of the runs first: print-results PATH -k KEY"
    )


def _read_metrics(file: Path) -> dict[str, Any]:
    try:
        metrics = json.loads(file.read_bytes())
    except ValueError as error:
        raise DataError(f"{file}: expected JSON: {error}") from None
    if not isinstance(metrics, dict):
        raise DataError(f"{file}: expected a JSON object, found {type(metrics).__name__}")
    return metrics


def _single_values(all_metrics: Any) -> list[str]:
    """Return the keys of single values in any of the runs, in the order they first appear."""
    keys: dict[str, None] = {}
    for metrics in all_metrics:
        for key, value in metrics.items():
            if not isinstance(value, dict | list):
                keys[key] = None
    return list(keys)


def _cell(metrics: dict[str, Any], key: str) -> Any:
    value = metrics.get(key)
    if value is None:
        return "N/A"
    # JSON's true and false rather than Python's True and False
    return json.dumps(value) if isinstance(value, dict | list | bool) else value
