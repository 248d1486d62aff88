"""Limits how often one address may be wrong about a token."""

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

BURST = 20
SECONDS_PER_ATTEMPT = 3.0
_MOST_ADDRESSES = 4_096
_MOST_REMEMBERED = 64  # credentials per address


@dataclass(slots=True)
class _Record:
    left: float
    at: float
    accepted: OrderedDict[bytes, None] = field(default_factory=OrderedDict)
    refused: OrderedDict[bytes, None] = field(default_factory=OrderedDict)


class Attempts:
    """Counts wrong tokens per address; who sent too many waits before the next guess.

    A credential that was right before is let in all the same: guessing cannot lock out the
    others who share the address (a proxy, or one machine).

    Args:
        clock: The time in seconds.
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
        """Return whom a credential belongs to.

        Args:
            address: Where the request comes from.
            credential: A token or a session.
            look_up: Returns whom it belongs to.
            is_cookie: A browser repeats an outdated cookie by itself: only another one is a guess.
            is_counted: False to ask only, before the request itself is answered.

        Raises:
            WebError: Too many were wrong (429).
        """
        digest = digest_of(credential)
        with self._lock:
            record = self._record(network_of(address))
            if record.left < 1 and digest not in record.accepted:
                seconds = math.ceil((1 - record.left) * SECONDS_PER_ATTEMPT)
                raise WebError(
                    *(429, "too_many_attempts", f"too many wrong tokens; wait {seconds} s"),
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
    """Return what one sender has: an IPv4 address, or the /64 network of an IPv6 address."""
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
