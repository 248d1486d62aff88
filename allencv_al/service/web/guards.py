"""Checks of every request and headers of every response."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

from flask import Request, Response

from allencv_al.service.web.access import Identity
from allencv_al.service.web.attempts import Attempts
from allencv_al.service.web.web_errors import WebError
from allencv_al.service.web.web_settings import LOOPBACK_NAMES, WebSettings, is_loopback

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

_SHOWN = 40  # characters of hostile text that an error repeats
_PREFLIGHT_SECONDS = 600
_ASKED = "Authorization, Content-Type, Idempotency-Key, Prefer, X-Annotator, X-Labeling"
_EXPOSED = "Location, Retry-After, Server-Timing, X-AllenCV-AL-Protocol"

# No inline script or style, so injected markup cannot run; blob: shows images before upload
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
    """Raise unless the Host header names this server.

    Prevents DNS rebinding: a page of another site whose host name resolves to this server would
    count as same-origin. IP addresses cannot be rebound, so all are allowed.
    """
    name = _host_name(request.headers.get("Host", ""))
    known = (*LOOPBACK_NAMES, settings.host, *settings.allowed_hosts)
    if name is None or not (name in {host.lower() for host in known} or _is_address(name)):
        raise WebError(
            421,
            "host",
            "the Host header does not name this server; start it with --allowed-host NAME",
        )


def check_peer(request: Request, settings: WebSettings) -> None:
    """Raise for requests of other machines to a server without authentication.

    `WebSettings` refuses such an address, but another WSGI server, such as gunicorn, may listen on
    it.
    """
    peer = request.remote_addr  # empty for a Unix socket
    if not settings.access.needs_token and peer and not is_loopback(peer):
        raise WebError(
            403,
            "token_needed",
            "this server requires no token, so it accepts requests from its own machine only",
        )


def check_origin(request: Request, settings: WebSettings) -> None:
    """Raise for unsafe cross-site requests of a browser (CSRF)."""
    if request.method in SAFE_METHODS or is_allowed_origin(request, settings):
        return
    site = request.headers.get("Sec-Fetch-Site", "none")
    origin = request.headers.get("Origin")
    host = request.headers["Host"].lower()
    # Older browsers send no Sec-Fetch-Site; programs send neither header, and hold no cookies
    is_own = origin is None or origin.lower() in (f"http://{host}", f"https://{host}")
    if site not in ("same-origin", "none") or not is_own:
        raise WebError(
            403,
            "origin",
            "cross-site requests are refused; start the server with --allow-origin ORIGIN",
        )


def check_encoding(request: Request) -> None:
    """Raise if the body is compressed: the limits hold for uncompressed bodies only."""
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("identity", ""):
        raise WebError(
            415,
            "media_type",
            f"Content-Encoding: expected none, found {encoding[:_SHOWN]}; send the body as it is",
        )


def identity_of(
    request: Request, settings: WebSettings, cookie: str, attempts: Attempts, is_counted: bool
) -> Identity | None:
    """Authenticate a request; return None if it has no valid credential.

    Args:
        request: The request.
        settings: Settings with the access rules.
        cookie: Name of the session cookie.
        attempts: Rate limit of failed authentication.
        is_counted: Whether a failure counts.

    Raises:
        WebError: Too many attempts from this address failed (429).
    """
    access, peer = settings.access, request.remote_addr
    if not access.needs_token:
        return Identity("")
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    if kind:  # a wrong token is refused even if a valid cookie came with it
        if kind.lower() != "bearer":
            return None
        return attempts.identify(peer, token.strip(), access.identify, is_counted=is_counted)
    session = request.cookies.get(cookie)
    if session is None:
        return None
    look_up = access.identify_session
    return attempts.identify(peer, session, look_up, is_cookie=True, is_counted=is_counted)


def preflight(request: Request, settings: WebSettings, methods: Iterable[str]) -> Response | None:
    """Return the response to a CORS preflight request of an allowed origin.

    Args:
        request: The request.
        settings: Settings with the allowed origins.
        methods: Methods of the route.

    Returns:
        None if the request is no preflight, or the origin is not allowed.
    """
    is_preflight = (
        request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
    )
    if not is_preflight or not is_allowed_origin(request, settings):
        return None
    headers = {
        "Access-Control-Allow-Methods": ", ".join(sorted(methods)),
        "Access-Control-Allow-Headers": _ASKED,
        "Access-Control-Max-Age": str(_PREFLIGHT_SECONDS),
    }
    if request.headers.get("Access-Control-Request-Private-Network") == "true":
        headers["Access-Control-Allow-Private-Network"] = "true"
    return Response(status=204, headers=headers)


def is_allowed_origin(request: Request, settings: WebSettings) -> bool:
    """Return whether the Origin of a request is one of `--allow-origin`."""
    return request.headers.get("Origin") in settings.allowed_origins


def add_headers(response: Response, request: Request, settings: WebSettings) -> Response:
    """Add the security headers, and the CORS headers for allowed origins."""
    for name, value in HEADERS.items():
        response.headers[name] = value
    if settings.allowed_origins:
        response.headers.add("Vary", "Origin")
        if is_allowed_origin(request, settings):
            response.headers["Access-Control-Allow-Origin"] = request.headers["Origin"]
            response.headers["Access-Control-Expose-Headers"] = _EXPOSED
    if "Cache-Control" not in response.headers:
        response.headers["Cache-Control"] = "no-store"
    return response


def _host_name(host: str) -> str | None:
    try:
        parts = urlsplit(f"//{host}")
        parts.port  # noqa: B018  raises if the port is not a number
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
