"""Addresses of images."""

from __future__ import annotations

from pathlib import Path

from fixtures.labeling_client import ANNA, photo
from flask.testing import FlaskClient


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
