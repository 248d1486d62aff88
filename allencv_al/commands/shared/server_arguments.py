"""Arguments of commands that serve a page: address, port and tokens."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from allencv_al.commands.shared import arguments
from allencv_al.common.errors import ConfigurationError

if TYPE_CHECKING:
    from allencv_al.service.web.access import Access
    from allencv_al.service.web.web_settings import WebSettings


def add_server(group: argparse._ArgumentGroup, port: int) -> None:
    """Add the arguments.

    Args:
        group: The group to add them to.
        port: The default port.
    """
    group.add_argument(
        "--port",
        type=arguments.port,
        default=port,
        metavar="N",
        help=f"the port to listen on (default: {port}; 0 takes a free one)",
    )
    group.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="the address to listen on (default: 127.0.0.1, this machine only); any other needs "
        "a token",
    )
    group.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="require the token in this file, which is created if it does not exist",
    )
    group.add_argument(
        "--token",
        metavar="TEXT",
        help="require this token; unlike --token-file, it is visible to other users of "
        "this machine in the list of processes",
    )
    group.add_argument(
        "--allowed-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a host name that requests may use, besides localhost and --host; may be "
        "given several times",
    )
    group.add_argument(
        "--allow-origin",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="allow pages of this site, such as https://photos.example, to send requests "
        "and read answers; may be given several times (default: none)",
    )


def settings(args: argparse.Namespace, access: Access) -> WebSettings:
    """Return the settings from the arguments."""
    from allencv_al.service.web.web_settings import WebSettings

    return WebSettings(
        host=args.host,
        port=args.port,
        access=access,
        allowed_hosts=args.allowed_host,
        allowed_origins=args.allow_origin,
    )


def shared_access(args: argparse.Namespace) -> Access:
    """Return the access rules: one token, or none.

    Raises:
        ConfigurationError: The token is invalid, or given twice.
    """
    from allencv_al.service.web.access import Identity, OpenAccess, TokenAccess

    if args.token is not None and args.token_file is not None:
        raise ConfigurationError("expected --token or --token-file, found both")
    token = args.token if args.token_file is None else token_in(args.token_file)
    return OpenAccess() if token is None else TokenAccess({token: Identity("")})


def token_in(file: Path) -> str:
    """Return the token in a file; create and print it if the file does not exist."""
    from allencv_al.service.web.access import load_or_make_token

    token, is_new = load_or_make_token(file)
    if is_new:
        sys.stderr.write(f"created a token in {file}: {token}\n")
    return token
