"""Reads YAML files whose aliases stay small."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from allencv_al.common.errors import ConfigurationError, DataError
from allencv_al.common.files.text_files import decode_text

MOST_BYTES = 2**20
MOST_NODES = 100_000
MOST_LEVELS = 64
_INTEGER = "tag:yaml.org,2002:int"
MOST_DIGITS = 4_000  # Python does not print longer integers, and those to base 60 take minutes


def read_yaml(path: str | Path) -> Any:
    """Return what a YAML file holds; null where it is empty.

    A few lines of aliases stand for billions of values ("billion laughs"), and an alias inside of
    what it names for endlessly many. So nodes are counted as often as they are named, before any
    value is built.

    Raises:
        ConfigurationError: The file is absent, no YAML, too large, nested too deep, or contains
            itself.
    """
    try:
        with Path(path).open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise ConfigurationError(f"{path}: expected at most {MOST_BYTES:,} bytes of YAML")
        loader = yaml.SafeLoader(decode_text(content, str(path), "save it as UTF-8"))
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _size(node, str(path), {}, 0)
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except DataError as error:  # no UTF-8
        raise ConfigurationError(str(error)) from None
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror or error}") from error
    except RecursionError:
        raise _too_deep(str(path)) from None
    except (ValueError, TypeError, OverflowError, yaml.YAMLError) as error:
        # a date without such a day, a number of thousands of digits
        raise ConfigurationError(f"{path}: {error}") from error


def _size(node: yaml.Node, path: str, sizes: dict[yaml.Node, int | None], level: int) -> int:
    """Return how many nodes stand in a node, aliases counted as what they name."""
    if isinstance(node, yaml.ScalarNode):
        if node.tag == _INTEGER and len(node.value) > MOST_DIGITS:
            raise ConfigurationError(
                f"{path}:{node.start_mark.line + 1}: expected numbers of at most {MOST_DIGITS:,} "
                f"digits, found {len(node.value):,}"
            )
        return 1
    if level > MOST_LEVELS:
        raise _too_deep(path)
    if node not in sizes:
        sizes[node] = None
        parts = [part for pair in node.value for part in pair] if _is_map(node) else node.value
        sizes[node] = 1 + sum(_size(part, path, sizes, level + 1) for part in parts)
    size = sizes[node]
    line = node.start_mark.line + 1
    if size is None:
        raise ConfigurationError(f"{path}:{line}: an alias stands inside of what it names")
    if size > MOST_NODES:
        raise ConfigurationError(
            f"{path}:{line}: expected at most {MOST_NODES:,} values, aliases counted as what they "
            f"name, found {size:,}"
        )
    return size


def _is_map(node: yaml.Node) -> bool:
    return isinstance(node, yaml.MappingNode)


def _too_deep(path: str) -> ConfigurationError:
    return ConfigurationError(f"{path}: expected at most {MOST_LEVELS} levels")
