"""The page that asks for a token."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from allencv_al.labels.sessions.labeling_store import LABELING_NAME, LabelingStore
from allencv_al.service.labeling.app import create_app
from allencv_al.service.web import Identity, TokenAccess
from allencv_al.service.web.running import start_in_thread
from allencv_al.service.web.web_settings import WebSettings


def test_it_lets_in_a_user_with_the_token(tmp_path: Path, new_page: Any) -> None:
    expect = pytest.importorskip("playwright.sync_api").expect
    new_page.allowed += ["401"]
    LabelingStore(tmp_path / LABELING_NAME).close()
    token = "token-of-anna-0123456789"
    access = TokenAccess({token: Identity("Anna")})
    server = start_in_thread(create_app(tmp_path, settings=WebSettings(port=0, access=access)))
    try:
        page = new_page()
        page.goto(server.url)
        page.fill("#token", "wrong-token-0123456789")
        page.keyboard.press("Enter")
        expect(page.locator("#problem")).not_to_be_empty()
        page.fill("#token", token)
        page.keyboard.press("Enter")
        expect(page.locator("#who")).to_have_text("Anna")
        other = new_page()
        other.goto(f"{server.url}login#{token}")  # the link that is printed
        expect(other.locator("#who")).to_have_text("Anna")
        assert token not in other.url
        broken = new_page()
        broken.goto(f"{server.url}login#%E0%A4")  # no encoding of anything
        expect(broken.locator("#problem")).to_have_text("This token is not valid on this server.")
    finally:
        new_page.close()  # first: a page that asks a server which has gone complains
        server.close()
