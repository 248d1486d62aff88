"""Authentication and authorization: tokens, sessions and their owners."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from allencv_al.common.errors import ConfigurationError
from allencv_al.common.files.atomic_file import flush, make_folder

ALL_SCOPES = "*"
_SESSION = b"allencv-al session"
LEAST_TOKEN_CHARACTERS = 16
# Stand-ins for a token in documentation and examples, which are public
_PLACEHOLDER = re.compile(
    r"[<>\[\]{}$%]"
    r"|(?<![a-z0-9])(your|paste|insert|enter|replace|put)(?![a-z0-9]).*(token|key|secret|here)"
    r"|(token|key|secret)[ _-]*(goes[ _-]*)?here|place[ _-]*holder|change[ _-]*(me|this)"
    r"|x{6}|^(?P<one>.)(?P=one)*$"
    r"|^(test|example|sample|dummy|fake|some|secret)[ _-]*(token|key|secret|password)[ _-]*\d*$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Identity:
    """The authenticated sender of a request.

    Args:
        name: The name that labels and logs carry; empty where tokens are not told apart.
        scopes: Allowed scopes; `*` allows all.
    """

    name: str
    scopes: frozenset[str] = frozenset({ALL_SCOPES})

    def may(self, scope: str | None) -> bool:
        """Return whether a scope is allowed; None needs authentication only."""
        return scope is None or ALL_SCOPES in self.scopes or scope in self.scopes


class Access(Protocol):
    """The base of access rules."""

    @property
    def needs_token(self) -> bool:
        """Whether requests without a token are refused."""

    def identify(self, token: str) -> Identity | None:
        """Return the owner of a token; the duration must not depend on how much of it matches."""

    def identify_session(self, session: str) -> Identity | None:
        """Return the owner of a session cookie, which holds a result of `session_of`."""


class OpenAccess:
    """No authentication, for servers that only this machine can reach."""

    needs_token = False

    def identify(self, token: str) -> Identity | None:
        """Return None: there are no tokens."""
        return None

    def identify_session(self, session: str) -> Identity | None:
        """Return None: there are no sessions."""
        return None


class DigestAccess(ABC):
    """Authentication by the digests of tokens."""

    needs_token = True

    @abstractmethod
    def valid_digests(self) -> Iterable[tuple[bytes, Identity]]:
        """Return the digest and the owner of each token that is valid now."""

    def identify(self, token: str) -> Identity | None:
        """Return the owner of a token."""
        return self._find(digest_of(token), lambda digest: digest)

    def identify_session(self, session: str) -> Identity | None:
        """Return the owner of a session."""
        given = session.encode("utf-8", "surrogatepass")
        return self._find(given, lambda digest: _session_of_digest(digest).encode())

    def _find(self, given: bytes, expected_of: Callable[[bytes], bytes]) -> Identity | None:
        found = None
        for digest, identity in self.valid_digests():  # no early exit: timing must reveal nothing
            if hmac.compare_digest(expected_of(digest), given):
                found = identity
        return found


class TokenAccess(DigestAccess):
    """Authentication by fixed tokens.

    Args:
        identities: The owner of each token. Only digests of the tokens are kept.

    Raises:
        ConfigurationError: There is no token, or one is too short to be secret or a placeholder.
    """

    def __init__(self, identities: Mapping[str, Identity]) -> None:
        if not identities:
            raise ConfigurationError("token: expected at least one, found none")
        if any(len(token) < LEAST_TOKEN_CHARACTERS for token in identities):
            raise ConfigurationError(
                f"token: expected at least {LEAST_TOKEN_CHARACTERS} characters, found a shorter one"
            )
        # Copied from a README, such a token would be known to everyone who reads it
        if any(map(is_placeholder, identities)):
            raise ConfigurationError(
                "token: expected a secret, found a placeholder from the documentation; create one "
                "with `allencv-al token create`, or python -c 'import secrets; "
                "print(secrets.token_urlsafe())'"
            )
        self._known = {digest_of(token): identity for token, identity in identities.items()}

    def valid_digests(self) -> Iterable[tuple[bytes, Identity]]:
        """Return the digests and owners of all tokens."""
        return self._known.items()


def is_placeholder(token: str) -> bool:
    """Return whether a token is the placeholder of an example."""
    return _PLACEHOLDER.search(token) is not None


def session_of(token: str) -> str:
    """Return the value of the session cookie, which does not reveal the token."""
    return _session_of_digest(digest_of(token))


def load_or_make_token(path: Path) -> tuple[str, bool]:
    """Load the token from a file that only its owner can read; create it if it does not exist.

    Returns:
        The token, and whether it was created.

    Raises:
        ConfigurationError: Other users can read the file, or it holds no token.
    """
    make_folder(path.parent)
    try:
        # O_EXCL: of two processes that start at once, one creates it. The mode is given here: after
        # a later chmod, another user could have read it before
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        check_is_private(path)
        token = path.read_text(encoding="utf-8", errors="replace").strip()
        if len(token) < LEAST_TOKEN_CHARACTERS or not token.isascii():
            raise ConfigurationError(
                f"{path}: expected a token, found something else; remove the file"
            ) from None
        return token, False
    token = secrets.token_urlsafe(32)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(f"{token}\n")
        file.flush()
        os.fsync(file.fileno())
    flush(path.parent)  # a power cut must not lose a token that was shown already
    return token, True


def check_is_private(path: Path) -> None:
    """Raise a `ConfigurationError` if other users of this machine can read a file."""
    if os.name != "nt" and path.stat().st_mode & 0o077:
        raise ConfigurationError(f"{path}: other users can read this file; `chmod 600 {path}`")


def digest_of(token: str) -> bytes:
    """Return the stored digest of a token, which does not reveal it."""
    # Hostile text may hold lone surrogates: it is an unknown token, not an error of the server
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _session_of_digest(digest: bytes) -> str:
    return hmac.new(digest, _SESSION, hashlib.sha256).hexdigest()
