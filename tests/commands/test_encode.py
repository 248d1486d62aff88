"""`allencv-al encode`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from allencv_al.__main__ import main
from allencv_al.data.vector_shards import ShardStore


def command(pool: Path, run: Path, *more: str) -> list[str]:
    return ["encode", str(pool), "--archive", str(run), "-o", "store", *more]


def test_a_store_takes_the_place_of_an_encoder(
    pool: Path, tiny_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(pool, tiny_run, "--precision", "fp32")) == 0
    assert "12 images encoded now, 0 of them unreadable" in capsys.readouterr().err
    assert main(["select", "--embeddings", "store", str(pool), "-k", "3"]) == 0
    picks = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len({pick["id"] for pick in picks}) == 3
    assert main(["audit", "--embeddings", "store", str(pool)]) == 0


def test_the_loop_reads_a_store(
    pool: Path, tiny_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("images.csv").write_text(
        "path,label\n" + "".join(f"pool/{n:02d}.png,{'ab'[n % 2]}\n" for n in range(12)),
        encoding="utf-8",
    )
    assert main(command(Path("images.csv"), tiny_run, "--shard-size", "5", "--workers", "1")) == 0
    width = ShardStore(Path("store")).rows("embeddings").shape[1]
    config = {
        "dataset_reader": {"type": "vectors", "dimension": width},
        "train_data_path": "store",
        "model": {
            "type": "basic_image_classifier",
            "im2vec_encoder": {"type": "pool", "input_channels": width},
        },
        "trainer": {"type": "logistic_regression"},
        "active_learning": {"budget": 8, "query_size": 4, "test_fraction": 0.25},
    }
    Path("loop.jsonnet").write_text(json.dumps(config), encoding="utf-8")
    assert main(["active-learn", "loop.jsonnet", "-s", "loop"]) == 0


def test_options_that_do_not_fit_are_refused(
    pool: Path, tiny_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(pool, tiny_run, "--image-size", "32")) == 2
    assert "an archive knows its own" in capsys.readouterr().err
    assert main(command(pool, Path("absent.tar.gz"))) == 2
    assert "absent.tar.gz" in capsys.readouterr().err
    assert not Path("store").exists()


def claims() -> set[str]:
    """Return the claims of processes, also of those that were killed."""
    found = set()
    for claim in Path().glob("store/claims/*"):
        with suppress(FileNotFoundError):
            found.add(claim.read_text(encoding="utf-8"))
    return found - {""}


@pytest.mark.slow
def test_a_killed_command_is_repeated_and_gives_the_same_bytes(pool: Path, tiny_run: Path) -> None:
    options = ("--shard-size", "3", "--workers", "2", "--precision", "fp32")
    words = [sys.executable, "-m", "allencv_al", *command(pool, tiny_run, *options)]
    for number in (signal.SIGKILL, signal.SIGINT):
        before = claims()
        process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
        until = time.monotonic() + 120
        while claims() <= before and process.poll() is None:
            assert time.monotonic() < until
            time.sleep(0.005)
        os.kill(process.pid, number)
        _, err = process.communicate(timeout=60)
        assert process.returncode in (0, -9, 130), err  # it may have been quicker
        assert "Traceback" not in err
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    alone = subprocess.run(
        [*words, "-o", "alone", "--workers", "1"], capture_output=True, text=True, timeout=120
    )
    assert alone.returncode == 0, alone.stderr
    files = sorted(path for path in Path("alone/shards").rglob("*") if path.is_file())
    assert len(files) == 4 * 5
    for file in files:
        assert (Path("store") / file.relative_to("alone")).read_bytes() == file.read_bytes()
