"""Downloads, from a server of our own."""

from __future__ import annotations

from pathlib import Path

import pytest
from fixtures.faulty_server import CONTENT, CONTENT_MD5

from allencv_al.common.errors import DataError
from allencv_al.data.sample_data.cifar10 import download_cifar10


def fetch(url: str, folder: Path, md5: str = CONTENT_MD5) -> Path:
    return download_cifar10(folder, url, md5, sleep=lambda seconds: None)


def test_a_good_download(server, tmp_path: Path):
    state, url = server
    target = fetch(url, tmp_path / "new")
    assert target == tmp_path / "new" / "cifar-10-binary.tar.gz"
    assert target.read_bytes() == CONTENT
    assert [file.name for file in target.parent.iterdir()] == [target.name]
    assert state.ranges == [None]


def test_a_second_run_asks_for_nothing(server, tmp_path: Path):
    state, url = server
    fetch(url, tmp_path)
    fetch(url, tmp_path)
    assert len(state.ranges) == 1


def test_a_wrong_checksum_removes_the_file(server, tmp_path: Path):
    _, url = server
    with pytest.raises(
        DataError, match=rf"expected a file with the MD5 {'0' * 32}, found {CONTENT_MD5}"
    ):
        fetch(url, tmp_path, "0" * 32)
    assert list(tmp_path.iterdir()) == []


def test_a_cut_connection_is_resumed(server, tmp_path: Path):
    state, url = server
    state.cut_after = [100_000, 50_000]
    assert fetch(url, tmp_path).read_bytes() == CONTENT
    assert state.ranges == [None, "bytes=100000-", "bytes=150000-"]


def test_a_server_without_ranges_is_asked_for_everything(server, tmp_path: Path):
    state, url = server
    state.ignore_range = True
    state.cut_after = [100_000]
    assert fetch(url, tmp_path).read_bytes() == CONTENT
    assert state.ranges == [None, "bytes=100000-"]


def test_a_connection_that_is_cut_again_and_again_keeps_the_part(server, tmp_path: Path):
    state, url = server
    state.cut_after = [70_000, 0, 0, 0, 0, 0, 0, 0]
    with pytest.raises(DataError) as error:
        fetch(url, tmp_path)
    part = tmp_path / "cifar-10-binary.tar.gz.part"
    for text in ("cut at 70000 of 300000 bytes", "70000 bytes are kept", str(part), "5 attempts"):
        assert text in str(error.value)
    assert part.read_bytes() == CONTENT[:70_000]
    assert len(state.ranges) == 5
    state.cut_after = []
    assert fetch(url, tmp_path).read_bytes() == CONTENT
    assert state.ranges[-1] == "bytes=70000-"
    assert not part.exists()


def test_a_part_that_is_whole_is_only_checked(server, tmp_path: Path):
    state, url = server
    (tmp_path / "cifar-10-binary.tar.gz.part").write_bytes(CONTENT)
    assert fetch(url, tmp_path).read_bytes() == CONTENT
    assert state.ranges == ["bytes=300000-"]


@pytest.mark.parametrize("part", [CONTENT + b"more", b"x" * 1000, b"x" * 300_000, b""])
def test_a_part_of_another_file_is_begun_again(part: bytes, server, tmp_path: Path):
    _, url = server
    (tmp_path / "cifar-10-binary.tar.gz.part").write_bytes(part)
    assert fetch(url, tmp_path).read_bytes() == CONTENT


def test_a_server_that_sends_another_part_than_asked(server, tmp_path: Path):
    state, url = server
    state.range_offset = 5
    (tmp_path / "cifar-10-binary.tar.gz.part").write_bytes(CONTENT[:1000])
    with pytest.raises(DataError, match="MD5"):  # asked for all of it, it still leaves 5 bytes out
        fetch(url, tmp_path)
    state.range_offset = 0
    assert fetch(url, tmp_path).read_bytes() == CONTENT


def test_a_server_without_a_length(server, tmp_path: Path):
    state, url = server
    state.length = False
    assert fetch(url, tmp_path).read_bytes() == CONTENT


def test_waits_grow_and_begin_anew_after_progress(server, tmp_path: Path):
    state, url = server
    state.status = [503, 503]
    waits: list[float] = []
    state.cut_after = [10]
    download_cifar10(tmp_path, url, CONTENT_MD5, sleep=waits.append)
    assert waits == [1.0, 2.0, 1.0]


def test_an_unreachable_server_is_named(tmp_path: Path):
    with pytest.raises(DataError, match="cannot be downloaded"):
        fetch("http://127.0.0.1:9/cifar", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_redirect_is_followed_but_not_to_a_file(server, tmp_path: Path):
    state, url = server
    state.redirect = url
    assert fetch(url, tmp_path / "a").read_bytes() == CONTENT
    (tmp_path / "secret").write_bytes(CONTENT)
    state.redirect = (tmp_path / "secret").as_uri()
    with pytest.raises(DataError, match="answered 302"):
        fetch(url, tmp_path / "b")
    assert list((tmp_path / "b").iterdir()) == []


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://x/y", "cifar.tar.gz", "data:,x"])
def test_only_web_addresses_are_opened(url: str, tmp_path: Path):
    with pytest.raises(DataError, match="expected an http or https address"):
        fetch(url, tmp_path)


def test_a_present_file_with_another_checksum_is_kept(server, tmp_path: Path):
    _, url = server
    target = tmp_path / "cifar-10-binary.tar.gz"
    target.write_bytes(b"mine")
    with pytest.raises(DataError, match="remove it to have it downloaded again"):
        fetch(url, tmp_path)
    assert target.read_bytes() == b"mine"


def test_a_busy_server_is_asked_again_and_a_missing_file_is_not(server, tmp_path: Path):
    state, url = server
    state.status = [503, 429]
    assert fetch(url, tmp_path / "a").read_bytes() == CONTENT
    state.status = [404]
    with pytest.raises(DataError, match="answered 404"):
        fetch(url, tmp_path / "b")
    assert len(state.ranges) == 4
