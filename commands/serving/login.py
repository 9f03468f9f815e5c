"""`login`: remember a server and a token for it, so that `--server NAME` uses the threads there."""

import asyncio
import getpass
import sys
from typing import Annotated
from urllib.parse import urlsplit

import typer

from ml_intern.commands.output import columns, print_lines
from ml_intern.configs.errors import UsageError
from ml_intern.session.remote.servers import SavedServer, remove_server, save_server, saved_servers, server_url

Address = Annotated[str | None, typer.Argument(metavar="[URL]", help="the address of the server", show_default=False)]
Name = Annotated[str, typer.Option("--name", metavar="NAME", help="name of the server here (default: its host)")]
Listed = Annotated[bool, typer.Option("--list", help="list the servers")]
Removed = Annotated[str, typer.Option("--remove", metavar="NAME", help="forget a server and its token")]
Insecure = Annotated[bool, typer.Option("--insecure", help="allow http:// to another machine: the token can be read")]


def login(
    url: Address = None, name: Name = "", listed: Listed = False, removed: Removed = "", insecure: Insecure = False
) -> int:
    """Log in to a server of ml-intern: its token is asked for, or read from stdin, and saved for --server NAME."""
    if sum(map(bool, (url, listed, removed))) != 1:
        raise UsageError("nothing to do", "ml-intern login URL, or --list, or --remove NAME")
    if listed:
        rows = [(one.name, one.url) for one in saved_servers().values()]
        return print_lines(columns(rows) if rows else ["no servers"])
    if removed:
        remove_server(removed)
        return print_lines([f"{removed}: forgotten"])
    address = server_url(url or "", insecure=insecure)
    name = name or urlsplit(address).hostname or ""
    server = SavedServer(name, address, _token(address))
    user = asyncio.run(_checked(server))
    path = save_server(server)
    return print_lines([f"logged in to {address}{f' as {user}' if user else ''}; the token is in {path}", _use(name)])


def _use(name: str) -> str:
    return f"use it with: ml-intern --server {name}"


def _token(address: str) -> str:
    """Ask for the token without an echo, or read it from stdin. Raises UsageError."""
    if sys.stdin is None:
        raise UsageError("the token is missing", "give it on stdin")
    asked = sys.stdin.isatty()
    token = (getpass.getpass(f"token for {address} (hidden): ") if asked else sys.stdin.read()).strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise UsageError("this is not a token", "it is one word; `ml-intern serve` and `web` print theirs")
    return token


async def _checked(server: SavedServer) -> str:
    """Return the user's name on the server; "" if it has no users. Raises MLInternError."""
    from ml_intern.session.remote.opening import user_of

    return await user_of(server)
