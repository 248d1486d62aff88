from __future__ import annotations

import hashlib
import json
import logging
import os
import random
import resource
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from allencv_al.common import ConfigurationError
from allencv_al.common.config.config_check import check
from allencv_al.common.errors import CheckpointError
from allencv_al.training.checkpoints import checkpointer as module
from allencv_al.training.checkpoints.checkpointer import BEST_WEIGHTS, FOLDER, Checkpointer

FILES = ("model.safetensors", "state.safetensors", "state.json", "manifest.json")


def model_of(value: float) -> dict[str, torch.Tensor]:
    return {"weight": torch.full((3, 4), value), "count": torch.tensor(int(value))}


def state_of(value: float) -> dict[str, Any]:
    return {"optimizer": {0: torch.full((5,), value)}, "note": f"state {value}", "pair": (1, 2)}


def save(checkpointer: Checkpointer, *epochs: int) -> None:
    for epoch in epochs:
        checkpointer.save(epoch, 0, model_of(epoch), state_of(epoch))
    checkpointer.wait()


def test_a_checkpoint_comes_back_bit_for_bit(tmp_path: Path) -> None:
    checkpointer = Checkpointer(tmp_path)
    weights = {"w": torch.rand(2, 3, 4, 4).to(memory_format=torch.channels_last)}
    checkpointer.save(1, 3, weights, state_of(0.1))
    checkpointer.wait()
    found = Checkpointer(tmp_path).load()
    assert found is not None
    assert found.name == "e1_b3"
    assert torch.equal(found.model["w"], weights["w"])
    assert torch.equal(found.state["optimizer"][0], torch.full((5,), 0.1))
    assert found.state["note"] == "state 0.1"
    assert found.state["pair"] == (1, 2)


def test_without_any_checkpoint_there_is_nothing_to_load(tmp_path: Path) -> None:
    assert Checkpointer(tmp_path).load() is None
    assert Checkpointer(tmp_path).load_best() is None


def test_the_two_newest_stay(tmp_path: Path) -> None:
    checkpointer = Checkpointer(tmp_path)
    save(checkpointer, 1, 2, 3)
    checkpointer.save(3, 12, model_of(3), state_of(3))
    checkpointer.wait()
    assert checkpointer.list_checkpoints() == ["e3_b0", "e3_b12"]


def test_as_many_as_asked_for_stay(tmp_path: Path) -> None:
    checkpointer = Checkpointer(tmp_path, keep_most_recent_by_count=3)
    save(checkpointer, 1, 2, 3, 9, 10)
    assert checkpointer.list_checkpoints() == ["e3_b0", "e9_b0", "e10_b0"]


@pytest.mark.parametrize("number", [0, -1])
def test_fewer_than_one_would_leave_nothing_to_go_on_from(tmp_path: Path, number: int) -> None:
    option = "keep_most_recent_by_count"
    message = rf"{option}: expected int >= 1 \(--recover resumes from one; null keeps"
    with pytest.raises(ConfigurationError, match=message):
        Checkpointer(tmp_path, keep_most_recent_by_count=number)
    [fault] = check(Checkpointer, {option: number})
    assert fault.path == option and "null keeps all" in fault.message


def test_null_keeps_all(tmp_path: Path) -> None:
    checkpointer = Checkpointer(tmp_path, keep_most_recent_by_count=None)
    save(checkpointer, *range(5))
    assert len(checkpointer.list_checkpoints()) == 5


def set_age(folder: Path, name: str, seconds: float, now: float) -> None:
    os.utime(folder / FOLDER / name / "manifest.json", (now - seconds, now - seconds))


def test_young_ones_stay_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_900_000_000.0
    monkeypatch.setattr(module.time, "time", lambda: now)
    checkpointer = Checkpointer(
        tmp_path, keep_most_recent_by_count=2, keep_most_recent_by_age=100.0
    )
    for epoch, age in ((1, 300), (2, 90), (3, 50)):
        save(checkpointer, epoch)
        set_age(tmp_path, f"e{epoch}_b0", age, now)
    save(checkpointer, 4)
    assert checkpointer.list_checkpoints() == ["e2_b0", "e3_b0", "e4_b0"]


def test_one_in_every_so_many_seconds_stays_for_good(tmp_path: Path) -> None:
    checkpointer = Checkpointer(
        tmp_path,
        keep_most_recent_by_count=1,
        keep_serialized_model_every_num_seconds=100.0,
    )
    for epoch, age in ((1, 1000), (2, 960), (3, 890), (4, 850)):
        save(checkpointer, epoch)
        set_age(tmp_path, f"e{epoch}_b0", age, now=1_900_000_000.0)
    save(checkpointer, 5)
    assert checkpointer.list_checkpoints() == ["e1_b0", "e3_b0", "e5_b0"]


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("damage", ["bit", "cut", "missing"])
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(
    tmp_path: Path, file: str, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    save(Checkpointer(tmp_path), 1, 2)
    path = tmp_path / FOLDER / "e2_b0" / file
    content = bytearray(path.read_bytes())
    if damage == "bit":
        # A manifest has places that mean nothing (spaces); its first byte means something
        place = 0 if file == "manifest.json" else random.Random(file).randrange(len(content))
        content[place] ^= 1
        path.write_bytes(content)
    elif damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    else:
        path.unlink()
    checkpointer = Checkpointer(tmp_path)
    with caplog.at_level(logging.WARNING):
        found = checkpointer.load()
    assert found is not None
    assert found.name == "e1_b0"
    assert "e2_b0" in caplog.text
    assert checkpointer.list_checkpoints() == ["e1_b0"]


def test_if_none_is_whole_the_error_names_them(tmp_path: Path) -> None:
    save(Checkpointer(tmp_path), 1, 2)
    for name in ("e1_b0", "e2_b0"):
        (tmp_path / FOLDER / name / "state.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"none of e1_b0, e2_b0 is whole"):
        Checkpointer(tmp_path).load()


def test_a_pickle_in_place_of_the_weights_is_not_run(tmp_path: Path) -> None:
    save(Checkpointer(tmp_path), 1)
    folder = tmp_path / FOLDER / "e1_b0"
    torch.save({"a": torch.ones(1)}, folder / "model.safetensors")
    manifest = json.loads((folder / "manifest.json").read_text())
    content = (folder / "model.safetensors").read_bytes()
    manifest["sha256"]["model.safetensors"] = hashlib.sha256(content).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError):
        Checkpointer(tmp_path).load()


def test_what_a_killed_process_left_is_swept(tmp_path: Path) -> None:
    leftover = tmp_path / FOLDER / ".tmp-abc"
    leftover.mkdir(parents=True)
    (leftover / "model.safetensors").write_bytes(b"half")
    (tmp_path / ".tmp-best.safetensors").write_bytes(b"half")
    Checkpointer(tmp_path)
    assert list(tmp_path.rglob(".tmp*")) == []


def test_a_save_takes_the_values_of_its_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_write = threading.Event()
    write = module.write_checkpoint

    def wait_and_write(*args: Any) -> None:
        assert may_write.wait(timeout=60)
        write(*args)

    monkeypatch.setattr(module, "write_checkpoint", wait_and_write)
    checkpointer = Checkpointer(tmp_path)
    model, state = model_of(1.0), state_of(1.0)
    checkpointer.save(1, 0, model, state)
    model["weight"].fill_(5.0)
    state["optimizer"][0].fill_(5.0)
    may_write.set()
    found = checkpointer.load()
    assert found is not None
    assert torch.equal(found.model["weight"], model_of(1.0)["weight"])
    assert torch.equal(found.state["optimizer"][0], state_of(1.0)["optimizer"][0])


def test_the_best_weights_are_on_the_disk_before_the_checkpoint_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []
    monkeypatch.setattr(
        module, "write_checkpoint", lambda *_: seen.append((tmp_path / BEST_WEIGHTS).exists())
    )
    checkpointer = Checkpointer(tmp_path)
    checkpointer.save(1, 0, model_of(1), state_of(1), best=model_of(2))
    checkpointer.wait()
    assert seen == [True]


def test_best_weights_come_back_and_a_flipped_bit_in_them_is_found(tmp_path: Path) -> None:
    checkpointer = Checkpointer(tmp_path)
    checkpointer.save_best(model_of(2))
    best = checkpointer.load_best()
    assert best is not None
    assert torch.equal(best["weight"], model_of(2)["weight"])
    path = tmp_path / BEST_WEIGHTS
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="damaged"):
        checkpointer.load_best()


@contextmanager
def disk_for_files_up_to(size: int) -> Iterator[None]:
    """Let no file grow beyond `size`, as a full disk would not."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("size", [0, 50, 200])
def test_a_full_disk_is_one_clear_error_and_the_old_state_stays(tmp_path: Path, size: int) -> None:
    checkpointer = Checkpointer(tmp_path)
    checkpointer.save(1, 0, model_of(1), state_of(1), best=model_of(1))
    checkpointer.wait()
    with disk_for_files_up_to(size), pytest.raises(CheckpointError, match="intact") as caught:
        checkpointer.save(2, 0, model_of(2), state_of(2), best=model_of(2))
        checkpointer.wait()
    assert caught.value.exit_code == 1
    assert list(tmp_path.rglob(".tmp*")) == []
    recovered = Checkpointer(tmp_path)
    found = recovered.load()
    assert found is not None
    assert found.name == "e1_b0"
    assert recovered.load_best() is not None


def test_what_cannot_be_saved_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"state\.callbacks: a function"):
        Checkpointer(tmp_path).save(1, 0, model_of(1), {"callbacks": save})


def test_a_checkpoint_is_due_after_so_many_steps(tmp_path: Path) -> None:
    checkpointer = Checkpointer(tmp_path, save_every_num_batches=3)
    assert [checkpointer.due() for _ in range(4)] == [False, False, True, True]
    save(checkpointer, 1)
    assert [checkpointer.due() for _ in range(3)] == [False, False, True]


def test_a_checkpoint_is_due_after_so_many_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    checkpointer = Checkpointer(tmp_path, save_every_num_seconds=10.0)
    assert not checkpointer.due()
    now = 110.0
    assert checkpointer.due()
    save(checkpointer, 1)
    assert not checkpointer.due()


def test_without_options_none_is_due_within_an_epoch(tmp_path: Path) -> None:
    checkpointer = Checkpointer(tmp_path)
    assert not any(checkpointer.due() for _ in range(1000))


def test_the_folder_of_another_run_is_refused(tmp_path: Path) -> None:
    save(Checkpointer(tmp_path), 4)
    with pytest.raises(ConfigurationError, match="e4_b0"):
        Checkpointer(tmp_path).check_unused()


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"keep_most_recent_by_count": 0}, "keep_most_recent_by_count"),
        ({"save_every_num_batches": -1}, "save_every_num_batches"),
        ({"save_every_num_seconds": 0.0}, "save_every_num_seconds"),
        ({"keep_most_recent_by_cuont": 3}, "keep_most_recent_by_cuont"),
    ],
)
def test_a_wrong_option_is_a_config_fault(options: dict[str, Any], path: str) -> None:
    assert [fault.path for fault in check(Checkpointer, options)] == [path]


def test_a_config_builds_it(tmp_path: Path) -> None:
    options = {"type": "default", "keep_most_recent_by_count": 1}
    checkpointer = Checkpointer.from_params(options, serialization_dir=tmp_path)
    save(checkpointer, 1, 2)
    assert checkpointer.list_checkpoints() == ["e2_b0"]
