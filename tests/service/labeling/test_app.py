"""The routes of the labeling page."""

from __future__ import annotations

import base64
import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.labeling_client import ANNA, BEN, answer, photo
from flask.testing import FlaskClient
from PIL import Image

from allencv_al.common.errors import DataError
from allencv_al.labels.sessions.items import NewItem
from allencv_al.labels.sessions.labeling_store import LabelingStore
from allencv_al.service.labeling.app import create_app
from allencv_al.service.web import Identity, TokenAccess, WebSettings
from allencv_al.tasks.segmentation_task import mask_text


def test_a_page_of_classes_starts_without_torch() -> None:
    code = "import sys, allencv_al.service.labeling.app; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_session_says_everything(client: FlaskClient) -> None:
    found = client.get("/api/session").json
    assert found["needs_name"] is True
    assert found["title"] == "Animals"
    assert found["batch"] == {"id": 1, "round": None, "state": "open", "labels_per_image": 1}
    assert [one["key"] for one in found["classes"]] == ["1", "2"]
    assert found["loop"] is None
    answer(client)
    found = client.get("/api/session", headers=ANNA).json
    assert (found["annotator"], found["needs_name"]) == ("Anna", False)
    assert (found["progress"]["done"], found["progress"]["mine"]) == (1, 1)
    assert found["annotators"] == ["Anna"]


def test_an_answer_goes_in_and_comes_out(client: FlaskClient) -> None:
    [first, *_] = client.post("/api/next", json={"count": 2}, headers=ANNA).json["items"]
    assert first["file_name"] == "turned.jpg" and first["has_guess"]
    stored = answer(client, seconds=1.5).json
    assert stored["answer"]["class_name"] == "cat" and stored["answer"]["in_force"]
    assert answer(client, seconds=1.5).json["answer"] == stored["answer"]
    [said] = client.get("/api/history", headers=ANNA).json["answers"]
    assert said == stored["answer"]
    assert client.get("/api/history", headers=BEN).json["answers"] == []
    undone = client.post("/api/undo", json={"event_id": said["event_id"]}, headers=ANNA)
    assert undone.json["item"]["id"] == "i1" and not undone.json["answer"]["in_force"]
    assert undone.json["progress"]["done"] == 0


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"item": "i99"}, 409),
        ({"item": "turned.jpg"}, 422),
        ({"item": "../i1"}, 422),
        ({"item": "i" + "9" * 40}, 422),
        ({"class_id": "c9"}, 409),
        ({"class_id": None}, 422),
        ({"kind": "skip"}, 422),
        ({"kind": "undo", "class_id": None}, 422),
        ({"client_id": "short"}, 422),
        ({"client_id": "has spaces in it"}, 422),
        ({"seconds": -1}, 422),
        ({"extra": 1}, 422),
    ],
    ids=repr,
)
def test_an_answer_that_is_none_is_refused(
    changes: dict[str, Any], status: int, client: FlaskClient, store: LabelingStore
) -> None:
    found = answer(client, **changes)
    assert found.status_code == status
    assert store.answers.events() == []


def test_a_key_of_another_answer_is_a_conflict(client: FlaskClient) -> None:
    answer(client)
    assert answer(client, class_id="c2").status_code == 409
    found = client.post(
        "/api/answers",
        json={"client_id": "another-id", "item": "i1", "kind": "label", "class_id": "c2"},
        headers=BEN,
    )
    assert found.status_code == 409
    assert "another annotator" in found.json["error"]["message"]


def test_the_batch_of_a_loop_ends_when_nothing_waits(
    client: FlaskClient, store: LabelingStore
) -> None:
    store.items.open_batch([NewItem(f"new {number}", photo(4, 4)) for number in range(2)], 1)
    found = client.post("/api/finish", json={})
    assert (found.status_code, found.json["error"]["code"]) == (409, "conflict")
    answer(client, "i5")
    answer(client, "i6", client_id="client-6", kind="skip", class_id=None)
    assert client.post("/api/finish", json={}).json["batch"]["state"] == "done"
    assert answer(client, "i6", client_id="client-7").status_code == 409


def test_a_folder_is_never_closed(client: FlaskClient) -> None:
    for number in range(1, 5):
        answer(client, f"i{number}", client_id=f"client-{number}")
    found = client.post("/api/finish", json={})
    assert (found.status_code, found.json["error"]["code"]) == (409, "conflict")
    assert client.get("/api/session").json["batch"]["state"] == "open"
    assert answer(client, "i1", client_id="client-9", class_id="c2").status_code == 200


def test_classes_change_and_keep_their_labels(client: FlaskClient) -> None:
    answer(client)
    added = client.post("/api/classes", json={"name": "<b>bird</b>"}, headers=ANNA).json
    assert (added["id"], added["key"], added["name"]) == ("c3", "3", "<b>bird</b>")
    assert client.post("/api/classes", json={"name": "cat"}).status_code == 409
    assert client.patch("/api/classes/c1", json={"name": "tiger"}).json["count"] == 1
    assert client.patch("/api/classes/c9", json={"name": "x"}).status_code == 409
    changes = client.get("/api/classes/history").json["changes"]
    assert [(one["old"], one["new"]) for one in changes[-2:]] == [
        (None, "<b>bird</b>"),
        ("cat", "tiger"),
    ]


def test_fixed_classes_stay(store: LabelingStore, client: FlaskClient) -> None:
    store.items.open_batch([NewItem("new", photo(4, 4))], 1, 1, has_fixed_classes=True)
    assert client.get("/api/session").json["may_edit_classes"] is False
    assert client.post("/api/classes", json={"name": "bird"}).status_code == 409
    assert client.patch("/api/classes/c1", json={"name": "bird"}).status_code == 409


def test_reviews_and_agreement(client: FlaskClient) -> None:
    answer(client)
    [found] = client.get("/api/review?batch=all&class_id=c1").json["items"]
    assert found["class_name"] == "cat" and found["answers"][0]["annotator"] == "Anna"
    body = {"client_id": "a-review-id", "items": ["i1", "i2"], "kind": "label", "class_id": "c2"}
    assert client.post("/api/review", json=body, headers=BEN).json["decided"] == 2
    assert client.post("/api/review", json=body, headers=BEN).json["decided"] == 2
    found = client.get("/api/review").json
    assert [one["decision"]["annotator"] for one in found["items"]] == ["Ben Ö"] * 2
    assert found["next"] is None
    assert client.get("/api/review?limit=1").json["next"] == "i1"
    agreement = client.get("/api/agreement").json
    assert agreement["annotators"] == [{"name": "Anna", "answers": 1}]


def test_the_guess_is_given_when_asked(client: FlaskClient) -> None:
    found = client.post("/api/guess", json={"item": "i1"}).json
    assert found["probabilities"] == [{"class_name": "dog", "probability": 0.9}]
    assert found["label"] is None


def test_a_folder_without_a_labeling_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected the database of a labeling, found nothing"):
        create_app(tmp_path)


def test_a_first_answer_supersedes_none_of_another_window(client: FlaskClient) -> None:
    answer(client, client_id="window-1", is_first=True)
    late = answer(client, client_id="window-2", class_id="c2", is_first=True)
    assert late.status_code == 409
    assert "you have answered this image in another window" in late.json["error"]["message"]
    assert answer(client, client_id="window-1", is_first=True).status_code == 200, "sent again"
    assert answer(client, client_id="window-3", class_id="c2").status_code == 200, "on purpose"


def test_a_skipped_image_takes_a_first_answer(client: FlaskClient) -> None:
    answer(client, client_id="client-1", kind="skip", class_id=None, is_first=True)
    assert answer(client, client_id="client-2", is_first=True).status_code == 200


def test_another_window_gets_other_images(client: FlaskClient) -> None:
    [first] = client.post("/api/next", json={"count": 1}, headers=ANNA).json["items"]
    body = {"count": 2, "but": [first["id"]]}
    found = client.post("/api/next", json=body, headers=ANNA).json["items"]
    assert len(found) == 2 and first["id"] not in [item["id"] for item in found]
    [again] = client.post("/api/next", json={"count": 1}, headers=ANNA).json["items"]
    assert again["id"] == first["id"]


def test_answers_of_two_windows_keep_the_marks_of_an_audit(
    store: LabelingStore, client: FlaskClient, tmp_path: Path
) -> None:
    store.audit.add(["turned.jpg", "large.jpg"])
    answer(client, "i1", client_id="window-1", is_first=True)  # turned.jpg
    answer(client, "i1", client_id="window-2", class_id="c2")  # on purpose, in another window
    answer(client, "i4", client_id="window-2-b")  # gone.jpg, which is to train on
    given = answer(client, "i3", client_id="window-1-b").json  # large.jpg
    undo = {"event_id": given["answer"]["event_id"]}
    assert client.post("/api/undo", json=undo, headers=ANNA).status_code == 200
    assert answer(client, "i3", client_id="window-2-c", is_first=True).status_code == 200
    assert store.write_table(tmp_path / "labels.csv") == 3
    with (tmp_path / "labels.csv").open(newline="") as file:
        rows = {Path(row["path"]).name: row for row in csv.DictReader(file)}
    assert {name: (row["label"], row["use"]) for name, row in rows.items()} == {
        "turned.jpg": ("dog", "audit"),
        "gone.jpg": ("cat", "train"),
        "large.jpg": ("cat", "audit"),
    }


def test_a_session_says_where_the_labels_are(
    store: LabelingStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = store.database.path.parent
    app = create_app(folder)
    assert app.test_client().get("/api/session").json["folder"] == str(folder.resolve())
    monkeypatch.chdir(folder.parent)
    assert app.test_client().get("/api/session").json["folder"] == folder.name
    app.close()
    access = TokenAccess({"token-of-anna-0123": Identity("Anna")})
    app = create_app(folder, settings=WebSettings(access=access))
    monkeypatch.chdir("/")
    headers = {"Authorization": "Bearer token-of-anna-0123"}
    found = app.test_client().get("/api/session", headers=headers).json
    assert found["folder"] == folder.name, "others learn no path of this machine"
    app.close()


def test_a_mask_is_accepted_as_proposed_or_handed_over(
    client: FlaskClient, store: LabelingStore
) -> None:
    store.values.set_task("segmentation")
    proposed = mask_text(np.array([[0, 1], [2, 2]], np.uint8))
    with store.database.transaction() as connection:
        connection.execute("UPDATE item SET guess = ?", (json.dumps([[proposed, 0.0]]),))
    found = client.post("/api/guess", json={"item": "i1"}, headers=ANNA).json
    assert found["label"] == proposed
    mask = Image.open(io.BytesIO(base64.b64decode(found["mask"])))
    assert np.asarray(mask).tolist() == [[0, 1], [2, 2]]
    for other in (mask_text(np.zeros((2, 2), np.uint8)), '{"png": "/etc/passwd"}'):
        refused = answer(client, class_id=None, label=other)
        assert refused.status_code == 409 and "as it was proposed" in refused.text
    assert answer(client, class_id=None, label=proposed).json["answer"]["label"] == proposed
    given = {"client_id": "another-id", "kind": "hand_over", "class_id": None}
    stored = answer(client, "i3", **given).json
    assert (stored["answer"]["kind"], stored["answer"]["source"]) == ("skip", "handed over")
    assert (stored["progress"]["handed_over"], stored["progress"]["skipped"]) == (1, 0)
    assert answer(client, "i3", **given).json["answer"] == stored["answer"]
