"""Rate limit of failed authentication, per network address."""

from __future__ import annotations

import ipaddress
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from allencv_al.service.web.access import Identity, digest_of
from allencv_al.service.web.web_errors import WebError

# Twenty typing mistakes in a row; then 28,800 guesses a day, of 2^256 generated tokens
BURST = 20
SECONDS_PER_ATTEMPT = 3.0
_MOST_ADDRESSES = 4_096  # the least recently seen is dropped, so memory stays bounded
_MOST_REMEMBERED = 64  # digests of credentials per address


@dataclass(slots=True)
class _Record:
    left: float
    at: float
    accepted: OrderedDict[bytes, None] = field(default_factory=OrderedDict)
    refused: OrderedDict[bytes, None] = field(default_factory=OrderedDict)


class Attempts:
    """Limit failed authentication per address by a token bucket.

    A credential that was accepted before is not limited, so an attacker cannot lock out other
    clients behind the same address (a proxy, or one machine).

    Args:
        clock: Returns the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._records: OrderedDict[str, _Record] = OrderedDict()

    def identify(
        self,
        address: str | None,
        credential: str,
        look_up: Callable[[str], Identity | None],
        *,
        is_cookie: bool = False,
        is_counted: bool = True,
    ) -> Identity | None:
        """Return the owner of a credential; None if it is invalid.

        Args:
            address: Address of the client.
            credential: A token or a session.
            look_up: Returns the owner of a credential.
            is_cookie: Whether it is a cookie. Browsers resend an expired cookie with every
                request, so a repeated one is not counted as another attempt.
            is_counted: Whether a failure counts; false for the check before the body is read.

        Raises:
            WebError: Too many attempts failed (429).
        """
        digest = digest_of(credential)
        with self._lock:
            record = self._record(network_of(address))
            if record.left < 1 and digest not in record.accepted:
                seconds = math.ceil((1 - record.left) * SECONDS_PER_ATTEMPT)
                raise WebError(
                    *(429, "too_many_attempts", f"too many wrong tokens; retry after {seconds} s"),
                    retry_after=seconds,
                )
        identity = look_up(credential)
        if is_counted:
            with self._lock:
                if identity is not None:
                    _remember(record.accepted, digest)
                else:
                    record.accepted.pop(digest, None)  # it may have been revoked
                    record.left -= not (is_cookie and digest in record.refused)
                    _remember(record.refused, digest)
        return identity

    def _record(self, network: str) -> _Record:
        now = self._clock()
        record = self._records.setdefault(network, _Record(BURST, now))
        self._records.move_to_end(network)
        record.left = min(BURST, record.left + (now - record.at) / SECONDS_PER_ATTEMPT)
        record.at = now
        if len(self._records) > _MOST_ADDRESSES:
            self._records.popitem(last=False)
        return record


def network_of(address: str | None) -> str:
    """Return the unit of the rate limit: an IPv4 address, or the /64 network of an IPv6 address."""
    try:
        found = ipaddress.ip_address(address or "")
    except ValueError:
        return address or ""
    if isinstance(found, ipaddress.IPv6Address):
        return str(found.ipv4_mapped or ipaddress.ip_network((found, 64), strict=False))
    return str(found)


def _remember(digests: OrderedDict[bytes, None], digest: bytes) -> None:
    digests[digest] = None
    digests.move_to_end(digest)
    if len(digests) > _MOST_REMEMBERED:
        digests.popitem(last=False)
