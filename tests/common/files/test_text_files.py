"""Text in the encodings of spreadsheets and editors."""

from __future__ import annotations

import pytest

from allencv_al.common.errors import DataError
from allencv_al.common.files.text_files import decode_text, is_text

TEXT = 'path,label\r\na.png,"Katze"\n'


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]
)
def test_a_text_comes_back_with_its_line_ends(encoding: str) -> None:
    assert decode_text(TEXT.encode(encoding), "t.csv") == TEXT


def test_what_is_no_text_is_explained() -> None:
    with pytest.raises(DataError, match=r"^t: expected UTF-8, found the byte 0xe9 in line 2; save"):
        decode_text(b"a\nb\xe9", "t", "save it")
    with pytest.raises(DataError, match=r"^t: expected text, found a NUL byte in line 1; save it"):
        decode_text(b"a\0b\n", "t", "save it")


@pytest.mark.parametrize(
    ("content", "expected"),
    [(b"", True), (b"abc", True), ("abcd".encode("utf-16"), True), (b"\x89PNG\0\0", False)],
)
def test_the_beginning_of_a_file_looks_like_text(content: bytes, expected: bool) -> None:
    assert is_text(content) is expected
