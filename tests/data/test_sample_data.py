from __future__ import annotations

import hashlib
import http.server
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from allencv_al.__main__ import main
from allencv_al.common.errors import DataError
from allencv_al.data.sample_data import digits
from allencv_al.data.sample_data.cifar10 import MD5, URL, download_cifar10
from allencv_al.data.sample_data.digits import write_digits

# --- digits ---

SPLIT_SHA256 = "9ec970af4a75637f857ee41573016063705e12a8e021084c85a9e0e6b20403d3"


def tree(folder: Path) -> dict[str, bytes]:
    files = (file for file in sorted(folder.rglob("*")) if file.is_file())
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_digits(tmp_path_factory.mktemp("digits") / "data")


def test_every_digit_is_written_once_in_stratified_class_folders(written: Path):
    names = list(tree(written))
    assert len(names) == 1797
    assert len({Path(name).name for name in names}) == 1797
    counts = Counter(name.split("/")[0] for name in names)
    assert {part: counts[part] for part in ("validation", "test")} == {
        "validation": counts["test"],
        "test": counts["test"],
    }
    assert 0.14 < counts["test"] / 1797 < 0.16
    from sklearn.datasets import load_digits

    whole = Counter(load_digits().target.tolist())
    for part in ("train", "validation", "test"):
        classes = Counter(int(name.split("/")[1]) for name in names if name.startswith(part))
        share = counts[part] / 1797
        assert set(classes) == set(range(10))
        assert all(abs(classes[digit] - whole[digit] * share) < 1.5 for digit in range(10))


def test_the_pictures_are_the_digits(written: Path):
    from sklearn.datasets import load_digits

    digits_data = load_digits()
    for name, content in list(tree(written).items())[::37]:
        number = int(re.findall(r"digit_(\d+)\.png", name)[0])
        image = Image.open(written / name)
        assert (image.mode, image.size) == ("L", (8, 8))
        assert content.startswith(b"\x89PNG")
        assert name.split("/")[1] == str(digits_data.target[number])
        assert (np.asarray(image) == np.rint(digits_data.images[number] * 255 / 16)).all()


def test_the_split_never_changes(written: Path):
    """A change of the split changes every accuracy that was ever reported on it."""
    names = "\n".join(tree(written))
    assert hashlib.sha256(names.encode()).hexdigest() == SPLIT_SHA256


def test_a_second_run_changes_nothing(written: Path):
    before = {file: file.stat().st_mtime_ns for file in written.rglob("*")}
    assert write_digits(written) == written
    assert {file: file.stat().st_mtime_ns for file in written.rglob("*")} == before


def test_an_interrupted_run_is_completed(written: Path, tmp_path: Path, monkeypatch):
    folder = tmp_path / "data"
    write_split = digits._write_split
    calls: list[Path] = []

    def interrupted(target: Path, files: dict[str, int], pixels: object) -> None:
        calls.append(target)
        write_split(target, dict(list(files.items())[:20]) if len(calls) == 2 else files, pixels)  # type: ignore[arg-type]
        if len(calls) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(digits, "_write_split", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_digits(folder)
    assert [p.name for p in folder.iterdir()] == ["train"]
    (folder / ".tmp-killed").mkdir()  # what kill -9 leaves
    monkeypatch.setattr(digits, "_write_split", write_split)
    write_digits(folder)
    assert tree(folder) == tree(written)
    assert sorted(p.name for p in folder.iterdir()) == ["test", "train", "validation"]


def test_an_empty_folder_is_filled(tmp_path: Path, written: Path):
    assert tree(write_digits(tmp_path)) == tree(written)


def test_a_folder_with_something_else_is_refused_and_left_alone(tmp_path: Path):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(DataError, match=r"expected an empty folder, found thesis\.txt"):
        write_digits(tmp_path)
    assert tree(tmp_path) == {"thesis.txt": b"precious"}


def test_a_split_folder_of_someone_elses_is_refused(tmp_path: Path):
    (tmp_path / "train" / "cat").mkdir(parents=True)
    (tmp_path / "train" / "cat" / "a.png").touch()
    with pytest.raises(DataError, match="found 1 files; remove the folder"):
        write_digits(tmp_path)
    assert list(tree(tmp_path)) == ["train/cat/a.png"]


def test_a_file_is_no_folder(tmp_path: Path):
    (tmp_path / "x").touch()
    with pytest.raises(DataError, match="found a file"):
        write_digits(tmp_path / "x")


def test_the_command_says_what_a_config_needs(tmp_path: Path, capsys):
    assert main(["sample-data", "digits", str(tmp_path / "d")]) == 0
    out = capsys.readouterr().out.splitlines()
    assert [line.split(" = ")[1] for line in out] == [
        str(tmp_path / "d" / part) for part in ("train", "validation", "test")
    ]
    from allencv_al.data.dataset_readers import ImageClassificationDirectory

    dataset = ImageClassificationDirectory().read(tmp_path / "d" / "test")
    assert set(dataset.labels()) == set("0123456789")


def test_without_a_split_all_digits_lie_in_one_folder(tmp_path: Path, written: Path, capsys):
    assert main(["sample-data", "digits", str(tmp_path / "d"), "--no-split"]) == 0
    assert f"train_data_path = {tmp_path / 'd' / 'all'}" in capsys.readouterr().out
    names = {name.split("/", 1)[1] for name in tree(written)}
    assert {name.split("/", 1)[1] for name in tree(tmp_path / "d")} == names
    assert main(["sample-data", "digits", str(tmp_path / "d"), "--no-split"]) == 0  # left as it is
    assert main(["sample-data", "cifar10", str(tmp_path / "c"), "--no-split"]) == 2


def test_the_command_refuses_a_url_for_digits(tmp_path: Path, capsys):
    assert main(["sample-data", "digits", str(tmp_path / "d"), "--url", "http://x"]) == 2
    assert "are for cifar10" in capsys.readouterr().err
    assert main(["sample-data", "mnist", str(tmp_path / "d")]) == 2


def test_help_is_light():
    code = (
        "import sys; from allencv_al.__main__ import main; main(['sample-data', '--help']); "
        "heavy = {'torch', 'numpy', 'sklearn', 'albumentations', 'PIL'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "DIR" in done.stdout


# --- downloads, from a server of our own ---

CONTENT = np.random.default_rng(0).integers(0, 256, 300_000, dtype=np.uint8).tobytes()
CONTENT_MD5 = hashlib.md5(CONTENT).hexdigest()


class Server:
    """Serves CONTENT, with the faults a test asks for; it records what was asked of it."""

    def __init__(self) -> None:
        self.ranges: list[str | None] = []
        self.cut_after: list[int] = []  # bytes to send in each of the next answers
        self.status: list[int] = []  # answers to give instead
        self.ignore_range = False
        self.range_offset = 0
        self.length = True
        self.redirect: str | None = None
        self.content = CONTENT

    def respond(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        wanted = handler.headers.get("Range")
        self.ranges.append(wanted)
        if self.status:
            handler.send_error(self.status.pop(0))
            return
        if self.redirect:
            handler.send_response(302)
            handler.send_header("Location", self.redirect)
            handler.end_headers()
            self.redirect = None
            return
        start = int(wanted[6:-1]) if wanted and not self.ignore_range else 0
        if start >= len(self.content):
            handler.send_response(416)
            handler.send_header("Content-Range", f"bytes */{len(self.content)}")
            handler.end_headers()
            return
        start += self.range_offset
        body = self.content[start:]
        handler.send_response(206 if wanted and not self.ignore_range else 200)
        if wanted and not self.ignore_range:
            last = len(self.content) - 1
            handler.send_header("Content-Range", f"bytes {start}-{last}/{len(self.content)}")
        if self.length:
            handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body[: self.cut_after.pop(0)] if self.cut_after else body)


@pytest.fixture
def server() -> Iterator[tuple[Server, str]]:
    state = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.respond(self)

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, args=(0.01,))
        thread.start()
        yield state, f"http://127.0.0.1:{httpd.server_address[1]}/cifar-10-binary.tar.gz"
        httpd.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


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


def test_a_busy_server_is_asked_again_and_a_missing_file_is_not(server, tmp_path: Path):
    state, url = server
    state.status = [503, 429]
    assert fetch(url, tmp_path / "a").read_bytes() == CONTENT
    state.status = [404]
    with pytest.raises(DataError, match="answered 404"):
        fetch(url, tmp_path / "b")
    assert len(state.ranges) == 4


def test_waits_grow_and_begin_anew_after_progress(server, tmp_path: Path):
    state, url = server
    state.status = [503, 503]
    waits: list[float] = []
    state.cut_after = [10]
    download_cifar10(tmp_path, url, CONTENT_MD5, sleep=waits.append)
    assert waits == [1.0, 2.0, 1.0]


def test_nobody_listens(tmp_path: Path):
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
