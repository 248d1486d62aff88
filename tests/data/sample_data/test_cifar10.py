"""The published archive of CIFAR-10."""

from __future__ import annotations

from pathlib import Path

from fixtures.faulty_server import CONTENT_MD5

from allencv_al.__main__ import main
from allencv_al.data.sample_data.cifar10 import MD5, URL


def test_the_command_downloads_and_says_the_paths(server, tmp_path: Path, capsys):
    _, url = server
    folder = str(tmp_path / "c")
    assert main(["sample-data", "cifar10", folder, "--url", url, "--md5", CONTENT_MD5]) == 0
    archive = Path(folder) / "cifar-10-binary.tar.gz"
    assert capsys.readouterr().out.splitlines() == [
        f"train_data_path = {archive}::train",
        f"test_data_path  = {archive}::test",
    ]
    assert main(["sample-data", "cifar10", folder, "--url", url, "--md5", "0" * 32]) == 2


def test_the_published_address_and_checksum():
    assert URL == "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
    assert MD5 == "c32a1d4ab5d03f1284b67883e8d87530"
