"""Data URLs: every image type, and an understandable error for what is none."""

from __future__ import annotations

import base64
from urllib.parse import quote_from_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allencv_al.common.errors import DataError
from allencv_al.service.demo.data_url import decode_data_url, is_data_url


@given(st.binary(max_size=200), st.sampled_from(["jpeg", "png", "svg+xml", "x-portable-pixmap"]))
def test_what_was_encoded_comes_back_whatever_the_type(content: bytes, kind: str) -> None:
    # AllenCV cut off 23 characters, so that PNG lost its first byte
    url = f"data:image/{kind};base64,".encode() + base64.b64encode(content)
    assert is_data_url(url)
    assert decode_data_url(url) == content


@pytest.mark.parametrize(
    "url",
    [
        b"data:image/png;base64,aGVs bG8/\r\n",
        b"data:image/png;base64,aGVsbG8%2F",
        b"data:IMAGE/PNG;Charset=utf-8;BASE64,aGVsbG8/",
        b"DATA:;base64,aGVsbG8/",
        b"data:application/octet-stream;base64,aGVsbG8/",
        b"data:image/png,hello%3F",
    ],
)
def test_the_ways_in_which_it_is_written(url: bytes) -> None:
    assert is_data_url(url)
    assert decode_data_url(url) == b"hello?"


def test_without_base64_bytes_are_escaped() -> None:
    content = bytes(range(256))
    assert decode_data_url(b"data:image/bmp," + quote_from_bytes(content).encode()) == content


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (b"data:image/png;base64", "found no comma"),
        (b"data:text/html;base64,aGVsbG8/", "expected an image type such as image/png, found text"),
        (b"data:image/png;base64,aGVsbG8", "base64 cannot be decoded"),
        (b"data:image/png;base64,a\xffVsbG8/", "base64 cannot be decoded"),
        (b"data:image/png;base64,a!Vs", "base64 cannot be decoded"),
        (b"data:" + b"\xff" * 1000 + b",x", "expected an image type"),
    ],
)
def test_what_is_no_image_says_so_shortly(url: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message) as refused:
        decode_data_url(url)
    assert len(str(refused.value)) < 300


def test_an_image_is_no_data_url() -> None:
    assert not is_data_url(b"\x89PNG\r\n")
    assert not is_data_url(b"")
