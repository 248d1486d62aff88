"""A loop that waits for the labeling page."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from allencv_al.active_learning.run import RunOptions, active_learn
from allencv_al.common import Params
from allencv_al.common.errors import ConfigurationFaults
from allencv_al.labels.audit_sample import AuditStore
from allencv_al.labels.label_store import LabelStore
from allencv_al.labels.run_database import DATABASE_NAME, RunDatabase
from allencv_al.labels.sessions.labeling_store import LABELING_NAME, LabelingStore

MakeConfig = Callable[..., dict[str, Any]]


def labels_of(run: Path) -> dict[str, str]:
    with RunDatabase(run / DATABASE_NAME, create=False) as database:
        return LabelStore(database).labels()


def test_a_loop_goes_on_with_what_people_say(
    make_config: MakeConfig, make_person: Callable[..., Any], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    person = make_person(run)
    records = active_learn(Params(make_config()), run, RunOptions(files=False))
    person.stop()
    assert [record.labels for record in records] == [0, 6, 12, 18]
    assert labels_of(run) == person.given
    accuracy = [record.metrics["accuracy"] for record in records if record.labels]
    assert accuracy[-1] is not None and accuracy[-1] > 0.8
    with RunDatabase(run / DATABASE_NAME, create=False) as database:
        events = LabelStore(database).events()
    assert {(event.annotator, event.source) for event in events} == {("Anna", "labeling_server")}
    states = {session["loop"]["state"] for session in person.sessions}
    assert "waiting" in states
    rounds = max((session["loop"]["rounds"] for session in person.sessions), key=len)
    assert [one["labels"] for one in rounds][:2] == [6, 12]


def test_the_same_labels_make_the_same_run_as_those_of_the_data(
    make_config: MakeConfig, make_person: Callable[..., Any], tmp_path: Path
) -> None:
    """Who says it must not matter: picks and curve are those of a loop with the file annotator."""
    first, second = tmp_path / "first", tmp_path / "second"
    person = make_person(first)
    by_page = active_learn(Params(make_config()), first, RunOptions(files=False))
    person.stop()
    others = [make_person(second, name=name, pause=0.01) for name in ("Ben", "Cleo")]
    by_two = active_learn(Params(make_config()), second, RunOptions(files=False))
    for other in others:
        other.stop()
    assert [[pick.id for pick in one.picks] for one in by_page] == [
        [pick.id for pick in one.picks] for one in by_two
    ]
    assert [one.metrics["accuracy"] for one in by_page] == [
        one.metrics["accuracy"] for one in by_two
    ]
    assert sorted(others[0].given) != sorted(others[1].given)
    assert not set(others[0].given) & set(others[1].given)


def test_two_windows_of_a_person_leave_the_audit_as_it_was_drawn(
    make_config: MakeConfig, make_person: Callable[..., Any], tmp_path: Path
) -> None:
    """Both get the same images, and the later answer to one counts; none is trained on."""
    run, alone = tmp_path / "run", tmp_path / "alone"
    config = make_config()
    config["active_learning"]["audit"] = {"size": 8}
    person = make_person(alone)
    expected = active_learn(Params(config), alone, RunOptions(files=False))
    person.stop()
    windows = [make_person(run, pause=pause) for pause in (0.0, 0.01)]
    found = active_learn(Params(config), run, RunOptions(files=False))
    for window in windows:
        window.stop()
    with RunDatabase(run / DATABASE_NAME, create=False) as database:
        audit, labels = AuditStore(database).ids(), LabelStore(database).labels()
    assert len(audit) == 8 and audit <= labels.keys()
    assert labels == {id: id.split("-")[0] for id in labels}
    assert not audit & {pick.id for record in found for pick in record.picks}
    shown = ("accuracy", "audit_accuracy", "audit_labels")
    assert [[one.labels, *(one.metrics.get(name) for name in shown)] for one in found] == [
        [one.labels, *(one.metrics.get(name) for name in shown)] for one in expected
    ]


def test_wrong_options_are_faults_of_the_config(make_config: MakeConfig, tmp_path: Path) -> None:
    config = make_config(port=70_000, labels_per_image=0, host="0.0.0.0", settle_seconds=-1)
    with pytest.raises(ConfigurationFaults) as raised:
        active_learn(Params(config), tmp_path / "run")
    assert {fault.path for fault in raised.value.faults} == {
        f"active_learning.annotator.{key}"
        for key in ("port", "labels_per_image", "token_file", "settle_seconds")
    }
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_kills_lose_no_label_and_change_no_pick(
    make_config: MakeConfig, make_person: Callable[..., Any], tmp_path: Path
) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    person = make_person(whole)
    expected = active_learn(Params(make_config()), whole, RunOptions(files=False))
    person.stop()
    config = tmp_path / "config.json"
    config.write_text(json.dumps(make_config()))
    command = [sys.executable, "-m", "allencv_al", "active-learn", str(config), "-s", str(cut)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    person = make_person(cut, pause=0.15)
    for kill_at in (4, 9, 14):
        process = subprocess.Popen(
            [*command, *(["--recover"] if cut.exists() else [])],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + 90
        while len(person.given) < kill_at:
            assert process.poll() is None and time.monotonic() < until
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
    done = subprocess.run(
        [*command, "--recover"], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    person.stop()
    assert labels_of(cut) == labels_of(whole)
    with RunDatabase(cut / DATABASE_NAME, create=False) as database:
        assert len(LabelStore(database).events()) == 18
    assert len(expected) == 4


@pytest.mark.slow
def test_the_page_is_served_without_the_loop_which_joins_later(
    make_config: MakeConfig, make_person: Callable[..., Any], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    config = tmp_path / "config.json"
    config.write_text(json.dumps(make_config()))
    module = [sys.executable, "-m", "allencv_al"]
    loop = [*module, "active-learn", str(config), "-s", str(run)]
    with subprocess.Popen(loop, stderr=subprocess.DEVNULL) as process:
        until = time.monotonic() + 60
        while not (run / LABELING_NAME).is_file():
            assert time.monotonic() < until
            time.sleep(0.1)
        with LabelingStore(run / LABELING_NAME) as store:
            while store.server() is None:
                assert time.monotonic() < until
                time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    server = [*module, "label", str(run), "--port", "0"]
    with subprocess.Popen(server, stderr=subprocess.PIPE, text=True) as page:
        person = make_person(run)
        with LabelingStore(run / LABELING_NAME) as store:
            until = time.monotonic() + 60
            while not store.items.batch() or not store.is_complete(1):
                assert time.monotonic() < until
                time.sleep(0.1)
        assert any(one["loop"]["state"] == "absent" for one in person.sessions)
        again = subprocess.run([*loop, "--recover"], capture_output=True, text=True, timeout=120)
        assert again.returncode == 0, again.stderr
        page.send_signal(signal.SIGTERM)
        assert page.wait(30) == 143
        assert page.stderr is not None
        assert "6 of 6 images are labeled" in page.stderr.read()
    assert labels_of(run) == person.given


def test_a_round_ends_though_the_clock_was_set_back(
    make_config: MakeConfig,
    make_person: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The answers come from a day that is still to come."""
    tomorrow = SimpleNamespace(time=lambda: time.time() + 86_400)
    monkeypatch.setattr("allencv_al.labels.label_store.time", tomorrow)
    config = make_config()
    config["active_learning"]["budget"] = 6
    person = make_person(tmp_path / "run")
    records = active_learn(Params(config), tmp_path / "run", RunOptions(files=False))
    person.stop()
    assert records[-1].labels == 6
    sessions = [one["loop"]["state"] for one in person.sessions]
    assert sessions[-1] == "finished", "the loop waits until the page knows"


def opinions_of(run: Path) -> dict[str, set[str]]:
    """Return who labeled each image."""
    found: dict[str, set[str]] = {}
    with RunDatabase(run / DATABASE_NAME, create=False) as database:
        for event in LabelStore(database).events():
            if event.source == "labeling_server":
                found.setdefault(event.id, set()).add(event.annotator)
    return found


@pytest.mark.slow
def test_a_second_opinion_is_asked_of_the_other_person(
    make_config: MakeConfig, make_person: Callable[..., Any], tmp_path: Path
) -> None:
    run, config = tmp_path / "run", make_config()
    block = config["active_learning"]
    block |= {"relabel": {"choose": "always", "most_per_image": 2}, "budget": 24, "query_size": 6}
    people = [make_person(run, name=name, pause=0.02) for name in ("Ann", "Ben")]
    records = active_learn(Params(config), run, RunOptions(files=False))
    for person in people:
        person.stop()
    found = opinions_of(run)
    assert sum(map(len, found.values())) == 24 == records[-1].labels
    assert sum(who == {"Ann", "Ben"} for who in found.values()) >= 6
    assert labels_of(run) == people[0].given | people[1].given


@pytest.mark.slow
def test_one_person_alone_is_never_asked_twice(
    make_config: MakeConfig, make_person: Callable[..., Any], tmp_path: Path
) -> None:
    run, config = tmp_path / "run", make_config()
    config["active_learning"]["relabel"] = {"choose": "always"}
    person = make_person(run)
    records = active_learn(Params(config), run, RunOptions(files=False))
    person.stop()
    assert records[-1].labels == 18 == len(opinions_of(run)) == len(person.given)
