"""The token file: digests, scopes and expiry of tokens; create, list and revoke them."""

from __future__ import annotations

import json
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from allencv_al.common.errors import ConfigurationError, DataError
from allencv_al.common.files.atomic_file import make_folder, write_bytes
from allencv_al.common.files.paths import expanded
from allencv_al.service.web.access import (
    ALL_SCOPES,
    DigestAccess,
    Identity,
    check_is_private,
    digest_of,
)

VARIABLE = "ALLENCV_AL_TOKENS"
_ID_CHARACTERS = 8


@dataclass(frozen=True)
class StoredToken:
    """The stored entry of a token.

    Args:
        id: Public identifier, to list and revoke the token.
        name: Name of the owner.
        digest: SHA-256 of the token in hexadecimal digits.
        scopes: Allowed scopes.
        created: Creation time in seconds since 1970.
        expires: Expiry time in seconds since 1970; None for never.
    """

    id: str
    name: str
    digest: str
    scopes: tuple[str, ...]
    created: float
    expires: float | None

    def is_over(self, now: float) -> bool:
        """Return whether the token has expired."""
        return self.expires is not None and self.expires <= now


def default_path() -> Path:
    """Return the user's token file: `ALLENCV_AL_TOKENS`, or one in the settings folder.

    Raises:
        ConfigurationError: The user has no home folder, and the variable is not set.
    """
    if os.environ.get(VARIABLE):
        return Path(os.environ[VARIABLE])
    base = Path(os.environ.get("XDG_CONFIG_HOME") or expanded("~/.config"))
    if base.parts[:1] == ("~",):
        raise ConfigurationError(f"tokens: no home folder is known; {VARIABLE} names their file")
    return base / "allencv-al" / "tokens.json"


class TokenFile:
    """A file of tokens that only its owner can read.

    Args:
        path: The file; it need not exist.
        clock: Returns the time in seconds since 1970.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self._clock = clock

    def create(self, name: str, scopes: Sequence[str], seconds: float | None) -> tuple[str, str]:
        """Create a token and store its digest.

        Args:
            name: Name of the owner.
            scopes: Allowed scopes.
            seconds: Lifetime in seconds; None for no expiry.

        Returns:
            The id, and the token itself, which is not stored and cannot be shown again.

        Raises:
            ConfigurationError: The file is damaged, or other users can read it.
        """
        token = secrets.token_urlsafe(32)
        now = self._clock()
        stored = StoredToken(
            id=secrets.token_hex(_ID_CHARACTERS // 2),
            name=name,
            # The token itself is shown once and stored nowhere
            digest=digest_of(token).hex(),
            scopes=tuple(scopes),
            created=now,
            expires=None if seconds is None else now + seconds,
        )
        self._write([*self.tokens(), stored])
        return stored.id, token

    def revoke(self, id: str) -> None:
        """Revoke a token.

        Raises:
            DataError: No token has this id.
        """
        tokens = self.tokens()
        left = [token for token in tokens if token.id != id]
        if len(left) == len(tokens):
            known = ", ".join(token.id for token in tokens) or "none"
            raise DataError(f"{self.path}: no token has the id {id}; known: {known}")
        self._write(left)

    def tokens(self) -> list[StoredToken]:
        """Return the stored tokens, expired ones included.

        Raises:
            ConfigurationError: The file is damaged, or other users can read it.
        """
        try:
            check_is_private(self.path)
            found = json.loads(self.path.read_bytes())
            return [StoredToken(**{**one, "scopes": tuple(one["scopes"])}) for one in found]
        except FileNotFoundError:
            return []
        except (ValueError, TypeError, KeyError) as error:
            raise ConfigurationError(f"{self.path}: expected a token file: {error}") from error

    def _write(self, tokens: Sequence[StoredToken]) -> None:
        make_folder(self.path.parent)
        content = json.dumps([asdict(token) for token in tokens], indent=2).encode()
        before = os.umask(0o177)  # other users must not be able to read the file even for a moment
        try:
            write_bytes(self.path, content)
        finally:
            os.umask(before)


class FileAccess(DigestAccess):
    """Authentication by the tokens of a file; created and revoked tokens take effect at once.

    Args:
        file: The tokens.
        clock: Returns the time in seconds since 1970.

    Raises:
        ConfigurationError: The file is damaged, or other users can read it.
    """

    def __init__(self, file: TokenFile, clock: Callable[[], float] = time.time) -> None:
        self._file = file
        self._clock = clock
        self._lock = threading.Lock()
        self._stamp: tuple[int, int] | None = None
        self._tokens: list[StoredToken] = []
        self._current()

    def valid_digests(self) -> Iterator[tuple[bytes, Identity]]:
        """Yield the digests and owners of the tokens that have not expired."""
        now = self._clock()
        for token in self._current():
            if not token.is_over(now):
                yield bytes.fromhex(token.digest), Identity(token.name, frozenset(token.scopes))

    def _current(self) -> list[StoredToken]:
        stamp = None
        with suppress(OSError):
            status = self._file.path.stat()
            # The file is replaced at each change: two changes within a tick of the clock differ in
            # the inode
            stamp = (status.st_mtime_ns, status.st_ino)
        with self._lock:
            # Without the file there may be no token left: that must not be taken from memory
            if stamp != self._stamp or stamp is None:
                self._tokens = self._file.tokens()
                self._stamp = stamp
            return self._tokens


def check_scopes(scopes: Sequence[str], known: Sequence[str]) -> None:
    """Raise a `ConfigurationError` that lists all unknown scopes, if any."""
    unknown = [scope for scope in scopes if scope not in (*known, ALL_SCOPES)]
    if unknown:
        raise ConfigurationError(
            f"scopes: expected some of {', '.join(known)} or {ALL_SCOPES}, found "
            f"{', '.join(map(repr, unknown))}"
        )
