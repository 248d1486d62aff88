"""Deaths of either side: what is finished is not done again, and the end is the same."""

from __future__ import annotations

import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from allencv_al.active_learning.rounds.round_record import RoundRecord
from allencv_al.common.errors import DataError
from allencv_al.service.pipeline import Pipeline
from allencv_al.service.web.running import ServerThread

Serve = Callable[..., str]
MakeConfig = Callable[..., dict[str, Any]]
Run = Callable[..., list[RoundRecord]]

# A pipeline in a process of its own, which dies once where it is told to
SERVER = """
import json, os, signal, sys
from pathlib import Path
import numpy as np
from allencv_al.service.pipeline import Pipeline

folder, port, deadly = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
labels = np.arange(40) % 3
points = np.eye(3)[labels] + np.random.default_rng(0).normal(scale=0.4, size=(40, 3))


def note(text):
    text = text.rpartition("_")[0]  # without what tells runs apart
    with (folder / "calls.txt").open("a") as file:
        file.write(text + "\\n")
    if text == deadly and not (folder / "died").exists():
        (folder / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)


def logits(ckpt_file):
    return points @ np.array(json.loads((folder / ckpt_file).read_text())).T


def train(args, labeled, resume_from, ckpt_file):
    note(f"begin train {ckpt_file}")
    rows, known = points[labeled], labels[labeled]
    centers = [rows[known == c].sum(axis=0).tolist() for c in range(3)]
    (folder / ckpt_file).write_text(json.dumps(centers))
    note(f"end train {ckpt_file}")


def test(args, ckpt_file):
    note(f"begin test {ckpt_file}")
    return {"predictions": logits(ckpt_file).argmax(1), "labels": labels}


def infer(args, unlabeled, ckpt_file):
    note(f"begin infer {ckpt_file}")
    return {"outputs": dict(zip(unlabeled, logits(ckpt_file)[unlabeled]))}


def state():
    return {i: {"id": f"point {i}", "label": int(label)} for i, label in enumerate(labels)}


Pipeline("points", train, test, infer, state, args={"EXPT_DIR": str(folder)})(port=port)
"""


@contextmanager
def kept_alive(folder: Path, port: int, deadly: str) -> Iterator[None]:
    """Run the pipeline in a process, and start it again when it is killed."""
    script = folder / "server.py"
    script.write_text(textwrap.dedent(SERVER))
    over = threading.Event()
    processes: list[subprocess.Popen[bytes]] = []

    def watch() -> None:
        while not over.is_set():
            command = [sys.executable, str(script), str(folder), str(port), deadly]
            processes.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))
            processes[-1].wait()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        processes[-1].kill()
        thread.join()


@pytest.fixture
def free_port() -> int:
    """A port without a listener."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        found: int = listener.getsockname()[1]
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    "deadly", ["begin train ckpt_1", "end train ckpt_1", "begin test ckpt_0", "begin infer ckpt_1"]
)
def test_a_pipeline_that_dies_in_a_round_goes_on(
    deadly: str,
    free_port: int,
    make_config: MakeConfig,
    run_loop: Run,
    tmp_path: Path,
    wait_for_server: Callable[[str], None],
) -> None:
    found = []
    for name, moment in (("whole", "never"), ("killed", deadly)):
        folder = tmp_path / name
        folder.mkdir()
        with kept_alive(folder, free_port, moment):
            url = f"http://127.0.0.1:{free_port}"
            wait_for_server(url)
            config = make_config(url, _patience_seconds=60)
            found.append(run_loop(config, tmp_path / f"run {name}"))
    assert (tmp_path / "killed" / "died").exists()
    assert [record.picks for record in found[1]] == [record.picks for record in found[0]]
    assert [record.metrics for record in found[1]] == [record.metrics for record in found[0]]
    calls = (tmp_path / "killed" / "calls.txt").read_text().splitlines()
    again = [call for call in set(calls) if calls.count(call) > 1]
    expected = {deadly, deadly.replace("end", "begin")}
    assert set(again) == expected and all(calls.count(call) == 2 for call in again)


@pytest.mark.parametrize(
    "point",
    [
        f"{state} {moment}"
        for state in ("TRAIN", "TEST", "INFER", "SELECT")
        for moment in ("begun", "done", "recorded")
    ],
)
def test_a_driver_that_dies_asks_for_nothing_twice(
    point: str,
    serve: Serve,
    make_config: MakeConfig,
    run_loop: Run,
    functions: Any,
    tmp_path: Path,
) -> None:
    config = make_config(serve(), evaluate_pool=False)
    whole = run_loop(config, tmp_path / "whole")
    calls = [call for call in functions.without_keys() if not call.startswith("infer")]
    functions.calls.clear()
    seen = 0

    def die(name: str) -> None:
        nonlocal seen
        seen += name == point
        if name == point and seen == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_loop(config, tmp_path / "run", on_point=die)
    records = run_loop(config, tmp_path / "run", recover=True)
    assert [record.picks for record in records] == [record.picks for record in whole]
    assert [call for call in functions.without_keys() if not call.startswith("infer")] == calls
    # Outputs are not kept by the driver; the pipeline's answer is
    assert functions.without_keys().count("infer ckpt_1 32") == 1


def test_a_pipeline_that_stays_away_is_an_error_after_a_while(
    make_config: MakeConfig, run_loop: Run, functions: Any, tmp_path: Path
) -> None:
    servers: list[ServerThread] = []

    def test(args: Any, ckpt_file: Any) -> Any:
        threading.Thread(target=servers[0].close).start()  # ends when this is answered
        return functions.test(args, ckpt_file)

    parts = (functions.train, test, functions.infer, functions.state)
    servers.append(Pipeline("p", *parts, args={"EXPT_DIR": str(tmp_path / "pipeline")}).start())
    config = make_config(servers[0].url, _patience_seconds=1)
    with pytest.raises(DataError, match=r"cannot be reached .*the same command continues"):
        run_loop(config, tmp_path / "run")
    assert (tmp_path / "run" / "run.sqlite").exists()
    back = Pipeline(
        "p",
        *(functions.train, functions.test, functions.infer, functions.state),
        args={"EXPT_DIR": str(tmp_path / "pipeline")},
    ).start()
    try:  # at another address
        records = run_loop(make_config(back.url), tmp_path / "run", recover=True)
    finally:
        back.close()
    assert records[-1].labels == 12
