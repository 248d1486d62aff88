"""The published files of MNIST: 12 MB, downloaded once and checked."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from allencv_al.data.sample_data.download import download

URL = "https://ossci-datasets.s3.amazonaws.com/mnist"  # of PyTorch; the home page is often down
MD5 = {
    "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
}
"""The checksum of each file, as published."""


def download_mnist(
    directory: str | Path, url: str = URL, sleep: Callable[[float], None] = time.sleep
) -> Path:
    """Download the MNIST digits (Y. LeCun, C. Cortes and C. J. C. Burges, 1998) into a folder.

    They are left packed: the reader `idx` reads them in place, as `directory::train` and `::test`.

    Args:
        directory: The folder to write; made if absent.
        url: Address of a folder with the four files, http or https.
        sleep: Waits between attempts.

    Returns:
        The folder.

    Raises:
        DataError: A file cannot be downloaded, or its checksum is wrong.
    """
    folder = Path(directory).expanduser()
    for name, md5 in MD5.items():
        download(f"{url.rstrip('/')}/{name}", folder / name, md5, sleep=sleep)
    return folder
