"""Files that a server reads: only those in a folder, wherever symbolic links lead."""

from __future__ import annotations

import mimetypes
import stat
from pathlib import Path
from typing import cast

from flask import Response, request

from allencv_al.common.errors import is_machine_fault

# The types that the operating system lists for these differ, or are absent
_MEDIA_TYPES = {".js": "text/javascript", ".svg": "image/svg+xml", ".html": "text/html"}


def contained(root: Path, name: str) -> Path | None:
    """Return the regular file that a path names, or None if there is none in the folder.

    `werkzeug.security.safe_join` does not follow symbolic links, so it cannot replace this.

    Args:
        root: The folder, without symbolic links in its own path (`Path.resolve`).
        name: A path from a request: relative to the folder, or absolute. Symbolic links are
            followed before the check, so a link that leads outside is refused.
    """
    try:
        path = (root / name).resolve(strict=True)
        is_inside = path.is_relative_to(root) and stat.S_ISREG(path.stat().st_mode)
    except (OSError, ValueError, RuntimeError) as error:  # absent; a zero byte; a cycle of links
        if is_machine_fault(error):
            raise
        return None
    return path if is_inside else None


def file_response(path: Path) -> Response:
    """Return a file as a response that the browser may cache but must revalidate."""
    media_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    response = Response(path.read_bytes(), mimetype=_MEDIA_TYPES.get(path.suffix, media_type))
    response.headers["Cache-Control"] = "no-cache"
    response.add_etag()
    return cast(Response, response.make_conditional(request))
