"""Bodies and queries that are wrong: the right 4xx, one shape, and nothing of ours in it."""

from __future__ import annotations

import io
import json
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from fixtures.error_bodies import error_of
from hypothesis import given
from hypothesis import strategies as st

from allencv_al.service.web import WebApp
from allencv_al.service.web.bodies import parse_json
from allencv_al.service.web.running import start_in_thread
from allencv_al.service.web.web_errors import WebError

MakeApp = Callable[..., WebApp]
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda children: (
        st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=4), children, max_size=4)
    ),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("body", "status", "part"),
    [
        (b"", 400, "line 1 column 1"),
        (b"{", 400, "line 1"),
        (b'{"n": 1} x', 400, "Extra data"),
        (b'{"n": 1, "n": 2}', 400, 'the key "n" is there twice'),
        (b'{"n": NaN}', 400, "finite"),
        (b'{"n": -Infinity}', 400, "finite"),
        (b'{"n": 1e999}', 400, "finite"),
        (b'{"n": ' + b"9" * 5_000 + b"}", 400, "digits"),
        (b"\xff\xfe", 400, "UTF-8"),
        (b'{"n": 1, "name": "\xed\xa0\x80"}', 400, "UTF-8"),
        (b"[" * 100_000, 400, "levels"),
        (b'{"n": ' + b"[" * 33 + b"]" * 33 + b"}", 400, "levels"),
        (b"{}", 422, "n: field required"),
        (b"[]", 422, ""),
        (b"null", 422, ""),
        (b'{"n": "1"}', 422, "n: "),
        (b'{"n": true}', 422, "n: "),
        (b'{"n": 1.5}', 422, "n: "),
        (b'{"n": 1, "m": 2}', 422, "m: "),
        (b'{"n": 1, "name": null}', 422, "name: "),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_is_wrong_with_a_body_is_said(
    body: bytes, status: int, part: str, app: WebApp
) -> None:
    found = app.test_client().post("/double", data=body, content_type="application/json")
    assert part in error_of(found, status)["message"]


def test_what_is_right_is_taken(app: WebApp) -> None:
    found = app.test_client().post("/double", json={"n": -3, "name": "\N{PILE OF POO}"})
    assert (found.status_code, found.json) == (200, {"n": -6, "who": ""})


@given(VALUES)
def test_strict_json_is_json(value: Any) -> None:
    assert parse_json(json.dumps(value).encode(), 100) == value


@given(VALUES, st.integers(1, 6))
def test_depth_counts_what_is_nested_and_no_brackets_in_text(value: Any, most: int) -> None:
    def depth(value: Any) -> int:
        if isinstance(value, dict | list):
            inner = value.values() if isinstance(value, dict) else value
            return 1 + max(map(depth, inner), default=0)
        return 0

    content = json.dumps([value, "[[[[[[[[{{{{"]).encode()
    if 1 + depth(value) <= most:
        assert parse_json(content, most) == json.loads(content)
    else:
        with pytest.raises(WebError, match=f"at most {most} levels"):
            parse_json(content, most)


@pytest.mark.parametrize(
    "content",
    [
        *(b'"' + b'\\"' * 10**6, b'"' * 10**6, b"[]," * 10**6, b'{"' * 10**6, b"\\" * 10**6),
        *(b"[" + b'"a",' * 10**6 + b"0]", b'"' + b"\\u0000" * 10**6 + b'"', b"1e" + b"9" * 10**6),
    ],
    ids=lambda content: ascii(content[:9]),
)
def test_no_body_takes_long(content: bytes) -> None:
    """Time grows as the length does: one of these took minutes when strings were sought in it."""
    began = time.process_time()
    with suppress(WebError):
        parse_json(content)
    assert time.process_time() - began < 3


@given(st.binary(max_size=60))
def test_other_bytes_are_a_fault_or_what_json_says(content: bytes) -> None:
    try:
        found = parse_json(content)
    except WebError as error:
        assert error.status == 400
    else:
        assert found == json.loads(content)


@pytest.mark.parametrize("kind", [None, "text/plain", "multipart/form-data", "application/xml"])
def test_another_media_type_is_refused(kind: str | None, app: WebApp) -> None:
    found = app.test_client().post("/double", data=b'{"n": 1}', content_type=kind)
    assert "expected application/json" in error_of(found, 415)["message"]


@pytest.mark.parametrize(
    ("query", "field"),
    [("limit=x", "limit"), ("limit=1&limit=2", "limit"), ("other=1", "other"), ("limit=", "limit")],
)
def test_a_wrong_query_names_its_part(query: str, field: str, app: WebApp) -> None:
    found = app.test_client().get(f"/items/3?{query}")
    assert error_of(found, 422)["field"] == field


@pytest.mark.parametrize("length", [1_000, 1_001])
def test_a_body_may_be_as_long_as_the_limit(length: int, make_app: MakeApp) -> None:
    client = make_app(max_body_bytes=1_000).test_client()
    found = client.post("/raw", data=b"x" * length)
    if length == 1_000:
        assert (found.status_code, found.data) == (200, b"1000")
    else:
        assert error_of(found, 413)["code"] == "too_large"


@pytest.mark.parametrize("length", [999, 1_000, 1_001, 5_000])
def test_nothing_of_a_body_is_left_out(length: int, make_app: MakeApp) -> None:
    """Servers such as gunicorn hand on what comes in chunks, without its length."""
    found = (
        make_app(max_body_bytes=1_000)
        .test_client()
        .post(
            "/raw",
            input_stream=io.BytesIO(b"x" * length),
            environ_overrides={"wsgi.input_terminated": True},
        )
    )
    if length <= 1_000:
        assert (found.status_code, found.data) == (200, str(length).encode())
    else:
        assert error_of(found, 413)["code"] == "too_large"


def test_a_body_that_does_not_say_how_long_it_is_is_counted(make_app: MakeApp) -> None:
    server = start_in_thread(make_app(max_body_bytes=10_000))
    head = b"POST /raw HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    try:
        for chunks, status in ((9, b"200"), (40, b"413")):
            with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
                connection.sendall(head)
                try:
                    for _ in range(chunks):
                        connection.sendall(b"3e8\r\n" + b"x" * 1_000 + b"\r\n")
                    connection.sendall(b"0\r\n\r\n")
                except OSError:
                    pass  # the server has answered and hung up
                assert connection.recv(100).split(b" ")[1] == status
    finally:
        server.close()


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/items/x", 404, "not_found"),
        ("GET", "/items/-1", 404, "not_found"),
        ("PUT", "/items/3", 405, "method_not_allowed"),
        ("GET", "/double", 405, "method_not_allowed"),
        ("OPTIONS", "/double", 405, "method_not_allowed"),
        ("TRACE", "/healthz", 405, "method_not_allowed"),
    ],
)
def test_what_is_not_there_has_the_same_shape(
    method: str, path: str, status: int, code: str, app: WebApp
) -> None:
    assert error_of(app.test_client().open(path, method=method), status)["code"] == code


@pytest.mark.parametrize("part", ["[]", "{}", '""', '{"a":"b"}'])
def test_json_of_very_many_small_parts_is_refused_before_it_is_read(part: str) -> None:
    content = f"[{','.join([part] * 15_000)}]".encode()
    with pytest.raises(WebError, match=r"JSON: expected at most [\d,]+ objects") as caught:
        parse_json(content, max_bytes=200_000)
    assert caught.value.status == 413
    parse_json(content)


def test_numbers_may_be_as_many_as_fit() -> None:
    assert len(parse_json(f"[{','.join(['1'] * 99_000)}]".encode(), max_bytes=200_000)) == 99_000


@pytest.mark.parametrize(
    ("value", "status", "part"),
    [
        ({"n": 1, "name": [0] * 300_000}, 413, "expected at most 262,144 values, found more"),
        ({"n": 1, **dict.fromkeys(map(str, range(200_000)), 0)}, 413, "at most 1,000 fields"),
        ({"n": 1, **dict.fromkeys(map(str, range(900)), 0)}, 422, "0: extra inputs"),
        ({"n": 1, "name": [0] * 200_000}, 422, "name: input should be a valid string"),
    ],
)
def test_very_many_faults_take_neither_time_nor_memory(
    value: dict[str, Any], status: int, part: str, app: WebApp
) -> None:
    began = time.monotonic()
    found = error_of(app.test_client().post("/double", json=value), status)
    assert part in found["message"]
    assert time.monotonic() - began < 5
