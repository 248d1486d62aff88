"""Who may send what from where, and what every answer forbids."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from werkzeug.test import TestResponse

from allencv_al.service.web import Identity, TokenAccess, WebApp, WebSettings

MakeApp = Callable[..., WebApp]
Tokens = dict[str, str]

OWN = "http://localhost"
SITES = (None, "same-origin", "none", "same-site", "cross-site")
ORIGINS = (None, OWN, "http://evil.example", "null")
CREDENTIALS = ("none", "cookie", "bearer", "wrong bearer", "wrong bearer beside the cookie")


def expected_status(method: str, site: str | None, origin: str | None, credential: str) -> int:
    """The table, written out anew: what a page of another site sends is refused before all else."""
    is_foreign = site in ("same-site", "cross-site") or origin in ("http://evil.example", "null")
    if method == "POST" and is_foreign:
        return 403
    return 200 if credential in ("cookie", "bearer") else 401


@pytest.mark.parametrize(
    ("method", "site", "origin", "credential"),
    list(itertools.product(("GET", "POST"), SITES, ORIGINS, CREDENTIALS)),
)
def test_who_may_send_what_from_where(
    method: str,
    site: str | None,
    origin: str | None,
    credential: str,
    closed_app: WebApp,
    tokens: Tokens,
) -> None:
    client = closed_app.test_client()
    headers = {}
    if "cookie" in credential:
        assert client.post("/login", json={"token": tokens["anna"]}).status_code == 200
    if "bearer" in credential:
        token = "not-one-of-the-tokens-here" if "wrong" in credential else tokens["anna"]
        headers["Authorization"] = f"Bearer {token}"
    if site is not None:
        headers["Sec-Fetch-Site"] = site
    if origin is not None:
        headers["Origin"] = origin
    found = (
        client.get("/items/3", headers=headers)
        if method == "GET"
        else client.post("/double", headers=headers, json={"n": 1})
    )
    assert found.status_code == expected_status(method, site, origin, credential)


@pytest.mark.parametrize(
    "origin",
    [
        *("", "//localhost", "localhost", "ftp://localhost", "http://localhost.evil.example"),
        *("http://localhost:99999", "http://[::1", "http://[x]/", "http://a]b", "\xff"),
        *("http://localhost/", "http://x@localhost", "http://localhost,http://evil.example"),
    ],
)
def test_an_origin_that_is_none_is_another_site(origin: str, app: WebApp) -> None:
    found = app.test_client().post("/double", json={"n": 1}, headers={"Origin": origin})
    assert found.status_code == 403


@pytest.mark.parametrize("origin", ["http://localhost", "https://localhost", "HTTP://LOCALHOST"])
def test_its_own_pages_may_send(origin: str, app: WebApp) -> None:
    found = app.test_client().post("/double", json={"n": 1}, headers={"Origin": origin})
    assert found.status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "localhost:8000", "LOCALHOST", "127.0.0.1:1", "[::1]:80", "10.0.0.7:8000"),
        *("label.example", "label.example:8000"),
    ],
)
def test_the_server_answers_to_its_own_names_and_to_addresses(host: str, make_app: MakeApp) -> None:
    client = make_app(allowed_hosts=["label.example"]).test_client()
    assert client.get("/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "localhost.evil.example", "evil.example:8000", "127.0.0.1.evil.example"),
        *("localhost@evil.example", "localhost/x", "localhost:port", "[::1", "", " ", "a b"),
    ],
)
def test_a_name_that_was_made_to_point_here_is_refused(host: str, app: WebApp) -> None:
    found = app.test_client().get("/healthz", headers={"Host": host})
    assert found.status_code in (400, 421)
    assert "error" in found.json


def routes(app: WebApp) -> list[tuple[str, str]]:
    """Return every method and address, something filled in for the parts of the address."""
    found = []
    for rule in app.url_map.iter_rules():
        address = (
            rule.rule.replace("<int:n>", "3")
            .replace("<kind>", "data")
            .replace("<path:name>", "base.css")
        )
        found += [(method, address) for method in sorted(rule.methods or ())]
    assert len(found) > 12
    return found


OPEN = {"/healthz", "/login", "/static/base.css"}


def test_without_a_token_nothing_but_the_open_routes_answers(closed_app: WebApp) -> None:
    client = closed_app.test_client()
    for method, address in [*routes(closed_app), ("GET", "/nothing"), ("PUT", "/items/3")]:
        if address in OPEN:
            continue
        found = client.open(address, method=method)
        if address == "/":
            assert (found.status_code, found.headers["Location"]) == (302, "/login")
        else:
            assert found.status_code == 401, (method, address)
            assert found.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "header",
    [
        *("Bearer {short}", "Bearer {token}x", "Bearer {upper}", "Bearer", "Bearer "),
        *("Basic {token}", "{token}", "Bearer {token} {token}", "Bearer \xe9\xe9"),
    ],
)
def test_nearly_a_token_is_none(header: str, closed_app: WebApp, tokens: Tokens) -> None:
    token = tokens["anna"]
    sent = header.format(token=token, short=token[:-1], upper=token.upper())
    found = closed_app.test_client().get("/items/3", headers={"Authorization": sent})
    assert found.status_code == 401


def test_a_token_allows_what_its_scopes_say(closed_app: WebApp, tokens: Tokens) -> None:
    client = closed_app.test_client()
    by = {
        "ben": {"Authorization": f"Bearer {tokens['ben']}"},
        "anna": {"Authorization": f"bearer {tokens['anna']}"},
    }
    assert client.delete("/items/3", headers=by["ben"]).status_code == 403
    assert client.delete("/items/3", headers=by["anna"]).status_code == 200
    found = client.post("/double", json={"n": 1}, headers=by["ben"])
    assert found.json == {"n": 2, "who": "ben"}


def test_the_cookie_holds_no_token_and_no_script_reads_it(
    closed_app: WebApp, tokens: Tokens
) -> None:
    cookie = (
        closed_app.test_client()
        .post("/login", json={"token": tokens["anna"]})
        .headers["Set-Cookie"]
    )
    assert tokens["anna"] not in cookie
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie


def test_a_cookie_of_a_token_that_was_replaced_is_refused(
    closed_app: WebApp, tokens: Tokens
) -> None:
    client = closed_app.test_client()
    client.post("/login", json={"token": tokens["anna"]})
    assert client.get("/items/3").status_code == 200
    closed_app.settings = WebSettings(access=TokenAccess({tokens["ben"]: Identity("ben")}))
    assert client.get("/items/3").status_code == 401


def headers_of(found: TestResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in found.headers.items()}


def test_every_answer_forbids_what_a_page_does_not_need(closed_app: WebApp, tokens: Tokens) -> None:
    for headers in ({}, {"Authorization": f"Bearer {tokens['anna']}"}, {"Host": "evil.example"}):
        client = closed_app.test_client()
        for method, address in [*routes(closed_app), ("GET", "/nothing"), ("PUT", "/items/3")]:
            found = headers_of(client.open(address, method=method, headers=headers))
            policy = found["content-security-policy"]
            assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            assert found["x-content-type-options"] == "nosniff"
            assert found["referrer-policy"] == "no-referrer"
            assert "access-control-allow-origin" not in found
            assert found["cache-control"] in ("no-store", "no-cache")


@pytest.mark.parametrize(
    ("peer", "status"),
    [
        ("127.0.0.1", 200),
        ("127.9.9.9", 200),
        ("::1", 200),
        ("", 200),
        ("192.168.1.7", 403),
        ("2001:db8::1", 403),
    ],
)
def test_without_a_token_other_machines_get_nothing(
    peer: str, status: int, app: WebApp, closed_app: WebApp, tokens: Tokens
) -> None:
    """Whatever server runs the application, and wherever it listens."""
    environ = {"REMOTE_ADDR": peer}
    assert app.test_client().get("/healthz", environ_base=environ).status_code == status
    headers = {"Authorization": f"Bearer {tokens['anna']}"}
    found = closed_app.test_client().get("/items/3", headers=headers, environ_base=environ)
    assert found.status_code == 200


PHOTOS = "https://photos.example"


@pytest.fixture
def shared_app(make_app: MakeApp, tokens: Tokens) -> WebApp:
    """An application that a page of another origin may call, with a token."""
    access = TokenAccess({tokens["anna"]: Identity("anna")})
    return make_app(access=access, allowed_origins=[PHOTOS, "http://localhost:5173"])


def ask_before(app: WebApp, origin: str, path: str = "/double", **more: str) -> TestResponse:
    headers = {"Origin": origin, "Access-Control-Request-Method": "POST", **more}
    return app.test_client().options(path, headers=headers)


@pytest.mark.parametrize("origin", [PHOTOS, "http://localhost:5173"])
def test_a_named_origin_is_told_what_it_may_send(origin: str, shared_app: WebApp) -> None:
    found = ask_before(shared_app, origin)
    assert (found.status_code, found.data) == (204, b"")
    assert found.headers["Access-Control-Allow-Origin"] == origin
    assert found.headers["Access-Control-Allow-Methods"] == "POST"
    assert "Authorization" in found.headers["Access-Control-Allow-Headers"]
    assert "Content-Type" in found.headers["Access-Control-Allow-Headers"]
    assert "Idempotency-Key, Prefer" in found.headers["Access-Control-Allow-Headers"]
    assert "Origin" in found.headers["Vary"]
    assert "Access-Control-Allow-Credentials" not in found.headers
    found = ask_before(shared_app, origin, "/items/3")
    assert found.headers["Access-Control-Allow-Methods"] == "DELETE, GET, HEAD"


def test_a_named_origin_sends_with_a_token_and_reads_errors_too(
    shared_app: WebApp, tokens: Tokens
) -> None:
    headers = {"Origin": PHOTOS, "Sec-Fetch-Site": "cross-site"}
    client = shared_app.test_client()
    for more, status in ((f"Bearer {tokens['anna']}", 200), ("Bearer wrong", 401)):
        found = client.post("/double", json={"n": 1}, headers={**headers, "Authorization": more})
        assert found.status_code == status
        assert found.headers["Access-Control-Allow-Origin"] == PHOTOS
    assert client.post("/double", json={"n": 1}, headers=headers).status_code == 401


@pytest.mark.parametrize(
    "origin",
    [
        *("https://photos.example.evil.example", "http://photos.example", "null", "*", ""),
        *("https://photos.example:8443", "HTTPS://photos.example", "https://evil.example"),
        f"{PHOTOS}, https://evil.example",
    ],
)
def test_no_other_origin_is_let_in(origin: str, shared_app: WebApp, tokens: Tokens) -> None:
    found = ask_before(shared_app, origin)
    assert found.status_code in (401, 405)
    assert "Access-Control-Allow-Origin" not in found.headers
    headers = {"Origin": origin, "Authorization": f"Bearer {tokens['anna']}"}
    found = shared_app.test_client().post("/double", json={"n": 1}, headers=headers)
    assert found.status_code == 403
    assert "Access-Control-Allow-Origin" not in found.headers
    assert "Origin" in found.headers["Vary"], "a cache may not give it to the other"


def test_by_default_no_other_origin_is_answered(app: WebApp) -> None:
    found = ask_before(app, PHOTOS)
    assert found.status_code == 405
    assert "Access-Control-Allow-Origin" not in found.headers
    assert "Vary" not in found.headers


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate, gzip", "GZIP", "x"])
def test_a_compressed_body_is_refused_by_name(encoding: str, app: WebApp) -> None:
    client = app.test_client()
    headers = {"Content-Encoding": encoding}
    found = client.post("/double", json={"n": 1}, headers=headers)
    assert found.status_code == 415
    assert f"Content-Encoding: expected none, found {encoding.lower()}" in found.text
    plain = client.post("/double", json={"n": 1}, headers={"Content-Encoding": "identity"})
    assert plain.status_code == 200
