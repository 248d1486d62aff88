"""Evaluates one jsonnet text, in a process of its own that has little time and memory.

jsonnet is a language: a few characters compute for ever, or fill the memory. This file is run by
its path, without the packages of the site (`jsonnet_file.py` does it), so it stands on the standard
library alone.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

MEMORY_BYTES = 2**30
MOST_CHARACTERS = 4 * 2**20  # of the result


def evaluate(job: dict[str, Any]) -> dict[str, str]:
    """Return the result of a job, or what is wrong with it.

    Args:
        job: `name`, `source`, `ext_vars`, `ext_codes`, and `root`: the folder tree that imports
            may read, or null.
    """
    import _jsonnet

    root = None if job["root"] is None else Path(job["root"])
    try:
        text = _jsonnet.evaluate_snippet(
            job["name"],
            job["source"],
            ext_vars=job["ext_vars"],
            ext_codes=job["ext_codes"],
            import_callback=_confined_import(root),
        )
    except RuntimeError as error:
        return {"fault": str(error)}
    except ValueError as error:  # a NUL, or bytes that are no text, in the source or in a variable
        return {"no_text": str(error)}
    if len(text) > MOST_CHARACTERS:
        return {"too_large": f"{len(text):,} characters"}
    return {"text": text}


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


def _limit(seconds: int) -> None:
    try:
        import resource
    except ImportError:  # Windows, where the time alone is limited, from outside
        return
    for kind, most in (
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(kind)
        if hard != resource.RLIM_INFINITY:
            most = min(most, hard)
        try:
            resource.setrlimit(kind, (most, hard))
        except (ValueError, OSError):  # a system without this limit
            continue


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    _limit(int(sys.argv[2]))
    sys.stdout.write(json.dumps(evaluate(json.load(sys.stdin))))
