"""The routes of the labeling page."""

from __future__ import annotations

import errno
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from PIL import Image

from allencv_al.common.errors import DataError
from allencv_al.labels.sessions.items import NewItem
from allencv_al.labels.sessions.labeling_store import LABELING_NAME, LabelingStore
from allencv_al.service.labeling import shown_images
from allencv_al.service.labeling.app import create_app
from allencv_al.service.web import Identity, TokenAccess, WebSettings

ANNA = {"X-Annotator": "Anna"}
BEN = {"X-Annotator": "Ben%20%C3%96"}


def photo(width: int, height: int, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image = Image.new("RGB", (width, height), (200, 30, 30))
    image.save(buffer, "JPEG", **options)
    return buffer.getvalue()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LabelingStore]:
    """A labeling of a photo on its side, a broken one, a large one, and one that is gone."""
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    (tmp_path / "turned.jpg").write_bytes(photo(40, 20, exif=exif))
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    (tmp_path / "large.jpg").write_bytes(photo(3000, 1500))
    names = ("turned.jpg", "broken.jpg", "large.jpg", "gone.jpg")
    with LabelingStore(tmp_path / LABELING_NAME) as opened:
        opened.classes.add(["cat", "dog"], "owner")
        opened.items.open_batch(
            [NewItem(name, tmp_path / name, guess=[("dog", 0.9)]) for name in names]
        )
        yield opened


@pytest.fixture
def client(store: LabelingStore) -> Iterator[FlaskClient]:
    """A client of the application that serves it."""
    app = create_app(store.database.path.parent, title="Animals")
    yield app.test_client()
    app.close()


def answer(client: FlaskClient, item: str = "i1", **changes: Any) -> Any:
    body = {"client_id": "a-client-id", "item": item, "kind": "label", "class_id": "c1", **changes}
    return client.post("/api/answers", json=body, headers=ANNA)


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


def test_names_are_any_text(client: FlaskClient) -> None:
    assert client.get("/api/session", headers=BEN).json["annotator"] == "Ben Ö"
    for name in ("", "%20", "a" * 65, "%0A", "%00", "a%1Bb"):
        found = client.get("/api/session", headers={"X-Annotator": name})
        assert found.status_code == 422
        assert found.json["error"]["field"] == "X-Annotator"


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


def test_pictures_are_upright_small_and_encoded_anew(client: FlaskClient) -> None:
    def picture(item: str, size: str) -> Image.Image:
        found = client.get(f"/api/images/{item}?size={size}")
        assert found.status_code == 200
        opened = Image.open(io.BytesIO(found.data))
        assert not opened.getexif()
        return opened

    assert picture("i1", "full").size == (20, 40)
    assert picture("i1", "full").format == "PNG"
    assert picture("i3", "full").size == (2048, 1024)
    assert picture("i3", "thumb").size == (256, 128)
    tag = client.get("/api/images/i1").headers["ETag"]
    assert client.get("/api/images/i1", headers={"If-None-Match": tag}).status_code == 304


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("i2", 422),
        ("i4", 404),
        ("i9", 409),
        ("i1?size=huge", 422),
        ("1", 409),
        ("i0", 409),
        ("..%2flabeling.sqlite", 404),
        ("i1%00", 409),
        ("%2e%2e", 409),
    ],
)
def test_what_is_no_picture_says_so(path: str, status: int, client: FlaskClient) -> None:
    found = client.get(f"/api/images/{path}")
    assert found.status_code == status
    assert "/" not in found.json["error"]["message"]


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
    assert found == {"probabilities": [{"class_name": "dog", "probability": 0.9}]}


def test_a_token_names_who_labels(store: LabelingStore) -> None:
    access = TokenAccess({"token-of-anna-0123": Identity("Anna")})
    app = create_app(store.database.path.parent, settings=WebSettings(access=access))
    client = app.test_client()
    assert client.get("/api/session").status_code == 401
    headers = {"Authorization": "Bearer token-of-anna-0123", **BEN}
    found = client.get("/api/session", headers=headers).json
    assert (found["annotator"], found["needs_name"]) == ("Anna", False)
    app.close()


def test_a_folder_without_a_labeling_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected the database of a labeling, found nothing"):
        create_app(tmp_path)


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


def test_the_address_of_an_image_changes_with_file_and_labeling(
    client: FlaskClient, tmp_path: Path
) -> None:
    def url() -> str:
        found = client.post("/api/next", json={"count": 1}, headers=ANNA).json["items"][0]
        return "/" + str(found["image_url"])

    before = url()
    found = client.get(before)
    assert (found.status_code, found.headers["Cache-Control"]) == (200, "private, max-age=3600")
    (tmp_path / "turned.jpg").write_bytes(photo(90, 90))
    assert url() != before
    other = before.replace(client.get("/api/session").json["labeling"][:12], "0" * 12)
    assert client.get(other).json["error"]["code"] == "other_labeling"
    assert client.get("/api/images/i1").headers["Cache-Control"] == "no-cache"


def test_zoom_gets_more_pixels(client: FlaskClient, tmp_path: Path) -> None:
    (tmp_path / "large.jpg").write_bytes(photo(9000, 100))
    sizes = {}
    for size in ("thumb", "full", "large", "whole"):
        data = client.get(f"/api/images/i3?size={size}").data
        sizes[size] = Image.open(io.BytesIO(data)).width
    assert sizes == {"thumb": 256, "full": 2048, "large": 4096, "whole": 8192}


def test_photos_of_phones_are_shown_and_larger_ones_are_named(
    client: FlaskClient, tmp_path: Path
) -> None:
    (tmp_path / "large.jpg").write_bytes(photo(8064, 6048))
    assert client.get("/api/images/i3?size=thumb").status_code == 200
    (tmp_path / "turned.jpg").write_bytes(photo(16_000, 10_000))
    found = client.get("/api/images/i1?size=thumb")
    assert (found.status_code, found.json["error"]["code"]) == (422, "too_many_pixels")
    assert "16000x10000" in found.json["error"]["message"]


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


@pytest.mark.parametrize("place", ["stat", "decode"])
def test_a_fault_of_the_machine_is_neither_a_broken_nor_an_absent_image(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise OSError(errno.ESTALE, "Stale file handle")

    if place == "decode":
        monkeypatch.setattr(Image, "open", fails)
    else:
        monkeypatch.setattr(shown_images, "tag", fails)
    assert client.get("/api/images/i1").status_code == 500
