"""Paths as tables, lists and people write them, and the files that they mean."""

from __future__ import annotations

import os
import re
import sys
import unicodedata
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote

_SPLIT_MARK = "::"
_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+):/{1,2}", re.IGNORECASE)
_DRIVE = re.compile(r"[a-z]:[\\/]", re.IGNORECASE)
_PLAINLY_WRITTEN = re.compile(r"(?! |file:)[ !#-&(-\[\]-~]+(?<! )")
_SEEN_BADLY = {
    "\r": "a carriage return",
    "\n": "a line end",
    "\t": "a tab",
    "\u00a0": "a no-break space",
    "\u202f": "a narrow no-break space",
    "\u200b": "a zero-width space",
    "\ufeff": "a byte order mark",
    "\u201c": "a curly quote",
    "\u201d": "a curly quote",
    "\u2018": "a curly quote",
    "\u2019": "a curly quote",
    "\u00ab": "an angle quote",
    "\u00bb": "an angle quote",
}
_STRIPPED = "".join(_SEEN_BADLY) + " \"'"
_PLAIN = {ord("\u00a0"): " ", ord("\u202f"): " ", ord("\u2019"): "'"}


def existing_path(path: Path) -> Path:
    """Return the path under which a file is there, where its name is written in another way.

    Names with accents have two forms in Unicode; the disk has one of them, a table perhaps the
    other. A path with backslashes may come from Windows. What is not there is returned as it is.
    """
    if _exists(path):
        return path
    text = str(path)
    if "\\" in text and _exists(found := Path(text.replace("\\", "/"))):
        return found
    if text.isascii():
        return path
    # macOS writes names decomposed, most tables have them composed
    for form in ("NFC", "NFD"):
        found = Path(unicodedata.normalize(form, text))
        if _exists(found):
            return found
    return _by_parts(path) or path


def written_path(text: str, folder: Path | None = None) -> Path:
    """Return the file that a cell or a line means.

    Where nothing is there under the path as written, it is sought without quotes and blanks around
    it, with plain spaces, and in the other forms of `existing_path`.

    Args:
        text: The path, or an address `file:///...`.
        folder: Base of relative paths; the current folder by default.
    """
    if text[:5].lower() == "file:":
        text = "/" + unquote(text[5:]).lstrip("/").removeprefix("localhost/")
    if _PLAINLY_WRITTEN.fullmatch(text):  # most are: a table of a million rows asks no disk here
        return _joined(folder, text)
    path = existing_path(_joined(folder, text))
    if _exists(path):
        return path
    # What spreadsheets and chats add: blanks that are none, curly quotes around a path
    for plain in (text.strip(_STRIPPED), text.strip(_STRIPPED).translate(_PLAIN)):
        found = existing_path(_joined(folder, plain)) if plain and plain != text else path
        if _exists(found):
            return found
    return path


def split_path(path: str | Path) -> tuple[Path, str | None]:
    """Return the file or folder, and what stands behind `::` (None without one).

    A file whose own name holds `::` is taken as it is; `~` is the home folder. What is not there as
    written is sought as `written_path` does.
    """
    location = written_path(str(path))
    head, separator, tail = str(location).rpartition(_SPLIT_MARK)
    if not separator or not head or not tail or location.exists():
        return location, None
    return written_path(head), tail


def path_problem(text: str) -> str | None:
    """Return why a text can be the path of no file here: an address, a drive, NUL; None if it can.

    Args:
        text: The content of a table or a list.
    """
    address = _ADDRESS.match(text)
    if address is not None and address.group(1).lower() != "file":
        return f"expected the path of a file, found the address {text[:200]}; fetch the image first"
    if "\0" in text:
        return f"expected the path of a file, found a NUL character in {text[:200]!a}"
    if _DRIVE.match(text) and not _exists(Path(text)):
        return f"expected the path of a file here, found the Windows path {text[:200]}"
    return None


def absence_hint(text: str) -> str:
    """Return what a person does not see in a path that leads nowhere: `; it holds ...`, or nothing.

    Args:
        text: The path as it was given.
    """
    if (address := _ADDRESS.match(text)) is not None and address.group(1).lower() != "file":
        return "; it is an address, and no image is fetched from one"
    if _DRIVE.match(text):
        return "; it is a path of Windows"
    seen = dict.fromkeys(name for mark, name in _SEEN_BADLY.items() if mark in text)
    stripped = text.strip(_STRIPPED)
    if not seen and stripped == text:
        return ""
    names = f"; it holds {' and '.join(seen)}" if seen else ""
    plain = stripped.translate(_PLAIN)
    found = next((one for one in (stripped, plain) if one and _exists(Path(one))), None)
    return f"{names}; did you mean {found}?" if found is not None else names


def absent(path: str | Path, noun: str) -> str:
    """Return the message that nothing exists at a path, with the likely cause if one shows.

    Args:
        path: The path as it was given.
        noun: The expected thing, such as `archive`.
    """
    return f"{shown_path(path)}: there is no such {noun}{absence_hint(str(path))}"


def shown_path(text: object) -> str:
    """Return a path for a message, with what cannot be seen written out."""
    return "".join(
        mark if mark.isprintable() else mark.encode("unicode_escape").decode() for mark in str(text)
    )


def _joined(folder: Path | None, text: str) -> Path:
    return expanded(text) if folder is None else folder / text


def expanded(path: str | Path) -> Path:
    """Return a path with `~` as the home folder; as it is where this machine knows no such user."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def _by_parts(path: Path) -> Path | None:
    """Find each part of a path by its composed form: the forms may differ from part to part."""
    found = Path(path.anchor) if path.anchor else Path()
    for part in path.parts[1:] if path.anchor else path.parts:
        if _exists(found / part):
            found /= part
            continue
        wanted = unicodedata.normalize("NFC", part)
        try:
            name = _composed_names(str(found), found.stat().st_mtime_ns).get(wanted)
        except OSError:
            return None
        if name is None:
            return None
        found /= name
    return found


@lru_cache(maxsize=16)
def _composed_names(folder: str, changed: int) -> dict[str, str]:
    """Return the names in a folder by their composed forms; `changed` tells when they are old."""
    names = sorted((entry.name for entry in Path(folder).iterdir()), reverse=True)
    return {unicodedata.normalize("NFC", name): name for name in names}


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # too long, with NUL, or no text that the disk could hold
        return False


def user_cache_folder() -> Path | None:
    """Return the folder of this program in the user's cache folder; it may not exist yet.

    A user without a home folder, as in many containers, has none.
    """
    variable, default = {
        "darwin": ("", "~/Library/Caches"),
        "win32": ("LOCALAPPDATA", "~/AppData/Local"),
    }.get(sys.platform, ("XDG_CACHE_HOME", "~/.cache"))
    caches = Path(os.environ.get(variable) or expanded(default))
    return caches / "allencv_al" if caches.is_absolute() else None
