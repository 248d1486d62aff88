"""Text that people and spreadsheets write, decoded or explained."""

from __future__ import annotations

import codecs

from allencv_al.common.errors import DataError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_LOOKED_AT = 4096  # bytes, to tell UTF-16 without a mark by its zeros


def decode_text(content: bytes, where: str, remedy: str = 'save it as UTF-8 ("CSV UTF-8")') -> str:
    """Return the text of a file: UTF-8 or UTF-16, with or without a byte order mark.

    Line ends stay as they are.

    Args:
        content: The bytes of the file.
        where: Its name in messages.
        remedy: The remedy, for the message.

    Raises:
        DataError: It is neither, or holds NUL bytes as no text does.
    """
    encoding, start = _encoding_of(content)
    try:
        text = content[start:].decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, start + error.start) + 1
        raise DataError(
            f"{where}: expected {encoding.upper()}, found the byte "
            f"{content[start + error.start]:#04x} in line {line}; {remedy}"
        ) from None
    place = text.find("\0")
    if place >= 0:
        line = text.count("\n", 0, place) + 1
        raise DataError(f"{where}: expected text, found a NUL byte in line {line}; {remedy}")
    return text


def is_text(content: bytes) -> bool:
    """Return whether the beginning of a file looks like text: no NUL, or UTF-16."""
    return b"\0" not in content or _encoding_of(content)[0] != "utf-8"


def _encoding_of(content: bytes) -> tuple[str, int]:
    """Return the encoding, and where the text begins behind its mark."""
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return encoding, len(mark)
    head = content[: _LOOKED_AT & ~1]
    # Excel's "Unicode text" has a mark; other programs leave it out. Latin text then has a zero
    # in every second byte, and none in the others.
    even, odd = head[::2], head[1::2]
    if len(head) > 3 and not even.count(0) and odd.count(0) > len(odd) // 2:
        return "utf-16-le", 0
    if len(head) > 3 and not odd.count(0) and even.count(0) > len(even) // 2:
        return "utf-16-be", 0
    return "utf-8", 0
