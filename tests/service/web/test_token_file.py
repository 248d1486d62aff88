"""Tokens that are kept as hashes, with scopes and an end."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from allencv_al.common.errors import ConfigurationError, DataError
from allencv_al.service.web.access import session_of
from allencv_al.service.web.token_file import FileAccess, TokenFile, check_scopes, default_path


class Clock:
    """A time that is set."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def file(tmp_path: Path, clock: Clock) -> TokenFile:
    return TokenFile(tmp_path / "settings" / "tokens.json", clock)


def test_a_token_has_an_identity_until_it_ends_or_is_revoked(file: TokenFile, clock: Clock) -> None:
    access = FileAccess(file, clock)
    id, token = file.create("anna", ["train"], 60)
    other, forever = file.create("ben", ["*"], None)
    found = access.identify(token)
    assert found is not None and found.name == "anna"
    assert found.may("train") and not found.may("infer")
    assert access.identify_session(session_of(token)) == found
    assert access.identify(token + "x") is None and access.identify("") is None
    clock.now += 61
    assert access.identify(token) is None and access.identify_session(session_of(token)) is None
    assert access.identify(forever) is not None
    file.revoke(other)
    assert access.identify(forever) is None
    assert [one.id for one in file.tokens()] == [id]


def test_only_hashes_are_kept_and_only_the_owner_reads_them(file: TokenFile) -> None:
    tokens = [file.create("anna", ["*"], None)[1] for _ in range(3)]
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert not any(token in file.path.read_text() for token in tokens)
    assert len(set(tokens)) == 3 and all(len(token) >= 43 for token in tokens)
    file.path.chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        file.tokens()


@pytest.mark.parametrize("content", ["{", "[1]", '[{"id": "x"}]', "3"])
def test_a_damaged_file_is_said(content: str, file: TokenFile) -> None:
    file.create("anna", ["*"], None)
    file.path.write_text(content)
    with pytest.raises(ConfigurationError, match="expected a token file"):
        FileAccess(file)


def test_what_is_not_there_is_not_revoked(file: TokenFile) -> None:
    assert file.tokens() == []
    id, _ = file.create("", ["*"], None)
    with pytest.raises(DataError, match=f"no token has the id nothing; known: {id}"):
        file.revoke("nothing")


def test_scopes_are_checked() -> None:
    check_scopes(["train", "*"], ["train"])
    with pytest.raises(ConfigurationError, match="found 'tarin'"):
        check_scopes(["tarin"], ["train"])


def test_the_place_can_be_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLENCV_AL_TOKENS", str(tmp_path / "x.json"))
    assert default_path() == tmp_path / "x.json"
    monkeypatch.delenv("ALLENCV_AL_TOKENS")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert default_path() == tmp_path / "allencv-al" / "tokens.json"


def test_a_user_without_a_home_folder_is_told_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home(_: Path) -> Path:
        raise RuntimeError("no home folder")

    for name in ("ALLENCV_AL_TOKENS", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "expanduser", no_home)
    with pytest.raises(ConfigurationError, match="ALLENCV_AL_TOKENS names their file"):
        default_path()
