"""The routes of a page of many images."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from fixtures.labeling_client import ANNA, BEN, answer, photo
from flask.testing import FlaskClient

from allencv_al.labels.sessions.items import NewItem
from allencv_al.labels.sessions.labeling_store import LabelingStore

PAGE = {
    "client_id": "a-page-id",
    "items": [{"item": "i1", "image": "turned.jpg"}, {"item": "i3"}, {"item": "i4"}],
    "kind": "label",
    "class_id": "c2",
}


def post(client: FlaskClient, path: str, who: Any = None, **body: Any) -> Any:
    return client.post(f"/api/bulk/{path}", json=body, headers=who or ANNA)


def test_a_page_goes_in_and_is_undone(client: FlaskClient, store: LabelingStore) -> None:
    found = post(client, "next", count=3).json
    assert (found["by"], found["class_name"]) == ("class", "dog"), "what the model says of most"
    assert len(found["items"]) == 3 and found["kinds"] == ["class", "order"]
    other = post(client, "next", BEN, count=3).json
    assert not {one["id"] for one in found["items"]} & {one["id"] for one in other["items"]}
    for _ in range(2):
        stored = post(client, "answers", **PAGE)
        assert stored.status_code == 200 and stored.json["stored"] == 3
    assert stored.json["progress"]["done"] == 3 and len(store.answers.events()) == 3
    history = client.get("/api/history", headers=ANNA).json["answers"]
    assert {(one["group"], one["source"]) for one in history} == {("a-page-id", "page")}
    assert post(client, "undo", BEN, client_id="a-page-id").status_code == 409
    undone = post(client, "undo", client_id="a-page-id").json
    assert [one["id"] for one in undone["items"]] == ["i1", "i3", "i4"]
    assert undone["progress"]["done"] == 0


def test_an_image_that_is_labeled_meanwhile_is_named(client: FlaskClient) -> None:
    client.post(
        "/api/answers",
        json={"client_id": "bens-id-1", "item": "i3", "kind": "label", "class_id": "c1"},
        headers=BEN,
    )
    found = post(client, "answers", **PAGE).json
    assert found["stored"] == 2
    [refused] = found["refused"]
    assert (refused["item"], refused["file_name"]) == ("i3", "large.jpg")
    assert "another annotator" in refused["reason"]


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"items": []}, 422),
        ({"items": [{"item": "i1", "image": "another.jpg"}]}, 409),
        ({"items": [{"item": "i99"}]}, 409),
        ({"items": [{"item": f"i{number}"} for number in range(1, 70)]}, 422),
        ({"kind": "skip", "class_id": None}, 422),
        ({"class_id": None}, 422),
        ({"class_id": "c9"}, 409),
        ({"client_id": "short"}, 422),
        ({"labeling": "0" * 32}, 409),
        ({"annotator": "Ben"}, 409),
        ({"extra": 1}, 422),
    ],
    ids=repr,
)
def test_a_page_that_is_none_is_refused(
    changes: dict[str, Any], status: int, client: FlaskClient, store: LabelingStore
) -> None:
    assert post(client, "answers", **{**PAGE, **changes}).status_code == status
    assert store.answers.events() == []


def test_an_answer_of_one_image_keeps_its_own_undo(client: FlaskClient) -> None:
    answer(client)
    found = post(client, "answers", **PAGE).json
    assert [one["item"] for one in found["refused"]] == ["i1"]
    assert "another window" in found["refused"][0]["reason"]
    post(client, "undo", client_id="a-page-id")
    [said] = client.get("/api/history", headers=ANNA).json["answers"]
    assert (said["item"], said["group"]) == ("i1", None)


def test_labels_that_are_no_class_get_no_page(client: FlaskClient, store: LabelingStore) -> None:
    store.values.set_task("detection")
    for path, body in (("next", {}), ("answers", PAGE)):
        found = post(client, path, **body)
        assert found.status_code == 409 and "detection" in found.json["error"]["message"]


@pytest.fixture
def many(store: LabelingStore) -> LabelingStore:
    """The labeling with 30 images more, of which the model is surer."""
    items = [NewItem(f"{number}.jpg", photo(4, 4), guess=[("cat", 0.97)]) for number in range(30)]
    store.items.open_batch(items)
    return store


def accept(client: FlaskClient, path: str = "", who: Any = None, **body: Any) -> Any:
    return client.post(f"/api/accept{path}", json=body, headers=who or ANNA)


def test_predictions_are_accepted_after_a_check(client: FlaskClient, many: LabelingStore) -> None:
    found = client.get("/api/accept?threshold=0.95", headers=ANNA).json
    assert found == {"above": 30, "current": None}
    current = accept(client, threshold=0.95, sample=10).json["current"]
    assert (current["total"], current["sample"], current["left"]) == (30, 10, 20)
    assert accept(client, "/store", id=current["id"]).status_code == 409
    assert accept(client, "/check", id=current["id"]).json["changed"] == 10
    sample = client.post("/api/next", json={"count": 6}, headers=ANNA).json["items"]
    assert {one["has_guess"] for one in sample} == {False}, "labeled unseen"
    bulk = post(client, "next", count=30).json["items"]
    assert not many.acceptances.being_checked() & {int(one["id"][1:]) for one in bulk}
    for number in many.acceptances.unchecked(current["id"]):
        answer(client, f"i{number}", client_id=f"client-{number}")
    stored = accept(client, "/store", id=current["id"]).json
    assert stored["changed"] == 20 and stored["progress"]["done"] == 30
    assert stored["current"]["error_low"] == 0 and 0.2 < stored["current"]["error_high"] < 0.3
    sources = Counter(event.source for event in many.answers.events())
    assert sources == {"page": 10, "model": 20}
    undone = accept(client, "/undo", id=current["id"]).json
    assert undone["changed"] == 20 and undone["progress"]["done"] == 10
    assert undone["current"] is None


def test_the_sample_comes_before_what_the_window_held(
    client: FlaskClient, many: LabelingStore
) -> None:
    held = [one["id"] for one in client.post("/api/next", json={"count": 6}).json["items"]]
    current = accept(client, who=BEN, threshold=0.95, sample=10).json["current"]
    client.post("/api/accept/check", json={"id": current["id"], "give_back": held})
    found = client.post("/api/next", json={"count": 6}).json["items"]
    sample = {f"i{number}" for number in many.acceptances.being_checked()}
    assert {one["id"] for one in found} <= sample


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("", {"threshold": 0.99}, 409),
        ("", {"threshold": 0}, 422),
        ("", {"threshold": 1.5}, 422),
        ("", {"threshold": 0.9, "sample": 3}, 422),
        ("/check", {"id": 3}, 409),
        ("/store", {"id": 3}, 409),
        ("/drop", {"id": 3}, 409),
        ("/undo", {"id": 3}, 409),
        ("/store", {"id": -1}, 422),
        ("/store", {"id": 2**70}, 422),
    ],
    ids=repr,
)
def test_what_cannot_be_accepted_is_refused(
    path: str, body: dict[str, Any], status: int, client: FlaskClient, many: LabelingStore
) -> None:
    assert accept(client, path, **body).status_code == status
    assert many.answers.events() == []


def test_the_review_is_arranged_by_predictions(client: FlaskClient, many: LabelingStore) -> None:
    for number in (1, 5, 6, 7):  # the model says dog of the first, cat of the others
        answer(client, f"i{number}", client_id=f"client-{number}", class_id="c1")

    def review(query: str) -> Any:
        return client.get(f"/api/review?{query}", headers=ANNA).json

    assert review("")["items"][0]["predicted"] is None and not review("")["has_likeness"]
    [found] = review("disagrees=true")["items"]
    assert (found["item"]["id"], found["predicted"], found["probability"]) == ("i1", "dog", 0.9)
    assert [one["item"]["id"] for one in review("sort=least")["items"]] == ["i1", "i5", "i6", "i7"]
    page = review("predicted=cat&limit=2")
    assert [one["item"]["id"] for one in page["items"]] == ["i5", "i6"]
    rest = review(f"predicted=cat&limit=2&after={page['next']}")
    assert [one["item"]["id"] for one in rest["items"]] == ["i7"] and rest["next"] is None
    assert review("accepted=true")["items"] == []
