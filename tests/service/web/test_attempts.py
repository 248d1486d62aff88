"""Wrong tokens: how many, and who has to wait."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from allencv_al.service.web import Identity, TokenAccess, WebApp
from allencv_al.service.web.attempts import BURST, Attempts, network_of
from allencv_al.service.web.web_errors import WebError

MakeApp = Callable[..., WebApp]
RIGHT = "the-right-token-of-anna"
ANNA = Identity("anna")


def look_up(token: str) -> Identity | None:
    return ANNA if token == RIGHT else None


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def guess(attempts: Attempts, count: int, address: str = "10.0.0.1") -> int:
    """Guess; return how many guesses were looked up."""
    done = 0
    for number in range(count):
        try:
            assert attempts.identify(address, f"wrong {number}", look_up) is None
            done += 1
        except WebError as error:
            assert error.status == 429
            assert error.retry_after is not None
    return done


def test_too_many_guesses_have_to_wait() -> None:
    clock = Clock()
    attempts = Attempts(clock)
    assert guess(attempts, 300) == BURST
    with pytest.raises(WebError) as caught:
        attempts.identify("10.0.0.1", RIGHT, look_up)
    assert caught.value.retry_after == 3
    clock.now += 3
    assert attempts.identify("10.0.0.1", RIGHT, look_up) is ANNA
    assert guess(attempts, 300) == 1
    clock.now += 3_600
    assert guess(attempts, 300) == BURST


def test_guesses_lock_no_other_client_out() -> None:
    attempts = Attempts(Clock())
    assert attempts.identify("10.0.0.1", RIGHT, look_up) is ANNA
    assert guess(attempts, 300) == BURST
    assert attempts.identify("10.0.0.1", RIGHT, look_up) is ANNA, "who was in stays in"
    assert attempts.identify("10.0.0.2", RIGHT, look_up) is ANNA
    assert attempts.identify(None, RIGHT, look_up) is ANNA


def test_an_outdated_cookie_is_one_guess_and_a_token_each_time_another() -> None:
    attempts = Attempts(Clock())
    for _ in range(100):
        assert attempts.identify("::1", "old", look_up, is_cookie=True) is None
    assert guess(attempts, 300, "::1") == BURST - 1


def test_a_token_that_was_revoked_is_no_longer_let_in() -> None:
    attempts = Attempts(Clock())
    attempts.identify("10.0.0.1", RIGHT, look_up)
    assert attempts.identify("10.0.0.1", RIGHT, lambda token: None) is None
    guess(attempts, 300)
    with pytest.raises(WebError):
        attempts.identify("10.0.0.1", RIGHT, look_up)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:1", "2001:db8::/64"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("", ""),
        (None, ""),
    ],
)
def test_one_sender_is_an_address_or_a_network_of_ipv6(address: str | None, network: str) -> None:
    assert network_of(address) == network


def test_memory_is_bounded_however_many_addresses_guess() -> None:
    attempts = Attempts(Clock())
    for number in range(6_000):
        attempts.identify(f"10.{number >> 8 & 255}.{number & 255}.1", "wrong", look_up)
    assert len(attempts._records) <= 4_096


def test_an_application_answers_429_and_when_to_try_again(make_app: MakeApp) -> None:
    app = make_app(access=TokenAccess({RIGHT: ANNA}))
    client = app.test_client()
    statuses = [
        client.get("/items/3", headers={"Authorization": f"Bearer wrong{n}"}).status_code
        for n in range(BURST + 5)
    ]
    assert statuses == [401] * BURST + [429] * 5
    found = client.post("/login", json={"token": RIGHT})
    assert found.status_code == 429
    assert int(found.headers["Retry-After"]) in (1, 2, 3)
    assert found.json["error"]["code"] == "too_many_attempts"
    assert client.get("/items/3").status_code == 401, "no token is no guess"
    assert client.get("/healthz").status_code == 200
    other = {"REMOTE_ADDR": "10.0.0.9"}
    assert client.post("/login", json={"token": RIGHT}, environ_base=other).status_code == 200


def test_logins_are_counted_and_a_page_still_leads_to_the_login(make_app: MakeApp) -> None:
    client = make_app(access=TokenAccess({RIGHT: ANNA})).test_client()
    for number in range(BURST):
        assert client.post("/login", json={"token": f"wrong{number}"}).status_code == 401
    assert client.post("/login", json={"token": "wrong"}).status_code == 429
    client.set_cookie("sample-session", "outdated")
    assert client.get("/").status_code == 302
    assert client.get("/login").status_code == 200
