"""The author of a request, and the labeling that it is meant for."""

from __future__ import annotations

from pathlib import Path

from fixtures.labeling_client import ANNA, BEN, answer
from flask.testing import FlaskClient

from allencv_al.labels.sessions.labeling_store import LABELING_NAME, LabelingStore
from allencv_al.service.labeling.app import create_app
from allencv_al.service.web import Identity, TokenAccess, WebSettings


def test_names_are_any_text(client: FlaskClient) -> None:
    assert client.get("/api/session", headers=BEN).json["annotator"] == "Ben Ö"
    for name in ("", "%20", "a" * 65, "%0A", "%00", "a%1Bb"):
        found = client.get("/api/session", headers={"X-Annotator": name})
        assert found.status_code == 422
        assert found.json["error"]["field"] == "X-Annotator"


def test_a_token_names_who_labels(store: LabelingStore) -> None:
    access = TokenAccess({"token-of-anna-0123": Identity("Anna")})
    app = create_app(store.database.path.parent, settings=WebSettings(access=access))
    client = app.test_client()
    assert client.get("/api/session").status_code == 401
    headers = {"Authorization": "Bearer token-of-anna-0123", **BEN}
    found = client.get("/api/session", headers=headers).json
    assert (found["annotator"], found["needs_name"]) == ("Anna", False)
    app.close()


def test_what_belongs_to_another_labeling_is_refused(
    client: FlaskClient, store: LabelingStore, tmp_path: Path
) -> None:
    mine = client.get("/api/session").json["labeling"]
    with LabelingStore(tmp_path / "other" / LABELING_NAME) as other:
        theirs = other.id()
    assert mine == store.id() != theirs
    for changes, code in (
        ({"labeling": theirs}, "other_labeling"),
        ({"annotator": "Ben"}, "other_annotator"),
        ({"image": "large.jpg"}, "other_image"),
    ):
        found = answer(client, **changes)
        assert (found.status_code, found.json["error"]["code"]) == (409, code)
    stale = {**ANNA, "X-Labeling": theirs}
    for path, body in (
        ("answers", {"client_id": "a-client-id", "item": "i1", "kind": "skip"}),
        ("next", {}),
        ("undo", {"event_id": 1}),
        ("review", {"client_id": "a-client-id", "items": ["i1"], "kind": "unsure"}),
        ("classes", {"name": "bird"}),
    ):
        found = client.post(f"/api/{path}", json=body, headers=stale)
        assert (found.status_code, found.json["error"]["code"]) == (409, "other_labeling"), path
    assert store.answers.events() == []
    assert client.get("/api/session", headers=stale).json["labeling"] == mine
    right = {"labeling": mine, "annotator": "Anna", "image": "turned.jpg"}
    assert answer(client, **right).status_code == 200
