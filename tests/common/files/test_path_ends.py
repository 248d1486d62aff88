"""Names are found by the ends of paths and addresses."""

from __future__ import annotations

import pytest

from allencv_al.common.files.path_ends import PathEnds, path_parts

NAMES = ["a/1.png", "b/1.png", "b/ü 2.png", " 3.png"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1.png", {"a/1.png", "b/1.png"}),
        ("x/b/1.png", {"b/1.png"}),
        ("https://h.example/b/1.png?X-Amz=1%2F2#top", {"b/1.png"}),
        ("/data/local-files/?d=photos/b%2F%C3%BC%202.png&x=1", {"b/ü 2.png"}),
        ("/data/upload/3/1234abcd-u\u0308 2.png", {"b/ü 2.png"}),
        ("C:\\b\\1.png", {"b/1.png"}),
        ("2.png", set()),
        ("", set()),
    ],
)
def test_the_longest_common_end_decides(text: str, expected: set[str]) -> None:
    assert PathEnds(NAMES).nearest(text) == expected


def test_parts_of_a_path() -> None:
    assert path_parts("./a//b.png") == ("a", "b.png")
    assert path_parts("/") == ("/",)
