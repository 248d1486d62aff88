"""The routes of the map."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.labeling_client import ANNA, BEN, answer
from flask.testing import FlaskClient

from allencv_al.common.files.tables import read_table
from allencv_al.labels.sessions.labeling_store import LabelingStore

NAMES = ("turned.jpg", "broken.jpg", "large.jpg", "gone.jpg")


@pytest.fixture
def version(client: FlaskClient, store: LabelingStore) -> str:
    """The version of a map of all images but the last one."""
    rows = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    store.vectors.add("made", NAMES[:3], rows)
    found: str = client.get("/api/map", headers=ANNA).json["version"]
    return found


def test_without_vectors_the_map_is_empty(client: FlaskClient) -> None:
    found = client.get("/api/map", headers=ANNA).json
    assert (found["version"], found["points"], found["images"]) == ("", 0, 4)
    assert found["layouts"] == []
    assert client.get("/api/map/places?version=", headers=ANNA).status_code == 409


def test_places_and_values_are_arrays(client: FlaskClient, version: str) -> None:
    found = client.get("/api/map", headers=ANNA).json
    assert (found["points"], found["layouts"], found["classes"]) == (3, ["pca"], ["cat", "dog"])
    assert found["rounds"] == {"1": "Batch 1"}
    answer(client, "i1", class_id="c2")
    places = client.get(f"/api/map/places?version={version}&layout=pca", headers=ANNA)
    assert places.mimetype == "application/octet-stream" and len(places.data) == 8 * 3
    assert np.frombuffer(places.data, "<u4", 3).tolist() == [1, 2, 3]
    values = client.get(f"/api/map/values?version={version}", headers=ANNA)
    assert len(values.data) == 8 * 3
    labels, predicted, batches = np.frombuffer(values.data, "<u2", 9).reshape(3, 3).tolist()
    uncertainty, states = np.frombuffer(values.data, "u1", offset=18).reshape(2, 3).tolist()
    assert labels == [2, 0, 0] and predicted == [2, 2, 2] and batches == [1, 1, 1]
    assert uncertainty == [25, 25, 25] and states == [1, 0, 0]


def test_values_are_sent_again_only_after_a_change(client: FlaskClient, version: str) -> None:
    address = f"/api/map/values?version={version}"
    tag = client.get(address, headers=ANNA).headers["ETag"]
    again = client.get(address, headers={**ANNA, "If-None-Match": tag})
    assert again.status_code == 304 and not again.data
    answer(client, "i3")
    assert client.get(address, headers={**ANNA, "If-None-Match": tag}).status_code == 200


def test_an_image_comes_with_its_label_and_prediction(client: FlaskClient, version: str) -> None:
    answer(client, "i3")
    found = client.get("/api/map/image?item=i3", headers=ANNA).json
    assert found["item"]["file_name"] == "large.jpg" and found["item"]["lease_expires"] is None
    assert (found["label"], found["kind"], found["predicted"]) == ("cat", "label", "dog")
    assert found["probability"] == pytest.approx(0.9)


def test_chosen_images_are_the_next_ones(client: FlaskClient, version: str) -> None:
    body = {"items": ["i3", "i2", "i3"], "give_back": ["i1", "i3"]}
    assert client.post("/api/map/first", json=body, headers=ANNA).json == {"leased": 2}
    found = client.post("/api/next", json={"count": 2}, headers=ANNA).json["items"]
    assert {one["id"] for one in found} == {"i2", "i3"}
    # no image is for two annotators
    assert client.post("/api/map/first", json=body, headers=BEN).json == {"leased": 0}


def test_pages_come_of_chosen_images_alone(client: FlaskClient, version: str) -> None:
    body = {"count": 12, "among": ["i2", "i4"]}
    found = client.post("/api/bulk/next", json=body, headers=ANNA).json["items"]
    assert {one["id"] for one in found} == {"i2", "i4"}
    none = client.post("/api/bulk/next", json={**body, "among": []}, headers=BEN).json
    assert none["items"] == []


def test_a_list_is_a_table_of_findings(
    client: FlaskClient, store: LabelingStore, version: str, tmp_path: Path
) -> None:
    from PIL import Image

    from allencv_al.commands.shared.finding_queue import fill_with_findings
    from allencv_al.data_audit.audited_images import read_audited

    answer(client, "i3")
    found = client.post("/api/map/list", json={"items": ["i3", "i1"]}, headers=ANNA)
    assert found.mimetype == "text/csv"
    table = tmp_path / "map.csv"
    table.write_bytes(found.data)
    rows = [row.values for row in read_table(table, []).rows]
    assert [(row["id"], row["label"]) for row in rows] == [("large.jpg", "cat"), ("turned.jpg", "")]
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in NAMES:
        Image.new("RGB", (8, 8)).save(photos / name)
    with LabelingStore(tmp_path / "fixes.sqlite") as fixes:
        fill_with_findings(fixes, read_audited(str(photos)), table)
        assert set(fixes.items.numbers()) == {"large.jpg", "turned.jpg"}


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "places?version=of-another-map", None, 409),
        ("GET", "places?version={version}&layout=tsne", None, 409),
        ("GET", "places?version={version}&layout=none", None, 422),
        ("GET", "places", None, 422),
        ("GET", f"values?version={'9' * 17}", None, 422),
        ("GET", "image?item=i99", None, 409),
        ("GET", "image?item=../i1", None, 422),
        ("POST", "first", {"items": []}, 422),
        ("POST", "first", {"items": ["i1"] * 10_001}, 422),
        ("POST", "list", {"items": ["i99"]}, 409),
        ("POST", "list", {"items": ["c1"]}, 422),
        ("POST", "list", {"items": ["i1"], "more": 1}, 422),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_no_request_of_the_map_is_refused(
    method: str, path: str, body: Any, status: int, client: FlaskClient, version: str
) -> None:
    address = f"/api/map/{path.replace('{version}', version)}"
    found = client.open(address, method=method, json=body, headers=ANNA)
    assert found.status_code == status
    assert set(found.json["error"]) >= {"code", "message"}
