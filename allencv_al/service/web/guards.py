"""What every request has to pass, and what every answer carries."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from flask import Request, Response

from allencv_al.service.web.access import Identity
from allencv_al.service.web.errors import WebError
from allencv_al.service.web.settings import LOOPBACK_NAMES, WebSettings, is_loopback

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def check_host(request: Request, settings: WebSettings) -> None:
    """Raise unless the server was called by a name that is its own.

    A page of somebody else whose name was made to point here (DNS rebinding) would be let in
    otherwise. An IP address cannot be made to point elsewhere.
    """
    name = _host_name(request.headers.get("Host", ""))
    known = (*LOOPBACK_NAMES, settings.host, *settings.allowed_hosts)
    if name is None or not (name in {host.lower() for host in known} or _is_address(name)):
        raise WebError(
            421, "host", "this server is not called by this name; start it with --allowed-host NAME"
        )


def check_peer(request: Request, settings: WebSettings) -> None:
    """Raise where another machine asks and no token is needed.

    A server of ours does not listen to others without a token, but who runs the application by
    another server, such as gunicorn, may have let it.
    """
    peer = request.remote_addr  # empty behind a socket of this machine
    if not settings.access.needs_token and peer and not is_loopback(peer):
        raise WebError(403, "token_needed", "without a token this server is for its machine only")


def check_origin(request: Request) -> None:
    """Raise where a browser sends what a page of another site has made it send."""
    if request.method in SAFE_METHODS:
        return
    site = request.headers.get("Sec-Fetch-Site", "none")
    origin = request.headers.get("Origin")
    host = request.headers["Host"].lower()
    is_own = origin is None or origin.lower() in (f"http://{host}", f"https://{host}")
    if site not in ("same-origin", "none") or not is_own:
        raise WebError(403, "origin", "a page of another site may not send this")


def identity_of(request: Request, settings: WebSettings, cookie: str) -> Identity | None:
    """Return who sends a request; None for nobody whom the server knows.

    Args:
        request: The request.
        settings: Who is let in.
        cookie: The name of the cookie that holds a session.
    """
    access = settings.access
    if not access.needs_token:
        return Identity("")
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    if kind:  # whoever sends a token means it: a wrong one is not made good by a cookie
        return access.identify(token.strip()) if kind.lower() == "bearer" else None
    session = request.cookies.get(cookie)
    return None if session is None else access.identify_session(session)


def add_headers(response: Response) -> Response:
    """Add what every answer carries."""
    for name, value in HEADERS.items():
        response.headers[name] = value
    if "Cache-Control" not in response.headers:
        response.headers["Cache-Control"] = "no-store"
    return response


def _host_name(host: str) -> str | None:
    try:
        parts = urlsplit(f"//{host}")
        parts.port  # noqa: B018  raises where it is no number
    except ValueError:
        return None
    if parts.path or parts.query or parts.fragment or parts.username is not None:
        return None
    return parts.hostname


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
