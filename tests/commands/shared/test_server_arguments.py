"""Address, port and tokens of the commands that serve a page."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from allencv_al.commands.shared.server_arguments import (
    add_server,
    settings,
    shared_access,
    token_in,
)
from allencv_al.common.errors import ConfigurationError

TOKEN = "0123456789abcdef0123456789abcdef"


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_server(parser.add_argument_group("server"), port=8000)
    return parser.parse_args(words)


def test_by_default_only_this_machine_is_served() -> None:
    args = parse()
    found = settings(args, shared_access(args))
    assert (found.host, found.port) == ("127.0.0.1", 8000)
    assert not found.access.needs_token


def test_a_token_is_required_where_one_is_given() -> None:
    access = shared_access(parse("--token", TOKEN))
    assert access.needs_token
    assert access.identify(TOKEN) is not None and access.identify(TOKEN[:-1]) is None
    with pytest.raises(ConfigurationError, match="--token or --token-file, found both"):
        shared_access(parse("--token", TOKEN, "--token-file", "t"))


def test_a_token_file_is_written_once_and_read_afterwards(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "token"
    token = token_in(file)
    assert capsys.readouterr().err == f"created a token in {file}: {token}\n"
    assert token_in(file) == token and capsys.readouterr().err == ""
    assert shared_access(parse("--token-file", str(file))).identify(token) is not None


@pytest.mark.parametrize("port", ["-1", "65536", "x"])
def test_a_port_out_of_range_is_refused(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(f"--port={port}")
    assert f'expected a port from 0 to 65535, found "{port}"' in capsys.readouterr().err
