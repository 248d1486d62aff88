"""`allencv-al token`: create, list and revoke the tokens of pipelines."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from allencv_al.commands.shared import arguments
from allencv_al.common.errors import ConfigurationError

if TYPE_CHECKING:
    from allencv_al.service.web.token_file import StoredToken, TokenFile


_DAY = 86_400


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("action", choices=("create", "list", "revoke"), help="the action")
    parser.add_argument("id", nargs="?", metavar="ID", help="for revoke: the id that list shows")
    parser.add_argument(
        "--name", default="", metavar="TEXT", help="for create: the name of the owner"
    )
    parser.add_argument(
        "--scope",
        action="append",
        default=[],
        metavar="NAME",
        help="for create: an allowed scope: train, test, infer, state, loop, or * "
        "(default: *); may be given several times",
    )
    parser.add_argument(
        "--days",
        type=arguments.positive_float,
        metavar="N",
        help="for create: days until it expires (default: never)",
    )
    parser.add_argument(
        "--tokens",
        type=Path,
        metavar="FILE",
        help="the file of tokens (default: $ALLENCV_AL_TOKENS, or allencv-al/tokens.json "
        "in your settings folder)",
    )


def run(args: argparse.Namespace) -> int:
    """Create, list or revoke tokens; a token is shown only at its creation."""
    from allencv_al.service.web.token_file import TokenFile, default_path

    if (args.action == "revoke") != (args.id is not None):
        raise ConfigurationError(
            "token: revoke takes the ID that list shows; create and list take none"
        )
    file = TokenFile(args.tokens or default_path())
    if args.action == "create":
        return _create(file, args)
    if args.action == "revoke":
        file.revoke(args.id)
        sys.stdout.write(f"revoked {args.id}\n")
        return 0
    for token in file.tokens():
        sys.stdout.write(f"{_line(token)}\n")
    return 0


def _create(file: TokenFile, args: argparse.Namespace) -> int:
    from allencv_al.service.pipeline import SCOPES
    from allencv_al.service.web.token_file import check_scopes

    scopes = args.scope or ["*"]
    check_scopes(scopes, SCOPES)
    seconds = None if args.days is None else args.days * _DAY
    id, token = file.create(args.name, scopes, seconds)
    sys.stderr.write(f"created {id}, hash stored in {file.path}; the token is shown only now:\n")
    sys.stdout.write(f"{token}\n")
    return 0


def _line(token: StoredToken) -> str:
    if token.expires is None:
        end = "does not expire"
    else:
        verb = "expired" if token.is_over(time.time()) else "expires"
        end = f"{verb} {time.strftime('%Y-%m-%d %H:%M', time.localtime(token.expires))}"
    return f"{token.id}  {token.name or '-'}  {','.join(token.scopes)}  {end}"
