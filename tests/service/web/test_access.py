"""Tokens: how they are kept, made and traded for a cookie."""

from __future__ import annotations

import os
import secrets
import stat
import uuid
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allencv_al.common.errors import ConfigurationError
from allencv_al.service.pipeline import Pipeline
from allencv_al.service.web import Identity, TokenAccess, WebApp
from allencv_al.service.web.access import is_placeholder, load_or_make_token, session_of

ANNA = Identity("anna")
TOKENS = {"first-token-0123456789": ANNA, "second-token-0123456789": Identity("ben")}


@given(st.text())
def test_only_a_token_has_an_identity(text: str) -> None:
    access = TokenAccess(TOKENS)
    assert access.identify(text) == TOKENS.get(text)
    assert access.identify_session(text) is None
    assert access.identify_session(session_of(text)) == TOKENS.get(text)


def test_tokens_themselves_are_not_kept() -> None:
    access = TokenAccess(TOKENS)
    assert not any(token in repr(vars(access)) for token in TOKENS)


@pytest.mark.parametrize("token", ["", "short", "x" * 15])
def test_what_can_be_guessed_is_no_token(token: str) -> None:
    with pytest.raises(ConfigurationError, match="16 characters"):
        TokenAccess({token: ANNA})


def test_no_token_at_all_is_a_mistake() -> None:
    with pytest.raises(ConfigurationError, match="found none"):
        TokenAccess({})


def test_a_token_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "token"
    token, is_new = load_or_make_token(path)
    assert is_new and len(token) >= 43  # 32 random bytes
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_or_make_token(path) == (token, False)
    assert load_or_make_token(tmp_path / "other")[0] != token


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_a_token_that_others_can_read_is_none(tmp_path: Path) -> None:
    path = tmp_path / "token"
    load_or_make_token(path)
    path.chmod(0o640)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        load_or_make_token(path)


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 40, "\u00e9".encode() * 40])
def test_a_file_without_a_token_is_a_mistake(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.touch(0o600)
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="expected a token"):
        load_or_make_token(path)


def test_a_wrong_token_gets_no_cookie(closed_app: WebApp) -> None:
    found = closed_app.test_client().post("/login", json={"token": "x" * 40})
    assert found.status_code == 401
    assert "Set-Cookie" not in found.headers


def test_the_login_page_and_what_it_needs_are_open(closed_app: WebApp) -> None:
    client = closed_app.test_client()
    page = client.get("/login")
    assert page.status_code == 200 and page.mimetype == "text/html"
    for name, kind in (
        *(("login.js", "text/javascript"), ("login.css", "text/css")),
        *(("base.css", "text/css"), ("icon.svg", "image/svg+xml")),
    ):
        found = client.get(f"/static/{name}")
        assert (found.status_code, found.mimetype) == (200, kind)
        assert name in page.get_data(as_text=True)


PLACEHOLDERS = [
    "<YOUR EXPERIMENT TOKEN",
    "<your token here>",
    "YOUR_EXPERIMENT_TOKEN",
    "your-token-goes-here",
    "paste your experiment token here",
    "INSERT_TOKEN_HERE",
    "replace_with_your_token",
    "xxxxxxxxxxxxxxxxxxxxxxxx",
    "0000000000000000",
    "change-me-please-soon",
    "PLACEHOLDER_TOKEN",
    "${EXPERIMENT_TOKEN}",
    "$EXPERIMENT_TOKEN",
    "{{ experiment_token }}",
    "example-token-123456789",
    "secret_token_12345678",
]


@pytest.mark.parametrize("token", PLACEHOLDERS)
def test_placeholders_are_no_secrets(token: str) -> None:
    with pytest.raises(ConfigurationError, match="token: expected a secret, found a placeholder"):
        TokenAccess({token: Identity("")})
    with pytest.raises(ConfigurationError, match="found a placeholder"):
        Pipeline("p", lambda: None, lambda: None, lambda: None, token=token)


def test_secrets_are_no_placeholders() -> None:
    for _ in range(500):
        for token in (secrets.token_urlsafe(), secrets.token_hex(), str(uuid.uuid4())):
            assert not is_placeholder(token), token
    for token in (
        "a-long-secret-of-24-characters",
        "the-token-of-this-test",
        "correct horse battery",
    ):
        assert not is_placeholder(token)
