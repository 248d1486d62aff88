"""Evaluate jsonnet, with imports confined to the config's own folder tree."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from allencv_al.common.errors import ConfigurationError

ENVIRONMENT = "environment"
"""`std.extVar("environment")` is an object with every variable, so that a config can have optional
ones: `std.get(std.extVar("environment"), "TEST_PATH")` is null where the variable is not set."""

_UNDEFINED = re.compile(r"undefined external variable: (\S+)")
_PLACE = re.compile(r"^(.*?):\(?(\d+):(\d+)(?:\)-\(\d+:\d+\)|-\d+)?(?=:|$)")


def evaluate_file(path: str | Path, variables: Mapping[str, str]) -> str:
    """Return the JSON text that the jsonnet file at `path` stands for.

    Args:
        path: A jsonnet (or plain JSON) file.
        variables: The values of `std.extVar`.

    Raises:
        ConfigurationError: The file is absent or wrong; the message starts with file:line:column.
    """
    file = Path(path)
    if not file.is_file():
        raise ConfigurationError(f"{file}: no such config file")
    try:
        source = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{file}: not UTF-8 text: {error}") from error
    except OSError as error:
        raise ConfigurationError(f"{file}: {error.strerror or error}") from error
    return evaluate_snippet(str(file), source, variables, root=file.parent)


def evaluate_snippet(
    name: str, source: str, variables: Mapping[str, str], root: Path | None = None
) -> str:
    """Return the JSON text that the jsonnet text `source` stands for.

    Args:
        name: What to call the text in messages.
        source: The jsonnet.
        variables: The values of `std.extVar`.
        root: The folder tree that imports may read; None: imports are refused.
    """
    import _jsonnet  # a C extension that only configs need

    try:
        text: str = _jsonnet.evaluate_snippet(
            name,
            source,
            ext_vars={k: v for k, v in variables.items() if k != ENVIRONMENT},
            ext_codes={ENVIRONMENT: json.dumps(dict(variables))},
            import_callback=_confined_import(root),
        )
    except RuntimeError as error:
        raise ConfigurationError(_readable(str(error))) from error
    except ValueError as error:  # a NUL, or bytes that are no text, in the source or in a variable
        raise ConfigurationError(f"{name}: not a text: {error}") from error
    return text


def environment_variables() -> dict[str, str]:
    """Return the environment, less what is not text and so cannot be a jsonnet value."""
    return {name: value for name, value in os.environ.items() if _is_text(name + value)}


def _confined_import(root: Path | None) -> Callable[[str, str], tuple[str, bytes]]:
    def read(folder: str, relative: str) -> tuple[str, bytes]:
        if root is None:
            raise RuntimeError("imports are not allowed here")
        allowed = root.resolve()
        wanted = (Path(folder) / relative).resolve()  # symlinks too end inside the tree
        if not wanted.is_relative_to(allowed):
            raise RuntimeError(f"it lies outside the config's own folder {allowed}")
        if wanted.exists() and not wanted.is_file():
            raise RuntimeError("it is not a file")  # reading a pipe would wait forever
        try:
            return str(wanted), wanted.read_bytes()
        except OSError as error:
            raise RuntimeError(str(error.strerror or error)) from error

    return read


def _readable(message: str) -> str:
    """Bring jsonnet's message into the form `file:line:column: what is wrong`."""
    kind, _, rest = message.strip().partition(": ")
    if kind not in ("STATIC ERROR", "RUNTIME ERROR"):
        return message.strip()
    text, *trace = rest.split("\n\t")
    text = text.strip()
    places = [place.split("\t")[0].strip() for place in trace]
    if places and _PLACE.match(places[0]):  # behind a message of the run time, before the others
        text = f"{places[0]}: {text}"
    text = _PLACE.sub(r"\1:\2:\3", text)
    undefined = _UNDEFINED.search(text)
    if undefined:
        name = undefined.group(1)
        text += f"; set it in the environment ({name}=... before the command) or with -V {name}=..."
    return text


def _is_text(value: str) -> bool:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
