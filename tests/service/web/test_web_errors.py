"""The bodies of errors name no path of the machine."""

from __future__ import annotations

import logging

import pytest
from fixtures.error_bodies import error_of

from allencv_al.service.web import WebApp
from allencv_al.service.web.web_errors import without_paths


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("bug", 500, "internal"),
        ("data", 422, "unprocessable"),
        ("image", 422, "unprocessable"),
        ("conflict", 409, "conflict"),
        ("full", 507, "disk_full"),
        ("other disk fault", 500, "internal"),
    ],
)
def test_no_path_token_or_traceback_leaves_the_server(
    kind: str,
    status: int,
    code: str,
    app: WebApp,
    tokens: dict[str, str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR):
        found = app.test_client().post(f"/raise/{kind}", json={})
    assert error_of(found, status)["code"] == code
    for secret in ("/home", "Traceback", "secret", "run.sqlite", tokens["anna"]):
        assert secret not in found.get_data(as_text=True)
    if status == 500:  # the log has what the answer only numbers
        number = found.json["error"]["message"].rsplit(" ", 1)[1]
        assert number in caplog.text and "Traceback" in caplog.text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/home/me/photos/cat.jpg: expected an image", "cat.jpg: expected an image"),
        (r"C:\Users\me\cat.jpg: no", "cat.jpg: no"),
        ("photos/cat.jpg and 3/4 of /x", "photos/cat.jpg and 3/4 of /x"),
        ("'/tmp/a/b' is none", "'b' is none"),
        ("see http://localhost:8000/a/b", "see http://localhost:8000/a/b"),
    ],
)
def test_paths_become_names(text: str, expected: str) -> None:
    assert without_paths(text) == expected
