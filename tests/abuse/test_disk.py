"""F5: the disk of the labeling server is full for a while."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from allencv_al.labels.sessions.labeling_store import LABELING_NAME, LabelingStore

Record = Callable[[str, object, str], None]

DISK = ("unshare", "--user", "--map-root-user", "--mount")
# The folder becomes a disk of its own, which only this process and its children see.
SCRIPT = (
    'mount -t tmpfs -o size={size}k none "{folder}" && cp -r "{source}/." "{folder}" && exec "$@"'
)


@pytest.fixture
def small_disk(
    tmp_path: Path, make_labeling: Callable[..., LabelingStore]
) -> tuple[Path, list[str]]:
    """A folder with a labeling, and what to start a program with for it to be a small disk."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if sys.platform != "linux" or shutil.which("unshare") is None:
        pytest.skip("only Linux makes a disk for one process (unshare)")
    mount = ["mount", "-t", "tmpfs", "none", str(folder)]
    if subprocess.run([*DISK, *mount], capture_output=True, check=False).returncode != 0:
        pytest.skip("this system does not allow to make a disk for one process")
    store = make_labeling(2_000)
    source = store.database.path.parent
    store.close()
    script = SCRIPT.format(size=8_192, folder=folder, source=source)
    return folder, [*DISK, "sh", "-ec", script, "sh"]


def post(port: int, path: str, body: Any) -> tuple[int, Any]:
    """Return status and answer of one request."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/{path}",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_a_full_disk_refuses_labels_and_loses_none(
    make_process: Callable[..., Any],
    small_disk: tuple[Path, list[str]],
    images: Path,
    tmp_path: Path,
    record: Record,
) -> None:
    folder, before = small_disk
    server = make_process("label", str(images), "-s", str(folder), "-k", "1", before=before)
    disk = Path(f"/proc/{server.process.pid}/root{folder}")  # as the server sees it
    said: dict[str, str] = {}

    def label(count: int) -> int:
        """Label images until one is refused; return the status of that."""
        status = 200
        for _ in range(count):
            status, found = post(server.port, "next", {"count": 1})
            if status != 200:
                return status
            key = uuid.uuid4().hex
            body = {"client_id": key, "item": found["items"][0]["id"], "kind": "label"}
            status, found = post(server.port, "answers", {**body, "class_id": "c1"})
            if status != 200:
                assert found["error"]["code"] == "disk_full", found
                assert str(folder) not in str(found)
                return status
            said[key] = found["answer"]["file_name"]
        return status

    assert label(20) == 200
    with (
        (disk / "filler").open("wb", buffering=0) as filler,
        pytest.raises(OSError, match="No space left"),
    ):
        while True:
            filler.write(b"x" * 4_096)
    assert label(1_900) == 507
    refused_at = len(said)
    status = urllib.request.urlopen(f"http://127.0.0.1:{server.port}/healthz", timeout=30).status
    assert status == 200
    assert label(1) == 507, "it stays full"
    (disk / "filler").unlink()
    assert label(20) == 200
    server.process.send_signal(signal.SIGSTOP)  # the disk lives as long as the process
    saved = tmp_path / "saved"
    shutil.copytree(disk, saved)
    server.kill()
    assert "Traceback" not in server.text
    with LabelingStore(saved / LABELING_NAME, create=False) as store:
        assert store.database.rows("PRAGMA integrity_check") == [("ok",)]
        stored = {event.client_key: event.id for event in store.answers.events()}
    assert stored == said, "as many as were acknowledged, and no other"
    assert len(said) == refused_at + 20
    record(
        "F5 the disk is full for a while",
        len(said),
        "507 while it was, 0 acknowledged labels lost, labels are taken again afterwards",
    )
