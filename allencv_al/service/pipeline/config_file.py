"""A user's `config.yaml`: the `args` of every function."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from allencv_al.common import Params
from allencv_al.common.config.sources.yaml_file import read_yaml
from allencv_al.common.errors import ConfigurationError
from allencv_al.common.files.atomic_file import make_folder

logger = logging.getLogger(__name__)

DEFAULT_FOLDER = "./log"
# YAML 1.1, which PyYAML reads, wants a dot and a signed exponent: 1e-4 and 1.0e4 are strings
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")


def load_config(path: str | Path) -> dict[str, Any]:
    """Read `args` from a file: YAML, or by its suffix JSON or jsonnet.

    Warns about numbers that YAML reads as strings (`1e-4`). jsonnet reads environment variables
    from `std.extVar`.

    Raises:
        ConfigurationError: The file is missing, not valid, or not a mapping.
    """
    if Path(path).suffix in (".json", ".jsonnet"):
        return Params.from_file(path).as_dict()
    found = read_yaml(path)
    if found is None:
        found = {}
    if not isinstance(found, dict):
        raise ConfigurationError(f"{path}: expected keys with values, found {type(found).__name__}")
    for place, value in _texts(found, ""):
        if _NUMBER.fullmatch(value):
            logger.warning(
                '%s: %s: YAML reads "%s" as a string; write a number with a dot (1.0e-4)',
                path,
                place,
                value,
            )
    return found


def complete(args: dict[str, Any]) -> dict[str, Any]:
    """Set EXPT_DIR and LOG_DIR in `args` and create them; return the same object.

    Raises:
        ConfigurationError: A folder cannot be created.
    """
    args.setdefault("EXPT_DIR", DEFAULT_FOLDER)
    args.setdefault("LOG_DIR", args["EXPT_DIR"])
    for name in ("EXPT_DIR", "LOG_DIR"):
        try:
            make_folder(args[name])
        except (OSError, TypeError) as error:
            raise ConfigurationError(f"{name}: {args[name]!r:.200}: {error}") from error
    return args


def _texts(value: Any, place: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from _texts(one, f"{place}.{key}" if place else str(key))
    elif isinstance(value, list):
        for number, one in enumerate(value):
            yield from _texts(one, f"{place}.{number}")
