"""Evaluate jsonnet, imports confined to the folder tree of the config, and apply overrides."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import re
import signal
import subprocess
import sys
import unicodedata
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from allencv_al.common.config.sources import jsonnet_worker
from allencv_al.common.config.sources.jsonnet_worker import MEMORY_BYTES, MOST_CHARACTERS
from allencv_al.common.errors import ConfigurationError, ConfigurationFaults, DataError, Fault
from allencv_al.common.files.json_values import plain, repr_json
from allencv_al.common.files.text_files import decode_text
from allencv_al.common.names import did_you_mean

logger = logging.getLogger(__name__)

ENVIRONMENT = "environment"
"""`std.extVar("environment")` is an object with every variable, so that a config can have optional
ones: `std.get(std.extVar("environment"), "TEST_PATH")` is null where the variable is not set."""

SECONDS = 10

_WORKER = Path(jsonnet_worker.__file__)
_MOST_PLAIN = 2**20
_SHOWN = 2_000  # characters of a message, which may repeat a whole file
# A sign stands before a digit, or is that of `a+:` or `+ {`: a row of them takes jsonnet minutes
_PLAIN = re.compile(
    r"""(?:[\s.,:\[\]{}]|[+-](?=\d)|\+(?=:|[ ]?\{)|\d[\deE]*+"""
    r"""|"(?:[^"\\]|\\.)*+"|'(?:[^'\\]|\\.)*+'|//[^\n]*+|\#[^\n]*+|/\*.*?\*/"""
    r"""|(?:true|false|null)\b|[A-Za-z_]\w*+(?=\s*\+?:))*+""",
    re.DOTALL,
)
_UNDEFINED = re.compile(r"undefined external variable: (\S+)")
_LONG_WORD = re.compile(r"(\S{300})\S+")  # a path, or half a file
_UNKNOWN_CHARACTER = re.compile(r"Could not lex the character (?:code \d+|'.*')")
_LINE_END = re.compile(r"\r\n?")
_PLACE = re.compile(r"^(.*?):\(?(\d+):(\d+)(?:\)-\(\d+:\d+\)|-\d+)?(?=:|$)")

_DOT = re.compile(r"(?<!\\)\.")

MOST_HINTS = 20
"""Unmatched overrides that get a hint; finding the nearest key takes a while."""


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
        source = decode_text(file.read_bytes(), str(file), "save it as UTF-8")
    except DataError as error:
        raise ConfigurationError(str(error)) from None
    except OSError as error:
        raise ConfigurationError(f"{file}: {error.strerror or error}") from error
    return evaluate_snippet(str(file), _LINE_END.sub("\n", source), variables, root=file.parent)


def evaluate_snippet(
    name: str, source: str, variables: Mapping[str, str], root: Path | None = None
) -> str:
    """Return the JSON text that the jsonnet text `source` stands for.

    Args:
        name: The name of the text in messages.
        source: The jsonnet.
        variables: The values of `std.extVar`.
        root: The folder tree that imports may read; None: imports are refused.

    Raises:
        ConfigurationError: It is wrong, takes too long or too much memory, or its result is too
            large.
    """
    if not _is_text(source) or "\0" in source:
        raise ConfigurationError(f"{name}: not a text: found {_not_text(source)}")
    if _is_plain(source) and all(map(_is_text, variables.values())):
        return _evaluate_here(name, source)
    job = {
        "name": name,
        "source": source,
        "ext_vars": {k: v for k, v in variables.items() if k != ENVIRONMENT},
        "ext_codes": {ENVIRONMENT: json.dumps(dict(variables))},
        "root": None if root is None else str(root),
    }
    result = _run(name, job)
    if "fault" in result:
        message = _readable(result["fault"], name, source)
        raise ConfigurationError(message) from RuntimeError(result["fault"])
    if "no_text" in result:
        raise ConfigurationError(f"{name}: not a text: {result['no_text']}")
    if "too_large" in result:
        raise ConfigurationError(
            f"{name}: expected at most {MOST_CHARACTERS:,} characters of JSON, found "
            f"{result['too_large']}"
        )
    return result["text"]


def _is_plain(source: str) -> bool:
    """Return whether a text only holds data: nothing in it computes, so it needs no limits."""
    return len(source) < _MOST_PLAIN and _PLAIN.fullmatch(source) is not None


def _evaluate_here(name: str, source: str) -> str:
    import _jsonnet  # a C extension that only configs need

    try:
        text: str = _jsonnet.evaluate_snippet(name, source)
    except RuntimeError as error:
        raise ConfigurationError(_readable(str(error), name, source)) from error
    except ValueError as error:
        raise ConfigurationError(f"{name}: not a text: {error}") from error
    return text


def _run(name: str, job: dict[str, Any]) -> dict[str, str]:
    """Return what a worker says of a job.

    Raises:
        ConfigurationError: It took too long, or died of too much memory.
    """
    found = importlib.util.find_spec("_jsonnet")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("No module named '_jsonnet'; install jsonnet", name="_jsonnet")
    # The worker starts without site packages (-I -S, 15 ms): it is told where jsonnet lies
    packages = str(Path(found.origin).parent)
    command = [sys.executable, "-I", "-S", str(_WORKER), packages, str(SECONDS)]
    try:
        done = subprocess.run(  # noqa: S603  our own file, by our own interpreter
            command, input=json.dumps(job).encode(), capture_output=True, timeout=SECONDS
        )
    except subprocess.TimeoutExpired:
        raise _endless(name) from None
    if done.returncode == 0:
        sys.stderr.write(done.stderr.decode(errors="replace"))  # of std.trace
        result: dict[str, str] = json.loads(done.stdout)
        return result
    if -done.returncode == getattr(signal, "SIGXCPU", None):
        raise _endless(name)
    raise ConfigurationError(
        f"{name}: needs more than {MEMORY_BYTES >> 20} MiB of memory to evaluate, or nests too "
        "deep; a config is a small description: look for a string or an array that grows"
    )


def _endless(name: str) -> ConfigurationError:
    return ConfigurationError(
        f"{name}: takes more than {SECONDS} s to evaluate; look for a recursion, or an array that "
        "is very long"
    )


def environment_variables() -> dict[str, str]:
    """Return the environment, less what is not text and so cannot be a jsonnet value."""
    return {name: value for name, value in os.environ.items() if _is_text(name + value)}


def _readable(message: str, name: str, source: str) -> str:
    """Bring jsonnet's message into the form `file:line:column: what is wrong`.

    Args:
        message: The message of jsonnet.
        name: The name of `source` in it.
        source: The text that it is about, unless it names an imported file.
    """
    message = _LONG_WORD.sub(r"\1 ...", message.strip())
    if len(message) > _SHOWN:
        message = f"{message[:_SHOWN]} ..."
    kind, _, rest = message.partition(": ")
    if kind not in ("STATIC ERROR", "RUNTIME ERROR"):
        return message
    text, *trace = rest.split("\n\t")
    text = text.strip()
    places = [place.split("\t")[0].strip() for place in trace]
    if places and _PLACE.match(places[0]):  # behind a message of the run time, before the others
        text = f"{places[0]}: {text}"
    text = _PLACE.sub(r"\1:\2:\3", text)
    text = _UNKNOWN_CHARACTER.sub(partial(_named_character, name=name, source=source), text)
    undefined = _UNDEFINED.search(text)
    if undefined:
        name = undefined.group(1)
        text += f"; set it in the environment ({name}=... before the command) or with -V {name}=..."
    return text


def _named_character(match: re.Match[str], name: str, source: str) -> str:
    """Return a message that shows a character of which jsonnet gives the first byte only."""
    place = _PLACE.match(match.string)
    shown = "one"
    if place is not None and place.group(1) == name:
        line = source.split("\n")[int(place.group(2)) - 1].encode()
        mark = line[int(place.group(3)) - 1 :].decode("utf-8", "replace")[:1]
        shown = f"{ascii(mark)[1:-1]} ({unicodedata.name(mark, 'without a name')})"
    return (
        f"found a character that has no place here: {shown}; outside of texts write plain blanks, "
        "and straight quotes around texts"
    )


def _not_text(source: str) -> str:
    marks = (mark for mark in source if mark == "\0" or "\ud800" <= mark <= "\udfff")
    return ascii(next(marks, ""))


def _is_text(value: str) -> bool:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def apply_overrides(config: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return `config` with `overrides` in it; neither argument is changed.

    A key is a path (`trainer.optimizer.lr`, `dataset_reader.augmentation.0.height`). The value at
    the path is replaced whole; a new key is added where the object that holds it exists
    (AllenNLP >= 2.8). Names of the config that hold dots themselves are found as they are
    (`model.names.conv1.weight` where `names` has a key `conv1.weight`); in a new name they are
    written with a backslash (`model.names.fc\\.bias`).

    Raises:
        ConfigurationFaults: Overrides that match nothing, all of them, with the nearest keys.
    """
    merged: dict[str, Any] = plain(config)
    faults: list[Fault] = []
    for key, value in overrides.items():
        fault = _set(merged, key, plain(value), with_hint=len(faults) < MOST_HINTS)
        if fault is not None:
            faults.append(fault)
    if faults:
        raise ConfigurationFaults(faults, "--overrides")
    return merged


def _set(config: dict[str, Any], dotted: str, value: Any, with_hint: bool) -> Fault | None:
    parts = [part.replace("\\.", ".") for part in _DOT.split(dotted)]
    # A key that is there, else one that may be new in an object that is there
    *parents, last = _names_in(config, parts) or _names_in(config, parts, new=True) or parts
    holder: Any = config
    for depth, part in enumerate(parents):
        if not _has(holder, part):
            return _no_match(dotted, ".".join(parents[: depth + 1]), holder, part, with_hint)
        holder = holder[part] if isinstance(holder, dict) else holder[int(part)]
    if isinstance(holder, dict):
        _warn_of_loss(dotted, holder.get(last), value)
        holder[last] = value
    elif _has(holder, last):
        _warn_of_loss(dotted, holder[int(last)], value)
        holder[int(last)] = value
    else:
        return _no_match(dotted, dotted, holder, last, with_hint)
    return None


def _warn_of_loss(dotted: str, before: Any, value: Any) -> None:
    """Warn of the keys that go with an object that something else takes the place of."""
    if not isinstance(before, dict) or value is None:  # null: to have nothing in its place
        return
    kept = value if isinstance(value, dict) else {}
    lost = [key for key in before if key not in kept and key != "type"]
    if not lost:
        return
    changes = {f"{dotted}.{key}": inner for key, inner in kept.items()}
    is_same_type = kept.get("type", before.get("type")) == before.get("type")
    example = repr_json(changes, limit=200)
    hint = f"; to change single values: {example}" if changes and is_same_type else ""
    logger.warning(
        "--overrides: %s is replaced whole, without its %s%s", dotted, ", ".join(lost), hint
    )


def _names_in(holder: Any, parts: list[str], new: bool = False) -> list[str] | None:
    """Return the parts of a path, joined where a name of the config holds dots.

    None where the path leads to nothing. Short names go before long ones.

    Args:
        holder: The config, or what the path so far leads to.
        parts: The path, split at its dots.
        new: Whether the last part may be a new key of an object.
    """
    for count in range(1, len(parts) + 1):
        name, rest = ".".join(parts[:count]), parts[count:]
        if not _has(holder, name):
            continue
        if not rest:
            return [name]
        inner = holder[name] if isinstance(holder, dict) else holder[int(name)]
        found = _names_in(inner, rest, new)
        if found is not None:
            return [name, *found]
    return parts if new and len(parts) == 1 and isinstance(holder, dict) else None


def _has(holder: Any, part: str) -> bool:
    if isinstance(holder, dict):
        return part in holder
    # Longer digits would be read for nothing: no list is so long
    is_index = part.isdecimal() and len(part) < 10
    return isinstance(holder, list) and is_index and int(part) < len(holder)


def _no_match(dotted: str, missing: str, holder: Any, part: str, with_hint: bool) -> Fault:
    if isinstance(holder, list):
        items = f"has items 0 to {len(holder) - 1}" if holder else "is empty"
        return Fault(dotted, f"matches nothing: the list {items}")
    if not isinstance(holder, dict):
        return Fault(dotted, f"matches nothing: {repr_json(holder)} holds no keys")
    hint = did_you_mean(part, map(str, holder)) if with_hint else ""
    return Fault(dotted, f'matches nothing: the config has no "{missing}"{hint}')
