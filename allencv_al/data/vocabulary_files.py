"""The text files of a saved vocabulary: AllenNLP's format, read and written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from allencv_al.common import ConfigurationError
from allencv_al.common.errors import DataError
from allencv_al.common.files import atomic_file

NON_PADDED_FILE = "non_padded_namespaces.txt"

# The first is AllenNLP's. A carriage return needs one too: lines may end with \r\n (Windows).
_ESCAPES = {"\n": "@@NEWLINE@@", "\r": "@@RETURN@@"}
_LINE_END = re.compile(r"\r?\n")
_NOT_IN_A_FILE_NAME = re.compile(r'[/\\:*?"<>|\x00-\x1f]')
# Names of folders and files need not be UTF-8 on Linux; Python reads such bytes as surrogates.
_ENCODING_ERRORS = "surrogatepass"


def require_file_name(namespace: str) -> None:
    """Check that `namespace` can be the name of a file on every system.

    Raises:
        ConfigurationError: It cannot.
    """
    wrong = _NOT_IN_A_FILE_NAME.search(namespace)
    if wrong or namespace in ("", NON_PADDED_FILE.removesuffix(".txt")) or namespace[0] == ".":
        raise ConfigurationError(
            f"the vocabulary namespace {namespace!r} cannot be a file name: expected a name like "
            "'labels', not empty, without any of / \\ : * ? \" < > | and not starting with a dot"
        )


def compose(patterns: Iterable[str], namespaces: Mapping[str, Iterable[str]]) -> dict[str, bytes]:
    """Return the contents of the files, by file name.

    Args:
        patterns: The namespaces (or `*suffix`) without padding.
        namespaces: The lines of each namespace's file.

    Raises:
        ConfigurationError: A token contains an escape, so that it could not be read back.
    """
    contents = {f"{name}.txt": _encode(tokens, name) for name, tokens in sorted(namespaces.items())}
    contents[NON_PADDED_FILE] = _encode(sorted(patterns), "")
    return contents


def parse(contents: Mapping[str, bytes], source: str) -> tuple[list[str], dict[str, list[str]]]:
    """Return the patterns and the lines of each namespace, from file contents by file name.

    Raises:
        DataError: A file is missing or damaged; the message starts with `source`.
    """
    if NON_PADDED_FILE not in contents:
        raise DataError(f"{source}: no vocabulary here: {NON_PADDED_FILE} is missing")
    lines = {name: _decode(content, f"{source}/{name}") for name, content in contents.items()}
    patterns = lines.pop(NON_PADDED_FILE)
    return patterns, {name.removesuffix(".txt"): tokens for name, tokens in lines.items()}


def read(directory: Path) -> dict[str, bytes]:
    """Return the contents of the files in `directory`, hidden ones left out.

    Raises:
        DataError: There is no such folder.
    """
    if not directory.is_dir():
        raise DataError(f"{directory}: no such folder; expected one that holds a vocabulary")
    files = sorted(directory.glob("*.txt"))
    return {file.name: file.read_bytes() for file in files if not file.name.startswith(".")}


def write(directory: Path, contents: Mapping[str, bytes]) -> None:
    """Write the files to `directory`, all or none; a vocabulary that is there is replaced.

    Raises:
        ConfigurationError: The folder holds something else.
    """
    if directory.exists():
        foreign = _foreign_names(directory)
        if foreign:
            raise ConfigurationError(
                f"{directory}: not a place for a vocabulary, it holds {min(foreign)!r}; "
                "expected an empty folder, a saved vocabulary, or a new name"
            )
    with atomic_file.atomic_directory(directory) as temporary:
        for name, content in contents.items():
            (temporary / name).write_bytes(content)


def _foreign_names(directory: Path) -> list[str]:
    """Return the names of what would be lost if a vocabulary took the folder's place."""
    if not directory.is_dir():
        return [directory.name]
    # No vocabulary, so what is there is of another origin
    if not (directory / NON_PADDED_FILE).is_file():
        return [file.name for file in directory.iterdir()]
    return [
        file.name
        for file in directory.iterdir()
        if not file.is_file() or (file.suffix != ".txt" and not file.name.startswith("."))
    ]


def _encode(tokens: Iterable[str], namespace: str) -> bytes:
    lines = []
    for token in tokens:
        line = _escaped(token)
        # A token that holds an escape itself would be read back as another one
        if _unescaped(line) != token:
            raise ConfigurationError(
                f"the token {token!r} of the vocabulary namespace {namespace!r} cannot be saved: "
                f"{' and '.join(_ESCAPES.values())} stand for line ends in vocabulary files"
            )
        lines.append(f"{line}\n")
    return "".join(lines).encode("utf-8", _ENCODING_ERRORS)


def _decode(content: bytes, source: str) -> list[str]:
    try:
        lines = _LINE_END.split(content.decode("utf-8", _ENCODING_ERRORS))
    except UnicodeDecodeError as error:
        raise DataError(f"{source}: not UTF-8 text: {error}") from error
    if lines[-1] == "":
        lines.pop()
    tokens = [_unescaped(line) for line in lines]
    if len(set(tokens)) < len(tokens):
        repeated = next(token for token in tokens if tokens.count(token) > 1)
        raise DataError(f"{source}: {repeated!r} stands there twice; a token has one index")
    return tokens


def _escaped(token: str) -> str:
    for character, escape in _ESCAPES.items():
        token = token.replace(character, escape)
    return token


def _unescaped(line: str) -> str:
    for character, escape in _ESCAPES.items():
        line = line.replace(escape, character)
    return line
