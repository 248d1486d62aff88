"""Folders that are served: what lies in them, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from allencv_al.service.web import WebApp
from allencv_al.service.web.served_files import contained

MakeApp = Callable[..., WebApp]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a file, a folder below it, and links that stay inside and lead out."""
    root = tmp_path / "inner"
    (root / "sub").mkdir(parents=True)
    (root / "a.txt").write_text("a")
    (root / "sub" / "b.txt").write_text("b")
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "inner-too").mkdir()
    (tmp_path / "inner-too" / "c.txt").write_text("secret")
    (root / "inside").symlink_to("sub/b.txt")
    (root / "outside").symlink_to(tmp_path / "secret.txt")
    (root / "up").symlink_to(tmp_path, target_is_directory=True)
    (root / "circle").symlink_to("circle")
    os.mkfifo(root / "pipe")
    return root.resolve()


OUTSIDE = [
    *("../secret.txt", "sub/../../secret.txt", "outside", "up/secret.txt", "circle", "pipe"),
    *("sub", "", ".", "..", "nothing", "a.txt/x", "a\0.txt", "/etc/passwd", "x" * 5_000),
    *("../inner-too/c.txt", "..\\secret.txt", "%2e%2e/secret.txt", "~/a.txt", "\ud800"),
]


@pytest.mark.parametrize("name", OUTSIDE, ids=lambda name: ascii(name)[:30])
def test_what_is_outside_or_no_file_is_not_contained(name: str, folder: Path) -> None:
    assert contained(folder, name) is None


@pytest.mark.parametrize(
    ("name", "file"),
    [
        *(("a.txt", "a.txt"), ("sub/b.txt", "sub/b.txt"), ("sub/../a.txt", "a.txt")),
        *(("inside", "sub/b.txt"), ("./a.txt", "a.txt"), ("up/inner/a.txt", "a.txt")),
    ],
)
def test_what_is_inside_comes_out_without_links(name: str, file: str, folder: Path) -> None:
    assert contained(folder, name) == folder / file
    assert contained(folder, str(folder / name)) == folder / file


@pytest.mark.parametrize(
    "path",
    [
        *("../secret.txt", "%2e%2e/secret.txt", "..%2fsecret.txt", "%2e%2e%2fsecret.txt"),
        *(
            "sub/..%2f..%2fsecret.txt",
            "outside",
            "up/secret.txt",
            "%00",
            "a.txt%00",
            "//etc/passwd",
        ),
        *("%2fetc%2fpasswd", "..%5csecret.txt", "..%c0%afsecret.txt", "pipe", "sub/", ""),
    ],
)
@pytest.mark.parametrize("below", ["/files/", "/static/"])
def test_no_address_leads_out_of_a_folder(
    below: str, path: str, folder: Path, make_app: MakeApp
) -> None:
    found = make_app(folder).test_client().get(below + path)
    assert found.status_code in (308, 404), path
    assert b"secret" not in found.data and b"root:" not in found.data


def test_files_are_served_with_their_kind_and_a_tag(folder: Path, make_app: MakeApp) -> None:
    client = make_app(folder).test_client()
    (folder / "page.html").write_text("<!doctype html>")
    for name, kind in (("a.txt", "text/plain"), ("page.html", "text/html")):
        found = client.get(f"/files/{name}")
        assert (found.status_code, found.mimetype) == (200, kind)
    tag = found.headers["ETag"]
    assert client.get("/files/page.html", headers={"If-None-Match": tag}).status_code == 304
