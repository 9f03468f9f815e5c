"""`server keys`: users' own keys, which are stored sealed and never shown again."""

import asyncio
import getpass
import sys
from collections.abc import Sequence
from typing import Annotated, Literal

import typer

from ml_intern.commands.output import Json, print_json, print_lines
from ml_intern.commands.server.opened import COMMAND_LINE, needed, team_store
from ml_intern.configs.errors import UsageError
from ml_intern.session.team.sealing import seal

KeyAction = Literal["set", "list", "remove"]


def keys(
    action: Annotated[KeyAction, typer.Argument(metavar="set|list|remove")],
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="such as ANTHROPIC_API_KEY or HF_TOKEN")] = "",
    user: Annotated[str, typer.Option("--user", metavar="USER", help="whose key it is")] = "",
    json: Json = False,
) -> int:
    """Set a key of a user from stdin or a prompt, list the names of the keys, or remove one."""
    user = needed(user, "the user", "add --user USER")
    if action == "list":
        names = asyncio.run(_names(user))
        return print_json(list(names)) if json else print_lines(names or [f"{user} has no keys"])
    name = needed(name, "the name of the key", f"ml-intern server keys {action} NAME --user {user}")
    if action == "remove":
        asyncio.run(_remove(user, name))
        return print_lines([f"removed {name} of {user}"])
    asyncio.run(_set(user, name, _read_key(name)))
    return print_lines([f"set {name} of {user}; threads that run now keep the old one until their process ends"])


def _read_key(name: str) -> str:
    return getpass.getpass(f"{name}: ").strip() if sys.stdin.isatty() else sys.stdin.readline().strip()


async def _names(user: str) -> Sequence[str]:
    async with team_store() as store:
        return await store.user_keys.names((await store.users.find(user)).id)


async def _set(user: str, name: str, value: str) -> None:
    async with team_store() as store:
        found = await store.users.find(user)
        await store.user_keys.set(found.id, name, seal(found.id, name, value))
        await store.audit.add(COMMAND_LINE, "set key", detail=f"{user} {name}")


async def _remove(user: str, name: str) -> None:
    async with team_store() as store:
        if not await store.user_keys.remove((await store.users.find(user)).id, name):
            raise UsageError(f"{user} has no key {name[:60]!r}", f"ml-intern server keys list --user {user}")
        await store.audit.add(COMMAND_LINE, "remove key", detail=f"{user} {name}")
