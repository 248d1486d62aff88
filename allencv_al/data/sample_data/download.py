"""A file from the web, whole and checked: cut connections are resumed, not begun again."""

from __future__ import annotations

import hashlib
import http.client
import logging
import os
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from email.message import Message
from pathlib import Path
from typing import IO, BinaryIO

from allencv_al.common.errors import DataError
from allencv_al.common.files.atomic_file import flush, make_folder
from allencv_al.common.progress import Progress

logger = logging.getLogger(__name__)

SCHEMES = ("http", "https")
CHUNK = 1 << 20
TIMEOUT_S = 30.0
WAITS_S = (1.0, 2.0, 4.0, 8.0)  # between attempts that bring nothing; then it is given up
WORTH_RETRYING = (408, 425, 429, 500, 502, 503, 504)


class _OtherFileError(Exception):
    """The part that is there is no beginning of what the server has."""


def download(url: str, target: Path, md5: str, sleep: Callable[[float], None] = time.sleep) -> None:
    """Download `url` to `target`; if it is there already and whole, do nothing.

    The bytes go to `target` with `.part` behind its name, which stays when the connection is cut,
    so that the next call resumes from there. A file with a wrong checksum is removed.

    Args:
        url: An http or https address.
        target: The file; its folder is made if absent.
        md5: The checksum it must have, as hexadecimal digits.
        sleep: Waits between attempts.

    Raises:
        DataError: The server cannot be reached or refuses, the connection is cut again and again,
            or the checksum is wrong.
    """
    _check_scheme(url)
    if target.exists():
        _check_present(target, md5)
        return
    make_folder(target.parent)
    part = target.with_name(f"{target.name}.part")
    went_on = part.exists()
    _fetch_all(url, part, sleep)
    if went_on and md5_of(part) != md5.lower():
        logger.warning("%s: belongs to another file; starting again", part)
        part.unlink()
        _fetch_all(url, part, sleep)
    found = md5_of(part)
    if found != md5.lower():
        part.unlink()
        raise DataError(
            f"{url}: expected a file with the MD5 {md5}, found {found}; what was downloaded has "
            "been removed, as it is damaged or another file"
        )
    part.replace(target)
    flush(target.parent)


def md5_of(path: Path) -> str:
    """Return the MD5 of a file: a check against damage, not against an attacker."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _check_scheme(url: str) -> None:
    scheme = urllib.parse.urlsplit(url).scheme
    if scheme not in SCHEMES:
        raise DataError(f"{url}: expected an http or https address")


def _check_present(target: Path, md5: str) -> None:
    if not target.is_file():
        raise DataError(f"{target}: expected a file or nothing, found a folder")
    found = md5_of(target)
    if found != md5.lower():
        raise DataError(
            f"{target}: expected a file with the MD5 {md5}, found {found}; remove it to have it "
            "downloaded again"
        )
    logger.info("%s: already there, and whole", target)


def _fetch_all(url: str, part: Path, sleep: Callable[[float], None]) -> None:
    """Fetch until everything is there; give up after some attempts in a row that bring nothing."""
    waits = iter(WAITS_S)
    while True:
        before = _size(part)
        try:
            _fetch_rest(url, part)
            return
        except _OtherFileError:
            part.unlink()  # so that the next request asks for the whole file
            continue
        except urllib.error.HTTPError as error:
            error.close()
            cause = f"the server answered {error.code} {error.reason}"
            if error.code not in WORTH_RETRYING:
                raise DataError(f"{url}: {cause}") from error
        except (
            urllib.error.URLError,
            http.client.HTTPException,
            ConnectionError,
            TimeoutError,
        ) as e:
            cause = str(getattr(e, "reason", "") or e) or type(e).__name__
        if _size(part) > before:
            waits = iter(WAITS_S)
        wait = next(waits, None)
        if wait is None:
            raise DataError(_gave_up(url, part, cause))
        logger.warning("%s: %s; trying again in %g s", url, cause, wait)
        sleep(wait)


def _gave_up(url: str, part: Path, cause: str) -> str:
    message = f"{url}: cannot be downloaded: {cause} ({len(WAITS_S) + 1} attempts)"
    if _size(part):
        message += f"; {_size(part)} bytes are kept in {part}, and the next run resumes from there"
    return message


def _fetch_rest(url: str, part: Path) -> None:
    """Append to `part` what it lacks, in one request."""
    have = _size(part)
    request = urllib.request.Request(url, headers=_headers(have))  # noqa: S310  scheme is checked
    try:
        response = _opener().open(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not have:
            raise
        error.close()
        if _total_of(error.headers) == have:
            return  # all of it was there
        raise _OtherFileError from error
    with response:
        resumed = response.status == 206
        if resumed and _range_start(response.headers) != have:
            raise _OtherFileError if have else ConnectionError("the server sent an unasked part")
        start = have if resumed else 0
        length = response.headers.get("Content-Length")
        total = None if length is None else start + int(length)
        with part.open("ab" if resumed else "wb") as stream:
            _copy(response, stream, start, total)
            stream.flush()
            os.fsync(stream.fileno())
    if total is not None and _size(part) < total:
        raise ConnectionError(f"the connection was cut at {_size(part)} of {total} bytes")


def _headers(have: int) -> dict[str, str]:
    # identity: a compressed transfer would make the byte range one of something else
    headers = {"User-Agent": "allencv_al", "Accept-Encoding": "identity"}
    return {**headers, "Range": f"bytes={have}-"} if have else headers


def _copy(response: IO[bytes], stream: BinaryIO, start: int, total: int | None) -> None:
    mebibytes = None if total is None else -(-total // CHUNK)
    done = start
    with Progress("Downloading", mebibytes, "MiB", already=start // CHUNK) as progress:
        while block := response.read(CHUNK):
            stream.write(block)
            progress.advance((done + len(block)) // CHUNK - done // CHUNK)
            done += len(block)
        if mebibytes is not None and done == total:
            progress.advance(mebibytes - done // CHUNK)  # the last, incomplete one


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _range_start(headers: Message) -> int | None:
    match = re.match(r"bytes (\d+)-", headers.get("Content-Range", ""))
    return int(match.group(1)) if match else None


def _total_of(headers: Message) -> int | None:
    match = re.match(r"bytes \*/(\d+)$", headers.get("Content-Range", ""))
    return int(match.group(1)) if match else None


def _opener() -> urllib.request.OpenerDirector:
    """Return an opener for http and https only: a redirect to a file, say, leads nowhere."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener
