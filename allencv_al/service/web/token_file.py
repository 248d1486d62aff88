"""Tokens that are made, listed and revoked: a file with their hashes, scopes and ends."""

from __future__ import annotations

import hmac
import json
import os
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from allencv_al.common.errors import ConfigurationError, DataError
from allencv_al.common.files.atomic_file import make_folder, write_bytes
from allencv_al.service.web.access import ALL_SCOPES, Identity, digest_of, session_of_digest

VARIABLE = "ALLENCV_AL_TOKENS"
_SHOWN = 8


@dataclass(frozen=True)
class StoredToken:
    """The stored entry of a token.

    Args:
        id: By which it is listed and revoked.
        name: Whose it is.
        digest: Its SHA-256, as hexadecimal digits.
        scopes: The allowed scopes.
        created: When it was made, in seconds since 1970.
        expires: When it ends; None for never.
    """

    id: str
    name: str
    digest: str
    scopes: tuple[str, ...]
    created: float
    expires: float | None

    def is_over(self, now: float) -> bool:
        """Return whether it has ended."""
        return self.expires is not None and self.expires <= now


def default_path() -> Path:
    """Return where a user's tokens are: `ALLENCV_AL_TOKENS`, or below the folder of settings."""
    if os.environ.get(VARIABLE):
        return Path(os.environ[VARIABLE])
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "allencv-al" / "tokens.json"


class TokenFile:
    """A file of tokens that only its owner can read.

    Args:
        path: The file; it need not be there.
        clock: The time in seconds since 1970.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self._clock = clock

    def create(self, name: str, scopes: Sequence[str], seconds: float | None) -> tuple[str, str]:
        """Make a token and keep its hash.

        Args:
            name: Whose it is.
            scopes: The allowed scopes.
            seconds: Lifetime; None is unlimited.

        Returns:
            Its id, and the token itself, which is not stored and cannot be shown again.

        Raises:
            ConfigurationError: The file is damaged, or others can read it.
        """
        token = secrets.token_urlsafe(32)
        now = self._clock()
        stored = StoredToken(
            id=secrets.token_hex(_SHOWN // 2),
            name=name,
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
            DataError: There is none of this id.
        """
        tokens = self.tokens()
        left = [token for token in tokens if token.id != id]
        if len(left) == len(tokens):
            known = ", ".join(token.id for token in tokens) or "none"
            raise DataError(f"{self.path}: there is no token {id}; there are: {known}")
        self._write(left)

    def tokens(self) -> list[StoredToken]:
        """Return what is kept.

        Raises:
            ConfigurationError: The file is damaged, or others can read it.
        """
        try:
            if os.name != "nt" and self.path.stat().st_mode & 0o077:
                raise ConfigurationError(
                    f"{self.path}: others can read it; `chmod 600 {self.path}`"
                )
            found = json.loads(self.path.read_bytes())
            return [StoredToken(**{**one, "scopes": tuple(one["scopes"])}) for one in found]
        except FileNotFoundError:
            return []
        except (ValueError, TypeError, KeyError) as error:
            raise ConfigurationError(f"{self.path}: expected a file of tokens: {error}") from error

    def _write(self, tokens: Sequence[StoredToken]) -> None:
        make_folder(self.path.parent)
        content = json.dumps([asdict(token) for token in tokens], indent=2).encode()
        before = os.umask(0o177)  # the file is never readable by others, not for a moment
        try:
            write_bytes(self.path, content)
        finally:
            os.umask(before)


class FileAccess:
    """Access by the tokens of a file; created and revoked tokens take effect at once.

    Args:
        file: The tokens.
        clock: The time in seconds since 1970.

    Raises:
        ConfigurationError: The file is damaged, or others can read it.
    """

    needs_token = True

    def __init__(self, file: TokenFile, clock: Callable[[], float] = time.time) -> None:
        self._file = file
        self._clock = clock
        self._lock = threading.Lock()
        self._stamp: tuple[int, int] | None = None
        self._tokens: list[StoredToken] = []
        self._current()

    def identify(self, token: str) -> Identity | None:
        """Return the owner of a token; None once it has expired."""
        given = digest_of(token)
        return self._found(lambda digest: hmac.compare_digest(digest, given))

    def identify_session(self, session: str) -> Identity | None:
        """Return whom a session belongs to."""
        given = session.encode("utf-8", "surrogatepass")
        return self._found(
            lambda digest: hmac.compare_digest(session_of_digest(digest).encode(), given)
        )

    def _found(self, matches: Callable[[bytes], bool]) -> Identity | None:
        found = None
        now = self._clock()
        for token in self._current():  # all of them: the time tells nothing
            if matches(bytes.fromhex(token.digest)) and not token.is_over(now):
                found = Identity(token.name, frozenset(token.scopes))
        return found

    def _current(self) -> list[StoredToken]:
        stamp = None
        with suppress(OSError):
            status = self._file.path.stat()
            stamp = (status.st_mtime_ns, status.st_ino)
        with self._lock:
            if stamp != self._stamp or stamp is None:
                self._tokens = self._file.tokens()
                self._stamp = stamp
            return self._tokens


def check_scopes(scopes: Sequence[str], known: Sequence[str]) -> None:
    """Raise unless scopes are known.

    Raises:
        ConfigurationError: One is not; all of them are named.
    """
    unknown = [scope for scope in scopes if scope not in (*known, ALL_SCOPES)]
    if unknown:
        raise ConfigurationError(
            f"scopes: expected some of {', '.join(known)} or {ALL_SCOPES}, found "
            f"{', '.join(map(repr, unknown))}"
        )
