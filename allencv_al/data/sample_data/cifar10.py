"""The published CIFAR-10 archive: 170 MB, downloaded once and checked."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from allencv_al.data.sample_data.download import download

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
FILE_NAME = "cifar-10-binary.tar.gz"


def download_cifar10(
    directory: str | Path,
    url: str = URL,
    md5: str = MD5,
    sleep: Callable[[float], None] = time.sleep,
) -> Path:
    """Download the CIFAR-10 binary archive (A. Krizhevsky, 2009) into a folder.

    It is left packed: the reader `cifar_binary` reads it in place, as
    `directory/cifar-10-binary.tar.gz::train` and `::test`.

    Args:
        directory: The folder to write; made if absent.
        url: Address of the download, http or https: a mirror, for example.
        md5: Its checksum, as published.
        sleep: Waits between attempts.

    Returns:
        The archive's path.

    Raises:
        DataError: It cannot be downloaded, or its checksum is wrong.
    """
    target = Path(directory).expanduser() / FILE_NAME
    download(url, target, md5, sleep=sleep)
    return target
