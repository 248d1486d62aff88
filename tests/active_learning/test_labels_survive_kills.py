"""Three processes write label events and are killed again and again: none is lost or doubled."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from allencv_al.labels.label_store import LabelKind, LabelStore
from allencv_al.labels.run_database import RunDatabase

# Writes events number FIRST to LAST, one at a time, and says so when each is stored. A client that
# got no answer sends the same again under the same key, so FIRST is the first one not answered.
WRITER = """
import os, sys
from allencv_al.labels.label_store import LabelKind, LabelStore, NewLabel
from allencv_al.labels.run_database import RunDatabase

path, who, first, last = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
with RunDatabase(path) as database:
    for number in range(first, last):
        id = f"item {number % 50}"
        new = NewLabel(id, f"{who} {number}", who, 0, "test", client_key=f"{who}/{number}")
        (event,) = LabelStore(database).add([new])
        os.write(1, f"{number} {event.event_id}\\n".encode())
"""


@dataclass
class Writer:
    """One client: restarts its process until all its events are acknowledged."""

    path: Path
    who: str
    events: int
    seed: int
    between_kills: int
    acknowledged: dict[int, int] = field(default_factory=dict)
    kills: int = 0

    def run(self) -> None:
        generator = random.Random(self.seed)
        while len(self.acknowledged) < self.events:
            patience = generator.randint(1, 2 * self.between_kills)
            arguments = map(str, (self.path, self.who, len(self.acknowledged), self.events))
            command = [sys.executable, "-c", WRITER, *arguments]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
                assert process.stdout is not None
                for answered, line in enumerate(process.stdout, start=1):
                    number, event_id = map(int, line.split())
                    self.acknowledged[number] = event_id
                    if answered == patience:
                        process.send_signal(signal.SIGKILL)  # what it says before it dies counts
            if process.returncode == -signal.SIGKILL:
                self.kills += 1
            else:
                assert process.returncode == 0


def check_writers(path: Path, events: int, between_kills: int) -> int:
    """Let three writers write and be killed; return how often they were."""
    writers = [Writer(path, who, events, seed, between_kills) for seed, who in enumerate("abc")]
    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(writer.run) for writer in writers]:
            done.result()
    with RunDatabase(path, create=False) as database:
        assert database.rows("PRAGMA integrity_check") == [("ok",)]
        stored = LabelStore(database).events()
        acknowledged = {
            f"{writer.who}/{number}": event_id
            for writer in writers
            for number, event_id in writer.acknowledged.items()
        }
        assert {event.client_key: event.event_id for event in stored} == acknowledged
        assert Counter(event.kind for event in stored) == {LabelKind.LABEL: 3 * events}
        newest: dict[str, int] = {}
        for event in stored:
            assert event.supersedes == newest.get(event.id)
            newest[event.id] = event.event_id
        current = LabelStore(database).current()
        assert {id: event.event_id for id, event in current.items()} == newest
    return sum(writer.kills for writer in writers)


posix = pytest.mark.skipif(sys.platform == "win32", reason="kill -9")


@posix
def test_kills_lose_and_double_nothing(tmp_path: Path) -> None:
    kills = check_writers(tmp_path / "run.sqlite", events=60, between_kills=15)
    assert kills >= 3


@posix
@pytest.mark.slow
def test_a_thousand_label_events_survive_many_kills(tmp_path: Path) -> None:
    kills = check_writers(tmp_path / "run.sqlite", events=334, between_kills=10)
    assert kills >= 30
