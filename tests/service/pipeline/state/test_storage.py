"""Where results are kept: folders, memory, and S3 as moto's server has it."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from allencv_al.common.errors import ConfigurationError, DataError
from allencv_al.service.pipeline import Pipeline
from allencv_al.service.pipeline.state.storage import Storage

MakePipeline = Callable[..., Pipeline]
Place = tuple[str, dict[str, Any]]


@pytest.fixture(scope="session")
def s3() -> Iterator[dict[str, Any]]:
    """Options of an S3 with the bucket `results`, on this machine."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", port=0)
    s3fs = pytest.importorskip("s3fs")
    server.start()
    host, port = server.get_host_and_port()
    options = {"endpoint_url": f"http://{host}:{port}"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "the-name-of-a-key")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "the-secret-of-a-key")
        s3fs.S3FileSystem(**options).mkdir("results")
        yield options
    server.stop()


@pytest.fixture(params=["folder", "file", "memory", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A URL and its options, of each kind."""
    name = tmp_path.name
    if request.param == "s3":
        return f"s3://results/{name}", request.getfixturevalue("s3")
    urls = {"folder": str(tmp_path), "file": f"file://{tmp_path}", "memory": f"memory://{name}"}
    return urls[request.param], {}


def test_what_is_written_is_read_again(place: Place, tmp_path: Path) -> None:
    storage = Storage(*place)
    assert not storage.exists("p/e/a.json")
    address = storage.write_json("p/e/a.json", {"b": [1, None, "ü"]})
    assert address.endswith("p/e/a.json")
    arrays = {"index": np.arange(3), "logits": np.eye(3)}
    storage.write_arrays("p/e/a.npz", arrays)
    (tmp_path / "source").write_bytes(b"rows" * 100_000)
    storage.write_file("p/e/a.db", tmp_path / "source")
    again = Storage(*place)  # another process
    assert again.exists("p/e/a.json") and not again.exists("p/e/b.json")
    assert again.read_json("p/e/a.json") == {"b": [1, None, "ü"]}
    found = again.read_arrays("p/e/a.npz")
    assert all(np.array_equal(found[name], arrays[name]) for name in arrays)
    assert again.read("p/e/a.db") == b"rows" * 100_000
    again.write_json("p/e/a.json", 5)
    assert storage.read_json("p/e/a.json") == 5


def test_the_manifest_knows_each_file(place: Place) -> None:
    storage = Storage(*place)
    storage.write_json("p/e/a.json", 1)
    storage.write_json("p/e/b.json", 2)
    manifest = json.loads(storage.read("p/e/manifest.json"))
    assert manifest == {
        "a.json": hashlib.sha256(b"1").hexdigest(),
        "b.json": hashlib.sha256(b"2").hexdigest(),
    }


def test_a_file_that_was_changed_is_refused(place: Place) -> None:
    storage = Storage(*place)
    storage.write_json("p/e/a.json", 1)
    storage._files.pipe_file(storage._place("p/e/a.json"), b"2")
    with pytest.raises(DataError, match="is not what was written"):
        storage.read_json("p/e/a.json")
    with pytest.raises(DataError, match="there is no such file"):
        storage.read("p/e/none.json")


WRITE_MANY = """
import json, sys
from allencv_al.service.pipeline.state.storage import Storage

url, options, name = json.loads(sys.argv[1])
for number in range(10):
    Storage(url, options).write_json(f"{name}/e/{number}.json", number)
"""


def test_two_processes_write_side_by_side(s3: dict[str, Any], tmp_path: Path) -> None:
    url = f"s3://results/{tmp_path.name}"
    processes = [
        subprocess.Popen([sys.executable, "-c", WRITE_MANY, json.dumps([url, s3, name])])
        for name in ("a", "b")
    ]
    assert [process.wait(60) for process in processes] == [0, 0]
    storage = Storage(url, s3)
    assert [storage.read_json(f"{name}/e/9.json") for name in ("a", "b")] == [9, 9]


def test_loops_keep_their_results_on_s3(
    s3: dict[str, Any], make_pipeline: MakePipeline, tmp_path: Path
) -> None:
    url = f"s3://results/{tmp_path.name}"
    pipeline = make_pipeline(storage_url=url, storage_options=s3)
    body = {"experiment_id": "e", "project_id": "p", "cur_loop": 0, "selected_indices": [0, 1, 2]}
    answer = pipeline.app.test_client().post("/one_loop", json=body).json
    assert answer["artifacts"]["infer_outputs"] == f"{url}/p/e/infer_outputs_0.npz"
    storage = Storage(url, s3)
    assert len(storage.read_arrays("p/e/infer_outputs_0.npz")["index"]) == 57
    assert storage.read_json("p/e/metrics_0.json") == answer["metrics"]
    other = make_pipeline(storage_url=url, storage_options=s3)  # chosen by another program
    storage.write_json("p/e/selected_indices_1.json", [4, 5])
    found = other.app.test_client().post(
        "/one_loop", json={**body, "cur_loop": 1, "selected_indices": None}
    )
    assert found.json["phases"]["infer"]["count"] == 55


def test_a_storage_that_is_away_or_refuses_is_said(
    s3: dict[str, Any],
    make_pipeline: MakePipeline,
    functions: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    options = {"config_kwargs": {"retries": {"max_attempts": 0}, "connect_timeout": 1}}
    unused = {"endpoint_url": "http://127.0.0.1:9", **options}
    for url, where in (("s3://results/x", unused), ("s3://no-such-bucket/x", s3)):
        pipeline = make_pipeline(storage_url=url, storage_options=where)
        body = {"experiment_id": "e", "project_id": "p", "cur_loop": 0, "selected_indices": [0]}
        found = pipeline.app.test_client().post("/one_loop", json=body)
        assert found.status_code == 502, found.json
        assert found.json["error"]["type"] == "storage"
        assert "secret" not in json.dumps(found.json)
    assert functions.calls == []  # before anything long has run
    assert "the-secret-of-a-key" not in caplog.text


def test_an_unknown_place_is_a_fault() -> None:
    with pytest.raises(ConfigurationError, match="storage_url: odd://x"):
        Storage("odd://x")


def test_errors_of_a_folder_stay_what_they_are(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    (tmp_path / "p").write_text("a file")
    with pytest.raises(OSError, match="p"):
        storage.write_json("p/e.json", 1)
