"""`WebSettings`: address, access rules and request limits of a server."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from allencv_al.common.errors import ConfigurationError
from allencv_al.data.image_io import DEFAULT_MAX_PIXELS
from allencv_al.service.web.access import Access, OpenAccess

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class WebSettings:
    """Settings of a server: address, access and limits.

    Args:
        host: The address to listen on.
        port: Port number; 0 chooses a free one.
        access: Access rules. They must require a token if other machines can reach the address.
        allowed_hosts: Further host names that requests may use, as in the address bar of a
            browser; `localhost`, `host` and IP addresses are always allowed.
        allowed_origins: Origins of other sites whose pages may send requests and read responses,
            as a browser sends them (`https://photos.example`, `http://localhost:5173`).
        max_body_bytes: Largest request body in bytes.
        max_pixels: Maximum number of pixels of an image, by its header.
        max_images: Maximum number of images per request.
        max_json_depth: Maximum depth of nested JSON.
        max_waiting: Maximum number of waiting requests; further ones are answered with 503.

    Raises:
        ConfigurationError: Other machines can reach the address without a token, or an origin
            is malformed.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    access: Access = field(default_factory=OpenAccess)
    allowed_hosts: Sequence[str] = ()
    allowed_origins: Sequence[str] = ()
    max_body_bytes: int = 16 * 2**20
    max_pixels: int = DEFAULT_MAX_PIXELS
    max_images: int = 64
    max_json_depth: int = 32
    max_waiting: int = 64

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ConfigurationError(f"port: expected 0 to 65535, found {self.port}")
        if not is_loopback(self.host) and not self.access.needs_token:
            raise ConfigurationError(
                f"host: other machines can reach {self.host}, so a token is needed; give one, or "
                "listen on 127.0.0.1"
            )
        wrong = [origin for origin in self.allowed_origins if not _is_origin(origin)]
        if wrong:
            raise ConfigurationError(
                "allow-origin: expected what a browser sends, such as https://photos.example or "
                f"http://localhost:5173, found {', '.join(map(repr, wrong))}"
            )

    @property
    def listens_on(self) -> str:
        """Address of the socket; `localhost` could mean 127.0.0.1 or ::1, so one is chosen."""
        return "127.0.0.1" if self.host == "localhost" else self.host


def is_loopback(host: str) -> bool:
    """Return whether an address can be reached from this machine only."""
    if host in LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _is_origin(text: str) -> bool:
    """Return whether a browser could send a text as `Origin`; others would never match."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    host = parts.hostname or ""
    shown = f"[{host}]" if ":" in host else host
    usual = {"http": 80, "https": 443}
    ends = "" if port is None or port == usual.get(parts.scheme) else f":{port}"
    is_name = bool(host) and text.isascii() and not set("* ") & set(text)
    return is_name and parts.scheme in usual and text == f"{parts.scheme}://{shown}{ends}"
