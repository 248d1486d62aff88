"""The settings of a server, refused where they would leave it open."""

from __future__ import annotations

import pytest

from allencv_al.common.errors import ConfigurationError
from allencv_al.service.web import Identity, OpenAccess, TokenAccess, WebSettings

Tokens = dict[str, str]


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.7", "::", "label.example"])
def test_an_address_that_others_reach_needs_a_token(host: str, tokens: Tokens) -> None:
    with pytest.raises(
        ConfigurationError, match=r"other machines can reach .*, so a token is needed"
    ):
        WebSettings(host=host, access=OpenAccess())
    access = TokenAccess({tokens["anna"]: Identity("anna")})
    assert WebSettings(host=host, access=access).host == host


PHOTOS = "https://photos.example"


@pytest.mark.parametrize(
    "origin",
    [
        *(
            "*",
            "null",
            "",
            "photos.example",
            f"{PHOTOS}/",
            f"{PHOTOS}/page",
            "ftp://photos.example",
        ),
        *("https://Photos.example", "https://photos.example:443", "https://me@photos.example"),
        *("https://photos.example:x", "https://*.photos.example", "https://"),
    ],
)
def test_an_origin_that_no_browser_sends_is_a_mistake(origin: str) -> None:
    with pytest.raises(ConfigurationError, match=r"allow-origin: expected what a browser sends"):
        WebSettings(allowed_origins=[PHOTOS, origin])
