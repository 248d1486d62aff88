"""F1 and F8: labels outlive kills, and many annotators do not get in each other's way."""

from __future__ import annotations

import json
import random
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest

from allencv_al.labels.label_store import LabelConflict, LabelEvent, LabelKind
from allencv_al.labels.sessions.answers import NewAnswer
from allencv_al.labels.sessions.labeling_store import LABELING_NAME, LabelingStore

Size = Callable[[int, int], int]
Record = Callable[[str, object, str], None]


class Poster(threading.Thread):
    """Labels whatever it gets, and keeps what was acknowledged; what was not, it sends again.

    Args:
        port: Returns the port of the server, which changes as it is killed.
        name: Under which name.
    """

    def __init__(self, port: Callable[[], int], name: str) -> None:
        super().__init__(daemon=True)
        self.acknowledged: dict[str, tuple[str, int]] = {}
        self.repeats = 0
        self.failures: list[str] = []
        self._port = port
        self._who = name
        self.ending = threading.Event()

    def run(self) -> None:
        while not self.ending.is_set():
            found = self._send("next", {"count": 6})
            for item in [] if found is None else found["items"]:
                body = {
                    "client_id": uuid.uuid4().hex,
                    "item": item["id"],
                    "kind": "label",
                    "class_id": random.choice(["c1", "c2"]),
                }
                stored = self._send("answers", body)
                if stored is not None:
                    event = stored["answer"]["event_id"]
                    self.acknowledged[body["client_id"]] = (item["file_name"], event)

    def _send(self, path: str, body: Any) -> Any:
        """Send until it is answered; None where it is refused, or all is over."""
        while not self.ending.is_set():
            request = urllib.request.Request(
                f"http://127.0.0.1:{self._port()}/api/{path}",
                json.dumps(body).encode(),
                {"Content-Type": "application/json", "X-Annotator": self._who},
            )
            try:
                with urllib.request.urlopen(request, timeout=20) as answer:
                    return json.load(answer)
            except urllib.error.HTTPError as error:
                if error.code != 409:
                    self.failures.append(f"{error.code}: {error.read()[:200]!r}")
                return None
            except (OSError, HTTPException, ValueError):  # killed before, while or after it wrote
                self.repeats += 1
                time.sleep(0.01)
        return None


class PagePoster(Poster):
    """Labels whole pages of images, and keeps how many labels of each were acknowledged."""

    def run(self) -> None:
        while not self.ending.is_set():
            found = self._send("bulk/next", {"count": 12})
            items = [] if found is None else [{"item": one["id"]} for one in found["items"]]
            body = {"client_id": uuid.uuid4().hex, "items": items, "kind": "label"}
            stored = self._send("bulk/answers", {**body, "class_id": "c1"}) if items else None
            if stored is not None:
                self.acknowledged[str(body["client_id"])] = ("", stored["stored"])


def acknowledged(posters: Sequence[Poster]) -> dict[str, tuple[str, int]]:
    """Return what was acknowledged to any of them."""
    return {key: value for poster in posters for key, value in list(poster.acknowledged.items())}


def wait_for_more(posters: Sequence[Poster], count: int) -> None:
    """Wait until so many answers more have been acknowledged."""
    wanted = len(acknowledged(posters)) + count
    until = time.monotonic() + 120
    while len(acknowledged(posters)) < wanted:
        assert time.monotonic() < until
        time.sleep(0.005)


def label_through_kills(
    kind: type[Poster],
    clients: int,
    kills: int,
    between: int,
    store: LabelingStore,
    make_process: Callable[..., Any],
) -> tuple[list[Poster], list[LabelEvent]]:
    """Kill the server of a labeling at random moments while clients label.

    Args:
        kind: The kind of client.
        clients: The number of them.
        kills: The number of kills.
        between: At least so many acknowledged answers between two kills.
        store: The labeling, with more images than they can label; it is closed.
        make_process: Starts the server.

    Returns:
        The clients, none of which was refused anything, and all that is stored.
    """
    folder = store.database.path.parent
    store.close()
    images = folder.with_name("images")
    images.mkdir()
    (images / "one.png").write_bytes(b"")
    command = ("label", str(images), "-s", str(folder), "-k", "1")
    current = [make_process(*command)]
    posters = [kind(lambda: current[0].port, f"client {number}") for number in range(clients)]
    for poster in posters:
        poster.start()
    draw = random.Random(1)
    for _ in range(kills):
        wait_for_more(posters, between)
        time.sleep(0.05 * draw.random())
        current[0].kill()
        current[0] = make_process(*command)
    wait_for_more(posters, 1)
    for poster in posters:
        poster.ending.set()
    for poster in posters:
        poster.join()
        assert poster.acknowledged, "one of them has labeled nothing"
        assert poster.failures == []
    current[0].kill()
    with LabelingStore(folder / LABELING_NAME, create=False) as again:
        assert again.database.rows("PRAGMA integrity_check") == [("ok",)]
        return posters, again.answers.events()


# Each of the starts takes seconds; the store without a server is killed in a default test,
# tests/active_learning/test_labels_survive_kills.py
@pytest.mark.slow
def test_no_acknowledged_page_is_lost_or_torn_when_the_server_is_killed(
    make_process: Callable[..., Any],
    make_labeling: Callable[..., LabelingStore],
    size: Size,
    record: Record,
) -> None:
    """F1: a page of images is one transaction, so none is stored in part."""
    kills, between = size(3, 50), size(5, 20)
    store = make_labeling(size(4_000, 40_000))
    posters, events = label_through_kills(PagePoster, 2, kills, between, store, make_process)
    stored = Counter(str(event.client_key).rpartition(":")[0] for event in events)
    said = {key: count for key, (_, count) in acknowledged(posters).items()}
    assert {key: stored[key] for key in said} == said
    assert max(Counter(event.id for event in events).values()) == 1, "labeled twice"
    record(
        "F1 kills of the labeling server, pages of 2 clients",
        kills,
        f"{len(said):,} pages of {sum(said.values()):,} labels acknowledged, 0 lost, 0 torn",
    )


@pytest.mark.slow
def test_no_acknowledged_label_is_lost_when_the_server_is_killed(
    make_process: Callable[..., Any],
    make_labeling: Callable[..., LabelingStore],
    size: Size,
    record: Record,
) -> None:
    """F1: the items outnumber what four clients can label, so that they post all the time."""
    kills, between = size(4, 200), size(20, 100)
    store = make_labeling(size(4_000, 40_000))
    posters, events = label_through_kills(Poster, 4, kills, between, store, make_process)
    stored = {event.client_key: (event.id, event.event_id) for event in events}
    said = acknowledged(posters)
    lost = [key for key, value in said.items() if stored.get(key) != value]
    doubled = [key for key, times in Counter(e.client_key for e in events).items() if times > 1]
    per_item = Counter(event.id for event in events)
    assert lost == [] and doubled == []
    assert max(per_item.values()) == 1, "two have labeled the same image"
    repeats = sum(poster.repeats for poster in posters)
    assert len(said) >= between * kills
    record(
        "F1 kills of the labeling server, 4 clients",
        kills,
        f"{len(said):,} acknowledged, 0 lost, 0 doubled, {repeats:,} requests sent again",
    )


NESTED = "[" * 40_000
HUGE = '{"size": [1000000000, 1000000000], "counts": {}}'
NO_LABELS: dict[str, list[Any]] = {
    "multi_label": [
        *('["c3"]', '["cat"]', '["c1", 2]', '[["c1"]]', '{"c1": 1}', '"c1"', '["c1",', '[""]'),
        '[{"label": "c1", "x": 1, "y": 2, "width": 3, "height": 4}]',
    ],
    "segmentation": [
        *(HUGE, '{"png": "/etc/passwd"}', '{"size": [1, 1], "counts": {"1": "11"}}', "{}"),
        '["c1"]',
    ],
    "detection": [
        *('["c1"]', '[{"label": "c1"}]', '{"label": "c1"}', "[[]]"),
        *(
            f'[{{"label": {name}, "x": {x}, "y": 2, "width": {width}, "height": 4}}]'
            for name, x, width in [
                *[('"c3"', 1, 3), ("1", 1, 3), ('"c1"', "NaN", 3), ('"c1"', 1, "Infinity")],
                *[
                    ('"c1"', "1e999", 3),
                    ('"c1"', 1, "9" * 5_000),
                    ('"c1"', 1, 0),
                    ('"c1"', '"1"', 3),
                ],
                *[('"c1"', "true", 3), ('"c1"', NESTED, 3)],
            ]
        ),
    ],
}
"""Texts that are no labels of a task, and values of other tasks."""
JUNK = [
    "",
    "c1",
    "null",
    "NaN",
    "[NaN]",
    "\0",
    "\ud800",
    "[1,",
    NESTED,
    "x" * 100_001,
    7,
    True,
    ["c1"],
]


@pytest.mark.slow
@pytest.mark.parametrize("task", NO_LABELS)
def test_what_is_no_label_of_the_task_is_refused_and_leaves_nothing(
    task: str,
    make_process: Callable[..., Any],
    images: Path,
    tmp_path: Path,
    record: Record,
) -> None:
    """A1: the field `label` of an answer, beside fields that are right."""
    folder = tmp_path / "labels"
    server = make_process(
        *("label", str(images), "--task", task, "--classes", "cat,dog", "-s", str(folder))
    )
    before = server.resident_mb()
    fields: list[dict[str, Any]] = [{"label": text} for text in [*NO_LABELS[task], *JUNK]]
    # No label where one is due, one where none is, a class alone, and both at once
    fields += [{}, {"class_id": "c1"}, {"class_id": "c1", "label": "[]"}]
    fields += [{"label": "[]", "kind": "skip"}, {"label": "[]", "kind": "unreadable"}]
    faults = []
    for number, sent in enumerate(fields):
        body = {"client_id": f"answer-{number}", "item": "i1", "kind": "label", **sent}
        status, answer = post(server.port, "answers", body)
        if not 400 <= status < 500 or b"Traceback" in answer or len(answer) > 1_000:
            faults.append((str(sent)[:200], status, answer[:200]))
    assert faults == []
    assert server.resident_mb() - before < 50
    assert "Traceback" not in server.text
    body = {"client_id": "the-right-one", "item": "i1", "kind": "label", "label": "[]"}
    if task == "segmentation":  # no mask is proposed
        body = {"client_id": "the-right-one", "item": "i1", "kind": "hand_over"}
    assert post(server.port, "answers", body)[0] == 200
    with LabelingStore(folder / LABELING_NAME, create=False) as store:
        assert [event.client_key for event in store.answers.events()] == ["the-right-one"]
        assert list(store.classes.names().values()) == ["cat", "dog"]
    record(f"A1 answers that are no labels, {task}", len(fields), "each refused by 4xx, 0 stored")


def post(port: int, path: str, body: Any) -> tuple[int, bytes]:
    """Return status and body of the answer."""
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/{path}", json.dumps(body).encode(), headers
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_many_annotators_label_each_image_as_often_as_is_wanted(
    make_labeling: Callable[..., LabelingStore], size: Size, record: Record
) -> None:
    """F8: eight threads with a connection each, as processes have; they undo and skip at random."""
    people, items, wanted = size(8, 32), size(100, 1_000), 2
    store = make_labeling(items, labels_per_image=wanted)
    times: list[float] = []
    faults: list[BaseException] = []

    def work(number: int) -> None:
        draw, who = random.Random(number), f"person {number}"
        try:
            while True:
                found = store.leases.next_items(who, draw.randint(1, 6))
                if not found:
                    found = store.leases.next_items(who, 6, skipped=True)
                if not found:
                    return
                for item, _ in found:
                    kind = LabelKind.SKIP if draw.random() < 0.1 else LabelKind.LABEL
                    class_id = draw.choice([1, 2]) if kind is LabelKind.LABEL else None
                    began = time.monotonic()
                    try:
                        said = store.answers.add(
                            NewAnswer(who, uuid.uuid4().hex, item.item, kind, class_id)
                        )
                    except LabelConflict:
                        continue  # another annotator was faster
                    times.append(time.monotonic() - began)
                    if draw.random() < 0.1:
                        store.answers.undo(who, said.event_id)
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(people)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    # what is left was promised to others when the last one looked; one person finishes it
    for number in range(people):
        work(number)
    answers = Counter(item.answers for item in store.items.items(1))
    assert answers == {wanted: items}
    times.sort()
    record(
        f"F8 {people} annotators, each image {wanted} times",
        items,
        f"each labeled {wanted} times, p95 {1000 * times[int(0.95 * len(times))]:.0f} ms, "
        "0 times locked out",
    )
