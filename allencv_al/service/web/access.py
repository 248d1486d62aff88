"""Access to a server: tokens and their owners."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from allencv_al.common.errors import ConfigurationError
from allencv_al.common.files.atomic_file import flush, make_folder

ALL_SCOPES = "*"
_SESSION = b"allencv-al session"
LEAST_TOKEN_CHARACTERS = 16
# What documentation and examples have in place of a token: everybody knows it
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
    """The identity behind a request.

    Args:
        name: The name that labels and logs carry; empty for everybody.
        scopes: Allowed scopes; `*` is everything.
    """

    name: str
    scopes: frozenset[str] = frozenset({ALL_SCOPES})

    def may(self, scope: str | None) -> bool:
        """Return whether it may do what needs `scope`; None needs nothing but to be known."""
        return scope is None or ALL_SCOPES in self.scopes or scope in self.scopes


class Access(Protocol):
    """The base of access rules."""

    @property
    def needs_token(self) -> bool:
        """Whether a request without a token is refused."""

    def identify(self, token: str) -> Identity | None:
        """Return whom a token belongs to, in a time that does not depend on how wrong it is."""

    def identify_session(self, session: str) -> Identity | None:
        """The same for what `session_of` returned, which a browser keeps as a cookie."""


class OpenAccess:
    """Everybody who can reach the server, which is then this machine only."""

    needs_token = False

    def identify(self, token: str) -> Identity | None:
        """Return None: there are no tokens."""
        return None

    def identify_session(self, session: str) -> Identity | None:
        """Return None: there are no sessions."""
        return None


class TokenAccess:
    """Access by one of several fixed tokens.

    Args:
        identities: Whom each token belongs to. Only the hashes of the tokens are kept.

    Raises:
        ConfigurationError: There is none, or one is too short to be a secret, or a placeholder.
    """

    needs_token = True

    def __init__(self, identities: Mapping[str, Identity]) -> None:
        if not identities:
            raise ConfigurationError("token: expected at least one, found none")
        if any(len(token) < LEAST_TOKEN_CHARACTERS for token in identities):
            raise ConfigurationError(
                f"token: expected at least {LEAST_TOKEN_CHARACTERS} characters, found a shorter one"
            )
        if any(map(is_placeholder, identities)):
            raise ConfigurationError(
                "token: expected a secret, found a placeholder as documentation has it; "
                "`allencv-al token create`, or python -c 'import secrets; "
                "print(secrets.token_urlsafe())', makes one"
            )
        self._known = {digest_of(token): identity for token, identity in identities.items()}

    def identify(self, token: str) -> Identity | None:
        """Return whom a token belongs to."""
        given = digest_of(token)
        found = None
        for digest, identity in self._known.items():  # all of them: the time tells nothing
            if hmac.compare_digest(digest, given):
                found = identity
        return found

    def identify_session(self, session: str) -> Identity | None:
        """Return whom a session belongs to."""
        given = session.encode("utf-8", "surrogatepass")
        found = None
        for digest, identity in self._known.items():
            if hmac.compare_digest(session_of_digest(digest).encode(), given):
                found = identity
        return found


def is_placeholder(token: str) -> bool:
    """Return whether a token is what an example has where a secret should be."""
    return _PLACEHOLDER.search(token) is not None


def session_of(token: str) -> str:
    """Return what a browser keeps in place of a token, which cannot be told from it."""
    return session_of_digest(digest_of(token))


def load_or_make_token(path: Path) -> tuple[str, bool]:
    """Return the token that a file holds, made where there is none, and whether it was made now.

    The file can be read by its owner only.

    Raises:
        ConfigurationError: Others can read the file, or it holds no token.
    """
    make_folder(path.parent)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return _read_token(path), False
    token = secrets.token_urlsafe(32)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(f"{token}\n")
        file.flush()
        os.fsync(file.fileno())
    flush(path.parent)
    return token, True


def _read_token(path: Path) -> str:
    if os.name != "nt" and path.stat().st_mode & 0o077:
        raise ConfigurationError(
            f"{path}: others can read this token; `chmod 600 {path}`, or remove it for a new one"
        )
    token = path.read_text(encoding="utf-8", errors="replace").strip()
    if len(token) < LEAST_TOKEN_CHARACTERS or not token.isascii():
        raise ConfigurationError(f"{path}: expected a token, found something else; remove it")
    return token


def digest_of(token: str) -> bytes:
    """Return what is kept of a token, from which it cannot be told."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def session_of_digest(digest: bytes) -> str:
    """Return what a browser keeps for the token of a digest."""
    return hmac.new(digest, _SESSION, hashlib.sha256).hexdigest()
