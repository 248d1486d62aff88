"""The commands of examples/own_functions/README.md, as printed."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "own_functions"


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.mark.slow
def test_the_readme_runs_as_printed(tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("there is no curl")
    shutil.copytree(EXAMPLE, tmp_path / "example")
    port = free_port()
    text = (EXAMPLE / "README.md").read_text().replace(":5000", f":{port}")
    serve, ask, look, drive = re.findall(r"```bash\n(.*?)```", text, re.S)
    folder = tmp_path / "example"
    config = folder / "loop.jsonnet"
    config.write_text(config.read_text().replace(":5000", f":{port}"))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"}

    def run(command: str) -> str:
        return subprocess.run(
            ["bash", "-ec", command],
            cwd=folder,
            env=environment,
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        ).stdout

    server = subprocess.Popen(
        ["bash", "-c", f"exec {serve}"],
        cwd=folder,
        env=environment,
        start_new_session=True,
        stderr=subprocess.DEVNULL,
    )
    try:
        until = time.monotonic() + 120
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5).close()
                break
            except OSError:
                assert server.poll() is None and time.monotonic() < until
                time.sleep(0.1)
        first = json.loads(run(ask))
        chosen = json.loads(run(look))
        assert len(set(chosen)) == 12 and not set(chosen) & set(range(12))
        body = {"experiment_id": "first", "project_id": "digits", "cur_loop": 1}
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/one_loop",
            json.dumps({**body, "selected_indices": chosen}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=120) as answer:
            second = json.load(answer)
        driven = run(drive)
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(20)
    assert second["phases"]["infer"]["count"] == 1476
    assert first["metrics"]["accuracy"] < second["metrics"]["accuracy"]
    found = re.search(r"5 rounds, 150 labels, accuracy (\d\.\d+)", driven)
    # 264 or 265 of 297 images, as the processor rounds what logistic regression minimizes
    assert found is not None and float(found[1]) == pytest.approx(0.89, abs=0.005)
    assert (folder / "runs" / "margin" / "report.html").is_file()
